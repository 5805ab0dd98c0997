//! Verified addresses and what the others may be sent.
#![allow(clippy::unwrap_used, reason = "a test may fail")]
mod common;
use common::*;
use sga_coap::{Code, Config, Demand, Event, Request, Response};

#[test]
fn guarded_paths_ask_for_echo_and_keep_nothing() {
    let mut s = server();
    let post = raw(CON, Code::POST, 1).at("guarded").body(&[1; 40]);
    for mid in 0..100 {
        let reply = one(feed(&mut s, ms(0), addr(9), &Raw { mid, ..post.clone() }));
        assert_eq!((reply.code, reply.get(252).map(<[u8]>::len)), (Code::UNAUTHORIZED, Some(12)));
    }
    assert_eq!((s.usage().dedup, s.usage().verified, s.usage().timers), (0, 0, 0));
    let echo = one(feed(&mut s, ms(1000), addr(9), &post)).get(252).unwrap().to_vec();
    // Not from elsewhere, not changed, not late.
    let with = |echo: &[u8], mid| Raw { mid, ..post.clone() }.opt(252, echo);
    assert_eq!(one(feed(&mut s, ms(2000), addr(10), &with(&echo, 200))).code, Code::UNAUTHORIZED);
    let mut changed = echo.clone();
    changed[11] ^= 1;
    assert_eq!(one(feed(&mut s, ms(2000), addr(9), &with(&changed, 201))).code, Code::UNAUTHORIZED);
    assert_eq!(one(feed(&mut s, ms(62_000), addr(9), &with(&echo, 202))).code, Code::UNAUTHORIZED);
    assert_eq!(one(feed(&mut s, ms(2000), addr(9), &with(&echo[..5], 203))).code, Code::UNAUTHORIZED);
    assert!(events(&mut s).is_empty());
    assert!(feed(&mut s, ms(2000), addr(9), &with(&echo, 204)).is_empty());
    assert!(request(&mut s).verified);
    // Remembered for a time, then asked again.
    assert!(feed(&mut s, ms(3000), addr(9), &Raw { mid: 205, ..post.clone() }).is_empty());
    let later = ms(2000) + Config::default().verified_lifetime;
    assert_eq!(one(feed(&mut s, later, addr(9), &Raw { mid: 206, ..post })).code, Code::UNAUTHORIZED);
}

#[test]
fn an_upload_is_checked_at_its_first_block() {
    let mut s = server();
    let put = |mid, num, more| raw(CON, Code::PUT, mid).at("guarded").opt(27, &block(num, more, 0)).body(&[1; 16]);
    let reply = one(feed(&mut s, ms(0), addr(9), &put(1, 0, true)));
    let echo = reply.get(252).unwrap().to_vec();
    assert_eq!(one(feed(&mut s, ms(0), addr(9), &put(2, 1, true))).code, Code::REQUEST_ENTITY_INCOMPLETE);
    assert_eq!(one(feed(&mut s, ms(0), addr(9), &put(3, 0, true).opt(252, &echo))).code, Code::CONTINUE);
    let later = ms(0) + Config::default().verified_lifetime - ms(1);
    let mut s2 = s;
    s2.handle_timeout(ms(1));
    assert_eq!(one(feed(&mut s2, ms(100), addr(9), &put(4, 1, true))).code, Code::CONTINUE);
    assert!(feed(&mut s2, later.min(ms(200)), addr(9), &put(5, 2, false)).is_empty());
    assert_eq!(request(&mut s2).payload.len(), 48);
}

#[test]
fn never_more_than_three_times() {
    let body: Vec<u8> = (0..700u32).map(|n| n as u8).collect();
    for token in 0..=8usize {
        for filler in 0..60usize {
            let mut s = server();
            let get = raw(CON, Code::GET, 1).at("r").token(&vec![1; token]).opt(15, &vec![b'f'; filler]);
            let limit = get.bytes().len() * 3;
            feed(&mut s, ms(0), addr(9), &get);
            let id = request(&mut s).id;
            s.respond(ms(0), id, Response::new(Code::CONTENT).with_payload(42, body.clone()));
            let bytes = s.poll_transmit().unwrap().bytes;
            assert!(bytes.len() <= limit, "{} > {limit}", bytes.len());
            let first = Raw::parse(&bytes);
            let Some((0, true, szx)) = first.block(23) else {
                assert_eq!(first.code, Code::UNAUTHORIZED);
                continue;
            };
            // The size stays what it was to the end.
            let mut whole = first.payload;
            for num in 1.. {
                let next = raw(CON, Code::GET, 1 + num as u16).at("r").token(&vec![1; token]);
                let next = next.opt(15, &vec![b'f'; filler]).opt(23, &block(num, false, szx));
                s.handle_datagram(ms(0), addr(9), &next.bytes());
                // Nothing is kept for who has not shown that it receives: a GET is made anew.
                let id = request(&mut s).id;
                s.respond(ms(0), id, Response::new(Code::CONTENT).with_payload(42, body.clone()));
                let bytes = s.poll_transmit().unwrap().bytes;
                assert!(bytes.len() <= next.bytes().len() * 3);
                let reply = Raw::parse(&bytes);
                let (_, more, size) = reply.block(23).unwrap();
                assert_eq!(size, szx);
                whole.extend(reply.payload);
                if !more {
                    break;
                }
            }
            assert_eq!((whole, s.usage().snapshots), (body.clone(), 0));
        }
    }
}

