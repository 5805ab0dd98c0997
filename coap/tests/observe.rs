//! Observe, server side.
#![allow(clippy::unwrap_used, reason = "a test may fail")]
mod common;
use common::*;
use sga_coap::{Code, Event, GoneReason, NotifyError, Response, Token, limits};

fn content(body: &[u8]) -> Response {
    Response::new(Code::CONTENT).with_payload(42, body)
}

fn register(s: &mut Node, mid: u16) -> Raw {
    let get = raw(CON, Code::GET, mid).at("r").opt(6, b"");
    let before = events(s);
    s.mark_verified(addr(9), ms(0));
    assert!(feed(s, ms(0), addr(9), &get).is_empty());
    let id = request(s).id;
    s.respond(ms(0), id, content(b"one").with_observe());
    drop(before);
    one(sent(s))
}

fn token() -> Token {
    Token::new(&[0xaa, 0xbb]).unwrap()
}

fn sequence(message: &Raw) -> u32 {
    message.get(6).unwrap().iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn gone(s: &mut Node) -> Option<GoneReason> {
    events(s).into_iter().find_map(|event| match event {
        Event::ObserverGone { reason, .. } => Some(reason),
        _ => None,
    })
}

#[test]
fn notifications_are_confirmable_and_one_at_a_time() {
    let mut s = server();
    let mut last = sequence(&register(&mut s, 1));
    for _ in 0..5 {
        let id = s.notify(ms(10), addr(9), &token(), content(b"two")).unwrap();
        let message = one(sent(&mut s));
        assert_eq!((message.kind, message.code, message.token.as_slice()), (CON, Code::CONTENT, token().as_slice()));
        assert!(sequence(&message) > last);
        last = sequence(&message);
        feed(&mut s, ms(20), addr(9), &raw(ACK, Code::EMPTY, message.mid).token(&[]));
        assert_eq!(events(&mut s), [Event::NotificationAcked { peer: addr(9), token: token(), id }]);
    }
    assert_eq!(s.notify(ms(10), addr(8), &token(), content(b"x")), Err(NotifyError::Unknown));
}

#[test]
fn how_observers_go() {
    let mut s = server();
    register(&mut s, 1);
    s.notify(ms(10), addr(9), &token(), content(b"two")).unwrap();
    let mid = one(sent(&mut s)).mid;
    feed(&mut s, ms(20), addr(9), &raw(RST, Code::EMPTY, mid).token(&[]));
    assert_eq!((gone(&mut s), s.usage().observers), (Some(GoneReason::Reset), 0));

    register(&mut s, 2);
    s.mark_verified(addr(9), ms(0));
    s.notify(ms(10), addr(9), &token(), content(b"two")).unwrap();
    while let Some((time, sga_coap::Deadline::Retransmit { .. })) = s.poll_deadline() {
        s.handle_timeout(time);
    }
    assert_eq!(sent(&mut s).len(), 5);
    assert_eq!((gone(&mut s), s.usage().observers), (Some(GoneReason::TimedOut), 0));

    register(&mut s, 3);
    feed(&mut s, ms(0), addr(9), &raw(CON, Code::GET, 4).at("r"));
    assert_eq!((gone(&mut s), s.usage().observers), (None, 1), "a plain GET does not cancel");
    feed(&mut s, ms(0), addr(9), &raw(CON, Code::GET, 5).at("r").opt(6, &[1]));
    assert_eq!((gone(&mut s), s.usage().observers), (Some(GoneReason::Deregistered), 0));

    register(&mut s, 6);
    feed(&mut s, ms(0), addr(9), &raw(CON, Code::GET, 7).at("r").opt(6, &[]));
    assert_eq!(gone(&mut s), Some(GoneReason::Replaced));

    register(&mut s, 8);
    s.notify(ms(10), addr(9), &token(), Response::new(Code::NOT_FOUND)).unwrap();
    assert_eq!(one(sent(&mut s)).get(6), None);
    assert_eq!(s.usage().observers, 0, "an error ends it");
    register(&mut s, 9);
    s.notify(ms(10), addr(9), &token(), content(b"x")).unwrap();
    s.forget_observer(addr(9), &token());
    assert_eq!((gone(&mut s), s.usage().observers), (None, 0));
}

#[test]
fn only_when_asked_and_granted() {
    let mut s = server();
    let plain = raw(CON, Code::GET, 1).at("r");
    assert_eq!(ask(&mut s, ms(0), addr(9), &plain, content(b"x").with_observe()).get(6), None);
    let wish = raw(CON, Code::GET, 2).at("r").opt(6, b"");
    assert_eq!(ask(&mut s, ms(0), addr(9), &wish, content(b"x")).get(6), None);
    let wish = raw(CON, Code::GET, 3).at("r").opt(6, b"");
    let error = Response::new(Code::NOT_FOUND).with_observe();
    assert_eq!(ask(&mut s, ms(0), addr(9), &wish, error).get(6), None);
    let post = raw(CON, Code::POST, 4).at("r").opt(6, b"");
    assert_eq!(ask(&mut s, ms(0), addr(9), &post, content(b"x").with_observe()).get(6), None);
    assert_eq!(s.usage().observers, 0);
}

#[test]
fn large_notifications_go_in_blocks() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    register(&mut s, 1);
    let body: Vec<u8> = (0..1500u32).map(|n| n as u8).collect();
    s.notify(ms(10), addr(9), &token(), content(&body)).unwrap();
    let first = one(sent(&mut s));
    assert_eq!(first.block(23), Some((0, true, 6)));
    let next = raw(CON, Code::GET, 2).at("r").token(b"n").opt(23, &block(1, false, 6));
    let second = one(feed(&mut s, ms(10), addr(9), &next));
    assert_eq!((second.get(4), second.get(6)), (first.get(4), None));
    assert_eq!([first.payload, second.payload].concat(), body);
}

