//! Limits that are not a matter of configuration, reached, and what follows.
mod common;
use std::net::SocketAddr;

use common::*;
use sga_coap::{Code, Config, Event, Request, Response, limits};

fn source(n: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, (n >> 15) as u8], 1 + (n & 0x7fff) as u16))
}

#[test]
fn events_that_nobody_takes() {
    let mut s = node(Config { pending_max: 2 * limits::MAX_EVENTS, ..config() }, 1);
    for n in 0..limits::MAX_EVENTS {
        assert!(feed(&mut s, ms(0), source(n), &raw(CON, Code::POST, 1).at("r")).is_empty());
    }
    let reply = one(feed(&mut s, ms(0), addr(1), &raw(CON, Code::POST, 1).at("r")));
    assert_eq!((reply.code, reply.get(14)), (Code::SERVICE_UNAVAILABLE, Some([5].as_slice())));
    assert!(matches!(s.poll_event(), Some(Event::Request(_))));
    assert!(feed(&mut s, ms(0), addr(1), &raw(CON, Code::POST, 1).at("r")).is_empty(), "taken, under the same ID");
    assert_eq!(events(&mut s).len(), limits::MAX_EVENTS);
}

#[test]
fn peers_whose_message_ids_are_remembered() {
    for (others, remembered) in [(limits::MAX_MID_PEERS - 1, true), (limits::MAX_MID_PEERS, false)] {
        let mut s = server();
        let mut mid = |peer: SocketAddr, mid: u16| {
            let get = raw(NON, Code::GET, mid).at("r");
            ask(&mut s, ms(0), peer, &get, Response::new(Code::CONTENT)).mid
        };
        let first = mid(addr(9), 1);
        for n in 0..others {
            mid(source(n), 1);
        }
        assert_eq!(mid(addr(9), 2) == first.wrapping_add(1), remembered, "{others} others");
    }
}

#[test]
fn responses_that_are_known_when_they_come_again() {
    let mut c = node(Config::default(), 1);
    let response = |mid: u16, token: &[u8]| raw(CON, Code::CONTENT, mid).token(token).body(b"x");
    let ask = |c: &mut Node, request: Request| {
        c.request(ms(0), addr(1), request).expect("room");
        one(sent(c)).token
    };
    let token = ask(&mut c, Request::new(Code::GET, ["r"]));
    let separate = response(0, &token);
    assert_eq!(one(feed(&mut c, ms(0), addr(1), &separate)).kind, ACK);
    assert_eq!(events(&mut c).len(), 1);
    let token = ask(&mut c, Request::new(Code::GET, ["r"]).with_observe());
    for n in 1..=limits::MAX_SEEN_RESPONSES as u16 {
        let again = one(feed(&mut c, ms(0), addr(1), &separate));
        assert_eq!(again.kind, ACK, "known while {n} came");
        let notification = response(n, &token).opt(6, &n.to_be_bytes());
        assert_eq!(one(feed(&mut c, ms(0), addr(1), &notification)).kind, ACK);
    }
    assert_eq!(one(feed(&mut c, ms(0), addr(1), &separate)).kind, RST, "forgotten");
    assert_eq!(events(&mut c).len(), limits::MAX_SEEN_RESPONSES);
}

#[test]
fn bodies_of_one_peer_kept_for_their_later_blocks() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    let get = |mid: u16, query: u8, num: u32| {
        raw(CON, Code::GET, mid).at("r").opt(15, &[query]).opt(23, &block(num, false, 0))
    };
    let body = || Response::new(Code::CONTENT).with_payload(42, (0..64).collect::<Vec<u8>>());
    for query in 0..=limits::MAX_SNAPSHOTS_PER_PEER as u8 {
        ask(&mut s, ms(u64::from(query)), addr(9), &get(u16::from(query), query, 0), body());
    }
    assert_eq!(s.usage().snapshots, limits::MAX_SNAPSHOTS_PER_PEER);
    for query in 1..=limits::MAX_SNAPSHOTS_PER_PEER as u8 {
        let reply = one(feed(&mut s, ms(100), addr(9), &get(100 + u16::from(query), query, 1)));
        assert_eq!(reply.payload, (16..32).collect::<Vec<u8>>());
    }
    // The first made room: the application is asked again, and this block cut from its answer.
    let reply = ask(&mut s, ms(101), addr(9), &get(200, 0, 1), body());
    assert_eq!(reply.payload, (16..32).collect::<Vec<u8>>());
    assert_eq!(s.usage().snapshots, limits::MAX_SNAPSHOTS_PER_PEER);
}

/// A call does so much; what is left is due at once.
#[test]
fn one_call_does_so_many_timers() {
    let mut s = server();
    let count = limits::MAX_TIMERS_AT_ONCE + 10;
    for n in 0..count {
        let peer = SocketAddr::from(([203, 0, 113, (n >> 6) as u8], 1 + (n & 63) as u16));
        s.handle_datagram(ms(0), peer, &raw(CON, Code::POST, 1).at("r").bytes());
    }
    let late = ms(500);
    s.handle_timeout(late);
    assert_eq!(std::iter::from_fn(|| s.poll_transmit()).count(), limits::MAX_TIMERS_AT_ONCE, "empty ACKs");
    assert!(s.poll_deadline().is_some_and(|(at, _)| at <= late), "the rest is due");
    s.handle_timeout(late);
    assert_eq!(std::iter::from_fn(|| s.poll_transmit()).count(), 10);
}

#[test]
fn one_call_lets_so_many_entries_expire() {
    let mut s = server();
    let count = limits::MAX_EXPIRED_AT_ONCE + 10;
    for n in 0..count {
        let peer = SocketAddr::from(([203, 0, 113, (n >> 6) as u8], 1 + (n & 63) as u16));
        s.mark_verified(peer, ms(0));
    }
    let late = ms(0) + Config::default().verified_lifetime;
    s.handle_timeout(late);
    assert_eq!(s.usage().verified, 10);
    s.handle_timeout(late);
    assert_eq!(s.usage().verified, 0);
}
