//! Each bound, reached.
mod common;
use std::net::SocketAddr;

use common::*;
use sga_coap::{Code, Config, Event, GoneReason, Request, RequestError, Response, limits};

fn is_busy(reply: &Raw) -> bool {
    reply.code == Code::SERVICE_UNAVAILABLE && reply.get(14).is_some()
}

#[test]
fn pending_per_peer_and_in_all() {
    let mut s = node(Config { pending_max: 10, pending_max_per_peer: 4, ..config() }, 1);
    for mid in 0..4 {
        assert!(feed(&mut s, ms(0), addr(1), &raw(CON, Code::POST, mid).at("r")).is_empty());
    }
    assert!(is_busy(&one(feed(&mut s, ms(0), addr(1), &raw(CON, Code::POST, 4).at("r")))));
    for port in 2..8 {
        assert!(feed(&mut s, ms(0), addr(port), &raw(CON, Code::POST, 4).at("r")).is_empty());
    }
    assert!(is_busy(&one(feed(&mut s, ms(0), addr(8), &raw(CON, Code::POST, 4).at("r")))));
    for event in events(&mut s) {
        let Event::Request(request) = event else { panic!() };
        s.respond(ms(1), request.id, Response::new(Code::CHANGED));
    }
    sent(&mut s);
    assert!(feed(&mut s, ms(0), addr(8), &raw(CON, Code::POST, 5).at("r")).is_empty());
}

#[test]
fn dedup_refuses_rather_than_runs_twice() {
    let mut s = node(Config { dedup_max: 40, dedup_max_per_peer: 8, ..config() }, 1);
    let post = |mid| raw(CON, Code::POST, mid).at("r");
    for mid in 0..8 {
        ask(&mut s, ms(0), addr(1), &post(mid), Response::new(Code::CHANGED));
    }
    assert!(is_busy(&one(feed(&mut s, ms(0), addr(1), &post(8)))));
    assert_eq!(one(feed(&mut s, ms(0), addr(1), &post(0))).code, Code::CHANGED, "still known");
    // After MAX_TRANSMIT_SPAN the oldest may go; and safe requests make room at once.
    ask(&mut s, ms(45_000), addr(1), &post(8), Response::new(Code::CHANGED));
    for mid in 100..400 {
        ask(&mut s, ms(45_000), addr(2), &raw(CON, Code::GET, mid).at("r"), Response::new(Code::CONTENT));
    }
    assert_eq!(s.usage().dedup, 16);
    for port in 3..6 {
        for mid in 0..8 {
            ask(&mut s, ms(45_000), addr(port), &post(mid), Response::new(Code::CHANGED));
        }
    }
    assert_eq!(s.usage().dedup, 40);
    for port in 6..30 {
        feed(&mut s, ms(45_000), addr(port), &post(0));
    }
    assert_eq!(s.usage().dedup, 40);
    s.handle_timeout(ms(45_000 + 247_000));
    assert_eq!(s.usage().dedup, 0);
}

/// What changes nothing, or would be answered alike again, need not be kept for long: no peer stalls over it.
#[test]
fn refusals_and_idempotent_requests_make_room_at_once() {
    let idempotent: fn(Code, &[Vec<u8>]) -> bool = |_, path| path.first().is_some_and(|one| one == b"r");
    for (config, answer) in
        [(Config { idempotent, ..config() }, Response::new(Code::CHANGED)), (config(), Response::new(Code::CONFLICT))]
    {
        let mut s = node(Config { dedup_max_per_peer: 8, ..config }, 1);
        for mid in 0..100 {
            let post = raw(CON, Code::POST, mid).at("r");
            assert_eq!(ask(&mut s, ms(0), addr(1), &post, answer.clone()).code, answer.code);
            assert_eq!(
                one(feed(&mut s, ms(0), addr(1), &post)).code,
                answer.code,
                "a duplicate is one while there is room"
            );
        }
        assert!(events(&mut s).is_empty() && s.usage().dedup <= 8);
    }
}

#[test]
fn dedup_bytes() {
    let mut s = node(Config { dedup_max_bytes: 10_000, ..config() }, 1);
    let mut refused = 0;
    for mid in 0..40 {
        s.mark_verified(addr(1), ms(0));
        let replies = feed(&mut s, ms(0), addr(1), &raw(CON, Code::POST, mid).at("r"));
        if replies.first().is_some_and(is_busy) {
            refused += 1;
            continue;
        }
        let id = request(&mut s).id;
        s.respond(ms(0), id, Response::new(Code::CHANGED).with_payload(42, vec![0; 1000]));
        sent(&mut s);
    }
    assert_eq!(refused, 30);
}

#[test]
fn a_peer_that_uses_up_its_message_ids_does_not_stall() {
    let mut s = server();
    for n in 0..70_000u64 {
        let get = raw(CON, Code::GET, n as u16).at("r");
        // 4 ms each: 280 s in all, so that IDs come back after their lifetime.
        ask(&mut s, ms(n * 4), addr(1 + (n % 3) as u16), &get, Response::new(Code::CONTENT));
    }
    assert!(s.usage().dedup <= 3 * limits::MAX_DEDUP_PER_PEER);
}

