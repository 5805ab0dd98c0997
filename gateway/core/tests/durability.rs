//! What is claimed is stored: no answer before its commit, no trace of a commit that failed, and a bounded number who wait.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use std::net::SocketAddr;

use sga_coap::{Code, Request};
use sga_gateway_core::limits::WAITERS_MAX;
use sga_schema::{A1Reason, MessageItem, NegotiateSecret, Proof, Role, kind};
use support::{Dev, Run, Session, World, addr, id, items_of};

use Role::{Initiator, Responder};

fn keyed() -> (World, Dev, Dev, Session, Run) {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    let run = world.close(&session, &amy, &bob, 1);
    world.take(&mut bob);
    (world, amy, bob, session, run)
}

fn post(path: &str, bytes: Vec<u8>) -> Request {
    Request::new(Code::POST, [path]).with_payload(60, bytes)
}

/// A request that needs a commit.
struct Case {
    what: &'static str,
    world: World,
    from: SocketAddr,
    request: Request,
    code: Code,
}

/// One of each kind, with its answer.
fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |what, world, from, request, code| all.push(Case { what, world, from, request, code });

    let mut world = World::compact();
    let amy = Dev::new("amy", 1);
    let bytes = world.register_bytes(&amy, Proof::None);
    // The address has to be known: an Echo is answered before anything is stored.
    world.post(amy.addr, "negotiate", &support::sealed_bytes(&[0; 9]));
    add("register", world, amy.addr, post("register", bytes), Code::CREATED);

    let (mut world, amy, ..) = keyed();
    let new = Dev { key: [77; 32], ..amy.clone() };
    let proof = world.rotation_proof(&amy, &new);
    let bytes = world.register_bytes(&new, proof);
    add("rotate", world, amy.addr, post("register", bytes), Code::CHANGED);

    let (mut world, mut amy, ..) = keyed();
    amy.attach_number += 1;
    amy.nonce = world.random();
    let request = Request::new(Code::FETCH, ["msg"]).with_payload(60, world.attach_bytes(&amy));
    add("attach", world, amy.addr, request, Code::CONTENT);

    let (mut world, mut amy, ..) = keyed();
    let items = world.attach(&mut amy);
    let bytes = world.ack_bytes(&mut amy, items[0].number);
    add("acknowledge", world, amy.addr, post("msg", bytes), Code::CHANGED);

    for (what, peer, code) in [("A1", "bob", Code::CREATED), ("refused A1", "nobody", Code::NOT_FOUND)] {
        let (mut world, mut amy, ..) = keyed();
        amy.request_number += 1;
        let a1 = world.a1(&amy, id(peer), amy.suite, [1; 16]);
        let bytes = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
        add(what, world, amy.addr, post("negotiate", bytes), code);
    }

    for (what, accepts) in [("A3", true), ("refusing A3", false)] {
        let (mut world, mut amy, mut bob, ..) = keyed();
        world.invite(&mut amy, bob.id);
        let item = world.invitation(&mut bob);
        let a3 = world.a3(&bob, &item, accepts.then_some(item.suite), [1; 16]);
        let bytes = world.negotiate_bytes(&NegotiateSecret::Reply(a3));
        add(what, world, bob.addr, post("negotiate", bytes), Code::CHANGED);
    }

    let (mut world, amy, _, session, _) = keyed();
    let half = world.make(&session, &amy, Initiator, 2);
    add("B1", world, amy.addr, post("kex", half.request), Code::CREATED);

    let (mut world, amy, bob, session, _) = keyed();
    let half = world.make(&session, &amy, Initiator, 2);
    world.post(amy.addr, "kex", &half.request);
    let half = world.make(&session, &bob, Responder, 2);
    add("B3", world, bob.addr, post("kex", half.request), Code::CHANGED);

    let (mut world, amy, _, session, _) = keyed();
    let mut half = world.make(&session, &amy, Initiator, 2);
    half.tag[0] ^= 1;
    let bytes = world.wrap(&session, &amy, Initiator, 2, &half);
    add("bad B1", world, amy.addr, post("kex", bytes), Code::UNPROCESSABLE_ENTITY);

    let (world, amy, _, session, run) = keyed();
    let bytes = world.message(&session, &run, Initiator, 0, b"text");
    add("message", world, amy.addr, post("msg", bytes), Code::CHANGED);
    all
}

