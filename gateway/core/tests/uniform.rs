//! A refusal tells nothing of what exists, and keeps nobody waiting. How long it takes is `sga-timing`'s to say.

mod support;

use std::net::SocketAddr;

use sga_coap::{Code, Request};
use sga_gateway_core::{Enrolment, Settings};
use sga_schema::{Attach, Half, Handle, MessagePost, NegotiateSecret, Profile, Proof, Role, Suite};
use support::{Dev, World, addr, encoded, id};

const SECRET: &[u8] = &[5; 16];

fn with_token() -> World {
    let mut settings = Settings::new(id("gate"), Profile::Compact);
    settings.enrolment = Enrolment::Token(SECRET.to_vec());
    World::with(settings)
}

/// One code and one text, whatever the cause.
#[test]
fn what_does_not_exist_is_refused_like_what_does_not_verify() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    world.close(&session, &amy, &bob, 1);
    let mut answers = Vec::new();
    for name in ["amy", "zoe"] {
        let mut a1 = world.a1(&amy, bob.id, Suite::ALL[0], [1; 16]);
        (a1.id_i, a1.tag) = (id(name), [9; 8]);
        let request = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
        answers.push(world.refused(addr(66), "negotiate", &request, Code::UNAUTHORIZED));
    }
    for ticket in [amy.ticket, [0xe5; 16]] {
        let attach = encoded(&Attach { ticket, nonce: [1; 8], sealed: &[2; 20] });
        answers.push(world.unchanged(Code::UNAUTHORIZED, |world| world.fetch(addr(66), &attach)));
    }
    for handle in [session.handle(Role::Initiator), Handle([0xee; 4]), Handle([0; 4])] {
        let half = encoded(&Half { handle, run: 2, body: &[3; 52], salt: None });
        answers.push(world.refused(addr(66), "kex", &half, Code::UNAUTHORIZED));
        for run in [1, 7] {
            let message = MessagePost { handle, run, sequence: 5, ciphertext: &[4; 24], hop_tag: [5; 8], salt: None };
            answers.push(world.refused(addr(66), "msg", &encoded(&message), Code::UNAUTHORIZED));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

/// Who has proven nothing does not learn that a name is taken, nor that it was revoked.
#[test]
fn names_are_told_to_nobody_without_a_proof() {
    let mut world = with_token();
    let mut amy = Dev::new("amy", 1);
    let proof = world.enrol_proof(SECRET, &amy);
    world.register_with(&mut amy, proof, Code::CREATED);
    let mut answers = Vec::new();
    for revoked in [false, true] {
        world.gateway.set_revoked(world.now, if revoked { [amy.id].into() } else { [].into() });
        for name in ["amy", "zoe"] {
            let stranger = Dev::new(name, 9);
            for proof in [Proof::None, Proof::Enrolment([1; 16]), Proof::Rotation([1; 16])] {
                let request = world.register_bytes(&stranger, proof);
                answers.push(world.refused(addr(66), "register", &request, Code::UNAUTHORIZED));
            }
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let request = world.register_bytes(&amy, Proof::None);
    world.refused(amy.addr, "register", &request, Code::FORBIDDEN);
}

/// A Half that does not open does not queue behind those of the session, where it could take their places.
#[test]
fn forged_halves_keep_no_place_in_a_sessions_queue() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    world.holding = true;
    let first = world.make(&session, &amy, Role::Initiator, 1);
    let post = |payload: &[u8]| Request::new(Code::POST, ["kex"]).with_payload(60, payload);
    let waiting = world.send(amy.addr, post(&first.request));
    assert_eq!(world.answer(amy.addr, waiting), None, "its commit is in work, and with it the session");
    let forged = encoded(&Half { handle: session.handle(Role::Responder), run: 1, body: &[3; 52], salt: None });
    for n in 0..40 {
        let from = SocketAddr::from(([10, 1, 1, n], 1));
        let sent = world.send(from, post(&forged));
        let answer = world.answer(from, sent).expect("an answer at once");
        assert_eq!(answer.code, Code::UNAUTHORIZED);
    }
    let second = world.make(&session, &bob, Role::Responder, 1);
    let queued = world.send(bob.addr, post(&second.request));
    assert_eq!(world.answer(bob.addr, queued), None, "there is a place for the other end");
    world.release();
    assert_eq!(world.answer(amy.addr, waiting).map(|answer| answer.code), Some(Code::CREATED));
    assert_eq!(world.answer(bob.addr, queued).map(|answer| answer.code), Some(Code::CHANGED));
}
