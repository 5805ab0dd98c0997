//! Key exchange (`docs/protocol.md` §6): the order of steps, runs, repetitions, restarts.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::Code;
use sga_crypto::{Secret, Seed, accelerator, steps};
use sga_schema::{B6Secret, BReason, BRefusal, Half, Handle, KeyItem, Role, Sealed, Wanted, WantedItem, kind};
use support::{Dev, Run, Session, World, addr, aead, encoded, open, waiting};

use Role::{Initiator, Responder};

fn agreed_in(mut world: World) -> (World, Dev, Dev, Session) {
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    world.take(&mut amy);
    (world, amy, bob, session)
}

fn agreed() -> (World, Dev, Dev, Session) {
    agreed_in(World::compact())
}

/// Posts what is refused under seal with this reason and run, and changes nothing.
fn refused(world: &mut World, session: &Session, role: Role, request: &[u8], run: u32) {
    let answer = world.refused(addr(66), "kex", request, Code::CONFLICT);
    let refusal = world.b_refusal(session, role, request, &answer);
    assert_eq!(refusal, BRefusal { reason: BReason::Closed, run });
}

/// The Z of both ends, from the answer to the second and the item of the first.
fn both_z(world: &mut World, session: &Session, run: &Run, amy: &mut Dev) -> [Vec<u8>; 2] {
    let items = world.take(amy);
    let key = items.iter().rfind(|item| item.kind == kind::KEY).expect("B6 as an item");
    let item: KeyItem<'_> = sga_schema::decode(&key.body).unwrap();
    assert_eq!((item.handle, item.run), (session.handle(Initiator), run.run));
    world.check_b6(session, run, Initiator, item.sealed);
    let Sealed(answer) = sga_schema::decode(&run.answer.payload).unwrap();
    [(Initiator, item.sealed), (Responder, answer)].map(|(role, sealed)| {
        let key = steps::b6(aead(session.suite), &session.key(role), &session.th_a, run.run, role.id());
        let plain = open(key, sealed).unwrap();
        let b6: B6Secret<'_> = sga_schema::decode(&plain).unwrap();
        let big_r = Seed::from_bytes(run.made[role as usize].big_r);
        let z = accelerator::session_element(world.keys.pair.group, b6.element, &big_r).unwrap();
        z.as_bytes().to_vec()
    })
}

#[test]
fn two_halves_make_one_key() {
    for world in [World::compact(), World::classic()] {
        let (mut world, mut amy, mut bob, session) = agreed_in(world);
        let first = world.make(&session, &amy, Initiator, 1);
        let answer = world.post(amy.addr, "kex", &first.request);
        assert_eq!(answer.code, Code::CREATED);
        let items = world.take(&mut bob);
        let wanted = items.iter().rfind(|item| item.kind == kind::WANTED).expect("B2");
        let item: WantedItem<'_> = sga_schema::decode(&wanted.body).unwrap();
        assert_eq!((item.handle, item.run), (session.handle(Responder), 1));
        let key = steps::b2(aead(session.suite), &session.key(Responder), &session.th_a, 1, Responder.id());
        assert_eq!(sga_schema::decode::<Wanted>(&open(key, item.sealed).expect("B2 opens")).unwrap(), Wanted);
        let run = world.close_second(&session, first, &bob, 1);
        let [z_i, z_j] = both_z(&mut world, &session, &run, &mut amy);
        assert_eq!(z_i, z_j);
    }
}

#[test]
fn an_unknown_handle_is_refused() {
    let (mut world, amy, bob, session) = agreed();
    let good = world.make(&session, &amy, Initiator, 1);
    let mut half: Half<'_> = sga_schema::decode(&good.request).unwrap();
    for handle in [Handle([0; 4]), Handle([0xff; 4]), session.handle(Responder)] {
        half.handle = handle;
        world.refused(amy.addr, "kex", &encoded(&half), Code::UNAUTHORIZED);
    }
    world.close(&session, &amy, &bob, 1);
}

#[test]
fn a_wrong_outer_seal_is_refused() {
    for world in [World::compact(), World::classic()] {
        let (mut world, amy, bob, session) = agreed_in(world);
        let good = world.make(&session, &amy, Initiator, 1);
        let half: Half<'_> = sga_schema::decode(&good.request).unwrap();
        for at in (0..half.body.len()).step_by(7) {
            let mut body = half.body.to_vec();
            body[at] ^= 1;
            world.refused(amy.addr, "kex", &encoded(&Half { body: &body, ..half }), Code::UNAUTHORIZED);
        }
        // A body belongs to its run, its session, its end and, in the compact profile, its device.
        world.refused(amy.addr, "kex", &encoded(&Half { run: 2, ..half }), Code::UNAUTHORIZED);
        world.refused(amy.addr, "kex", &encoded(&Half { body: &[], ..half }), Code::UNAUTHORIZED);
        let mut forged = session.clone();
        forged.key[0] = [0; 16];
        let made = world.make(&forged, &amy, Initiator, 1);
        world.refused(amy.addr, "kex", &made.request, Code::UNAUTHORIZED);
        forged = Session { th_a: [0; 32], ..session.clone() };
        let made = world.make(&forged, &amy, Initiator, 1);
        world.refused(amy.addr, "kex", &made.request, Code::UNAUTHORIZED);
        world.close(&session, &amy, &bob, 1);
    }
}

