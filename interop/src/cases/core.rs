//! TD_COAP_CORE: methods, messages and options.

use std::net::UdpSocket;
use std::time::Duration;

use super::{BOTH, case, each, exchange, last_response};
use crate::bench::{Ask, Bench, Client, PATIENCE, Served};
use crate::check;
use crate::runner::Case;
use crate::seen::{Fate, Seen, Way};

const ACCEPT_CBOR: u16 = 60;
const ETAG: u16 = 4;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(each(BOTH, "td_coap_core_01", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        let package = served.package()?;
        let told = exchange(bench, &mut served, client, &Ask::new("GET", "/register"), "CON", "ACK", "2.05")?;
        check!(told.body == package, "another package: {:02x?}", told.body);
        check!(last_response(&served)?.uint(12) == Some(60), "no Content-Format 60");
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_02", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        exchange(bench, &mut served, client, &Ask::new("DELETE", "/test"), "CON", "ACK", "2.02")?;
        exchange(bench, &mut served, client, &Ask::new("GET", "/test"), "CON", "ACK", "4.04").map(|_| ())
    }));
    cases.extend(each(BOTH, "td_coap_core_03", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let put = Ask::new("PUT", "/test").with(0, b"changed");
        exchange(bench, &mut served, client, &put, "CON", "ACK", "2.04")?;
        let told = exchange(bench, &mut served, client, &Ask::new("GET", "/test"), "CON", "ACK", "2.05")?;
        check!(told.body == b"changed", "{:?}", told.said);
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_04", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        let (body, _) = bench.registration(&served, "sensor-1")?;
        let post = Ask::new("POST", "/register").with(ACCEPT_CBOR, &body);
        exchange(bench, &mut served, client, &post, "CON", "ACK", "2.01")?;
        // The same again: a new message, and the device is known by now.
        exchange(bench, &mut served, client, &post, "CON", "ACK", "2.04").map(|_| ())
    }));
    cases.extend(each(BOTH, "td_coap_core_05", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        let get = Ask { non: true, ..Ask::new("GET", "/register") };
        let told = exchange(bench, &mut served, client, &get, "NON", "NON", "2.05")?;
        check!(told.body == served.package()?, "another package");
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_06", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let delete = Ask { non: true, ..Ask::new("DELETE", "/test") };
        exchange(bench, &mut served, client, &delete, "NON", "NON", "2.02").map(|_| ())
    }));
    cases.extend(each(BOTH, "td_coap_core_07", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let put = Ask { non: true, ..Ask::new("PUT", "/test").with(0, b"changed") };
        exchange(bench, &mut served, client, &put, "NON", "NON", "2.04").map(|_| ())
    }));
    cases.extend(each(BOTH, "td_coap_core_08", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        let (body, _) = bench.registration(&served, "sensor-1")?;
        let post = Ask { non: true, ..Ask::new("POST", "/register").with(60, &body) };
        exchange(bench, &mut served, client, &post, "NON", "NON", "2.01").map(|_| ())
    }));
    cases.extend(each(BOTH, "td_coap_core_09", "gateway", |bench, client| separate_registration(bench, client, None)));
    cases.extend(each(BOTH, "td_coap_core_09", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let told = served.ask(bench, client, &Ask::new("GET", "/separate"))?;
        check!(told.body == b"separate", "{}", told.said);
        is_separate(&served)
    }));
    cases.extend(each(&[Client::Libcoap], "td_coap_core_10", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        for token in ["1", "12", "123", "1234", "12345", "123456", "1234567", "12345678"] {
            // It counts up from what it is told, so that the length is what is its own.
            let get = Ask { token: Some(token), ..Ask::new("GET", "/.well-known/core?rt=sga.kex") };
            exchange(bench, &mut served, client, &get, "CON", "ACK", "2.05")?;
            let len = last_response(&served)?.token().len();
            check!(len == token.len(), "{len} bytes of token, not {}", token.len());
        }
        Ok(())
    }));
    cases.extend(each(&[Client::Libcoap], "td_coap_core_11", "gateway", |bench, client| {
        separate_registration(bench, client, Some("11"))
    }));
    cases.push(case("td_coap_core_12", "raw datagrams", "gateway", |bench| {
        let served = bench.gateway(&[])?;
        let answer = raw(&served, b"\x40\x01\x12\x34\xb8register")?;
        check!(answer.starts_with(b"\x60\x45\x12\x34"), "no token asked, no token answered: {answer:02x?}");
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_13", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let get = Ask::new("GET", "/seg1/seg2/seg3");
        let told = exchange(bench, &mut served, client, &get, "CON", "ACK", "2.05")?;
        let request = served.relay.seen().into_iter().find(Seen::is_request).ok_or("no request")?;
        check!(request.options(11) == [b"seg1", b"seg2", b"seg3"], "three Uri-Path: {request}");
        check!(told.body == b"seg1/seg2/seg3", "{}", told.said);
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_14", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        let get = Ask::new("GET", "/.well-known/core?rt=sga.msg&if=sga");
        let told = exchange(bench, &mut served, client, &get, "CON", "ACK", "2.05")?;
        let request = served.relay.seen().into_iter().find(Seen::is_request).ok_or("no request")?;
        check!(request.options(15).len() == 2, "two Uri-Query: {request}");
        check!(told.body.starts_with(b"</msg>") && !told.said.contains("</kex>"), "{}", told.said);
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_15", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        let get = Ask::new("GET", "/register");
        lose_first_each_way(&served);
        served.ask(bench, client, &get)?;
        let seen = served.relay.seen();
        let first = seen.iter().find(|seen| seen.is_request()).ok_or("no request")?;
        let tries: Vec<_> = seen.iter().filter(|seen| seen.way == Way::Up && seen.mid() == first.mid()).collect();
        check!(tries.len() >= 3, "{} tries: one was lost, then its answer", tries.len());
        check!(tries.iter().all(|again| again.bytes == tries[0].bytes), "a repeated request differs");
        let answers: Vec<_> = seen.iter().filter(|seen| seen.way == Way::Down && seen.mid() == first.mid()).collect();
        check!(answers.len() >= 2 && answers.iter().all(|a| a.bytes == answers[0].bytes), "a repeated answer differs");
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_16", "gateway", lossy_separate));
    cases.extend(each(BOTH, "td_coap_core_17", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let get = Ask { non: true, ..Ask::new("GET", "/separate") };
        exchange(bench, &mut served, client, &get, "NON", "NON", "2.05")?;
        check!(!served.relay.seen().iter().any(|seen| seen.kind() == "ACK"), "a NON is not acknowledged");
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_18", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        exchange(bench, &mut served, client, &Ask::new("POST", "/test").with(0, b"x"), "CON", "ACK", "2.01")?;
        check!(last_response(&served)?.options(8) == [b"test".to_vec(), b"1".to_vec()], "Location-Path");
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_19", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let post = Ask::new("POST", "/location-query").with(0, b"a body of some length, for the bound on answers");
        exchange(bench, &mut served, client, &post, "CON", "ACK", "2.01")?;
        check!(last_response(&served)?.options(20) == [b"first=1", b"second=2".as_slice()], "Location-Query");
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_20", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        for (accept, code) in [(Some(0), "2.05"), (Some(41), "2.05"), (Some(50), "4.06")] {
            let get = Ask { accept, ..Ask::new("GET", "/multi-format") };
            exchange(bench, &mut served, client, &get, "CON", "ACK", code)?;
            let format = last_response(&served)?.uint(12).unwrap_or(0);
            check!(code == "4.06" || Some(format as u16) == accept, "Content-Format {format} for {accept:?}");
        }
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_20", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        for (path, accept, code) in [
            ("/register", 60, "2.05"),
            ("/register", 40, "4.06"),
            ("/.well-known/core", 40, "2.05"),
            ("/.well-known/core", 60, "4.06"),
        ] {
            let get = Ask { accept: Some(accept), ..Ask::new("GET", path) };
            exchange(bench, &mut served, client, &get, "CON", "ACK", code)?;
        }
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_21", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        let get = Ask::new("GET", "/register");
        exchange(bench, &mut served, client, &get, "CON", "ACK", "2.05")?;
        let etag = last_response(&served)?.option(ETAG).ok_or("no ETag")?;
        let told = exchange(bench, &mut served, client, &get.clone().option(ETAG, &etag), "CON", "ACK", "2.03")?;
        let valid = last_response(&served)?;
        check!(valid.option(ETAG) == Some(etag) && valid.payload().is_empty(), "{valid}");
        check!(told.body.is_empty(), "{}", told.said);
        exchange(bench, &mut served, client, &get.option(ETAG, b"other"), "CON", "ACK", "2.05").map(|_| ())
    }));
    cases.extend(each(BOTH, "td_coap_core_22", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        exchange(bench, &mut served, client, &Ask::new("GET", "/validate"), "CON", "ACK", "2.05")?;
        let etag = last_response(&served)?.option(ETAG).ok_or("no ETag")?;
        let put = |body: &[u8]| Ask::new("PUT", "/validate").with(0, body).option(1, &etag);
        exchange(bench, &mut served, client, &put(b"second"), "CON", "ACK", "2.04")?;
        exchange(bench, &mut served, client, &put(b"third"), "CON", "ACK", "4.12")?;
        let told = exchange(bench, &mut served, client, &Ask::new("GET", "/validate"), "CON", "ACK", "2.05")?;
        check!(told.body == b"second", "{}", told.said);
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_core_22", "gateway", |bench, client| {
        let mut served = bench.gateway(&[])?;
        let post = Ask::new("POST", "/msg").with(60, &[0]).option(1, b"etag");
        exchange(bench, &mut served, client, &post, "CON", "ACK", "4.12").map(|_| ())
    }));
    cases.extend(each(BOTH, "td_coap_core_23", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let put = Ask::new("PUT", "/create1").with(0, b"new").option(5, b"");
        exchange(bench, &mut served, client, &put, "CON", "ACK", "2.01")?;
        exchange(bench, &mut served, client, &put, "CON", "ACK", "4.12").map(|_| ())
    }));
    cases.push(case("td_coap_core_31", "raw datagrams", "gateway", |bench| {
        let served = bench.gateway(&[])?;
        let answer = raw(&served, &[0x40, 0, 0x12, 0x34])?;
        check!(answer == [0x70, 0, 0x12, 0x34], "a ping is answered with Reset: {answer:02x?}");
        Ok(())
    }));
    cases.push(case("td_coap_core_31", Client::Libcoap.name(), "testbed", |bench| {
        let mut served = bench.testbed()?;
        // It pings a session that has been quiet for a second, while it observes.
        let (_, said) = served.ask_libcoap(bench, &Ask::new("GET", "/obs"), &["-K", "1", "-s", "3"])?;
        let seen = served.relay.seen();
        let ping = seen.iter().find(|seen| seen.is("CON", "0.00")).ok_or(format!("no ping went by: {said}"))?;
        let answered = seen.iter().any(|seen| seen.is("RST", "0.00") && seen.mid() == ping.mid());
        check!(answered, "no Reset for the ping");
        Ok(())
    }));
    cases
}

