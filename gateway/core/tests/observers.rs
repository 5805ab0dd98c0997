//! Observers of an inbox: the newest state, one message at a time, and an end when nobody is there any more.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::{Code, ExchangeId, Request};
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
