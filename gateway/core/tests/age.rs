//! What grows old (`docs/store.md`): items that nobody fetched go, and their sender is told; devices that nobody has heard of are
//! forgotten, with their sessions.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use core::time::Duration;

use sga_coap::Code;
use sga_gateway_core::{Key, Settings};
use sga_schema::{EndedItem, ExpiredItem, Profile, Role, kind};
use support::{Dev, Run, Session, World, addr, id, items_of, stored};

use Role::Initiator;

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
    let has = |world: &World, key: Key| world.store.contains_key(&key.to_bytes());
    let request = world.message(&session, &run, Initiator, 0, b"text");
    let mut items = Vec::new();
    let mut refused = false;
    for _ in 0..30 {
        world.pass(HOUR_S);
        if !has(&world, Key::Device(2)) && has(&world, Key::Session(session.handle(Initiator))) {
            world.refused(addr(50), "msg", &request, Code::NOT_FOUND);
            refused = true;
        }
        items.extend(world.take(&mut amy));
    }
    assert!(!has(&world, Key::Device(2)) && !has(&world, Key::Name(bob.id)), "bob is forgotten");
    assert!(has(&world, Key::Device(1)) && refused);
    let a1 = world.invite(&mut amy, bob.id);
    assert_eq!(a1.refusal().reason, sga_schema::A1Reason::NoSuchPeer);
    // Somebody else may have the name; under another index.
    let mut other = world.device("bob", 9);
    assert!(world.attach(&mut other).is_empty() && has(&world, Key::Device(3)));
    // The session has gone with it, with all its records, and the end that is there was told, once.
    assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [kind::ENDED]);
    let item: EndedItem = sga_schema::decode(&items[0].body).unwrap();
    assert_eq!((item.handle, item.reason), (session.handle(Initiator), 2));
    world.refused(addr(50), "msg", &request, Code::UNAUTHORIZED);
    let left = world.store.keys().filter_map(|key| Key::from_bytes(key));
    let of_sessions = |key: &Key| matches!(key, Key::Session(_) | Key::Leg(_) | Key::Window(_) | Key::Pair(..));
    assert_eq!(left.filter(of_sessions).count(), 0);
}

/// Names that are invented, used once and left: a device that stays gets rid of what it had with them.
#[test]
fn a_device_that_stays_keeps_nothing_of_those_who_left() {
    let mut world = world();
    let mut hub = world.device("hub", 1);
    for number in 100..120 {
        let mut leaf = world.device(&format!("leaf-{number}"), number);
        let session = world.agree(&mut leaf, &mut hub);
        world.close(&session, &leaf, &hub, 1);
    }
    for _ in 0..60 {
        world.pass(HOUR_S);
        world.take(&mut hub);
    }
    let left: Vec<_> = world.store.keys().filter_map(|key| Key::from_bytes(key)).collect();
    assert_eq!(left.len(), 3, "the counters, the hub and its name: {left:?}");
}

/// Who was forgotten and comes back has an empty mailbox, whose numbers are below its cursor.
#[test]
fn who_comes_back_after_being_forgotten_gets_what_is_sent() {
    let mut world = world();
    let mut bob = world.device("bob", 2);
    bob.cursor = 70;
    world.pass(30 * HOUR_S);
    world.pass(HOUR_S);
    world.register_with(&mut bob, sga_schema::Proof::None, Code::CREATED);
    world.attach(&mut bob);
    let mut amy = world.device("amy", 1);
    world.invite(&mut amy, bob.id).handle();
    assert_eq!(world.attach(&mut bob).iter().map(|item| item.number).collect::<Vec<_>>(), [71]);
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
