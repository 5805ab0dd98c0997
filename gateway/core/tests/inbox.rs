//! Attaches and acknowledgements (`docs/protocol.md` §4): tickets prove nothing, numbers only rise, only what was seen goes.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::{Code, Request};
use sga_gateway_core::Key;
use sga_schema::{Accept, Ack, AckSecret, Attach, AttachSecret};
use support::{Answer, Dev, World, addr, aead, encoded, id, items_of, seal};

/// Two devices; the second has one invitation in its inbox.
fn invited() -> (World, Dev, Dev) {
    let mut world = World::compact();
    let mut amy = world.device("amy", 1);
    let bob = world.device("bob", 2);
    world.invite(&mut amy, bob.id);
    (world, amy, bob)
}

fn next(dev: &mut Dev, world: &mut World) -> Vec<u8> {
    dev.attach_number += 1;
    dev.nonce = world.random();
    dev.counter = 0;
    world.attach_bytes(dev)
}

#[test]
fn a_ticket_that_was_not_issued_is_refused() {
    let (mut world, _, mut bob) = invited();
    let good = bob.ticket;
    for ticket in [[0; 16], [0xff; 16], world.random()] {
        let mut forger = Dev { ticket, ..bob.clone() };
        let request = next(&mut forger, &mut world);
        world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(addr(66), &request));
        let ack = world.ack_bytes(&mut forger, 1);
        world.refused(addr(66), "msg", &ack, Code::UNAUTHORIZED);
    }
    for bit in 0..128 {
        let mut forger = bob.clone();
        forger.ticket[bit / 8] ^= 1 << (bit % 8);
        let request = next(&mut forger, &mut world);
        world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(addr(66), &request));
    }
    bob.ticket = good;
    assert_eq!(world.attach(&mut bob).len(), 1);
}

#[test]
fn the_ticket_of_another_device_does_not_help() {
    let (mut world, amy, mut bob) = invited();
    let mut forger = Dev { ticket: bob.ticket, ..amy };
    let request = next(&mut forger, &mut world);
    world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(addr(66), &request));
    assert_eq!(world.attach(&mut bob).len(), 1);
}

#[test]
fn an_attach_with_a_wrong_seal_is_refused() {
    let (mut world, _, mut bob) = invited();
    let mut forger = Dev { key: [66; 32], ..bob.clone() };
    let request = next(&mut forger, &mut world);
    world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(bob.addr, &request));
    let mut wrong_suite = Dev { suite: sga_schema::Suite::ALL[2], ..bob.clone() };
    let request = next(&mut wrong_suite, &mut world);
    world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(bob.addr, &request));
    // Another n_a than the seal's.
    let request = next(&mut bob, &mut world);
    let mut attach: Attach<'_> = sga_schema::decode(&request).unwrap();
    attach.nonce[0] ^= 1;
    let moved = encoded(&attach);
    world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(bob.addr, &moved));
    assert_eq!(world.fetch(bob.addr, &request).code, Code::CONTENT, "what was refused has used nothing up");
}

#[test]
fn what_is_sealed_in_an_attach_has_to_decode() {
    let (mut world, _, mut bob) = invited();
    let secret = AttachSecret { attach_number: 2, cursor: 0, generation: bob.generation, accept: Accept::All };
    let mut plain = encoded(&secret);
    let last = plain.len() - 1;
    for (what, change) in [("trailing", vec![0, 0]), ("accept 3", vec![3]), ("no accept", vec![])] {
        plain.truncate(last);
        plain.extend(change);
        let key = sga_crypto::steps::attach(aead(bob.suite), &bob.key(), &[1; 8]);
        let sealed = support::seal_bytes(key, &plain);
        let request = encoded(&Attach { ticket: bob.ticket, nonce: [1; 8], sealed: &sealed });
        let answer = world.unchanged_any(|w| w.fetch(bob.addr, &request));
        assert_eq!(answer.code, Code::BAD_REQUEST, "{what}");
    }
    world.attach(&mut bob);
}