fn ack(message: &Raw) -> Raw {
    raw(ACK, Code::EMPTY, message.mid).token(&[])
}

#[test]
fn a_newer_state_follows_the_acknowledgement() {
    let mut s = server();
    register(&mut s, 1);
    let first = s.notify(ms(10), addr(9), &token(), content(b"two")).unwrap();
    let second = s.notify(ms(11), addr(9), &token(), content(b"three")).unwrap();
    let third = s.notify(ms(12), addr(9), &token(), content(b"four")).unwrap();
    let message = one(sent(&mut s));
    assert_eq!(message.payload, b"two", "one at a time");
    let newer = one(feed(&mut s, ms(20), addr(9), &ack(&message)));
    assert_eq!((newer.kind, newer.payload.as_slice()), (CON, b"four".as_slice()), "the newest, and nothing between");
    assert!(feed(&mut s, ms(30), addr(9), &ack(&newer)).is_empty());
    let acked: Vec<_> = events(&mut s)
        .into_iter()
        .filter_map(|event| match event {
            Event::NotificationAcked { id, .. } => Some(id),
            _ => None,
        })
        .collect();
    assert_eq!(acked, [first, third]);
    assert!(!acked.contains(&second));
}

#[test]
fn a_newer_state_takes_the_place_of_a_lost_one() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    register(&mut s, 1);
    s.notify(ms(10), addr(9), &token(), content(b"two")).unwrap();
    let old = one(sent(&mut s));
    let newest = s.notify(ms(11), addr(9), &token(), content(b"three")).unwrap();
    assert!(sent(&mut s).is_empty());
    let mut attempts = 1;
    let mut last = old.clone();
    while let Some((time, sga_coap::Deadline::Retransmit { .. })) = s.poll_deadline() {
        s.handle_timeout(time);
        let Some(again) = sent(&mut s).pop() else { break };
        assert_eq!(again.payload, b"three");
        assert_ne!(again.mid, old.mid, "another message has another message ID");
        assert!(sequence(&again) > sequence(&old));
        last = again;
        attempts += 1;
        if attempts == 3 {
            // An acknowledgement of the one that was replaced says nothing.
            assert!(feed(&mut s, time, addr(9), &ack(&old)).is_empty());
            assert!(events(&mut s).is_empty());
        }
    }
    assert_eq!(attempts, 5, "on what was left of the first one's attempts");
    assert_eq!((gone(&mut s), s.usage().observers), (Some(GoneReason::TimedOut), 0));

    register(&mut s, 2);
    s.notify(ms(200_000), addr(9), &token(), content(b"two")).unwrap();
    sent(&mut s);
    let newest_now = s.notify(ms(200_001), addr(9), &token(), Response::new(Code::NOT_FOUND)).unwrap();
    assert!(newest_now > newest);
    let (time, _) = s.poll_deadline().unwrap();
    s.handle_timeout(time);
    let end = one(sent(&mut s));
    assert_eq!((end.code, end.get(6)), (Code::NOT_FOUND, None));
    assert_eq!(s.usage().observers, 0, "an error ends it");
    assert_ne!(end.mid, last.mid);
}