/// Each way's first datagram is lost.
fn lose_first_each_way(served: &Served) {
    let (mut up, mut down) = (0, 0);
    served.relay.rule(move |seen| {
        let count = if seen.way == Way::Up { &mut up } else { &mut down };
        *count += 1;
        if *count == 1 { Fate::Drop } else { Fate::Pass }
    });
}

/// A registration on a gateway that acknowledges at once all that waits for the store or for public-key work.
fn separate_registration(bench: &mut Bench, client: Client, token: Option<&'static str>) -> Result<(), String> {
    let mut served = bench.gateway(&["--ack-after", "0"])?;
    let (body, _) = bench.registration(&served, "sensor-1")?;
    let post = Ask { token, ..Ask::new("POST", "/register").with(60, &body) };
    let told = served.ask(bench, client, &post)?;
    bench.keep(&served);
    check!(told.code == "2.01", "{}: {}", told.code, told.said);
    is_separate(&served)?;
    check!(token.is_none() || !last_response(&served)?.token().is_empty(), "no token");
    Ok(())
}

/// The last exchange was: CON request, empty ACK, CON response with another message ID and the request's token, empty ACK.
fn is_separate(served: &Served) -> Result<(), String> {
    let (_, response) = served.relay.wait(0, PATIENCE, |seen| seen.is_response() && seen.kind() == "CON")?;
    let (_, ack) = served.relay.wait(0, PATIENCE, |seen| seen.way == Way::Up && seen.is("ACK", "0.00"))?;
    check!(ack.mid() == response.mid(), "the response's acknowledgement has another message ID");
    let seen = served.relay.seen();
    let request = seen.iter().rfind(|seen| seen.is_request()).ok_or("no request")?;
    let empty = seen.iter().find(|seen| seen.way == Way::Down && seen.is("ACK", "0.00")).ok_or("no empty ACK")?;
    check!(empty.mid() == request.mid(), "the empty ACK has another message ID");
    check!(empty.bytes.len() == 4, "an empty ACK has four bytes");
    check!(response.token() == request.token(), "another token");
    Ok(())
}