#[test]
fn no_answer_before_its_commit() {
    for Case { what, mut world, from, request, code } in cases() {
        world.holding = true;
        let (transmits, before) = (world.transmits, world.store.clone());
        let exchange = world.send(from, request);
        assert_eq!(world.held.len(), 1, "{what}");
        assert_eq!(world.transmits, transmits, "{what}: something was said before it was stored");
        assert_eq!(world.answer(from, exchange), None, "{what}");
        world.release();
        let answer = world.answer(from, exchange).expect(what);
        assert_eq!(answer.code, code, "{what}");
        assert_ne!(world.store, before, "{what}");
        assert!(world.gateway.is_idle(), "{what}");
    }
}

#[test]
fn a_commit_that_fails_leaves_no_trace_and_the_same_request_succeeds_later() {
    for Case { what, mut world, from, request, code } in cases() {
        world.failing = true;
        let before = world.store.clone();
        for _ in 0..3 {
            let answer = world.request(from, request.clone());
            assert_eq!(answer.code, Code::SERVICE_UNAVAILABLE, "{what}");
            assert!(answer.max_age.is_some_and(|seconds| seconds > 0), "{what}");
            assert_eq!(world.store, before, "{what}");
            assert!(world.gateway.is_idle(), "{what}");
        }
        world.failing = false;
        assert_eq!(world.request(from, request).code, code, "{what}");
    }
}

#[test]
fn a_load_that_fails_leaves_no_trace_and_the_same_request_succeeds_later() {
    for Case { what, mut world, from, request, code } in cases() {
        // Nothing is in memory after a start; only the address is known again.
        world.restart();
        world.post(from, "negotiate", &support::sealed_bytes(&[0; 9]));
        if what == "acknowledge" {
            continue;
        }
        world.blind = true;
        let answer = world.unchanged(Code::SERVICE_UNAVAILABLE, |w| w.request(from, request.clone()));
        assert!(answer.max_age.is_some(), "{what}");
        world.blind = false;
        assert_eq!(world.request(from, request).code, code, "{what}");
    }
}

#[test]
fn an_attachment_survives_a_rotation_that_was_not_stored() {
    let mut world = World::compact();
    let (mut amy, bob) = (world.device("amy", 1), world.device("bob", 2));
    world.invite(&mut amy, bob.id);
    let mut bob = bob;
    world.attach(&mut bob);
    let new = Dev { key: [77; 32], ..bob.clone() };
    let proof = world.rotation_proof(&bob, &new);
    let bytes = world.register_bytes(&new, proof);
    world.failing = true;
    assert_eq!(world.post(bob.addr, "register", &bytes).code, Code::SERVICE_UNAVAILABLE);
    world.failing = false;
    let ack = world.ack_bytes(&mut bob, 1);
    assert_eq!(world.post(bob.addr, "msg", &ack).code, Code::CHANGED);
    assert!(items_of(&world.store, 2, 0).is_empty());
}

#[test]
fn an_observer_is_told_of_what_is_stored_only() {
    let (mut world, amy, mut bob, session, run) = keyed();
    bob.attach_number += 1;
    bob.nonce = world.random();
    let attach = world.attach_bytes(&bob);
    let observation = world.send(bob.addr, Request::new(Code::FETCH, ["msg"]).with_payload(60, attach).with_observe());
    assert!(world.answer(bob.addr, observation).is_some());
    let text = post("msg", world.message(&session, &run, Initiator, 0, b"text"));
    world.failing = true;
    world.request(amy.addr, text.clone());
    assert_eq!(world.answer(bob.addr, observation), None);
    world.failing = false;
    world.holding = true;
    let exchange = world.send(amy.addr, text);
    assert_eq!(world.answer(bob.addr, observation), None);
    world.release();
    assert!(world.answer(amy.addr, exchange).is_some());
    let told = world.answer(bob.addr, observation).expect("a notification");
    let (_, items) = world.open_inbox(&mut bob, &told);
    assert_eq!((items.len(), items[0].kind), (1, kind::MESSAGE));
}