#[test]
fn some_notifications_may_be_lost_but_not_all() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    register(&mut s, 1);
    let notify = |s: &mut Node| {
        s.notify(ms(10), addr(9), &token(), content(b"x").non_confirmable()).unwrap();
        one(sent(s))
    };
    for _ in 0..2 {
        for _ in 0..sga_coap::limits::MAX_UNPROVEN_NOTIFICATIONS {
            assert_eq!(notify(&mut s).kind, NON);
        }
        let proof = notify(&mut s);
        assert_eq!(proof.kind, CON, "whether it is still there");
        feed(&mut s, ms(20), addr(9), &ack(&proof));
    }
    let last = notify(&mut s);
    feed(&mut s, ms(30), addr(9), &raw(RST, Code::EMPTY, last.mid.wrapping_sub(1)).token(&[]));
    assert_eq!(s.usage().observers, 1, "not its message");
    feed(&mut s, ms(30), addr(9), &raw(RST, Code::EMPTY, last.mid).token(&[]));
    assert_eq!((gone(&mut s), s.usage().observers), (Some(GoneReason::Reset), 0));
}

/// What is kept of its allowance for that, whatever it is sent before.
#[test]
fn an_observer_that_may_be_sent_no_more_is_told_to_ask_again() {
    let mut ends = [0; 2];
    for (filler, first) in (0..60).flat_map(|filler| (0..80).step_by(7).map(move |first| (filler, first))) {
        let mut s = server();
        let get = raw(CON, Code::GET, 1).at("r").opt(6, b"").opt(15, &vec![b'q'; filler]);
        let answer = ask(&mut s, ms(0), addr(9), &get, content(&vec![b'1'; first]).with_observe());
        let mut sent_bytes = answer.bytes().len();
        if answer.get(6).is_none() {
            assert_eq!(s.usage().observers, 0);
            continue;
        }
        s.notify(ms(1), addr(9), &token(), content(&[b'2'; 20])).expect("it is told something");
        let mut all = Vec::new();
        while let Some((time, sga_coap::Deadline::Retransmit { .. })) = s.poll_deadline() {
            all.extend(sent(&mut s));
            s.handle_timeout(time);
        }
        sent_bytes += all.iter().map(|message| message.bytes().len()).sum::<usize>();
        let told = all.iter().filter(|message| message.code == Code::UNAUTHORIZED).count();
        // What nobody acknowledges is given up, and the application told; the last word is said twice at least.
        assert!(told >= 2 || told == 0 && gone(&mut s) == Some(GoneReason::TimedOut), "{told}");
        assert!(sent_bytes <= limits::AMPLIFICATION * get.bytes().len());
        assert_eq!(s.usage().observers, 0);
        ends[usize::from(told == 0)] += 1;
    }
    assert!(ends[0] > 100 && ends[1] > 100, "{ends:?}");
}

/// Its address was shown when it registered, however much it was sent then.
#[test]
fn an_observer_whose_proof_is_too_old_is_told_to_ask_again() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    let get = raw(CON, Code::GET, 1).at("r").opt(6, b"").opt(15, b"query");
    ask(&mut s, ms(0), addr(9), &get, content(&[b'1'; 500]).with_observe());
    let late = ms(1) + limits::VERIFIED_LIFETIME;
    s.notify(late, addr(9), &token(), content(b"2").non_confirmable()).unwrap();
    let small = one(sent(&mut s));
    assert_eq!((small.kind, small.payload.as_slice()), (CON, &b"2"[..]), "as far as it may be sent, confirmable");
    feed(&mut s, late, addr(9), &ack(&small));
    s.notify(late, addr(9), &token(), content(&[b'3'; 500])).unwrap();
    let last = one(sent(&mut s));
    assert_eq!((last.code, s.usage().observers), (Code::UNAUTHORIZED, 0));
}

#[test]
fn an_unverified_observer_gets_confirmable_notifications_only() {
    let mut s = server();
    let padded = raw(CON, Code::GET, 1).at("r").opt(6, b"").opt(15, &[b'q'; 30]);
    ask(&mut s, ms(0), addr(9), &padded, content(b"one").with_observe());
    s.notify(ms(10), addr(9), &token(), content(b"x").non_confirmable()).unwrap();
    assert_eq!(one(sent(&mut s)).kind, CON);
}

