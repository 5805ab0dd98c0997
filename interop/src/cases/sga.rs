//! SGA itself, carried by strangers or through a hostile network.

use super::case;
use crate::bench::{Bench, PATIENCE, Served};
use crate::check;
use crate::runner::Case;
use crate::seen::{Seen, Way};

pub(super) fn cases() -> Vec<Case> {
    vec![case("nat_rebinding_of_a_listener", "our device", "gateway", nat_rebinding)]
}

/// Registers devices of these names through the relay; their state folders.
fn devices<const N: usize>(bench: &mut Bench, served: &Served, names: [&str; N]) -> Result<[String; N], String> {
    let states = names.map(|name| bench.path(name).display().to_string());
    for (state, name) in states.iter().zip(names) {
        bench.device(&["--state", state, "register", "--gateway", &served.url(""), "--id", name])?;
    }
    Ok(states)
}

/// A NAT gives a listening device another address: at its next refresh it attaches from there and gets its mail, and nothing
/// more goes to the old one.
fn nat_rebinding(bench: &mut Bench) -> Result<(), String> {
    let served = bench.gateway(&[])?;
    let [alice, bob] = devices(bench, &served, ["alice", "bob"])?;
    let from = served.relay.seen().len();
    let args = ["--state", &bob, "--json", "listen", "--count", "2", "--refresh", "2"];
    let mut listener = bench.start_device(&args)?;
    let attaches = |seen: &Seen| seen.way == Way::Up && seen.code() == "0.05";
    let (_, first) = served.relay.wait(from, PATIENCE, attaches)?;
    bench.device(&["--state", &alice, "connect", "bob"])?;
    bench.device(&["--state", &alice, "send", "bob", "before"])?;
    listener.wait(PATIENCE, |line| line.contains("before").then_some(()))?;
    let moved = served.relay.seen().len();
    served.relay.rebind();
    bench.device(&["--state", &alice, "send", "bob", "after"])?;
    let (code, lines) = listener.end(PATIENCE)?;
    bench.keep(&served);
    check!(code == Some(0), "it ended with {code:?}: {lines:?}");
    check!(lines.iter().filter(|line| line.contains("after")).count() == 1, "{lines:?}");
    let attaches_anew = |seen: &Seen| attaches(seen) && seen.client == first.client && seen.port != first.port;
    let (again, attach) = served.relay.wait(moved, PATIENCE, attaches_anew)?;
    let answered = |seen: &Seen| seen.way == Way::Down && seen.port == attach.port && seen.mid() == attach.mid();
    let (answer, _) = served.relay.wait(again, PATIENCE, answered)?;
    let seen = served.relay.seen();
    let to_old = |seen: &&Seen| seen.way == Way::Down && seen.port == first.port;
    let meanwhile = seen[moved..answer].iter().filter(to_old).count();
    check!((1..=5).contains(&meanwhile), "{meanwhile} datagrams to the old address before the new one was known");
    let after = seen[answer..].iter().filter(to_old).count();
    check!(after == 0, "{after} datagrams to the old address after that");
    Ok(())
}