/// The request, its acknowledgement, the response and its acknowledgement are each lost once.
fn lossy_separate(bench: &mut Bench, client: Client) -> Result<(), String> {
    let mut served = bench.gateway(&["--ack-after", "0"])?;
    let (body, _) = bench.registration(&served, "sensor-1")?;
    // The address is verified first, so that what is lost is what is meant.
    served.ask(bench, client, &Ask::new("POST", "/register").with(60, &body))?;
    // A client ends when it has its answer: the acknowledgement of that may still be on its way.
    served.relay.wait(0, PATIENCE, |seen| seen.way == Way::Up && seen.is("ACK", "0.00"))?;
    let from = served.relay.seen().len();
    let mut lost: Vec<(String, &'static str, String)> = Vec::new();
    served.relay.rule(move |seen| {
        let what =
            (format!("{:?}", seen.way), seen.kind(), seen.code().replace("2.04", "2.xx").replace("2.01", "2.xx"));
        if lost.contains(&what) {
            return Fate::Pass;
        }
        lost.push(what);
        Fate::Drop
    });
    let post = Ask::new("POST", "/register").with(60, &body);
    let told = served.ask(bench, client, &post)?;
    bench.keep(&served);
    check!(told.code == "2.04", "{}: {}", told.code, told.said);
    let (_, ack) = served.relay.wait(from, PATIENCE, |seen| seen.way == Way::Up && seen.is("ACK", "0.00"))?;
    let seen: Vec<Seen> = served.relay.seen().into_iter().skip(from).collect();
    let responses: Vec<_> = seen.iter().filter(|seen| seen.kind() == "CON" && seen.is_response()).collect();
    check!(responses.iter().all(|response| response.mid() == ack.mid()), "a response was made twice");
    Ok(())
}

/// What comes back for these bytes, past the relay.
fn raw(served: &Served, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    socket.send_to(bytes, served.direct).map_err(failed)?;
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).map_err(|error| format!("no answer: {error}"))?;
    Ok(buffer[..len].to_vec())
}
