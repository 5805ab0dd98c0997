//! TD_COAP_OBS: observation (RFC 7641).

use std::process::Command;

use serde_json::json;
use sga_coap::{Code, Config, Request};

use super::{BOTH, case, each};
use crate::bench::{Ask, Bench, Client, PATIENCE, Served};
use crate::check;
use crate::our_client::OurClient;
use crate::process::Process;
use crate::runner::Case;
use crate::seen::{Fate, Seen, Way};

const OBSERVE: u16 = 6;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(each(BOTH, "td_coap_obs_01", "testbed", |bench, client| {
        changes(bench, client, "/obs", "CON", &[b"1".to_vec(), b"2".to_vec(), b"3".to_vec()])
    }));
    cases.extend(each(BOTH, "td_coap_obs_01", "gateway", inbox));
    cases.extend(each(BOTH, "td_coap_obs_02", "testbed", |bench, client| {
        changes(bench, client, "/obs-non", "NON", &[b"1".to_vec(), b"2".to_vec(), b"3".to_vec()])
    }));
    cases.push(case("td_coap_obs_04", "our device", "gateway", gateway_loses_its_state));
    cases.extend(each(BOTH, "td_coap_obs_05", "testbed", client_off));
    cases.extend(each(&[Client::Aiocoap], "td_coap_obs_06", "testbed", reset_ends_it));
    cases.extend(each(BOTH, "td_coap_obs_07", "testbed", |bench, client| {
        ends_with(bench, client, "4.04", Request::new(Code::DELETE, ["obs"]))
    }));
    cases.extend(each(BOTH, "td_coap_obs_08", "testbed", |bench, client| {
        ends_with(bench, client, "4.06", Request::new(Code::PUT, ["obs"]).with_payload(50, "{}"))
    }));
    cases.extend(each(BOTH, "td_coap_obs_09", "testbed", |bench, client| {
        changes(bench, client, "/obs", "CON", &[b"put by another".to_vec()])
    }));
    cases.extend(each(&[Client::Aiocoap], "td_coap_obs_10", "testbed", plain_get_does_not_cancel));
    cases.extend(each(BOTH, "td_coap_obs_11", "testbed", lossy));
    cases.extend(each(&[Client::Libcoap], "td_coap_obs_12", "testbed", deregistration));
    cases.extend(each(BOTH, "td_coap_obs_13", "testbed", |bench, client| {
        changes(bench, client, "/obs-large", "CON", &[vec![b'x'; 1_300], vec![b'y'; 1_200]])
    }));
    cases.extend(each(BOTH, "td_coap_obs_14", "testbed", |bench, client| {
        changes(bench, client, "/obs-large", "CON", &[b"short".to_vec(), vec![b'x'; 1_300], b"s".to_vec()])
    }));
    cases
}

/// An observer of a path, and one who changes what is there.
struct Observed {
    served: Served,
    changer: OurClient,
    /// coap-client, while it observes.
    process: Option<Process>,
}

impl Observed {
    /// Returns when the registration has been answered.
    fn start(bench: &mut Bench, client: Client, path: &str, notifications: usize) -> Result<Observed, String> {
        let mut served = bench.testbed()?;
        let changer = OurClient::new(served.direct, Config::default())?;
        let get = Ask { non: path == "/obs-non", ..Ask::new("GET", path) };
        let mut process = None;
        match client {
            Client::Aiocoap => served.start_aiocoap(&get, json!({ "observe": notifications }))?,
            Client::Libcoap => {
                let mut command = Command::new("coap-client-notls");
                command.args(if get.non { &["-N"][..] } else { &[] }).args(["-s", "60", "-m", "get"]);
                command.arg(served.url(path)).stderr(std::process::Stdio::null());
                process = Some(Process::start("coap-client", &mut command)?);
            }
        }
        let (_, answer) =
            served.relay.wait(0, PATIENCE, |seen| seen.is_response() && seen.option(OBSERVE).is_some())?;
        check!(answer.code() == "2.05", "the registration is answered with {}", answer.code());
        if answer.block(23).is_some_and(|block| block.1) {
            let last = |seen: &Seen| seen.way == Way::Down && seen.block(23).is_some_and(|block| !block.1);
            served.relay.wait(0, PATIENCE, last)?;
        }
        Ok(Observed { served, changer, process })
    }

    fn put(&mut self, path: &str, body: &[u8]) -> Result<(), String> {
        let put = Request::new(Code::PUT, [path.trim_start_matches('/')]).with_payload(0, body);
        let code = self.changer.ask(put, PATIENCE)?.code;
        check!(code == Code::CHANGED, "PUT {path}: {code}");
        Ok(())
    }

