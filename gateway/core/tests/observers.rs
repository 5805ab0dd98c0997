//! Observers of an inbox: the newest state, one message at a time, and an end when nobody is there any more.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::{Code, ExchangeId, Request};
use sga_schema::NegotiateSecret;
use support::{Dev, World, addr};

/// A device that observes its empty inbox.
fn observing() -> (World, Dev, ExchangeId) {
    let mut world = World::compact();
    let mut bob = world.device("bob", 2);
    bob.attach_number += 1;
    bob.nonce = world.random();
    let request = world.attach_bytes(&bob);
    let exchange = world.send(bob.addr, Request::new(Code::FETCH, ["msg"]).with_payload(60, request).with_observe());
    let answer = world.answer(bob.addr, exchange).expect("the answer");
    assert!(world.open_inbox(&mut bob, &answer).1.is_empty());
    (world, bob, exchange)
}

fn invite_from(world: &mut World, name: &str, number: u8, bob: &Dev) {
    let mut dev = world.device(name, number);
    world.invite(&mut dev, bob.id);
}

#[test]
fn what_is_sent_again_is_the_newest_state() {
    let (mut world, mut bob, exchange) = observing();
    world.asleep.insert(bob.addr);
    invite_from(&mut world, "amy", 3, &bob);
    invite_from(&mut world, "zoe", 4, &bob);
    assert_eq!(world.answer(bob.addr, exchange), None);
    world.asleep.clear();
    world.pass(4);
    let told = world.answer(bob.addr, exchange).expect("the retransmission");
    assert_eq!(world.open_inbox(&mut bob, &told).1.len(), 2, "both, although the first was sent when there was one");
    world.pass(4);
    assert_eq!(world.answer(bob.addr, exchange), None, "it was acknowledged");
}

#[test]
fn a_silent_observer_is_probed_and_stays_if_it_answers() {
    let (mut world, mut bob, exchange) = observing();
    for _ in 0..3 {
        world.pass(3_601);
        let probe = world.answer(bob.addr, exchange).expect("a notification without news");
        assert!(world.open_inbox(&mut bob, &probe).1.is_empty());
    }
    world.pass(1_800);
    assert_eq!(world.answer(bob.addr, exchange), None);
    invite_from(&mut world, "amy", 3, &bob);
    assert!(world.answer(bob.addr, exchange).is_some());
}

#[test]
fn an_observer_that_is_gone_is_found_out() {
    let (mut world, bob, exchange) = observing();
    world.asleep.insert(bob.addr);
    world.pass(3_601);
    for _ in 0..5 {
        world.pass(60);
    }
    let before = world.transmits;
    world.pass(4_000);
    assert_eq!(world.transmits, before, "nothing more goes there");
    world.asleep.clear();
    invite_from(&mut world, "amy", 3, &bob);
    assert_eq!(world.answer(bob.addr, exchange), None);
    let mut bob = Dev { addr: addr(77), ..bob };
    assert_eq!(world.attach(&mut bob).len(), 1, "what is in the inbox stays there");
}

/// Posts an invitation whose commit stays on its way.
fn invite_on_its_way(world: &mut World, amy: &mut Dev, bob: &Dev) -> ExchangeId {
    amy.request_number += 1;
    let key = world.random();
    let a1 = world.a1(amy, bob.id, amy.suite, key);
    let request = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
    world.send(amy.addr, Request::new(Code::POST, ["negotiate"]).with_payload(60, request))
}

fn attach_on_its_way(world: &mut World, bob: &mut Dev) -> (ExchangeId, Vec<u8>) {
    bob.attach_number += 1;
    bob.nonce = world.random();
    let request = world.attach_bytes(bob);
    let fetch = Request::new(Code::FETCH, ["msg"]).with_payload(60, request.clone()).with_observe();
    (world.send(bob.addr, fetch), request)
}

/// What is stored while an attach is in work may be in neither: not in its answer, which was read before, and not told to an
/// observer, who was not there yet. It is told as soon as there is one.
#[test]
fn what_comes_while_an_attach_is_in_work_is_told_after_it() {
    let mut world = World::compact();
    let mut amy = world.device("amy", 3);
    let mut bob = world.device("bob", 2);
    world.holding = true;
    let invited = invite_on_its_way(&mut world, &mut amy, &bob);
    let (exchange, request) = attach_on_its_way(&mut world, &mut bob);
    world.release();
    assert_eq!(world.answer(amy.addr, invited).map(|answer| answer.code), Some(Code::CREATED));
    let answer = world.answer(bob.addr, exchange).expect("the answer");
    assert!(world.open_inbox(&mut bob, &answer).1.is_empty(), "it was read before the invitation was there");
    let told = world.answer(bob.addr, exchange).expect("a notification");
    assert_eq!(world.open_inbox(&mut bob, &told).1.len(), 1);

    // The same attach once more, as after a lost answer.
    let mut zoe = world.device("zoe", 4);
    let again = Request::new(Code::FETCH, ["msg"]).with_payload(60, request).with_observe();
    world.slow_loads = true;
    let exchange = world.send(bob.addr, again);
    world.invite(&mut zoe, bob.id);
    world.slow_loads = false;
    world.pump();
    let answer = world.answer(bob.addr, exchange).expect("the answer");
    let seen = world.open_inbox(&mut bob, &answer).1.len();
    let told = world.answer(bob.addr, exchange).map_or(seen, |told| world.open_inbox(&mut bob, &told).1.len());
    assert_eq!(told, 2);
}