#[test]
fn a_half_opens_with_its_own_salt_only() {
    for world in [World::compact(), World::classic()] {
        let (mut world, amy, bob, session) = agreed_in(world);
        let good = world.make(&session, &amy, Initiator, 1);
        let plain: Half<'_> = sga_schema::decode(&good.request).unwrap();
        let request = world.wrap_in_life(&session, &amy, Initiator, 1, &good, Some([7; 8]));
        let salted: Half<'_> = sga_schema::decode(&request).unwrap();
        assert_ne!(plain.body, salted.body);
        let added = Half { salt: Some([7; 8]), ..plain };
        for forged in [added, Half { salt: None, ..salted }, Half { salt: Some([8; 8]), ..salted }] {
            world.refused(amy.addr, "kex", &encoded(&forged), Code::UNAUTHORIZED);
        }
        assert_eq!(world.post(amy.addr, "kex", &request).code, Code::CREATED);
        assert_eq!(world.refused(amy.addr, "kex", &request, Code::CREATED).code, Code::CREATED);
        // A Half of another life for the run that waits is another body.
        let later = world.wrap_in_life(&session, &amy, Initiator, 1, &good, Some([8; 8]));
        for other in [later, good.request.clone()] {
            world.refused(amy.addr, "kex", &other, Code::CONFLICT);
        }
        world.close_second(&session, good, &bob, 1);
    }
}

#[test]
fn a_half_before_a3_is_refused() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let sent = world.invite(&mut amy, bob.id);
    let item = world.invitation(&mut bob);
    let early =
        Session { handle: [sent.handle(), item.handle], key: [sent.key, [0; 16]], suite: item.suite, th_a: [0; 32] };
    for (dev, role) in [(&amy, Initiator), (&bob, Responder)] {
        let made = world.make(&early, dev, role, 1);
        world.refused(dev.addr, "kex", &made.request, Code::UNAUTHORIZED);
    }
    // Nor after a refusal.
    let a3 = world.a3(&bob, &item, None, [3; 16]);
    world.reply(&bob, a3);
    let made = world.make(&early, &amy, Initiator, 1);
    world.refused(amy.addr, "kex", &made.request, Code::UNAUTHORIZED);
    let session = world.agree(&mut amy, &mut bob);
    world.close(&session, &amy, &bob, 1);
}

#[test]
fn a_run_that_is_lower_or_too_far_above_is_refused_with_the_current_one() {
    let (mut world, amy, bob, session) = agreed();
    let far = world.make(&session, &amy, Initiator, 1_025);
    refused(&mut world, &session, Initiator, &far.request, 0);
    world.close(&session, &amy, &bob, 5);
    for run in [1, 4, 5, 5 + 1_025, u32::MAX] {
        for (dev, role) in [(&amy, Initiator), (&bob, Responder)] {
            let made = world.make(&session, dev, role, run);
            refused(&mut world, &session, role, &made.request, 5);
        }
    }
    world.close(&session, &amy, &bob, 5 + 1_024);
}

#[test]
fn the_same_half_again_gets_the_same_answer() {
    let (mut world, mut amy, bob, session) = agreed();
    let first = world.make(&session, &amy, Initiator, 1);
    let request = first.request.clone();
    let answer = world.post(amy.addr, "kex", &request);
    for _ in 0..2 {
        let again = world.refused(addr(66), "kex", &request, Code::CREATED);
        assert_eq!(again, answer);
        world.restart();
    }
    let run = world.close_second(&session, first, &bob, 1);
    for _ in 0..2 {
        let again = world.refused(addr(66), "kex", &run.made[1].request, Code::CHANGED);
        assert_eq!(again, run.answer, "byte for byte");
        // The first end asks again: its B6, which is that of its item.
        let again = world.refused(addr(66), "kex", &run.made[0].request, Code::CHANGED);
        let Sealed(b6) = sga_schema::decode(&again.payload).unwrap();
        world.check_b6(&session, &run, Initiator, b6);
        world.restart();
    }
    let items = world.take(&mut amy);
    assert_eq!(items.iter().filter(|item| item.kind == kind::KEY).count(), 1);
}

