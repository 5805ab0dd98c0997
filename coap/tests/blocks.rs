//! Block-wise transfer, server side.
#![allow(clippy::unwrap_used, reason = "a test may fail")]
mod common;
use common::*;
use sga_coap::{Code, Response};

fn put(mid: u16, num: u32, more: bool, szx: u8, body: &[u8]) -> Raw {
    // A client may change its token with every block.
    raw(CON, Code::PUT, mid).at("r").token(&mid.to_be_bytes()).opt(27, &block(num, more, szx)).body(body)
}

#[test]
fn upload_and_its_repeated_blocks() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    let body: Vec<u8> = (0..80).collect();
    for (num, chunk) in body.chunks(32).take(2).enumerate() {
        let message = put(num as u16, num as u32, true, 1, chunk);
        let reply = one(feed(&mut s, ms(0), addr(9), &message));
        assert_eq!((reply.code, reply.block(27)), (Code::CONTINUE, Some((num as u32, true, 1))));
        assert_eq!(one(feed(&mut s, ms(0), addr(9), &message)), reply);
    }
    let again = one(feed(&mut s, ms(0), addr(9), &put(50, 1, true, 1, &body[32..64])));
    assert_eq!(again.code, Code::CONTINUE, "the last block, under a new message ID");
    let last = put(3, 2, false, 1, &body[64..]);
    assert!(feed(&mut s, ms(0), addr(9), &last).is_empty());
    let seen = request(&mut s);
    assert_eq!(seen.payload, body);
    assert_eq!(s.usage().upload_bytes, 0);
    s.respond(ms(0), seen.id, Response::new(Code::CHANGED));
    let reply = one(sent(&mut s));
    assert_eq!((reply.code, reply.block(27)), (Code::CHANGED, Some((2, false, 1))));
    assert_eq!(one(feed(&mut s, ms(0), addr(9), &last)), reply);
    assert!(events(&mut s).is_empty());
}

#[test]
fn upload_errors() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    let mut code = |message: &Raw| one(feed(&mut s, ms(0), addr(9), message));
    assert_eq!(code(&put(1, 1, true, 0, &[0; 16])).code, Code::REQUEST_ENTITY_INCOMPLETE);
    assert_eq!(code(&put(2, 0, true, 0, &[0; 16])).code, Code::CONTINUE);
    assert_eq!(code(&put(3, 2, true, 0, &[0; 16])).code, Code::REQUEST_ENTITY_INCOMPLETE, "gap");
    assert_eq!(code(&put(4, 1, true, 0, &[0; 15])).code, Code::BAD_REQUEST, "short block");
    assert_eq!(code(&put(5, 1, false, 0, &[0; 17])).code, Code::BAD_REQUEST, "long last block");
    let other = put(6, 1, true, 0, &[0; 16]).opt(15, b"q");
    assert_eq!(code(&other).code, Code::REQUEST_ENTITY_INCOMPLETE, "another query");
    let other = put(7, 1, true, 0, &[0; 16]).opt(292, b"t");
    assert_eq!(code(&other).code, Code::REQUEST_ENTITY_INCOMPLETE, "another Request-Tag");
    assert_eq!(code(&put(8, 1, true, 0, &[0; 16])).code, Code::CONTINUE, "unharmed by all these");
    let reply = code(&put(9, 16, true, 6, &[0; 1024]));
    assert_eq!((reply.code, reply.get(60)), (Code::REQUEST_ENTITY_TOO_LARGE, Some([0x40, 0].as_slice())));
    assert_eq!(reply.block(27), Some((16, false, 6)));
    let declared = put(10, 0, true, 0, &[0; 16]).opt(60, &[1, 0, 0]);
    assert_eq!(code(&declared).code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(s.usage().upload_bytes, 0);
}

/// A place is kept for it, and there are so many.
#[test]
fn an_upload_begins_with_an_address_that_receives() {
    let mut s = server();
    let first = put(1, 0, true, 0, &[0; 16]);
    let asked = one(feed(&mut s, ms(0), addr(9), &first));
    assert_eq!((asked.code, s.usage().upload_bytes, s.usage().dedup), (Code::UNAUTHORIZED, 0, 0));
    let first = put(2, 0, true, 0, &[0; 16]).opt(252, asked.get(252).unwrap());
    assert_eq!(one(feed(&mut s, ms(1), addr(9), &first)).code, Code::CONTINUE);
    // One block that is all of it needs no place.
    feed(&mut s, ms(1), addr(8), &put(1, 0, false, 0, &[0; 16]));
    assert_eq!(request(&mut s).payload, [0; 16]);
}

