//! Strangers' registrations through a network that loses, doubles and rebinds, and what they are told when they are refused.

use std::process::Command;

use super::{BOTH, case, each};
use crate::bench::{Ask, Bench, Client, PATIENCE};
use crate::check;
use crate::process::Process;
use crate::runner::Case;
use crate::seen::{Fate, Seen, Way};

/// A gateway that answers in the acknowledgement, and one that acknowledges first.
const GATEWAYS: [(&str, &[&str]); 2] = [("", &[]), ("_separate", &["--ack-after", "0"])];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (suffix, args) in GATEWAYS {
        cases.extend(each(BOTH, &format!("registration_answer_lost{suffix}"), "gateway", move |bench, client| {
            registers_once(bench, client, args, 2, lose_first_success())
        }));
        cases.extend(each(BOTH, &format!("registration_doubled{suffix}"), "gateway", move |bench, client| {
            registers_once(bench, client, args, 1, |_: &Seen| Fate::Double)
        }));
    }
    cases.push(case("echo_at_each_address", Client::Libcoap.name(), "gateway", echo_at_each_address));
    cases.extend(each(BOTH, "within_three_times", "gateway", within_three_times));
    cases.extend(each(BOTH, "refusals", "gateway", refusals));
    cases
}

fn lose_first_success() -> impl FnMut(&Seen) -> Fate + Send + 'static {
    let mut lost = false;
    move |seen: &Seen| {
        let lose = !lost && seen.code() == "2.01";
        lost |= lose;
        if lose { Fate::Drop } else { Fate::Pass }
    }
}

/// Whatever the network does, a registration happens once: all answers to it are one message, whose MID and token are those
/// of the first, and the device can read it. A copy that comes while the first is in work has no answer of its own.
fn registers_once(
    bench: &mut Bench,
    client: Client,
    args: &[&str],
    least: usize,
    rule: impl FnMut(&Seen) -> Fate + Send + 'static,
) -> Result<(), String> {
    let mut served = bench.gateway(args)?;
    let (body, state) = bench.registration(&served, "sensor-1")?;
    served.relay.rule(rule);
    let told = served.ask(bench, client, &Ask::new("POST", "/register").with(60, &body));
    bench.keep(&served);
    let told = told?;
    let seen = served.relay.seen();
    let answers: Vec<&Seen> = seen.iter().filter(|seen| seen.code() == "2.01").collect();
    check!(answers.len() >= least, "{} answers", answers.len());
    check!(answers.iter().all(|seen| seen.bytes == answers[0].bytes), "two answers to one request");
    check!(!seen.iter().any(|seen| seen.code() == "2.04"), "it was registered twice");
    let expected = if args.is_empty() { "ACK" } else { "CON" };
    check!(answers[0].kind() == expected, "the answer is {}", answers[0].kind());
    let answer = bench.path("answer");
    std::fs::write(&answer, &told.body).map_err(|error| error.to_string())?;
    bench.device(&["--state", &state, "register", "--read-answer", &answer.display().to_string()])?;
    bench.device(&["--state", &state, "listen", "--count", "0", "--timeout", "10"]).map(|_| ())
}

/// A client asks from one address and then from another: what the first has shown does not hold for the second.
fn echo_at_each_address(bench: &mut Bench) -> Result<(), String> {
    let served = bench.gateway(&[])?;
    let (body, _) = bench.registration(&served, "sensor-1")?;
    let file = bench.path("request");
    std::fs::write(&file, &body).map_err(|error| error.to_string())?;
    let mut command = Command::new("coap-client-notls");
    // Twice, a second between.
    command.args(["-G", "2", "-m", "post", "-t", "60", "-f"]).arg(&file).arg(served.url("/register"));
    let _client = Process::start("coap-client-notls", &mut command)?;
    let first = served.relay.wait(0, PATIENCE, |seen| seen.code() == "2.01").map(|_| served.relay.rebind());
    let second = first.and_then(|()| served.relay.wait(0, PATIENCE, |seen| seen.code() == "2.04"));
    bench.keep(&served);
    let (_, second) = second?;
    check!(second.port == 1, "the second answer goes to port {}", second.port);
    let asks = |seen: &&Seen| seen.code() == "4.01" && seen.option(252).is_some();
    let ports: Vec<usize> = served.relay.seen().iter().filter(asks).map(|seen| seen.port).collect();
    check!(ports == [0, 1], "Echo was asked for at the ports {ports:?}");
    Ok(())
}

/// The package of the larger group is many times the request; an address that has shown nothing is sent it in pieces, each
/// at most three times what it asked with.
fn within_three_times(bench: &mut Bench, client: Client) -> Result<(), String> {
    let mut served = bench.gateway(&["--profile", "classic"])?;
    let package = served.package()?;
    let told = served.ask(bench, client, &Ask::new("GET", "/register"));
    bench.keep(&served);
    check!(told?.body == package, "another package");
    let seen = served.relay.seen();
    check!(seen.iter().all(|seen| seen.option(252).is_none()), "Echo was asked for, and all may be sent");
    for request in seen.iter().filter(|seen| seen.is_request()) {
        let sent: usize = seen.iter().filter(|one| one.way == Way::Down && one.mid() == request.mid()).map(len).sum();
        check!(sent <= 3 * len(request), "{sent} bytes for {}", len(request));
    }
    Ok(())
}

fn len(seen: &Seen) -> usize {
    seen.bytes.len()
}

/// Each code that a foreign client can provoke; a payload, if any, says so in RFC 9290's form.
fn refusals(bench: &mut Bench, client: Client) -> Result<(), String> {
    const PROXY_SCHEME: u16 = 39;
    let mut served = bench.gateway(&[])?;
    let mut cases = vec![
        ("4.04", Ask::new("GET", "/nothing")),
        ("4.04", Ask::new("GET", "/register/more")),
        ("4.05", Ask::new("PUT", "/register").with(60, b"x")),
        ("4.05", Ask::new("DELETE", "/msg")),
        ("4.06", Ask { accept: Some(50), ..Ask::new("GET", "/register") }),
        ("4.12", Ask::new("POST", "/register").with(60, b"x").option(1, &[1, 2])),
        ("4.12", Ask::new("POST", "/register").with(60, b"x").option(5, &[])),
        ("4.15", Ask::new("POST", "/kex").with(0, b"x")),
        ("4.00", Ask::new("POST", "/kex").with(60, b"x")),
        ("4.00", Ask::new("POST", "/register").with(60, &[0x83, 2, 0x40, 0x40])),
        ("4.01", Ask::new("POST", "/negotiate").with(60, &[0x41, b'x'])),
        ("4.02", Ask::new("GET", "/register").option(9, &[1])),
    ];
    // coap-client takes that for an instruction to itself.
    if client == Client::Aiocoap {
        cases.push(("5.05", Ask::new("GET", "/register").option(PROXY_SCHEME, b"coap")));
    }
    for (code, ask) in cases {
        let told = served.ask(bench, client, &ask);
        let seen = served.relay.seen();
        bench.traffic = vec![seen.clone()];
        let told = told?;
        check!(told.code == code && told.said.contains(code), "{code} for {} {}: {}", ask.method, ask.path, told.said);
        let last = seen.iter().rev().find(|seen| seen.is_response()).ok_or("no response")?;
        check!(last.payload().is_empty() || last.uint(12) == Some(257), "{code} with another payload: {last}");
    }
    Ok(())
}
