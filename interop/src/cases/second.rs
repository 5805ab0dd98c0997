//! A second implementation of the device, written in Python from `docs/protocol.md` alone.

use super::case;
use crate::bench::Bench;
use crate::check;
use crate::process::run_well;
use crate::runner::Case;

const PEER: &str = "Python SGA/1";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![case("vectors", PEER, "vectors", vectors)];
    for profile in ["compact", "classic", "classic3072"] {
        for suite in ["aes-ccm-8", "aes-ccm-16", "chacha20-poly1305", "ascon-aead128"] {
            let name = format!("sga_{profile}_{suite}");
            cases.push(case(&name, PEER, "all", move |bench| live(bench, profile, suite)));
        }
    }
    cases
}

/// It makes every value of every committed vector from the inputs.
fn vectors(bench: &mut Bench) -> Result<(), String> {
    let text = run_well("check_vectors.py", &mut bench.python("check_vectors.py"))?;
    let last = text.lines().last().unwrap_or_default();
    check!(last.ends_with("passed, 0 failed") && !last.starts_with('0'), "{text}");
    Ok(())
}

/// Registration, negotiation, key exchange and texts both ways with our device through our gateway, each inviting the other.
fn live(bench: &mut Bench, profile: &str, suite: &str) -> Result<(), String> {
    let (gateway, device) = (bench.launcher("__gateway")?, bench.launcher("__device")?);
    let mut command = bench.python("live.py");
    command.arg("--gateway-bin").arg(gateway).arg("--device-bin").arg(device);
    let text = run_well("live.py", command.args(["--profile", profile, "--suite", suite]))?;
    check!(text.lines().last() == Some("2 passed, 0 failed"), "{text}");
    Ok(())
}