#[test]
fn uploads_expire() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    feed(&mut s, ms(0), addr(9), &put(1, 0, true, 0, &[0; 16]));
    assert_eq!(s.usage().upload_bytes, 16);
    s.handle_timeout(ms(120_000));
    assert_eq!(s.usage().upload_bytes, 0);
}

#[test]
fn download_early_late_and_past_the_end() {
    let body: Vec<u8> = (0..2500u32).map(|n| n as u8).collect();
    for asked in [None, Some(2)] {
        let mut s = server();
        s.mark_verified(addr(9), ms(0));
        let mut get = raw(CON, Code::GET, 1).at("r");
        if let Some(szx) = asked {
            get = get.opt(23, &block(0, false, szx));
        }
        let response = Response::new(Code::CONTENT).with_payload(42, body.clone()).with_max_age(7);
        let first = ask(&mut s, ms(0), addr(9), &get, response);
        let szx = asked.unwrap_or(6);
        assert_eq!(first.block(23), Some((0, true, szx)));
        let (mut whole, mut num) = (first.payload.clone(), 0);
        loop {
            num += 1;
            let next =
                raw(CON, Code::GET, 10 + num as u16).at("r").token(&[num as u8]).opt(23, &block(num, false, szx));
            let reply = one(feed(&mut s, ms(0), addr(9), &next));
            assert_eq!((reply.get(4), reply.get(12), reply.get(14)), (first.get(4), first.get(12), first.get(14)));
            whole.extend(&reply.payload);
            if !reply.block(23).unwrap().1 {
                break;
            }
        }
        assert_eq!(whole, body);
        let past = raw(CON, Code::GET, 900).at("r").opt(23, &block(num + 1, false, szx));
        assert_eq!(one(feed(&mut s, ms(0), addr(9), &past)).code, Code::BAD_REQUEST);
        assert!(events(&mut s).is_empty());
    }
}

#[test]
fn follow_ups_without_a_snapshot() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    let get = raw(CON, Code::GET, 1).at("r").opt(23, &block(2, false, 0));
    let body: Vec<u8> = (0..100).collect();
    let reply = ask(&mut s, ms(0), addr(9), &get, Response::new(Code::CONTENT).with_payload(0, body.clone()));
    assert_eq!((reply.block(23), reply.payload.as_slice()), (Some((2, true, 0)), &body[32..48]));
    for (mid, method) in [(2, Code::FETCH), (3, Code::POST)] {
        let message = raw(CON, method, mid).at("r").opt(23, &block(1, false, 0));
        assert_eq!(one(feed(&mut s, ms(0), addr(9), &message)).code, Code::REQUEST_ENTITY_INCOMPLETE);
    }
    let fetch = raw(CON, Code::FETCH, 4).at("r").opt(23, &block(0, false, 0)).body(b"question");
    ask(&mut s, ms(0), addr(9), &fetch, Response::new(Code::CONTENT).with_payload(0, body.clone()));
    let next = raw(CON, Code::FETCH, 5).at("r").opt(23, &block(1, false, 0)).body(b"question");
    assert_eq!(one(feed(&mut s, ms(0), addr(9), &next)).payload, body[16..32]);
}

#[test]
fn upload_then_download() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    s.mark_verified(addr(9), ms(0));
    feed(&mut s, ms(0), addr(9), &raw(CON, Code::POST, 1).at("r").opt(27, &block(0, true, 0)).body(&[1; 16]));
    let last = raw(CON, Code::POST, 2).at("r").opt(27, &block(1, false, 0)).opt(23, &block(0, false, 0)).body(&[2; 4]);
    let reply = ask(&mut s, ms(0), addr(9), &last, Response::new(Code::CHANGED).with_payload(0, vec![7; 40]));
    assert_eq!((reply.block(27), reply.block(23)), (Some((1, false, 0)), Some((0, true, 0))));
    let next = raw(CON, Code::POST, 3).at("r").opt(23, &block(2, false, 0));
    let reply = one(feed(&mut s, ms(0), addr(9), &next));
    assert_eq!((reply.code, reply.block(23), reply.payload.len()), (Code::CHANGED, Some((2, false, 0)), 8));
}