#[test]
fn another_body_for_the_same_run_is_refused() {
    let (mut world, amy, bob, session) = agreed();
    let first = world.make(&session, &amy, Initiator, 1);
    world.post(amy.addr, "kex", &first.request);
    let other = world.make(&session, &amy, Initiator, 1);
    refused(&mut world, &session, Initiator, &other.request, 1);
    let run = world.close_second(&session, first, &bob, 1);
    refused(&mut world, &session, Initiator, &other.request, 1);
    let other = world.make(&session, &bob, Responder, 1);
    refused(&mut world, &session, Responder, &other.request, 1);
    let again = world.refused(addr(66), "kex", &run.made[1].request, Code::CHANGED);
    assert_eq!(again, run.answer);
}

#[test]
fn both_ends_at_once_make_one_run() {
    let (mut world, amy, bob, session) = agreed();
    let halves = [world.make(&session, &amy, Initiator, 1), world.make(&session, &bob, Responder, 1)];
    world.holding = true;
    let post = |bytes: &[u8]| sga_coap::Request::new(Code::POST, ["kex"]).with_payload(60, bytes);
    let one = world.send(amy.addr, post(&halves[0].request));
    let two = world.send(bob.addr, post(&halves[1].request));
    assert!(world.answer(amy.addr, one).is_none() && world.answer(bob.addr, two).is_none());
    assert_eq!(world.held.len(), 1, "the second waits for the first");
    world.release();
    let first = world.answer(amy.addr, one).expect("an answer");
    assert_eq!((first.code, first.payload), (Code::CREATED, waiting(&session, Initiator, &halves[0].request)));
    let second = world.answer(bob.addr, two).expect("an answer");
    assert_eq!(second.code, Code::CHANGED);
    let Sealed(b6) = sga_schema::decode(&second.payload).unwrap();
    let run = Run { run: 1, hop: [[0; 32]; 2], made: halves, answer: second.clone() };
    world.check_b6(&session, &run, Responder, b6);
}

#[test]
fn either_end_may_rekey() {
    let (mut world, mut amy, bob, session) = agreed();
    let one = world.close(&session, &amy, &bob, 1);
    let half = world.make(&session, &bob, Responder, 2);
    assert_eq!(world.post(bob.addr, "kex", &half.request).code, Code::CREATED);
    refused(&mut world, &session, Responder, &one.made[1].request, 2);
    let other = world.make(&session, &amy, Initiator, 2);
    let answer = world.post(amy.addr, "kex", &other.request);
    assert_eq!(answer.code, Code::CHANGED);
    let run = Run { run: 2, hop: [[0; 32]; 2], made: [other, half], answer };
    let Sealed(b6) = sga_schema::decode(&run.answer.payload).unwrap();
    world.check_b6(&session, &run, Initiator, b6);
    // A run above the one that is half open takes its place.
    let third = world.make(&session, &amy, Initiator, 3);
    assert_eq!(world.post(amy.addr, "kex", &third.request).code, Code::CREATED);
    world.close(&session, &amy, &bob, 7);
    let late = world.make(&session, &bob, Responder, 3);
    refused(&mut world, &session, Responder, &late.request, 7);
    assert!(world.take(&mut amy).iter().any(|item| item.kind == kind::KEY));
}

#[test]
fn a_restart_between_the_halves_is_not_noticed() {
    for world in [World::compact(), World::classic()] {
        let (mut world, mut amy, bob, session) = agreed_in(world);
        let first = world.make(&session, &amy, Initiator, 1);
        assert_eq!(world.post(amy.addr, "kex", &first.request).code, Code::CREATED);
        world.restart();
        let run = world.close_second(&session, first, &bob, 1);
        world.restart();
        let [z_i, z_j] = both_z(&mut world, &session, &run, &mut amy);
        assert_eq!(z_i, z_j);
    }
}

#[test]
fn a_run_that_is_not_closed_within_an_hour_is_over() {
    let (mut world, amy, bob, session) = agreed();
    let first = world.make(&session, &amy, Initiator, 1);
    world.post(amy.addr, "kex", &first.request);
    world.now += std::time::Duration::from_secs(3_700);
    let late = world.make(&session, &bob, Responder, 1);
    refused(&mut world, &session, Responder, &late.request, 1);
    refused(&mut world, &session, Initiator, &first.request, 1);
    world.close(&session, &amy, &bob, 2);
}

#[test]
fn a_half_of_another_session_of_the_pair_is_refused() {
    let (mut world, mut amy, mut bob, old) = agreed();
    let new = world.agree(&mut amy, &mut bob);
    let made = world.make(&old, &amy, Initiator, 1);
    let mut half: Half<'_> = sga_schema::decode(&made.request).unwrap();
    half.handle = new.handle(Initiator);
    world.refused(amy.addr, "kex", &encoded(&half), Code::UNAUTHORIZED);
    let run = world.close(&new, &amy, &bob, 1);
    assert_ne!(Secret::new(run.hop[0]), Secret::new(run.hop[1]));
}
