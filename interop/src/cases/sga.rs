//! SGA itself, carried by strangers or through a hostile network.

use sga_schema::Package;

use super::{BOTH, case, each, exchange};
use crate::bench::{Ask, Bench, Client, PATIENCE, Served};
use crate::check;
use crate::runner::Case;
use crate::seen::{Seen, Way};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![case("nat_rebinding_of_a_listener", "our device", "gateway", nat_rebinding)];
    for profile in ["compact", "classic"] {
        let name = format!("package_and_pin_{profile}");
        let run = move |bench: &mut Bench, client| package_and_pin(bench, client, profile);
        cases.extend(each(BOTH, &name, "gateway", run));
    }
    cases.extend(each(BOTH, "refusals_in_words", "gateway", refusals_in_words));
    for profile in ["compact", "classic"] {
        for (name, block) in [("carried", None), ("carried_in_blocks_of_64", Some(2))] {
            let name = format!("{name}_{profile}");
            cases.push(case(&name, Client::Libcoap.name(), "gateway", move |bench| carried(bench, profile, block)));
        }
    }
    cases
}

/// Registers devices of these names through the relay; their state folders.
pub(super) fn devices<const N: usize>(
    bench: &mut Bench,
    served: &Served,
    names: [&str; N],
) -> Result<[String; N], String> {
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
    // It has printed the text, and tells the gateway so by two datagrams that are to come from the old address.
    let notified = |seen: &Seen| seen.way == Way::Down && seen.client == first.client && seen.kind() == "CON";
    let so_far = served.relay.seen();
    // On a slow machine a refresh may have brought the text.
    let notification = so_far.iter().rposition(notified);
    if let Some(at) = notification {
        let acked = |seen: &Seen| seen.way == Way::Up && seen.kind() == "ACK" && seen.mid() == so_far[at].mid();
        served.relay.wait(at, PATIENCE, acked)?;
    }
    let at = notification.unwrap_or(from);
    let taken = |seen: &Seen| seen.way == Way::Down && seen.client == first.client && seen.code() == "2.04";
    served.relay.wait(at, PATIENCE, taken)?;
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

/// Everything that one device says goes through coap-client: it registers, invites, is invited, and texts go both ways.
fn carried(bench: &mut Bench, profile: &str, block: Option<u8>) -> Result<(), String> {
    let mut served = bench.gateway(&["--profile", profile])?;
    let [alice, carol] = devices(bench, &served, ["alice", "carol"])?;
    let bob = bench.path("bob").display().to_string();
    let folder = bench.path("carried").display().to_string();
    let url = served.url("");
    let bob = |bench: &mut Bench, served: &mut Served, args: &[&str]| {
        let all = [&["--state", &bob, "--json", "--via-files", &folder], args].concat();
        carry(bench, served, &all, block)
    };
    let listen = |bench: &Bench, state: &str| {
        bench.start_device(&["--state", state, "--json", "listen", "--count", "1", "--refresh", "2"])
    };
    let from = served.relay.seen().len();
    let result = (|| {
        bob(bench, &mut served, &["register", "--gateway", &url, "--id", "bob"])?;
        // It invites.
        let mut listener = listen(bench, &alice)?;
        bob(bench, &mut served, &["connect", "alice"])?;
        bob(bench, &mut served, &["send", "alice", "carried to alice"])?;
        let (code, lines) = listener.end(PATIENCE)?;
        check!(code == Some(0) && lines.iter().any(|line| line.contains("carried to alice")), "{lines:?}");
        bench.device(&["--state", &alice, "send", "bob", "back to bob"])?;
        let lines = bob(bench, &mut served, &["listen", "--count", "1"])?;
        check!(lines.iter().any(|line| line.contains("back to bob")), "{lines:?}");
        // It is invited.
        let mut inviter = bench.start_device(&["--state", &carol, "connect", "bob"])?;
        while !inviter.has_ended() {
            bob(bench, &mut served, &["listen", "--count", "0"])?;
        }
        check!(inviter.end(PATIENCE)?.0 == Some(0), "carol could not connect");
        bench.device(&["--state", &carol, "send", "bob", "from carol"])?;
        let lines = bob(bench, &mut served, &["listen", "--count", "1"])?;
        check!(lines.iter().any(|line| line.contains("from carol")), "{lines:?}");
        Ok(())
    })();
    bench.keep(&served);
    result?;
    if block.is_some() {
        let blocks = served.relay.seen().iter().skip(from).filter(|seen| seen.block(27).is_some()).count();
        check!(blocks > 4, "{blocks} blocks went up");
    }
    Ok(())
}

/// Runs a device's command whose requests coap-client carries; what it printed besides them.
fn carry(bench: &mut Bench, served: &mut Served, args: &[&str], block: Option<u8>) -> Result<Vec<String>, String> {
    let mut device = bench.start_device(args)?;
    let mut printed = Vec::new();
    while let Some(line) = device.next_line(PATIENCE)? {
        let words: Vec<&str> = line.split(' ').collect();
        let ["request", number, method, path, format, request, answer] = words.as_slice() else {
            printed.push(line);
            continue;
        };
        let payload = std::fs::read(request).map_err(|error| format!("{request}: {error}"))?;
        let method = ["GET", "POST", "FETCH"].into_iter().find(|known| known == method).ok_or("another method")?;
        let ask = Ask { content_format: format.parse().ok(), payload, block, ..Ask::new(method, path) };
        // At this level it prints each message, which is the only way to learn the code of a success.
        let (body, said) = served.ask_libcoap(bench, &ask, &["-v", "6"])?;
        let code = said.rsplit(" c:").find_map(|rest| {
            let code = rest.get(..4)?;
            matches!(code.as_bytes(), [b'2' | b'4' | b'5', b'.', _, _]).then(|| code.to_owned())
        });
        std::fs::write(answer, &body).map_err(|error| format!("{answer}: {error}"))?;
        device.tell(&format!("answer {number} {}", code.as_deref().unwrap_or("failed")))?;
    }
    match device.end(PATIENCE)? {
        (Some(0), _) => Ok(printed),
        (code, said) => Err(format!("{args:?} ended with {code:?}: {said:?}")),
    }
}

/// The package that coap-client is given is the one whose pin the operator reads.
fn package_and_pin(bench: &mut Bench, client: Client, profile: &str) -> Result<(), String> {
    let mut served = bench.gateway(&["--profile", profile])?;
    let told = served.ask(bench, client, &Ask::new("GET", "/register"))?;
    let package: Package<'_> = sga_schema::decode(&told.body).map_err(|error| format!("{error}: {}", told.said))?;
    check!(package.profile.name() == profile, "profile {}", package.profile.name());
    let pin = hex::encode(sga_crypto::steps::pin(sga_schema::VERSION, package.profile.id(), package.public_key));
    let printed = served.pin()?;
    check!(printed.trim() == pin, "the operator reads {printed}, the device makes {pin}");
    Ok(())
}

/// Each refusal has a code, and words that say what to do.
fn refusals_in_words(bench: &mut Bench, client: Client) -> Result<(), String> {
    let mut served = bench.gateway(&[])?;
    // Long enough that the words may go to an address that has shown nothing: three times what it sent.
    let post = |path: &str, format, body: &[u8]| {
        Ask::new("POST", path).with(format, &[body, &[0; 60]].concat()).option(15, b"a query that nobody reads")
    };
    let get = |path: &str| Ask::new("GET", path).option(15, b"a query that nobody reads, to be long enough");
    for (ask, code, words) in [
        (get("/nothing"), "4.04", "no such path"),
        (Ask::new("PUT", "/register").with(0, b"x"), "4.05", "method not allowed"),
        (post("/kex", 0, b"x"), "4.15", "60"),
        (post("/kex", 60, b"x"), "4.00", "malformed"),
        (post("/register", 60, &[0x83, 2, 0x40, 0x40]), "4.00", "version"),
        (Ask::new("POST", "/negotiate").with(60, b"\x41x"), "4.01", ""),
        (get("/register").option(9, b"critical and unknown"), "4.02", "9"),
        (get("/register").option(35, b"coap://elsewhere/"), "5.05", "roxy"),
    ] {
        let told = exchange(bench, &mut served, client, &ask, "CON", "ACK", code)?;
        let text = String::from_utf8_lossy(super::last_response(&served)?.payload()).into_owned();
        check!(text.contains(words), "{code} for {} {} says {text:?}; {}", ask.method, ask.path, told.said);
    }
    Ok(())
}
