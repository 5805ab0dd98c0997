//! Repair 3: a ticket or a handle that was seen on the air. (Paper 5.5, "using a false identity".)
//!
//! Tickets and handles go over the network in the clear: they say whose message it is, and prove nothing. The attacker has some and
//! uses them from its own address, with seals of its own making or with the recorded ones.

use sga_coap::{Code, Request};
use sga_schema::{Ack, Attach, Profile, Role, Suite};

use crate::support::by_hand::{Dev, World, encoded, items_of};
use crate::support::{attacker, script};

/// bob with an invitation in his inbox.
fn waiting() -> (World, Dev, Dev) {
    let mut world = script::gateway(Profile::Compact);
    let (mut amy, bob) = (world.device("amy", 1), world.device("bob", 2));
    world.invite(&mut amy, bob.id);
    (world, amy, bob)
}

fn attach(dev: &mut Dev, world: &mut World) -> Vec<u8> {
    dev.attach_number += 1;
    dev.nonce = world.random();
    world.attach_bytes(dev)
}

#[test]
fn a_ticket_without_the_key_opens_no_inbox() {
    let (mut world, amy, mut bob) = waiting();
    for key in [[0; 32], amy.key, [0xff; 32]] {
        for suite in Suite::ALL {
            for attach_number in [0, 1, 2, 100, u32::MAX] {
                let thief = Dev { key, suite, attach_number, nonce: world.random(), ..bob.clone() };
                let request = world.attach_bytes(&thief);
                world.unchanged(Code::UNAUTHORIZED, |world| world.fetch(attacker(), &request));
                let ack = world.ack_bytes(&mut thief.clone(), 1);
                world.refused(attacker(), "msg", &ack, Code::UNAUTHORIZED);
            }
        }
    }
    assert_eq!(items_of(&world.store, 2, 0).len(), 1, "nothing was taken from bob");
    assert_eq!(world.attach(&mut bob).len(), 1);
}

/// The attach of a device, sent again from elsewhere, gets nothing, and the device goes on being told.
#[test]
fn a_recorded_attach_redirects_no_inbox() {
    let (mut world, mut amy, mut bob) = waiting();
    let request = attach(&mut bob, &mut world);
    let observe = Request::new(Code::FETCH, ["msg"]).with_payload(60, &request[..]).with_observe();
    let exchange = world.send(bob.addr, observe.clone());
    assert!(world.answer(bob.addr, exchange).is_some());
    for _ in 0..3 {
        let answer = world.unchanged_any(|world| world.request(attacker(), observe.clone()));
        assert_eq!(answer.code, Code::UNAUTHORIZED);
    }
    // bob still observes.
    world.invite(&mut amy, bob.id);
    assert!(world.answer(bob.addr, exchange).is_some(), "bob is told of it");
}

/// An Ack from elsewhere does what it did when bob sent it, and no more: what was not shown to bob stays.
#[test]
fn a_recorded_ack_removes_nothing_more() {
    let (mut world, _, mut bob) = waiting();
    world.attach(&mut bob);
    let ack = world.ack_bytes(&mut bob, 1);
    assert_eq!(world.post(bob.addr, "msg", &ack).code, Code::CHANGED);
    let mut zoe = world.device("zoe", 3);
    world.invite(&mut zoe, bob.id);
    world.refused(attacker(), "msg", &ack, Code::CHANGED);
    // With the ticket, and with what else of it can be bent: the counter and the ticket of somebody else.
    let good: Ack<'_> = sga_schema::decode(&ack).unwrap();
    for counter in [0, 2, 3, u32::MAX] {
        world.refused(attacker(), "msg", &encoded(&Ack { counter, ..good }), Code::UNAUTHORIZED);
    }
    world.refused(attacker(), "msg", &encoded(&Ack { ticket: zoe.ticket, ..good }), Code::UNAUTHORIZED);
    assert_eq!(world.attach(&mut bob).len(), 1, "the second invitation");
}

/// Handles are seen in every Half and Message. They let nobody speak.
#[test]
fn a_handle_without_the_keys_says_nothing() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut world = script::gateway(profile);
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        let session = world.agree(&mut amy, &mut bob);
        let run = world.close(&session, &amy, &bob, 1);
        let mut blind = session.clone();
        blind.key = [[0; 16]; 2];
        let mut blind_run = run.clone();
        blind_run.hop = [[0; 32]; 2];
        for role in [Role::Initiator, Role::Responder] {
            for number in [1, 2, 3] {
                let thief = Dev { key: [0; 32], ..amy.clone() };
                let made = world.make(&blind, &thief, role, number);
                world.refused(attacker(), "kex", &made.request, Code::UNAUTHORIZED);
                let text = world.message(&session, &blind_run, role, number, b"not theirs");
                world.refused(attacker(), "msg", &text, Code::UNAUTHORIZED);
            }
            // The honest one is taken, wherever it comes from: a device may have moved.
            let text = world.message(&session, &run, role, 0, b"theirs");
            assert_eq!(world.post(attacker(), "msg", &text).code, Code::CHANGED);
        }
    }
}

/// No guess of a ticket locates anybody: 2^-32 of all of them are well formed.
#[test]
fn tickets_are_not_guessed() {
    let (mut world, _, mut bob) = waiting();
    let good = attach(&mut bob, &mut world);
    let parts: Attach<'_> = sga_schema::decode(&good).unwrap();
    for _ in 0..2_000 {
        let ticket = world.random();
        let forged = encoded(&Attach { ticket, ..parts });
        let answer = world.unchanged_any(|world| world.fetch(attacker(), &forged));
        assert_eq!(answer.code, Code::UNAUTHORIZED);
    }
    assert_eq!(world.fetch(bob.addr, &good).code, Code::CONTENT);
}
