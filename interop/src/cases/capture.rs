//! A packet analyser on a whole run: it takes every datagram for what it is.

use std::path::Path;
use std::process::Command;

use super::case;
use crate::bench::{Bench, PATIENCE};
use crate::capture::pcap;
use crate::check;
use crate::process::run_well;
use crate::runner::Case;
use crate::seen::Seen;

/// Wireshark's expert severities: 0x400000 note, 0x600000 warning, 0x800000 error.
const WARNING: u32 = 0x60_0000;
const ERROR: u32 = 0x80_0000;

/// What Wireshark 4.0 makes of the options of RFC 9175, which it does not know yet: Echo and Request-Tag.
const UNKNOWN_TO_IT: [&str; 2] = ["Invalid Option Number 252", "Invalid Option Number 292"];

pub(super) fn cases() -> Vec<Case> {
    ["compact", "classic"]
        .into_iter()
        .map(|profile| {
            let name = format!("capture_of_a_whole_run_{profile}");
            case(&name, "tshark", "all", move |bench| dissect(bench, profile))
        })
        .collect()
}

/// Registration with Echo, negotiation, key exchange, texts both ways, acknowledgements and notifications, some in blocks.
fn dissect(bench: &mut Bench, profile: &str) -> Result<(), String> {
    let served = bench.gateway(&["--profile", profile])?;
    let [alice, bob] = ["alice", "bob"].map(|name| bench.path(name).display().to_string());
    let small = ["--block-szx", "2"];
    bench.device(&["--state", &alice, "register", "--gateway", &served.url(""), "--id", "alice"])?;
    bench
        .device(&[&["--state", &bob, "register", "--gateway", &served.url(""), "--id", "bob"], &small[..]].concat())?;
    let mut listener = bench.start_device(&[&["--state", &bob, "listen", "--count", "2"], &small[..]].concat())?;
    bench.device(&["--state", &alice, "connect", "bob"])?;
    bench.device(&["--state", &alice, "send", "bob", "first"])?;
    bench.device(&["--state", &alice, "send", "bob", &"a text that takes several blocks ".repeat(40)])?;
    let (code, _) = listener.end(PATIENCE)?;
    check!(code == Some(0), "bob ended with {code:?}");
    bench.device(&["--state", &bob, "send", "alice", "back"])?;
    bench.device(&["--state", &alice, "listen", "--count", "1"])?;
    bench.keep(&served);
    let seen = served.relay.seen();
    let file = bench.path("run.pcap");
    std::fs::write(&file, pcap(&seen)).map_err(|error| error.to_string())?;
    // It takes each block of a body for a whole body, so that CBOR is looked at only where a body is in one piece.
    inspect(&file, &seen, &["--disable-protocol", "cbor"], |_| true)?;
    let piece = |block: Option<(u32, bool, usize)>| block.is_some_and(|(number, more, _)| number > 0 || more);
    let cbor = inspect(&file, &seen, &[], |seen| !piece(seen.block(23)) && !piece(seen.block(27)))?;
    check!(cbor > 12, "{cbor} of {} datagrams hold CBOR", seen.len());
    Ok(())
}

/// Nothing is wrong with any datagram that `relevant` chooses. How many of them hold CBOR.
fn inspect(file: &Path, seen: &[Seen], more: &[&str], relevant: impl Fn(&Seen) -> bool) -> Result<usize, String> {
    let fields = ["frame.protocols", "_ws.malformed", "_ws.expert.severity", "_ws.expert.message", "coap.code"];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]).args(more);
    tshark.args(["-T", "fields", "-E", "separator=|"]);
    fields.iter().for_each(|field| {
        tshark.args(["-e", field]);
    });
    let text = run_well("tshark", &mut tshark)?;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').collect()).collect();
    check!(rows.len() == seen.len(), "{} of {} datagrams", rows.len(), seen.len());
    let mut cbor = 0;
    for (row, seen) in rows.iter().zip(seen).filter(|(_, seen)| relevant(seen)) {
        let [protocols, malformed, severities, message, code] = row.as_slice() else {
            return Err(format!("tshark says {row:?}"));
        };
        check!(protocols.contains("coap"), "{protocols} is no CoAP: {seen}");
        let known = message.split(',').all(|message| UNKNOWN_TO_IT.contains(&message));
        check!(malformed.is_empty() || known, "malformed ({message}): {seen}");
        let worst = severities.split(',').filter_map(|severity| severity.parse::<u32>().ok()).max().unwrap_or(0);
        check!(worst < if known { ERROR } else { WARNING }, "tshark warns ({message}): {seen}");
        check!(!code.is_empty(), "no code: {seen}");
        cbor += usize::from(protocols.contains("cbor"));
    }
    Ok(cbor)
}