#[test]
fn a_lower_or_equal_attach_number_is_refused() {
    let (mut world, _, mut bob) = invited();
    let first = next(&mut bob, &mut world);
    assert_eq!(world.fetch(bob.addr, &first).code, Code::CONTENT);
    // The same bytes from another address; the same and a lower number in new bytes.
    world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(addr(66), &first));
    for attach_number in [bob.attach_number, bob.attach_number - 1, 0] {
        let forger = Dev { attach_number, nonce: world.random(), ..bob.clone() };
        let request = world.attach_bytes(&forger);
        for from in [addr(66), bob.addr] {
            world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(from, &request));
        }
    }
    assert_eq!(world.attach(&mut bob).len(), 1);
    world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(bob.addr, &first));
}

#[test]
fn the_same_attach_again_gets_the_current_items_under_a_new_counter() {
    let (mut world, _, mut bob) = invited();
    let mut zoe = world.device("zoe", 3);
    let request = next(&mut bob, &mut world);
    let answer = world.fetch(bob.addr, &request);
    let (first, items) = world.open_inbox(&mut bob, &answer);
    assert_eq!(items.len(), 1);
    world.invite(&mut zoe, bob.id);
    let bytes = request.clone();
    let answer = world.unchanged(Code::CONTENT, |w| w.fetch(bob.addr, &bytes));
    let (second, items) = world.open_inbox(&mut bob, &answer);
    assert!(second > first, "a nonce was used for two payloads");
    assert_eq!(items.len(), 2);
    // A restart forgets n_a, so that c cannot start again under it.
    world.restart();
    world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(bob.addr, &request));
    assert_eq!(world.attach(&mut bob).len(), 2);
}

#[test]
fn an_acknowledged_item_goes_and_no_other() {
    let (mut world, _, mut bob) = invited();
    let mut zoe = world.device("zoe", 3);
    world.invite(&mut zoe, bob.id);
    assert_eq!(world.attach(&mut bob).len(), 2);
    let ack = world.ack_bytes(&mut bob, 1);
    assert_eq!(world.post(bob.addr, "msg", &ack).code, Code::CHANGED);
    let left = items_of(&world.store, 2, 0);
    assert_eq!(left.iter().map(|item| item.number).collect::<Vec<_>>(), [2]);
    world.refused(bob.addr, "msg", &ack, Code::CHANGED);
    let lower = world.ack_bytes(&mut bob, 0);
    world.refused(bob.addr, "msg", &lower, Code::CHANGED);
    assert_eq!(world.attach(&mut bob).len(), 1, "numbers go on, whatever the device's cursor says");
}

#[test]
fn an_acknowledgement_above_what_was_handed_out_removes_nothing() {
    let (mut world, _, mut bob) = invited();
    let mut zoe = world.device("zoe", 3);
    assert_eq!(world.attach(&mut bob).len(), 1);
    world.invite(&mut zoe, bob.id);
    for cursor in [2, 3, u32::MAX] {
        let ack = world.ack_bytes(&mut bob, cursor);
        world.refused(bob.addr, "msg", &ack, Code::CHANGED);
    }
    let ack = world.ack_bytes(&mut bob, 1);
    assert_eq!(world.post(bob.addr, "msg", &ack).code, Code::CHANGED);
    assert_eq!(items_of(&world.store, 2, 0).len(), 1);
}

#[test]
fn an_acknowledgement_belongs_to_its_attach() {
    let (mut world, _, mut bob) = invited();
    world.attach(&mut bob);
    let wrong = Dev { nonce: [1; 8], ..bob.clone() };
    let ack = world.ack_bytes(&mut wrong.clone(), 1);
    world.refused(bob.addr, "msg", &ack, Code::UNAUTHORIZED);
    let old = world.ack_bytes(&mut bob, 1);
    // The counter in the clear is the seal's.
    let mut moved: Ack<'_> = sga_schema::decode(&old).unwrap();
    moved.counter += 1;
    let moved = encoded(&moved);
    world.refused(bob.addr, "msg", &moved, Code::UNAUTHORIZED);
    world.attach(&mut bob);
    world.refused(bob.addr, "msg", &old, Code::UNAUTHORIZED);
    let good = world.ack_bytes(&mut bob, 1);
    assert_eq!(world.post(bob.addr, "msg", &good).code, Code::CHANGED);
    assert!(items_of(&world.store, 2, 0).is_empty());
}

