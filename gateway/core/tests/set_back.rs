//! A store that has lost the last of what it confirmed, and does not know it: a device's cursor tells. Nothing is lost to that device
//! from then on, and nobody can move more than his own numbers.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::Code;
use sga_gateway_core::limits::NUMBER_SHIFT_MAX;
use sga_schema::{MessageItem, Role, kind};
use support::{Dev, OwnedItem, Run, Session, World, addr, items_of, stored};

use Role::Initiator;

fn keyed() -> (World, Dev, Dev, Session, Run) {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    let run = world.close(&session, &amy, &bob, 1);
    world.take(&mut bob);
    (world, amy, bob, session, run)
}

fn send(world: &mut World, session: &Session, run: &Run, sequence: u32) {
    let request = world.message(session, run, Initiator, sequence, b"text");
    let answer = world.post(addr(50), "msg", &request);
    assert_eq!((answer.code, answer.payload), (Code::CHANGED, stored(session, run, Initiator, sequence)));
}

/// The messages among those items that a device does not take for seen.
fn new_to(dev: &Dev, items: &[OwnedItem]) -> Vec<u32> {
    let new = items.iter().filter(|item| item.number > dev.cursor && item.kind == kind::MESSAGE);
    new.map(|item| sga_schema::decode::<MessageItem<'_>>(&item.body).unwrap().sequence).collect()
}

#[test]
fn a_device_that_is_ahead_of_the_store_gets_what_comes_next() {
    let (mut world, _, mut bob, session, run) = keyed();
    let copy = world.store.clone();
    (0..5).for_each(|sequence| send(&mut world, &session, &run, sequence));
    assert_eq!(world.take(&mut bob).len(), 5);
    // The last groups are gone, and the generation is what it was.
    world.store = copy;
    world.restart();
    send(&mut world, &session, &run, 5);
    let before = bob.cursor;
    let items = world.attach(&mut bob);
    assert_eq!(new_to(&bob, &items), [5], "stored before the device came");
    assert_eq!(items_of(&world.store, 2, 0).len(), 1, "its cursor acknowledges nothing");
    send(&mut world, &session, &run, 6);
    // What was raised is raised for good.
    world.restart();
    let items = world.attach(&mut bob);
    assert_eq!(new_to(&bob, &items), [5, 6]);
    assert_eq!(items.iter().map(|item| item.number).collect::<Vec<_>>(), [before + 1, before + 2]);
    // Acknowledgements and cursors mean these numbers.
    let ack = world.ack_bytes(&mut bob, before + 1);
    assert_eq!(world.post(bob.addr, "msg", &ack).code, Code::CHANGED);
    assert_eq!(items_of(&world.store, 2, 0).len(), 1);
    bob.cursor = before + 2;
    assert!(world.attach(&mut bob).is_empty() && items_of(&world.store, 2, 0).is_empty());
    send(&mut world, &session, &run, 7);
    let items = world.attach(&mut bob);
    assert_eq!(new_to(&bob, &items), [7]);
}

#[test]
fn it_can_happen_more_than_once() {
    let (mut world, _, mut bob, session, run) = keyed();
    for round in 0..4 {
        let copy = world.store.clone();
        for sequence in 0..3 {
            send(&mut world, &session, &run, 10 * round + sequence);
        }
        assert_eq!(world.take(&mut bob).len(), 3);
        world.store = copy;
        world.restart();
        send(&mut world, &session, &run, 10 * round + 3);
        let items = world.attach(&mut bob);
        assert_eq!(new_to(&bob, &items), [10 * round + 3]);
        assert_eq!(world.take(&mut bob).len(), 1);
    }
}

#[test]
fn a_device_moves_its_own_numbers_and_those_not_without_end() {
    let (mut world, mut amy, mut bob, session, run) = keyed();
    let others = items_of(&world.store, 1, 0);
    send(&mut world, &session, &run, 0);
    let (acknowledged, honest) = (bob.cursor, bob.clone());
    for (cursor, number) in [
        (u32::MAX, acknowledged + 1),
        (acknowledged + NUMBER_SHIFT_MAX + 1, acknowledged + 1),
        (acknowledged + NUMBER_SHIFT_MAX, acknowledged + NUMBER_SHIFT_MAX + 1),
        // From there on it goes no further.
        (acknowledged + NUMBER_SHIFT_MAX + 9, acknowledged + NUMBER_SHIFT_MAX + 1),
    ] {
        bob.cursor = cursor;
        let items = world.attach(&mut bob);
        assert_eq!(items.iter().map(|item| item.number).collect::<Vec<_>>(), [number], "{cursor}");
        assert_eq!(items_of(&world.store, 2, 0).len(), 1, "and acknowledges nothing");
    }
    assert_eq!(items_of(&world.store, 1, 0), others);
    assert!(world.attach(&mut amy).iter().zip(&others).all(|(shown, stored)| shown.number == stored.number));
    // The device alone has to live with it.
    bob.cursor = honest.cursor;
    assert_eq!(world.attach(&mut bob).len(), 1);
    let ack = world.ack_bytes(&mut bob, acknowledged + NUMBER_SHIFT_MAX + 1);
    assert_eq!(world.post(bob.addr, "msg", &ack).code, Code::CHANGED);
    assert!(items_of(&world.store, 2, 0).is_empty());
}
