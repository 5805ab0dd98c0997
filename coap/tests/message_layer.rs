//! Confirmable, duplicate, separate, reset; options that are refused.
mod common;
use common::*;
use sga_coap::{Code, Deadline, Response};

#[test]
fn ping_and_unsolicited() {
    let mut s = server();
    let ping = one(feed(&mut s, ms(0), addr(9), &raw(CON, Code::EMPTY, 5).token(&[])));
    assert_eq!((ping.kind, ping.mid, ping.code), (RST, 5, Code::EMPTY));
    assert!(feed(&mut s, ms(0), addr(9), &raw(NON, Code::EMPTY, 5).token(&[])).is_empty());
    assert!(feed(&mut s, ms(0), addr(9), &raw(ACK, Code::EMPTY, 5).token(&[])).is_empty());
    assert!(feed(&mut s, ms(0), addr(9), &raw(RST, Code::EMPTY, 5).token(&[])).is_empty());
    assert!(feed(&mut s, ms(0), addr(9), &raw(ACK, Code::CONTENT, 5)).is_empty());
    assert!(feed(&mut s, ms(0), addr(9), &raw(NON, Code::CONTENT, 5)).is_empty());
    assert_eq!(one(feed(&mut s, ms(0), addr(9), &raw(CON, Code::CONTENT, 6))).kind, RST);
    for reserved in [0x20, 0xc0, 0xe0] {
        assert_eq!(one(feed(&mut s, ms(0), addr(9), &raw(CON, Code(reserved), 7))).kind, RST);
        assert!(feed(&mut s, ms(0), addr(9), &raw(NON, Code(reserved), 7)).is_empty());
    }
    assert!(events(&mut s).is_empty());
}

#[test]
fn piggybacked_tokens_and_duplicates() {
    let mut s = server();
    for len in 0..=8usize {
        let token = vec![len as u8; len];
        let post = raw(CON, Code::POST, len as u16).at("r").token(&token).body(b"x");
        let reply = ask(&mut s, ms(0), addr(9), &post, Response::new(Code::CHANGED));
        assert_eq!((reply.kind, reply.mid, &reply.token), (ACK, len as u16, &token));
        let again = one(feed(&mut s, ms(1000), addr(9), &post));
        assert_eq!(again, reply);
        // Same message ID, other content: still the duplicate that it claims to be.
        let other = raw(CON, Code::POST, len as u16).at("r").token(b"other").body(b"y");
        assert_eq!(one(feed(&mut s, ms(1000), addr(9), &other)), reply);
    }
    assert!(events(&mut s).is_empty());
    // Another peer's message ID is another message; so is the same one after EXCHANGE_LIFETIME.
    let post = raw(CON, Code::POST, 0).at("r").body(b"x");
    ask(&mut s, ms(1000), addr(10), &post, Response::new(Code::CHANGED));
    ask(&mut s, ms(247_001), addr(9), &post, Response::new(Code::CHANGED));
}

#[test]
fn separate_response() {
    let mut s = server();
    let post = raw(CON, Code::POST, 77).at("r").body(b"12345678");
    assert!(feed(&mut s, ms(0), addr(9), &post).is_empty());
    assert!(feed(&mut s, ms(100), addr(9), &post).is_empty(), "pending, not acknowledged");
    let id = request(&mut s).id;
    assert_eq!(s.poll_deadline(), Some((ms(500), Deadline::SeparateAck(id))));
    s.handle_timeout(ms(500));
    let ack = one(sent(&mut s));
    assert_eq!((ack.kind, ack.mid, ack.code), (ACK, 77, Code::EMPTY));
    assert_eq!(one(feed(&mut s, ms(600), addr(9), &post)), ack);
    s.mark_verified(addr(9), ms(600));
    s.respond(ms(700), id, Response::new(Code::CHANGED));
    let separate = one(sent(&mut s));
    assert_eq!((separate.kind, separate.code, &separate.token), (CON, Code::CHANGED, &post.token));
    assert_eq!(one(feed(&mut s, ms(800), addr(9), &post)), ack);
    let mut times = Vec::new();
    while let Some((time, Deadline::Retransmit { .. })) = s.poll_deadline() {
        s.handle_timeout(time);
        times.push(time);
        sent(&mut s).iter().for_each(|again| assert_eq!(*again, separate));
    }
    assert_eq!(times.len(), 5, "four retransmissions and giving up");
    let first = times[0] - ms(700);
    assert!(first >= ms(2000) && first <= ms(3000), "{first:?}");
    assert_eq!(times[1] - times[0], first * 2);
    assert_eq!(times[4] - times[3], first * 16);
}

#[test]
fn separate_response_is_acknowledged_or_reset() {
    for kind in [ACK, RST] {
        let mut s = server();
        feed(&mut s, ms(0), addr(9), &raw(CON, Code::GET, 1).at("r"));
        let id = request(&mut s).id;
        s.handle_timeout(ms(500));
        sent(&mut s);
        s.respond(ms(600), id, Response::new(Code::CONTENT));
        let mid = one(sent(&mut s)).mid;
        feed(&mut s, ms(700), addr(9), &raw(kind, Code::EMPTY, mid).token(&[]));
        assert_eq!(s.usage().timers, 0);
        s.handle_timeout(ms(60_000));
        assert!(sent(&mut s).is_empty());
    }
}

