//! Revocation (`docs/protocol.md` §4, item 9): out at once, and the other ends of all sessions are told, whatever comes between.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use std::collections::HashSet;
use std::net::SocketAddr;

use sga_coap::{Code, Request};
use sga_gateway_core::limits::CACHE_RECORDS_MAX;
use sga_gateway_core::{Key, Rate, Settings};
use sga_schema::{A4Reason, DeviceId, EndedItem, Handle, Profile, Role, kind};
use support::{Dev, Run, Session, World, addr, id, items_of, not_agreed};

use Role::{Initiator, Responder};

fn keyed(world: &mut World) -> (Dev, Dev, Session, Run) {
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    let run = world.close(&session, &amy, &bob, 1);
    world.take(&mut amy);
    world.take(&mut bob);
    (amy, bob, session, run)
}

fn revoke(world: &mut World, ids: &[DeviceId]) {
    let revoked: HashSet<DeviceId> = ids.iter().copied().collect();
    world.settings.revoked = revoked.clone();
    world.gateway.set_revoked(world.now, revoked);
    world.pump();
}

/// Lets the census go through.
fn walk(world: &mut World) {
    (0..5).for_each(|_| world.pass(1));
}

fn has(world: &World, key: Key) -> bool {
    world.store.contains_key(&key.to_bytes())
}

fn is_gone(world: &World, session: &Session) -> bool {
    let [handle_i, handle_j] = session.handle;
    let keys = [Key::Session(handle_i), Key::Leg(handle_i), Key::Leg(handle_j), Key::Window(handle_i), Key::Pair(1, 2)];
    keys.iter().all(|&key| !has(world, key))
}

#[test]
fn the_peer_is_told_and_the_session_is_gone() {
    let mut world = World::compact();
    let (mut amy, bob, session, run) = keyed(&mut world);
    let request = world.message(&session, &run, Initiator, 0, b"text");
    assert_eq!(world.post(addr(50), "msg", &request).code, Code::CHANGED);
    revoke(&mut world, &[bob.id]);
    // At once, before the census has come by or also if it has.
    let (from_bob, to_bob) =
        (world.message(&session, &run, Responder, 0, b"x"), world.message(&session, &run, Initiator, 1, b"y"));
    let code = world.post(addr(50), "msg", &from_bob).code;
    assert!(matches!(code, Code::FORBIDDEN | Code::UNAUTHORIZED), "{code}");
    let code = world.post(addr(50), "msg", &to_bob).code;
    assert!(matches!(code, Code::NOT_FOUND | Code::UNAUTHORIZED), "{code}");
    walk(&mut world);
    assert!(is_gone(&world, &session));
    let items = world.take(&mut amy);
    assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [kind::ENDED]);
    let item: EndedItem = sga_schema::decode(&items[0].body).unwrap();
    assert_eq!(item, EndedItem { handle: session.handle(Initiator), reason: EndedItem::REVOKED });
    world.refused(addr(50), "msg", &to_bob, Code::UNAUTHORIZED);
    let a1 = world.invite(&mut amy, bob.id);
    assert_eq!(a1.refusal().reason, sga_schema::A1Reason::NoSuchPeer);
}

#[test]
fn an_observer_hears_it_by_its_last_notification() {
    let mut world = World::compact();
    let (_, mut bob, ..) = keyed(&mut world);
    let exchange = observe(&mut world, &mut bob);
    revoke(&mut world, &[bob.id]);
    assert_eq!(world.answer(bob.addr, exchange).map(|answer| answer.code), Some(Code::FORBIDDEN));
}

/// Attaches and observes; the exchange that hears more.
fn observe(world: &mut World, dev: &mut Dev) -> sga_coap::ExchangeId {
    dev.attach_number += 1;
    dev.nonce = world.random();
    let request = world.attach_bytes(dev);
    let exchange = world.send(dev.addr, Request::new(Code::FETCH, ["msg"]).with_payload(60, request).with_observe());
    assert_eq!(world.answer(dev.addr, exchange).expect("the answer").code, Code::CONTENT);
    exchange
}

/// More records than fit are looked at, so that those of devices that did nothing meanwhile are not in memory.
fn fill_memory(world: &mut World, session: &Session) {
    let leg = world.store[&Key::Leg(session.handle(Initiator)).to_bytes()].clone();
    for n in 0..CACHE_RECORDS_MAX as u32 + 10 {
        let [_, a, b, c] = n.to_be_bytes();
        world.store.insert(Key::Leg(Handle([0xee, a, b, c])).to_bytes(), leg.clone());
        // A message under a handle of its own that does not verify.
        let mut datagram = vec![0x50, 0x02, b, c, 0xb3, b'm', b's', b'g', 0xff];
        datagram.extend([0x85, 0x44, 0xee, a, b, c, 1, 1, 0x41, 0, 0x48, 0, 0, 0, 0, 0, 0, 0, 0]);
        world.gateway.handle_datagram(world.now, SocketAddr::from(([10, a, b, c], 9)), &datagram);
        world.pump();
    }
}