#[test]
fn uploads_in_count_and_bytes() {
    let mut s = node(Config { uploads_max: 6, upload_bytes_max: 7 * 16, ..config() }, 1);
    let put = |mid, num, tag: u8| {
        raw(CON, Code::PUT, mid).at("r").opt(27, &block(num, true, 0)).opt(292, &[tag]).body(&[0; 16])
    };
    (1..6).for_each(|port| s.mark_verified(addr(port), ms(0)));
    let mut code = |at, port, message: &Raw| one(feed(&mut s, ms(at), addr(port), message)).code;
    for tag in 0..10 {
        assert_eq!(code(u64::from(tag), 1, &put(u16::from(tag), 0, tag)), Code::CONTINUE);
    }
    // Its own oldest gave way: it has the last four of these. Others of its source take the rest.
    assert_eq!(code(20, 2, &put(0, 0, 0)), Code::CONTINUE);
    assert_eq!(code(21, 3, &put(0, 0, 0)), Code::CONTINUE);
    assert_eq!(code(22, 4, &put(0, 0, 0)), Code::CONTINUE, "count: the oldest of the source makes room");
    assert_eq!(code(22, 1, &put(30, 1, 6)), Code::REQUEST_ENTITY_INCOMPLETE, "this one");
    let other = SocketAddr::from(([192, 0, 2, 77], 5_683));
    s.mark_verified(other, ms(0));
    let mut other_code = |at, num| one(feed(&mut s, ms(at), other, &put(num as u16, num, 0))).code;
    assert_eq!(other_code(30, 0), Code::CONTINUE);
    assert_eq!(other_code(31, 1), Code::CONTINUE);
    assert_eq!(other_code(32, 2), Code::CONTINUE, "bytes: who has most makes room");
    assert_eq!(s.usage().upload_bytes, 7 * 16);
    let mut code = |at, port, message: &Raw| one(feed(&mut s, ms(at), addr(port), message)).code;
    assert_eq!(code(40, 4, &put(1, 1, 0)), Code::CONTINUE);
    assert_eq!(code(41, 4, &put(2, 2, 0)), Code::CONTINUE);
    let alone = Config { uploads_max: 6, upload_bytes_max: 2 * 16, ..config() };
    let mut s = node(alone, 1);
    s.mark_verified(addr(1), ms(0));
    let mut code = |num| one(feed(&mut s, ms(0), addr(1), &put(num as u16, num, 0)));
    assert_eq!((code(0).code, code(1).code), (Code::CONTINUE, Code::CONTINUE));
    assert!(is_busy(&code(2)), "nobody else has any");
}

#[test]
fn one_source_drives_out_only_its_own_verified_addresses() {
    let mut s = node(Config { verified_max: 10, ..config() }, 1);
    let device = SocketAddr::from(([192, 0, 2, 77], 5_683));
    s.mark_verified(device, ms(0));
    for port in 1..1_000 {
        s.mark_verified(addr(port), ms(u64::from(port)));
    }
    assert!(s.is_verified(device, ms(1_000)), "the oldest of all");
    assert!(s.is_verified(addr(999), ms(1_000)) && !s.is_verified(addr(990), ms(1_000)));
    assert_eq!(s.usage().verified, 10);
    s.handle_timeout(ms(1_000) + limits::VERIFIED_LIFETIME);
    assert_eq!(s.usage().verified, 0);
}

#[test]
fn snapshots_observers_and_verified_addresses() {
    let small = Config {
        snapshots_max: 10,
        snapshot_bytes_max: 5 * 2000,
        observers_max: 5,
        observers_max_per_peer: 2,
        verified_max: 3,
        ..config()
    };
    let mut s = node(small, 1);
    for port in 1..20 {
        s.mark_verified(addr(port), ms(u64::from(port)));
        for query in 0..3u8 {
            let get = raw(CON, Code::GET, u16::from(query)).token(&[query]).at("r").opt(15, &[query]).opt(6, b"");
            let body = Response::new(Code::CONTENT).with_payload(42, vec![0; 2000]).with_observe();
            ask(&mut s, ms(100), addr(port), &get, body);
        }
        let gone = events(&mut s);
        let full = |event: &Event| matches!(event, Event::ObserverGone { reason: GoneReason::NoRoom, .. });
        assert!(gone.iter().all(full) && !gone.is_empty());
    }
    let usage = s.usage();
    assert_eq!((usage.snapshots, usage.observers, usage.verified), (5, 5, 3));
    assert!(s.is_verified(addr(19), ms(100)) && !s.is_verified(addr(1), ms(100)));
}

#[test]
fn own_exchanges() {
    let mut c = node(Config { exchanges_max: 6, exchanges_max_per_peer: 4, ..Config::default() }, 1);
    let request = || Request::new(Code::GET, ["r"]);
    let ids: Vec<_> = (0..4).map(|_| c.request(ms(0), addr(1), request()).unwrap()).collect();
    assert_eq!(sent(&mut c).len(), 1, "NSTART is 1");
    assert_eq!(c.request(ms(0), addr(1), request()), Err(RequestError::Full));
    c.request(ms(0), addr(2), request()).unwrap();
    c.request(ms(0), addr(3), request()).unwrap();
    assert_eq!(c.request(ms(0), addr(4), request()), Err(RequestError::Full));
    sent(&mut c);
    c.cancel(ids[1]);
    assert!(sent(&mut c).is_empty());
    c.cancel(ids[0]);
    assert_eq!(sent(&mut c).len(), 1, "the next in the queue");
    let large = request().with_payload(0, vec![0; limits::MAX_BODY + 1]);
    assert_eq!(c.request(ms(0), addr(1), large), Err(RequestError::TooLarge));
    assert_eq!(c.request(ms(0), addr(1), Request::new(Code::GET, ["x".repeat(256)])), Err(RequestError::Invalid));
    assert_eq!(c.request(ms(0), addr(1), Request::new(Code::CONTENT, ["x"])), Err(RequestError::Invalid));
    while let Some((time, _)) = c.poll_deadline() {
        c.handle_timeout(time);
    }
    assert_eq!((c.usage().exchanges, c.usage().timers, events(&mut c).len()), (0, 0, 6));
}