#[test]
fn non_confirmable() {
    let mut s = server();
    let get = raw(NON, Code::GET, 3).at("r");
    let reply = ask(&mut s, ms(0), addr(9), &get, Response::new(Code::CONTENT));
    assert_eq!((reply.kind, &reply.token), (NON, &get.token));
    assert!(feed(&mut s, ms(1), addr(9), &get).is_empty());
    assert!(events(&mut s).is_empty());
    let reply2 = ask(&mut s, ms(0), addr(9), &raw(NON, Code::GET, 4).at("r"), Response::new(Code::CONTENT));
    assert_eq!(reply2.mid, reply.mid.wrapping_add(1));
}

#[test]
fn refusals() {
    let cases: Vec<(Raw, Code)> = vec![
        (raw(CON, Code::GET, 0).at("nowhere"), Code::NOT_FOUND),
        (raw(CON, Code::GET, 0).at("r/get-only"), Code::NOT_FOUND),
        (raw(CON, Code::GET, 0).opt(11, b"r\xff"), Code::NOT_FOUND),
        (raw(CON, Code::POST, 0).at("get-only"), Code::METHOD_NOT_ALLOWED),
        (raw(CON, Code(31), 0).at("r"), Code::METHOD_NOT_ALLOWED),
        (raw(CON, Code::GET, 0).at("r").opt(9, b""), Code::BAD_OPTION),
        (raw(CON, Code::GET, 0).at("r").opt(2049, b""), Code::BAD_OPTION),
        (raw(CON, Code::GET, 0).at("r").opt(17, b"").opt(17, b""), Code::BAD_OPTION),
        (raw(CON, Code::GET, 0).at("r").opt(17, b"abc"), Code::BAD_OPTION),
        (raw(CON, Code::GET, 0).at("r").opt(23, b"abcd"), Code::BAD_OPTION),
        (raw(CON, Code::GET, 0).at("r").opt(35, b"coap://x"), Code::PROXYING_NOT_SUPPORTED),
        (raw(CON, Code::GET, 0).at("r").opt(39, b"coap"), Code::PROXYING_NOT_SUPPORTED),
        (raw(CON, Code::PUT, 0).at("r").opt(1, b"tag"), Code::PRECONDITION_FAILED),
        (raw(CON, Code::PUT, 0).at("r").opt(5, b""), Code::PRECONDITION_FAILED),
        (raw(CON, Code::GET, 0).at("r").opt(27, &block(0, false, 2)), Code::BAD_OPTION),
        (raw(CON, Code::POST, 0).at("r").opt(27, &block(0, true, 7)), Code::BAD_REQUEST),
        (raw(CON, Code::GET, 0).at("r").opt(23, &block(0, false, 7)), Code::BAD_REQUEST),
    ];
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    for (mid, (message, code)) in cases.into_iter().enumerate() {
        for kind in [CON, NON] {
            let message = Raw { kind, mid: mid as u16 * 2 + u16::from(kind), ..message.clone() };
            let reply = one(feed(&mut s, ms(0), addr(9), &message));
            assert_eq!(reply.code, code, "{message:?}");
            assert_eq!(reply.get(12), Some([1, 1].as_slice()), "problem details");
            if message.get(9).is_some() {
                assert!(reply.payload.ends_with(b"option 9"));
            }
        }
    }
    assert!(events(&mut s).is_empty());
    assert_eq!(s.usage().dedup, 0);
}

#[test]
fn tolerated_options_and_what_the_application_sees() {
    let mut s = server();
    let get = raw(CON, Code::GET, 1).at("r").opt(3, b"host").opt(7, &[0x16, 0x33]).opt(16, &[9]).opt(60, &[]);
    let get = get.opt(15, b"a=b").opt(15, b"c&d").opt(17, &[60]).opt(4, b"tag").opt(2048, b"elective").opt(12, b"abc");
    feed(&mut s, ms(0), addr(9), &get);
    let seen = request(&mut s);
    assert_eq!(seen.query, [b"a=b".to_vec(), b"c&d".to_vec()]);
    assert_eq!((seen.accept, seen.content_format), (Some(60), None), "a Content-Format of three bytes is ignored");
    assert!(seen.accepts(60) && !seen.accepts(0));
    assert_eq!(seen.etags, [b"tag".to_vec()]);
    s.respond(ms(0), seen.id, Response::new(Code::CONTENT).with_etag("tag").with_payload(60, "body"));
    let reply = one(sent(&mut s));
    assert_eq!((reply.code, reply.payload.len()), (Code::VALID, 0));
}

#[test]
fn no_response() {
    let mut s = server();
    let post = raw(NON, Code::POST, 1).at("r").opt(258, &[2]);
    feed(&mut s, ms(0), addr(9), &post);
    let id = request(&mut s).id;
    s.respond(ms(0), id, Response::new(Code::CHANGED));
    assert!(sent(&mut s).is_empty());
    let post = raw(CON, Code::POST, 2).at("r").opt(258, &[2]);
    let reply = ask(&mut s, ms(0), addr(9), &post, Response::new(Code::CHANGED));
    assert_eq!((reply.kind, reply.code), (ACK, Code::EMPTY));
    let post = raw(CON, Code::POST, 3).at("r").opt(258, &[2]);
    assert_eq!(ask(&mut s, ms(0), addr(9), &post, Response::new(Code::CONFLICT)).code, Code::CONFLICT);
}

#[test]
fn an_application_that_never_answers() {
    let mut s = server();
    feed(&mut s, ms(0), addr(9), &raw(CON, Code::POST, 1).at("r"));
    let id = request(&mut s).id;
    while let Some((time, _)) = s.poll_deadline() {
        s.handle_timeout(time);
    }
    assert_eq!((s.usage().pending, s.usage().dedup, s.usage().timers), (0, 0, 0));
    sent(&mut s);
    s.respond(ms(900_000), id, Response::new(Code::CHANGED));
    assert!(sent(&mut s).is_empty());
}
