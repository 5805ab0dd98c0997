//! State on both sides: entity tags, conditional requests, and what a FETCH's body has to do with its answer.
#![allow(clippy::unwrap_used, reason = "a test may fail")]
mod common;
use common::*;
use sga_coap::{Code, Config, Response};

fn content(body: &[u8]) -> Response {
    Response::new(Code::CONTENT).with_payload(42, body)
}

#[test]
fn a_client_that_holds_the_body_is_told_so() {
    let mut s = server();
    let get = |mid| raw(CON, Code::GET, mid).at("r");
    let fresh = ask(&mut s, ms(0), addr(9), &get(1), content(b"body").with_hashed_etag());
    let etag = fresh.get(4).unwrap().to_vec();
    assert_eq!(etag.len(), sga_coap::limits::ETAG_LEN);
    let again = get(2).opt(4, b"old").opt(4, &etag);
    let valid = ask(&mut s, ms(0), addr(9), &again, content(b"body").with_hashed_etag());
    assert_eq!((valid.code, valid.get(4), valid.payload.len()), (Code::VALID, Some(etag.as_slice()), 0));
    let again = get(3).opt(4, &etag);
    let changed = ask(&mut s, ms(0), addr(9), &again, content(b"new body").with_hashed_etag());
    assert_eq!((changed.code, changed.payload.as_slice()), (Code::CONTENT, b"new body".as_slice()));
}

#[test]
fn conditions_are_refused_where_nobody_looks_at_them() {
    let mut s = server();
    for (mid, request) in [(1, raw(CON, Code::PUT, 1).opt(1, b"e")), (2, raw(CON, Code::PUT, 2).opt(5, b""))] {
        let answer = one(feed(&mut s, ms(0), addr(9), &request.at("r")));
        assert_eq!((answer.code, answer.mid), (Code::PRECONDITION_FAILED, mid));
    }
    assert!(events(&mut s).is_empty());
}

#[test]
fn conditions_are_handed_over_where_somebody_does() {
    let mut s = node(Config { conditional: |method, _| method == Code::PUT, ..config() }, 1);
    assert!(feed(&mut s, ms(0), addr(9), &raw(CON, Code::PUT, 1).at("r").opt(1, b"e").opt(1, b"")).is_empty());
    let asked = request(&mut s);
    assert_eq!((asked.if_match, asked.if_none_match), (vec![b"e".to_vec(), Vec::new()], false));
    assert!(feed(&mut s, ms(0), addr(9), &raw(CON, Code::PUT, 2).at("r").opt(5, b"")).is_empty());
    let asked = request(&mut s);
    assert_eq!((asked.if_match, asked.if_none_match), (Vec::new(), true));
    let answer = one(feed(&mut s, ms(0), addr(9), &raw(CON, Code::POST, 3).at("r").opt(5, b"")));
    assert_eq!(answer.code, Code::PRECONDITION_FAILED, "not for this method");
}

#[test]
fn where_a_new_thing_is_has_a_query_too() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    let response = Response::new(Code::CREATED).with_location(["l"]).with_location_query(["first=1", "second=2"]);
    let answer = ask(&mut s, ms(0), addr(9), &raw(CON, Code::POST, 1).at("r"), response);
    let parts: Vec<_> = answer.options.iter().filter(|(number, _)| *number == 20).map(|(_, v)| v.as_slice()).collect();
    assert_eq!(parts, [b"first=1".as_slice(), b"second=2"]);
}

/// Two FETCHes with different bodies are two questions, and their answers' blocks are not mixed.
#[test]
fn fetches_with_other_bodies_have_other_answers() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    let fetch = |mid, body: &[u8], num: u8| {
        let block = if num == 0 { 2 } else { num << 4 | 2 };
        raw(CON, Code::FETCH, mid).at("r").opt(23, &[block]).body(body)
    };
    let first = ask(&mut s, ms(0), addr(9), &fetch(1, b"a", 0), content(&[b'A'; 100]));
    let second = ask(&mut s, ms(0), addr(9), &fetch(2, b"b", 0), content(&[b'B'; 100]));
    assert_eq!((first.payload.len(), second.payload.len()), (64, 64));
    assert_eq!(one(feed(&mut s, ms(0), addr(9), &fetch(3, b"a", 1))).payload, [b'A'; 36]);
    assert_eq!(one(feed(&mut s, ms(0), addr(9), &fetch(4, b"b", 1))).payload, [b'B'; 36]);
    let unknown = one(feed(&mut s, ms(0), addr(9), &fetch(5, b"c", 1)));
    assert_eq!(unknown.code, Code::REQUEST_ENTITY_INCOMPLETE);
    // A client whose request went in blocks asks without its body: the last answer is meant.
    ask(&mut s, ms(10), addr(9), &fetch(6, b"a", 0), content(&[b'C'; 100]));
    assert_eq!(one(feed(&mut s, ms(20), addr(9), &fetch(7, b"", 1))).payload, [b'C'; 36]);
}