    fn notifications(&self) -> Vec<Seen> {
        let seen = self.served.relay.seen();
        seen.into_iter().filter(|seen| seen.way == Way::Down && seen.option(OBSERVE).is_some()).skip(1).collect()
    }

    /// The next notification after so many datagrams.
    fn next(&self, from: usize) -> Result<Seen, String> {
        let is = |seen: &Seen| seen.way == Way::Down && seen.option(OBSERVE).is_some();
        self.served.relay.wait(from, PATIENCE, is).map(|(_, seen)| seen)
    }

    /// Nothing goes to the observer any more: another change is made and answered, and no notification went before that.
    fn is_over(&mut self, path: &str) -> Result<(), String> {
        let before = self.notifications().len();
        for round in 0..2u8 {
            let put = Request::new(Code::PUT, [path.trim_start_matches('/')]).with_payload(0, [b'z', round]);
            self.changer.ask(put, PATIENCE)?;
        }
        check!(self.notifications().len() == before, "it is still told");
        Ok(())
    }
}

/// Each change reaches the observer: newer numbers, whole bodies, and an acknowledgement of each.
fn changes(
    bench: &mut Bench,
    client: Client,
    path: &'static str,
    kind: &str,
    bodies: &[Vec<u8>],
) -> Result<(), String> {
    let mut observed = Observed::start(bench, client, path, bodies.len())?;
    let result = (|| {
        let registration = observed.served.relay.seen().into_iter().find(Seen::is_request).ok_or("no request")?;
        let mut last = None;
        for body in bodies {
            let from = observed.served.relay.seen().len();
            observed.put(path, body)?;
            let told = observed.next(from)?;
            check!(told.is(kind, "2.05"), "{kind} 2.05 was expected: {told}");
            check!(told.token() == registration.token(), "another token than the registration's");
            check!(told.uint(OBSERVE) > last, "an older number");
            last = told.uint(OBSERVE);
            if kind == "CON" {
                let acked = |seen: &Seen| seen.way == Way::Up && seen.is("ACK", "0.00") && seen.mid() == told.mid();
                observed.served.relay.wait(from, PATIENCE, acked)?;
            }
            if body.len() > 1024 || told.block(23).is_some_and(|block| block.1) {
                let all = |seen: &Seen| seen.way == Way::Down && seen.block(23).is_some_and(|block| !block.1);
                observed.served.relay.wait(from, PATIENCE, all)?;
                let seen = observed.served.relay.seen();
                let of_etag = seen.iter().filter(|seen| seen.way == Way::Down && seen.option(4) == told.option(4));
                let got: Vec<u8> = of_etag.flat_map(|seen| seen.payload().to_vec()).collect();
                check!(got == *body, "{} of {} bytes", got.len(), body.len());
            } else {
                check!(told.payload() == body.as_slice(), "not the new state: {told}");
            }
        }
        Ok(())
    })();
    bench.keep(&observed.served);
    result?;
    if client == Client::Aiocoap {
        let bodies: Vec<String> = bodies.iter().map(hex::encode).collect();
        let _registration = observed.served.next_aiocoap()?;
        for body in bodies {
            check!(observed.served.next_aiocoap()?["payload"] == json!(body), "the client was given another body");
        }
    }
    Ok(())
}