#[test]
fn a_restarted_gateway_knows_no_attach() {
    let (mut world, _, mut bob) = invited();
    world.attach(&mut bob);
    let ack = world.ack_bytes(&mut bob, 1);
    world.restart();
    world.refused(bob.addr, "msg", &ack, Code::UNAUTHORIZED);
    assert_eq!(world.attach(&mut bob).len(), 1, "its ticket is still good");
}

#[test]
fn the_cursor_of_an_attach_acknowledges_in_its_generation_only() {
    let (mut world, _, mut bob) = invited();
    bob.cursor = 1;
    bob.generation = [1; 4];
    assert_eq!(world.attach(&mut bob).len(), 1, "another generation");
    bob.generation = support::GENERATION;
    bob.cursor = 1;
    assert!(world.attach(&mut bob).is_empty());
    assert!(items_of(&world.store, 2, 0).is_empty());
    bob.cursor = 0;
    assert!(world.attach(&mut bob).is_empty());
    let mut zoe = world.device("zoe", 3);
    world.invite(&mut zoe, bob.id);
    bob.cursor = 99;
    assert_eq!(world.attach(&mut bob).len(), 1, "above the highest number");
    assert_eq!(items_of(&world.store, 2, 0).len(), 1);
}

#[test]
fn an_item_number_is_never_used_again() {
    let (mut world, _, mut bob) = invited();
    assert_eq!(world.take(&mut bob)[0].number, 1);
    world.restart();
    let mut zoe = world.device("zoe", 3);
    world.invite(&mut zoe, bob.id);
    assert_eq!(world.take(&mut bob)[0].number, 2);
}

#[test]
fn an_observer_is_told_once_and_again_after_what_it_has_acknowledged() {
    let (mut world, _, mut bob) = invited();
    let request = next(&mut bob, &mut world);
    let exchange = world.send(bob.addr, Request::new(Code::FETCH, ["msg"]).with_payload(60, request).with_observe());
    let answer = world.answer(bob.addr, exchange).expect("the answer");
    assert_eq!(world.open_inbox(&mut bob, &answer).1.len(), 1);
    let mut zoe = world.device("zoe", 3);
    world.invite(&mut zoe, bob.id);
    let told = world.answer(bob.addr, exchange).expect("a notification");
    let (counter, items) = world.open_inbox(&mut bob, &told);
    assert_eq!((counter, items.len()), (1, 2));
    assert_eq!(world.answer(bob.addr, exchange), None);
    // A new attach from elsewhere ends the observation.
    let old = std::mem::replace(&mut bob.addr, addr(77));
    world.attach(&mut bob);
    let mut eve = world.device("eve", 4);
    world.invite(&mut eve, bob.id);
    assert_eq!(world.answer(old, exchange), None);
}

#[test]
fn fetch_needs_its_content_format() {
    let (mut world, _, mut bob) = invited();
    let request = next(&mut bob, &mut world);
    let fetch = |format| {
        move |w: &mut World, bytes: &[u8]| -> Answer {
            w.request(addr(66), Request::new(Code::FETCH, ["msg"]).with_payload(format, bytes))
        }
    };
    world.unchanged(Code::UNSUPPORTED_CONTENT_FORMAT, |w| fetch(0)(w, &request));
    assert_eq!(world.fetch(bob.addr, &request).code, Code::CONTENT);
    assert!(world.store.contains_key(&Key::Name(id("bob")).to_bytes()));
}

#[test]
fn an_acknowledgement_of_another_device_is_refused() {
    let (mut world, amy, mut bob) = invited();
    world.attach(&mut bob);
    let key = sga_crypto::steps::ack(aead(amy.suite), &amy.key(), &amy.nonce, 1);
    let sealed = seal(key, &AckSecret { cursor: 1 });
    let forged = encoded(&Ack { ticket: bob.ticket, counter: 1, sealed: &sealed });
    world.refused(amy.addr, "msg", &forged, Code::UNAUTHORIZED);
    assert_eq!(world.take(&mut bob).len(), 1);
}