/// The gateway does not know any more who it is that observes: it has to attach again, and is not told that it is revoked.
#[test]
fn who_is_not_revoked_is_not_told_so() {
    let mut settings = Settings::new(id("gate"), Profile::Compact);
    settings.rates.guesses_per_source = Rate(0);
    let mut world = World::with(settings);
    let (mut amy, mut bob, session, _) = keyed(&mut world);
    let told = observe(&mut world, &mut amy);
    fill_memory(&mut world, &session);
    let revoked = observe(&mut world, &mut bob);
    revoke(&mut world, &[bob.id]);
    assert_eq!(world.answer(bob.addr, revoked).map(|answer| answer.code), Some(Code::FORBIDDEN));
    assert_eq!(world.answer(amy.addr, told).map(|answer| answer.code), Some(Code::UNAUTHORIZED));
    assert_eq!(world.gateway.usage().attachments, 0);
    world.attach(&mut amy);
}

#[test]
fn who_is_released_finds_that_its_sessions_have_ended() {
    let mut world = World::compact();
    let (mut amy, mut bob, session, _) = keyed(&mut world);
    revoke(&mut world, &[bob.id]);
    walk(&mut world);
    revoke(&mut world, &[]);
    let items = world.take(&mut bob);
    let item: EndedItem = sga_schema::decode(&items.last().unwrap().body).unwrap();
    assert_eq!(item.handle, session.handle(Responder));
    world.take(&mut amy);
    let session = world.agree(&mut amy, &mut bob);
    world.close(&session, &amy, &bob, 1);
}

#[test]
fn a_start_goes_on_where_the_last_was_cut_off() {
    let mut world = World::compact();
    let (mut amy, bob, session, _) = keyed(&mut world);
    world.failing = true;
    revoke(&mut world, &[bob.id]);
    walk(&mut world);
    assert!(has(&world, Key::Session(session.handle(Initiator))), "nothing could be written");
    world.failing = false;
    world.restart();
    walk(&mut world);
    assert!(is_gone(&world, &session));
    assert_eq!(world.take(&mut amy).len(), 1);
}

#[test]
fn nobody_is_told_twice() {
    let mut world = World::compact();
    let (amy, bob, ..) = keyed(&mut world);
    for _ in 0..3 {
        revoke(&mut world, &[bob.id]);
        walk(&mut world);
        world.restart();
        walk(&mut world);
    }
    let ended = items_of(&world.store, 1, 0).iter().filter(|item| item.kind == kind::ENDED).count();
    assert_eq!(ended, 1, "{}", amy.id);
}

#[test]
fn a_full_mailbox_is_told_when_it_has_room() {
    let settings = Settings::new(id("gate"), Profile::Compact);
    let mut world = World::with(settings);
    let (mut amy, mut bob, session, _) = keyed(&mut world);
    // Keys of runs are the protocol's own items: they fill what messages may not.
    for run in 2.. {
        let [first, second] =
            [(&amy, Initiator), (&bob, Responder)].map(|(dev, role)| world.make(&session, dev, role, run));
        world.post(amy.addr, "kex", &first.request);
        if world.post(bob.addr, "kex", &second.request).code == Code::SERVICE_UNAVAILABLE {
            break;
        }
        world.take(&mut bob);
    }
    revoke(&mut world, &[bob.id]);
    walk(&mut world);
    assert!(has(&world, Key::Session(session.handle(Initiator))), "it is kept until its end can be told");
    world.take(&mut amy);
    // The census comes by again, in its own time.
    (0..5).for_each(|_| world.pass(60));
    assert!(is_gone(&world, &session));
    assert!(world.take(&mut amy).iter().any(|item| item.kind == kind::ENDED));
}

#[test]
fn an_invitation_ends_with_either_end() {
    for revoked in [Initiator, Responder] {
        let mut world = World::compact();
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        world.attach(&mut amy);
        world.attach(&mut bob);
        let sent = world.invite(&mut amy, bob.id);
        let handle = sent.handle();
        revoke(&mut world, &[if revoked == Initiator { amy.id } else { bob.id }]);
        walk(&mut world);
        assert!(!has(&world, Key::Session(handle)) && !has(&world, Key::Pair(1, 2)));
        assert!(!world.store.keys().any(|key| matches!(Key::from_bytes(key), Some(Key::Pending { .. }))));
        if revoked == Initiator {
            let items = world.take(&mut bob);
            assert!(items.iter().all(|item| item.kind == kind::VOID), "{:?}", items.len());
        } else {
            let items = world.take(&mut amy);
            let item = items.iter().find(|item| item.kind == kind::NOT_AGREED).unwrap();
            assert_eq!(not_agreed(&sent, &item.body), A4Reason::Refused);
        }
    }
}

#[test]
fn many_sessions_are_walked_a_few_at_a_time() {
    let mut world = World::compact();
    let mut hub = world.device("hub", 1);
    let mut others = Vec::new();
    for number in 100..140 {
        let mut other = world.device(&format!("leaf-{number}"), number);
        world.agree(&mut other, &mut hub);
        world.take(&mut other);
        others.push(other);
    }
    world.take(&mut hub);
    revoke(&mut world, &[hub.id]);
    walk(&mut world);
    assert!(!world.store.keys().any(|key| matches!(Key::from_bytes(key), Some(Key::Session(_)))));
    for other in &mut others {
        assert_eq!(world.take(other).last().map(|item| item.kind), Some(kind::ENDED));
    }
}