#[test]
fn a_silent_observer_is_asked_for() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    register(&mut s, 1);
    let day = sga_coap::limits::OBSERVER_IDLE;
    let idle = |s: &mut Node| {
        events(s).iter().filter(|event| matches!(event, Event::ObserverIdle { peer, .. } if *peer == addr(9))).count()
    };
    s.handle_timeout(day - ms(1));
    assert_eq!(idle(&mut s), 0);
    s.mark_verified(addr(9), day - ms(1));
    s.notify(day - ms(1), addr(9), &token(), content(b"y").non_confirmable()).unwrap();
    sent(&mut s);
    s.handle_timeout(day);
    assert_eq!(idle(&mut s), 1, "what needs no acknowledgement proves nothing");
    s.handle_timeout(day + ms(1));
    assert_eq!(idle(&mut s), 0, "once");
    s.mark_verified(addr(9), day);
    s.notify(day, addr(9), &token(), content(b"z")).unwrap();
    let probe = one(sent(&mut s));
    feed(&mut s, day + ms(500), addr(9), &ack(&probe));
    s.handle_timeout(day * 2);
    assert_eq!(idle(&mut s), 0, "it has shown that it is there");
    s.handle_timeout(day * 2 + ms(500));
    assert_eq!(idle(&mut s), 1);
    s.forget_observer(addr(9), &token());
    s.handle_timeout(day * 9);
    assert_eq!(idle(&mut s), 0);
    assert_eq!(s.poll_deadline(), None);
}

/// NSTART is 1: two observations of one peer take turns.
#[test]
fn one_notification_to_a_peer_at_a_time() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    let other = Token::new(&[7]).unwrap();
    register(&mut s, 1);
    let get = raw(CON, Code::GET, 2).at("r").token(&[7]).opt(6, b"");
    ask(&mut s, ms(0), addr(9), &get, content(b"one").with_observe());
    s.notify(ms(10), addr(9), &token(), content(b"a1")).unwrap();
    s.notify(ms(10), addr(9), &other, content(b"b1")).unwrap();
    s.notify(ms(10), addr(9), &token(), content(b"a2")).unwrap();
    let first = one(sent(&mut s));
    assert_eq!(first.payload, b"a1");
    let second = one(feed(&mut s, ms(20), addr(9), &ack(&first)));
    assert_eq!(second.payload, b"b1", "it has waited longest");
    let third = one(feed(&mut s, ms(30), addr(9), &raw(RST, Code::EMPTY, second.mid).token(&[])));
    assert_eq!(third.payload, b"a2", "the end of the one is the turn of the other");
    assert!(feed(&mut s, ms(40), addr(9), &ack(&third)).is_empty());
    s.notify(ms(50), addr(9), &token(), content(b"a3")).unwrap();
    assert_eq!(one(sent(&mut s)).payload, b"a3");
    // Others are not kept waiting by it.
    let get = raw(CON, Code::GET, 1).at("r").opt(6, b"");
    s.mark_verified(addr(8), ms(50));
    ask(&mut s, ms(50), addr(8), &get, content(b"one").with_observe());
    s.notify(ms(50), addr(8), &token(), content(b"c1")).unwrap();
    assert_eq!(one(sent(&mut s)).payload, b"c1");
}

/// What an unverified observer acknowledges is given back to it; what it does not is gone.
#[test]
fn an_unverified_observer_lives_on_what_it_acknowledges() {
    let mut s = server();
    let padded = raw(CON, Code::GET, 1).at("r").opt(6, b"").opt(15, &[b'q'; 30]);
    ask(&mut s, ms(0), addr(9), &padded, content(b"one").with_observe());
    for round in 0..20u64 {
        s.notify(ms(round), addr(9), &token(), content(b"news")).unwrap();
        let told = one(sent(&mut s));
        feed(&mut s, ms(round), addr(9), &ack(&told));
    }
    let mut bytes = 0;
    while s.notify(ms(100), addr(9), &token(), content(b"news")).is_ok() {
        while let Some((time, sga_coap::Deadline::Retransmit { .. })) = s.poll_deadline() {
            bytes += sent(&mut s).iter().map(|message| message.bytes().len()).sum::<usize>();
            s.handle_timeout(time);
        }
    }
    assert!(bytes <= limits::AMPLIFICATION * padded.bytes().len(), "{bytes}");
    assert_eq!(s.usage().observers, 0);
}