#[test]
fn errors_lose_their_body_and_duplicates_are_measured_anew() {
    let mut s = server();
    let tiny = raw(CON, Code::GET, 1).token(&[]).opt(11, b"x");
    let reply = one(feed(&mut s, ms(0), addr(9), &tiny));
    assert_eq!((reply.code, reply.payload.len()), (Code::NOT_FOUND, 0));
    let post = raw(CON, Code::POST, 2).at("r").body(&[1; 200]);
    ask(&mut s, ms(0), addr(9), &post, Response::new(Code::CHANGED).with_payload(42, vec![1; 400]));
    assert!(feed(&mut s, ms(0), addr(9), &raw(CON, Code::POST, 2).at("r")).is_empty(), "a short forgery");
    assert_eq!(feed(&mut s, ms(0), addr(9), &post).len(), 1);
}

#[test]
fn separate_answers_stay_within_the_bound_in_sum() {
    let mut s = server();
    let get = raw(CON, Code::GET, 1).at("r");
    feed(&mut s, ms(0), addr(9), &get);
    let id = request(&mut s).id;
    s.handle_timeout(ms(500));
    sent(&mut s);
    s.respond(ms(600), id, Response::new(Code::CONTENT).with_payload(42, vec![1; 10]));
    let mut total = 0;
    while let Some((time, _)) = s.poll_deadline() {
        while let Some(transmit) = s.poll_transmit() {
            total += transmit.bytes.len();
        }
        s.handle_timeout(time);
    }
    assert!(total > 0 && total <= 3 * get.bytes().len());
}

/// A client answers each challenge, since its address may change between two; who only ever asks is left alone.
#[test]
fn a_client_answers_echo_more_than_once_but_not_for_ever() {
    let mut client = node(Config::default(), 3);
    client.request(ms(0), addr(1), Request::new(Code::POST, ["guarded"]).with_payload(42, "body")).unwrap();
    for challenge in 1..=4u8 {
        let asked = one(sent(&mut client));
        assert_eq!(asked.get(252), (challenge > 1).then_some([challenge - 1].as_slice()), "the newest value");
        assert_eq!(asked.payload, b"body");
        assert!(events(&mut client).is_empty());
        let again = raw(ACK, Code::UNAUTHORIZED, asked.mid).token(&asked.token).opt(252, &[challenge]);
        client.handle_datagram(ms(u64::from(challenge)), addr(1), &again.bytes());
    }
    assert!(sent(&mut client).is_empty());
    let told = events(&mut client).into_iter().find_map(|event| match event {
        Event::Response { response, .. } => Some(response.code),
        _ => None,
    });
    assert_eq!(told, Some(Code::UNAUTHORIZED));
}

/// What is asked of a peer may be more than the path asks: that it receives, or that this very request shows it.
#[test]
fn an_application_may_demand_more() {
    let mut s = server();
    let post = |mid| raw(CON, Code::POST, mid).at("r").body(&[1; 40]);
    s.handle_demanding(ms(0), addr(9), &post(1).bytes(), Demand::Verified);
    let echo = one(sent(&mut s)).get(252).unwrap().to_vec();
    assert!(events(&mut s).is_empty());
    s.handle_demanding(ms(0), addr(9), &post(2).opt(252, &echo).bytes(), Demand::Verified);
    let first = request(&mut s);
    assert!(first.verified && first.proven);
    s.handle_demanding(ms(0), addr(9), &post(40).bytes(), Demand::Verified);
    let second = request(&mut s);
    assert!(second.verified && !second.proven, "the address has shown it, this request has not");
    s.handle_demanding(ms(0), addr(9), &post(41).bytes(), Demand::Proven);
    assert_eq!(one(sent(&mut s)).code, Code::UNAUTHORIZED);
    s.handle_demanding(ms(0), addr(9), &post(42).opt(252, &echo).bytes(), Demand::Proven);
    assert!(request(&mut s).proven);
    s.handle_demanding(ms(0), addr(9), &raw(CON, Code::GET, 43).at("r").bytes(), Demand::Proven);
    assert!(!request(&mut s).proven, "what anyone may know costs nothing");
}

#[test]
fn an_upload_shows_it_with_its_first_block() {
    let mut s = server();
    let put = |mid, num, more| raw(CON, Code::PUT, mid).at("r").opt(27, &block(num, more, 0)).body(&[1; 16]);
    s.handle_demanding(ms(0), addr(9), &put(1, 0, true).bytes(), Demand::Proven);
    let echo = one(sent(&mut s)).get(252).unwrap().to_vec();
    s.handle_demanding(ms(0), addr(9), &put(2, 0, true).opt(252, &echo).bytes(), Demand::Proven);
    assert_eq!(one(sent(&mut s)).code, Code::CONTINUE);
    s.handle_demanding(ms(0), addr(9), &put(3, 1, false).bytes(), Demand::Proven);
    let request = request(&mut s);
    assert!(request.proven && request.payload.len() == 32);
}