/// A stranger's client observes a real inbox, with an attach that a device has made; the device is invited meanwhile.
fn inbox(bench: &mut Bench, client: Client) -> Result<(), String> {
    let mut served = bench.gateway(&[])?;
    let [alice, bob] = super::sga::devices(bench, &served, ["alice", "bob"])?;
    let folder = bench.path("carried").display().to_string();
    let mut device = bench.start_device(&["--state", &bob, "--via-files", &folder, "listen", "--count", "1"])?;
    let file = device.wait(PATIENCE, |line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words.get(2) == Some(&"FETCH")).then(|| words.get(5).map(|file| (*file).to_owned())).flatten()
    })?;
    let attach = std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
    let from = served.relay.seen().len();
    let fetch = Ask::new("FETCH", "/msg").with(60, &attach);
    let mut observer = None;
    match client {
        Client::Aiocoap => served.start_aiocoap(&fetch, json!({ "observe": 9 }))?,
        Client::Libcoap => {
            let mut command = Command::new("coap-client-notls");
            command.args(["-s", "60", "-m", "fetch", "-t", "60", "-f", &file]).arg(served.url("/msg"));
            observer = Some(Process::start("coap-client", command.stderr(std::process::Stdio::null()))?);
        }
    }
    let (at, asked) = served.relay.wait(from, PATIENCE, |seen| seen.way == Way::Up && seen.payload() == attach)?;
    let told = |seen: &Seen| seen.way == Way::Down && seen.client == asked.client && seen.option(OBSERVE).is_some();
    let (at, first) = served.relay.wait(at, PATIENCE, told)?;
    check!(first.is("ACK", "2.05") && first.uint(12) == Some(60), "{first}");
    let inviter = bench.start_device(&["--state", &alice, "connect", "bob"])?;
    let news = served.relay.wait(at + 1, PATIENCE, told);
    bench.keep(&served);
    let (at, news) = news?;
    check!(news.is("CON", "2.05") && news.token() == first.token(), "{news}");
    check!(news.uint(OBSERVE) > first.uint(OBSERVE) && news.payload() != first.payload(), "nothing new: {news}");
    let acked = |seen: &Seen| seen.way == Way::Up && seen.is("ACK", "0.00") && seen.mid() == news.mid();
    served.relay.wait(at, PATIENCE, acked)?;
    drop((inviter, observer, device));
    Ok(())
}

/// The gateway loses what it keeps in memory; a device that listens finds out, attaches again and gets its mail.
fn gateway_loses_its_state(bench: &mut Bench) -> Result<(), String> {
    let mut served = bench.gateway(&[])?;
    let states = ["alice", "bob"].map(|name| bench.path(name).display().to_string());
    for (state, name) in states.iter().zip(["alice", "bob"]) {
        bench.device(&["--state", state, "register", "--gateway", &served.url(""), "--id", name])?;
    }
    let mut bob = bench.start_device(&["--state", &states[1], "--json", "listen", "--count", "1", "--refresh", "1"])?;
    bench.device(&["--state", &states[0], "connect", "bob"])?;
    served.restart()?;
    bench.device(&["--state", &states[0], "send", "bob", "after the restart"])?;
    let (code, lines) = bob.end(PATIENCE)?;
    bench.keep(&served);
    check!(code == Some(0), "bob ended with {code:?}: {lines:?}");
    check!(lines.iter().any(|line| line.contains("after the restart")), "bob was told {lines:?}");
    Ok(())
}

/// A client that is gone: its notification is repeated, and then no more is sent.
fn client_off(bench: &mut Bench, client: Client) -> Result<(), String> {
    let mut observed = Observed::start(bench, client, "/obs", 9)?;
    // It is off: what it sends and what is sent to it goes nowhere.
    observed.served.relay.rule(|_| Fate::Drop);
    let from = observed.served.relay.seen().len();
    observed.put("/obs", b"1")?;
    let first = observed.next(from)?;
    let mut at = from;
    let mut times = 0;
    while times < 5 {
        let again = |seen: &Seen| seen.way == Way::Down && seen.mid() == first.mid();
        at = observed.served.relay.wait(at, PATIENCE, again)?.0 + 1;
        times += 1;
    }
    // The last wait is twice as long as the one before; the PUTs of `is_over` come after it.
    observed.changer.serve(std::time::Duration::from_millis(5_500))?;
    let result = observed.is_over("/obs");
    bench.keep(&observed.served);
    result?;
    check!(observed.notifications().len() == 5, "{} notifications", observed.notifications().len());
    Ok(())
}

/// A client that no longer knows the observation resets a notification, which ends it.
fn reset_ends_it(bench: &mut Bench, client: Client) -> Result<(), String> {
    let mut observed = Observed::start(bench, client, "/obs", 1)?;
    observed.put("/obs", b"1")?;
    observed.served.next_aiocoap()?;
    observed.served.next_aiocoap()?;
    let done = observed.served.next_aiocoap()?;
    check!(done["done"].is_string(), "{done}");
    // It drops its side of the observation when it notices that nobody listens any more, which may take it a notification.
    let mut reset = Err("it never resets".to_owned());
    for state in [b"2", b"3", b"4"] {
        let from = observed.served.relay.seen().len();
        observed.put("/obs", state)?;
        let told = observed.next(from)?;
        let answer = |seen: &Seen| seen.way == Way::Up && seen.mid() == told.mid();
        let (_, answer) = observed.served.relay.wait(from, PATIENCE, answer)?;
        if answer.is("RST", "0.00") {
            reset = Ok(());
            break;
        }
    }
    bench.keep(&observed.served);
    reset?;
    observed.is_over("/obs")
}

