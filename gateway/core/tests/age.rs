//! What grows old (`docs/store.md`): items that nobody fetched go, and their sender is told; devices that nobody has heard of are
//! forgotten, with their sessions.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use core::time::Duration;

use sga_coap::Code;
use sga_gateway_core::{Key, Settings};
use sga_schema::{ExpiredItem, Profile, Role, kind};
use support::{Dev, Run, Session, World, addr, id, items_of, stored};

use Role::{Initiator, Responder};

const HOUR_S: u64 = 3_600;
const AGE_S: u64 = 2 * HOUR_S;
const FORGET_S: u64 = 24 * HOUR_S;

fn world() -> World {
    let mut settings = Settings::new(id("gate"), Profile::Compact);
    settings.mailbox_age = Duration::from_secs(AGE_S);
    settings.forget_after = Some(Duration::from_secs(FORGET_S));
    World::with(settings)
}

fn keyed(world: &mut World) -> (Dev, Dev, Session, Run) {
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    let run = world.close(&session, &amy, &bob, 1);
    world.take(&mut amy);
    world.take(&mut bob);
    (amy, bob, session, run)
}

fn send(world: &mut World, session: &Session, run: &Run, sequence: u32) {
    let request = world.message(session, run, Initiator, sequence, b"text");
    let answer = world.post(addr(50), "msg", &request);
    assert_eq!((answer.code, answer.payload), (Code::CHANGED, stored(session, run, Initiator, sequence)));
}

fn numbers(world: &World, mailbox: u32) -> Vec<u32> {
    items_of(&world.store, mailbox, 0).iter().map(|item| item.number).collect()
}

#[test]
fn what_is_not_fetched_in_time_goes_and_its_sender_is_told() {
    let mut world = world();
    let (mut amy, mut bob, session, run) = keyed(&mut world);
    let before = bob_highest(&mut world, &mut bob);
    (0..100).for_each(|sequence| send(&mut world, &session, &run, sequence));
    world.pass(HOUR_S);
    (100..103).for_each(|sequence| send(&mut world, &session, &run, sequence));
    world.pass(HOUR_S / 2);
    assert_eq!(numbers(&world, 2).len(), 103, "nothing is too old yet");
    world.pass(HOUR_S);
    assert_eq!(numbers(&world, 2), (before + 101..before + 104).collect::<Vec<_>>());
    let told = world.take(&mut amy);
    let expired: Vec<ExpiredItem> = told.iter().map(|item| sga_schema::decode(&item.body).unwrap()).collect();
    assert!(told.iter().all(|item| item.kind == kind::EXPIRED));
    let newest = expired.iter().max_by_key(|item| item.sequence).unwrap();
    assert_eq!(
        (newest.handle, newest.run, newest.sequence),
        (session.handle(Initiator), 1, 99),
        "told in the sender's own words"
    );
    assert!(expired.len() <= 2, "one for many");
    // What is left arrives; a new message gets a number that was never used.
    let items = world.take(&mut bob);
    assert_eq!(
        items.iter().map(|item| item.number).collect::<Vec<_>>(),
        (before + 101..before + 104).collect::<Vec<_>>()
    );
    world.restart();
    send(&mut world, &session, &run, 103);
    assert_eq!(numbers(&world, 2), [before + 104]);
}

fn bob_highest(world: &mut World, bob: &mut Dev) -> u32 {
    world.take(bob);
    bob.cursor
}

#[test]
fn nothing_goes_while_its_sender_cannot_be_told() {
    let mut world = world();
    let (_, _, session, run) = keyed(&mut world);
    send(&mut world, &session, &run, 0);
    let count = numbers(&world, 2).len();
    world.failing = true;
    world.pass(3 * HOUR_S);
    assert_eq!(numbers(&world, 2).len(), count, "the store takes nothing");
    world.failing = false;
    world.pass(HOUR_S);
    assert_eq!(numbers(&world, 2).len(), count - 1);
}

#[test]
fn a_device_that_is_not_heard_of_is_forgotten_and_its_name_is_free() {
    let mut world = world();
    let (mut amy, bob, session, run) = keyed(&mut world);
    for _ in 0..30 {
        world.pass(HOUR_S);
        world.take(&mut amy);
    }
    let has = |world: &World, key: Key| world.store.contains_key(&key.to_bytes());
    assert!(!has(&world, Key::Device(2)) && !has(&world, Key::Name(bob.id)), "bob is forgotten");
    assert!(has(&world, Key::Device(1)) && has(&world, Key::Session(session.handle(Initiator))));
    let request = world.message(&session, &run, Initiator, 0, b"text");
    world.refused(addr(50), "msg", &request, Code::NOT_FOUND);
    let a1 = world.invite(&mut amy, bob.id);
    assert_eq!(a1.refusal().reason, sga_schema::A1Reason::NoSuchPeer);
    // Somebody else may have the name; under another index.
    let mut other = world.device("bob", 9);
    assert!(world.attach(&mut other).is_empty() && has(&world, Key::Device(3)));
    assert!(has(&world, Key::Leg(session.handle(Responder))), "one end is still there");
}

#[test]
fn a_session_goes_when_nobody_is_left() {
    let mut world = world();
    let (_, _, session, _) = keyed(&mut world);
    (0..3).for_each(|_| world.pass(30 * HOUR_S));
    let left: Vec<_> = world.store.keys().filter_map(|key| Key::from_bytes(key)).collect();
    assert_eq!(left, [Key::Meta], "{:?}", session.handle(Initiator));
}

#[test]
fn whoever_attaches_is_not_forgotten() {
    let mut world = world();
    let mut amy = world.device("amy", 1);
    for _ in 0..5 {
        world.pass(20 * HOUR_S);
        world.attach(&mut amy);
    }
    assert!(world.store.contains_key(&Key::Device(1).to_bytes()));
}