#[test]
fn those_who_wait_for_one_lock_are_bounded() {
    let (mut world, _, _, session, run) = keyed();
    world.holding = true;
    let waiting: Vec<_> = (0..=WAITERS_MAX as u16)
        .map(|at| {
            let bytes = world.message(&session, &run, Initiator, at.into(), b"text");
            let from = addr(2_000 + at);
            (from, world.send(from, post("msg", bytes)))
        })
        .collect();
    assert_eq!(world.held.len(), 1, "one has the lock");
    let bytes = world.message(&session, &run, Initiator, 99, b"text");
    let answer = world.post(addr(3_000), "msg", &bytes);
    assert_eq!(answer.code, Code::TOO_MANY_REQUESTS);
    assert!(answer.max_age.is_some_and(|seconds| seconds > 0));
    // Another lock is free.
    let other = world.message(&session, &run, Responder, 1, b"text");
    let exchange = world.send(addr(3_001), post("msg", other));
    assert_eq!((world.answer(addr(3_001), exchange), world.held.len()), (None, 2));
    world.release();
    for (from, exchange) in waiting {
        assert_eq!(world.answer(from, exchange).expect("an answer").code, Code::CHANGED);
    }
    let items = items_of(&world.store, 2, 0);
    let mut sequences: Vec<u32> =
        items.iter().map(|item| sga_schema::decode::<MessageItem<'_>>(&item.body).unwrap().sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (0..=WAITERS_MAX as u32).collect::<Vec<_>>());
    assert_eq!(world.post(addr(3_000), "msg", &bytes).code, Code::CHANGED);
}

#[test]
fn the_same_message_twice_at_once_is_stored_once() {
    let (mut world, _, _, session, run) = keyed();
    world.holding = true;
    let bytes = world.message(&session, &run, Initiator, 0, b"text");
    let exchanges = [50, 51].map(|port| (addr(port), world.send(addr(port), post("msg", bytes.clone()))));
    world.release();
    for (from, exchange) in exchanges {
        assert_eq!(world.answer(from, exchange).expect("an answer").code, Code::CHANGED);
    }
    assert_eq!(items_of(&world.store, 2, 0).len(), 1);
}

/// What message 0 needs to end the session before it is not in memory after a restart: the handler runs several times, and takes
/// one place.
#[test]
fn message_0_takes_one_place_however_little_is_in_memory() {
    let (mut world, mut amy, mut bob, ..) = keyed();
    let session = world.agree(&mut amy, &mut bob);
    let run = world.close(&session, &amy, &bob, 1);
    let first = world.message(&session, &run, Initiator, 0, b"0");
    assert_eq!(world.post(amy.addr, "msg", &first).code, Code::CHANGED);
    world.take(&mut amy);
    world.restart();
    let second = world.message(&session, &run, Responder, 0, b"0");
    assert_eq!(world.post(bob.addr, "msg", &second).code, Code::CHANGED);
    assert_eq!(world.gateway.usage().reserved, 0);
    assert_eq!(items_of(&world.store, 1, 0).iter().filter(|item| item.kind == kind::MESSAGE).count(), 1);
    // Numbers go on without a gap, so nothing was given out in vain.
    let text = world.message(&session, &run, Responder, 1, b"1");
    assert_eq!(world.post(bob.addr, "msg", &text).code, Code::CHANGED);
    let numbers: Vec<u32> = items_of(&world.store, 1, 0).iter().map(|item| item.number).collect();
    assert_eq!(numbers, [numbers[0], numbers[0] + 1]);
}

#[test]
fn an_invitation_is_replaced_in_a_mailbox_that_is_full_of_them() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    world.invite(&mut amy, bob.id).handle();
    for (at, name) in ["c", "d", "e"].into_iter().enumerate() {
        let mut dev = world.device(name, 10 + at as u8);
        world.invite(&mut dev, bob.id).handle();
    }
    for _ in 0..3 {
        world.invite(&mut amy, bob.id).handle();
    }
    let mut last = world.device("f", 20);
    assert_eq!(world.invite(&mut last, bob.id).refusal().reason, A1Reason::MailboxFull);
    let invitations = world.take(&mut bob).into_iter().filter(|item| item.kind == kind::INVITATION);
    assert_eq!(invitations.count(), 4);
}

#[test]
fn void_items_do_not_pile_up() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    for _ in 0..400 {
        world.invite(&mut amy, bob.id).handle();
        assert!(items_of(&world.store, 2, 0).len() <= 2);
    }
    for round in 0..100 {
        world.pass(3_700);
        world.take(&mut amy);
        world.invite(&mut amy, bob.id).handle();
        assert!(items_of(&world.store, 2, 0).len() <= 2, "round {round}");
    }
    world.agree(&mut amy, &mut bob);
}

#[test]
fn a_number_that_became_void_is_not_given_again_after_a_restart() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    for round in 1..4 {
        world.invite(&mut amy, bob.id).handle();
        // Seen, and not acknowledged.
        let seen = world.attach(&mut bob).last().expect("an invitation").number;
        assert_eq!(seen, round);
        world.pass(3_700);
        world.restart();
    }
}