/// What another does ends the observation with an error.
fn ends_with(bench: &mut Bench, client: Client, code: &str, act: Request) -> Result<(), String> {
    let mut observed = Observed::start(bench, client, "/obs", 9)?;
    let from = observed.served.relay.seen().len();
    observed.changer.ask(act, PATIENCE)?;
    let end = observed.served.relay.wait(from, PATIENCE, |seen| seen.way == Way::Down && seen.is_response());
    bench.keep(&observed.served);
    let (_, end) = end?;
    check!(end.is("CON", code) && end.option(OBSERVE).is_none(), "{end}");
    let acked = |seen: &Seen| seen.way == Way::Up && seen.mid() == end.mid();
    observed.served.relay.wait(from, PATIENCE, acked)?;
    observed.is_over("/obs")
}

/// A GET without Observe, from the same client, leaves the observation as it is.
fn plain_get_does_not_cancel(bench: &mut Bench, client: Client) -> Result<(), String> {
    let mut observed = Observed::start(bench, client, "/obs", 9)?;
    observed.served.next_aiocoap()?;
    observed.served.start_aiocoap(&Ask::new("GET", "/obs"), json!({}))?;
    let answer = observed.served.next_aiocoap()?;
    check!(answer["code"] == "2.05", "{answer}");
    let from = observed.served.relay.seen().len();
    observed.put("/obs", b"1")?;
    let told = observed.next(from);
    bench.keep(&observed.served);
    told?;
    let seen = observed.served.relay.seen();
    let ports: Vec<usize> = seen.iter().filter(|seen| seen.is_request()).map(|seen| seen.port).collect();
    check!(ports == [0, 0], "the requests came from two ports: {ports:?}");
    Ok(())
}

/// Every second notification is lost while the state changes: never two are under way, and the last state arrives.
fn lossy(bench: &mut Bench, client: Client) -> Result<(), String> {
    let mut observed = Observed::start(bench, client, "/obs", 99)?;
    let from = observed.served.relay.seen().len();
    let mut count = 0;
    observed.served.relay.rule(move |seen| {
        if seen.way == Way::Down && seen.option(OBSERVE).is_some() {
            count += 1;
        }
        if seen.way == Way::Down && count % 2 == 1 { Fate::Drop } else { Fate::Pass }
    });
    for state in 1..=6u8 {
        observed.put("/obs", &[b'0' + state])?;
    }
    let last = |seen: &Seen| seen.way == Way::Down && seen.payload() == b"6" && seen.fate == Fate::Pass;
    let told = observed.served.relay.wait(from, PATIENCE, last);
    bench.keep(&observed.served);
    let (_, told) = told?;
    let acked = |seen: &Seen| seen.way == Way::Up && seen.is("ACK", "0.00") && seen.mid() == told.mid();
    observed.served.relay.wait(from, PATIENCE, acked)?;
    let mut under_way: Vec<u16> = Vec::new();
    for seen in observed.served.relay.seen().iter().skip(from) {
        if seen.way == Way::Down && seen.option(OBSERVE).is_some() && under_way.last() != Some(&seen.mid()) {
            check!(!under_way.contains(&seen.mid()), "an older one was sent again beside a newer: {seen}");
            under_way.push(seen.mid());
        }
    }
    Ok(())
}

/// Observe = 1 ends it.
fn deregistration(bench: &mut Bench, _: Client) -> Result<(), String> {
    let mut observed = Observed::start(bench, Client::Libcoap, "/obs", 9)?;
    // Another, which deregisters after a second.
    let (_, said) = observed.served.ask_libcoap(bench, &Ask::new("GET", "/obs-large"), &["-s", "1"])?;
    let ends = |seen: &Seen| seen.is_request() && seen.uint(OBSERVE) == Some(1);
    let (_, request) = observed.served.relay.wait(0, PATIENCE, ends).map_err(|why| format!("{why}: {said}"))?;
    let answer = |seen: &Seen| seen.is_response() && seen.way == Way::Down && seen.mid() == request.mid();
    let (_, answer) = observed.served.relay.wait(0, PATIENCE, answer)?;
    bench.keep(&observed.served);
    check!(answer.code() == "2.05" && answer.option(OBSERVE).is_none(), "{answer}");
    observed.is_over("/obs-large")?;
    if let Some(process) = &mut observed.process {
        process.kill();
    }
    Ok(())
}
