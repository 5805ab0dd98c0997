//! Registration (`docs/protocol.md` §3): who gets in, who does not, and that a refusal leaves no trace.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use std::collections::HashMap;

use sga_coap::{Code, Request};
use sga_gateway_core::{Enrolment, Key, Settings};
use sga_schema::{Profile, Proof, Register, Suite, SuiteSet};
use support::{Dev, World, addr, encoded, id};

const SECRET: &[u8] = b"sixteen bytes at least";

fn with(enrolment: Enrolment) -> World {
    World::with(Settings { enrolment, ..Settings::new(id("gate"), Profile::Compact) })
}

fn refused(world: &mut World, dev: &Dev, proof: Proof, code: Code) {
    let request = world.register_bytes(dev, proof);
    world.refused(dev.addr, "register", &request, code);
}

#[test]
fn the_package_is_what_the_settings_say() {
    for mut world in [World::compact(), World::classic(), with(Enrolment::Token(SECRET.to_vec()))] {
        let answer = world.unchanged(Code::CONTENT, |w| w.request(addr(9), Request::new(Code::GET, ["register"])));
        assert_eq!(answer.payload, world.package());
        assert_eq!(answer.content_format, Some(60));
    }
}

#[test]
fn under_open_anyone_registers_a_free_name() {
    for mut world in [World::compact(), World::classic()] {
        let mut amy = Dev::new("amy", 1);
        let request = world.register_bytes(&amy, Proof::None);
        let answer = world.post(amy.addr, "register", &request);
        assert_eq!(answer.code, Code::CREATED);
        let grant = world.grant(&amy, &request, &answer);
        assert_eq!((grant.attach_number, grant.request_number, grant.generation), (0, 0, [9; 4]));
        amy.ticket = grant.ticket;
        assert!(world.attach(&mut amy).is_empty());
    }
}

#[test]
fn under_token_only_a_right_proof_registers() {
    let mut world = with(Enrolment::Token(SECRET.to_vec()));
    let mut amy = Dev::new("amy", 1);
    refused(&mut world, &amy, Proof::None, Code::UNAUTHORIZED);
    let wrong = world.enrol_proof(b"another secret of that length", &amy);
    refused(&mut world, &amy, wrong, Code::UNAUTHORIZED);
    let of_other = world.enrol_proof(SECRET, &Dev::new("bob", 1));
    refused(&mut world, &amy, of_other, Code::UNAUTHORIZED);
    let Proof::Enrolment(bytes) = world.enrol_proof(SECRET, &amy) else { unreachable!() };
    refused(&mut world, &amy, Proof::Rotation(bytes), Code::UNAUTHORIZED);
    world.register_with(&mut amy, Proof::Enrolment(bytes), Code::CREATED);
    world.attach(&mut amy);
    // Who is registered needs no proof to hear its numbers again.
    world.register_with(&mut amy, Proof::None, Code::CHANGED);
}

#[test]
fn under_list_only_listed_ids_with_their_own_secret_register() {
    let mut world = with(Enrolment::List(HashMap::from([
        (id("amy"), SECRET.to_vec()),
        (id("bob"), b"the other device's secret".to_vec()),
    ])));
    let mut amy = Dev::new("amy", 1);
    let eve = Dev::new("eve", 2);
    let proof = world.enrol_proof(SECRET, &eve);
    refused(&mut world, &eve, proof, Code::UNAUTHORIZED);
    refused(&mut world, &amy, Proof::None, Code::UNAUTHORIZED);
    let proof = world.enrol_proof(b"the other device's secret", &amy);
    refused(&mut world, &amy, proof, Code::UNAUTHORIZED);
    let proof = world.enrol_proof(SECRET, &amy);
    world.register_with(&mut amy, proof, Code::CREATED);
}

#[test]
fn the_same_again_gives_the_numbers_and_changes_nothing() {
    let mut world = World::compact();
    let mut amy = world.device("amy", 1);
    world.device("bob", 2);
    world.invite(&mut amy, id("bob"));
    let request = world.register_bytes(&amy, Proof::None);
    let answer = world.refused(amy.addr, "register", &request, Code::CHANGED);
    let grant = world.grant(&amy, &request, &answer);
    assert_eq!((grant.attach_number, grant.request_number), (1, 1));
}

#[test]
fn another_suite_or_set_needs_another_key() {
    let mut world = World::compact();
    let mut amy = world.device("amy", 1);
    let other_set = Dev { suites: SuiteSet::of(&[amy.suite]), ..amy.clone() };
    refused(&mut world, &other_set, Proof::None, Code::CONFLICT);
    let other_suite = Dev { suite: Suite::ALL[3], ..amy.clone() };
    refused(&mut world, &other_suite, Proof::None, Code::CONFLICT);
    world.attach(&mut amy);
}

#[test]
fn a_taken_name_is_disclosed_under_open_only() {
    let mut world = World::compact();
    let mut amy = world.device("amy", 1);
    refused(&mut world, &Dev { key: [77; 32], ..amy.clone() }, Proof::None, Code::CONFLICT);
    world.attach(&mut amy);

    let mut world = with(Enrolment::Token(SECRET.to_vec()));
    let mut amy = Dev::new("amy", 1);
    let proof = world.enrol_proof(SECRET, &amy);
    world.register_with(&mut amy, proof, Code::CREATED);
    let thief = Dev { key: [77; 32], ..amy.clone() };
    refused(&mut world, &thief, Proof::None, Code::UNAUTHORIZED);
    let proof = world.enrol_proof(SECRET, &thief);
    refused(&mut world, &thief, proof, Code::CONFLICT);
    world.attach(&mut amy);
}

#[test]
fn a_rotation_under_the_old_key_replaces_it_for_good() {
    let mut world = World::compact();
    let mut old = world.device("amy", 1);
    let mut new = Dev { key: [77; 32], suite: Suite::ALL[2], ..old.clone() };
    let wrong = world.rotation_proof(&Dev { key: [3; 32], ..old.clone() }, &new);
    refused(&mut world, &new, wrong, Code::CONFLICT);

    let proof = world.rotation_proof(&old, &new);
    world.register_with(&mut new, proof, Code::CHANGED);
    // The old key opens nothing, whoever has it.
    old.attach_number += 1;
    let request = world.attach_bytes(&old);
    world.unchanged(Code::UNAUTHORIZED, |w| w.fetch(old.addr, &request));
    old.request_number += 1;
    let a1 = world.a1(&old, id("bob"), old.suite, [1; 16]);
    let request = world.negotiate_bytes(&sga_schema::NegotiateSecret::Invite(a1));
    world.refused(old.addr, "negotiate", &request, Code::UNAUTHORIZED);
    assert!(world.attach(&mut new).is_empty(), "the new key does");

    // Nor does it come back, under this name or another.
    let proof = world.rotation_proof(&new, &old);
    refused(&mut world, &old, proof, Code::UNAUTHORIZED);
    refused(&mut world, &Dev { id: id("zoe"), ..old.clone() }, Proof::None, Code::UNAUTHORIZED);
}

#[test]
fn a_rotation_keeps_numbers_and_mailbox() {
    let mut world = World::compact();
    let mut amy = world.device("amy", 1);
    let mut bob = world.device("bob", 2);
    world.invite(&mut bob, amy.id);
    let mut new = Dev { key: [77; 32], ..amy.clone() };
    let request = {
        let proof = world.rotation_proof(&amy, &new);
        world.register_bytes(&new, proof)
    };
    let answer = world.post(new.addr, "register", &request);
    assert_eq!(answer.code, Code::CHANGED);
    let grant = world.grant(&new, &request, &answer);
    assert_eq!(grant.attach_number, amy.attach_number);
    new.ticket = grant.ticket;
    assert_eq!(world.attach(&mut new).len(), 1);
    let ack = world.ack_bytes(&mut amy, 1);
    world.refused(amy.addr, "msg", &ack, Code::UNAUTHORIZED);
}

#[test]
fn old_registrations_replayed_change_nothing() {
    let mut world = World::compact();
    let mut old = Dev::new("amy", 1);
    let first = world.register_bytes(&old, Proof::None);
    assert_eq!(world.post(old.addr, "register", &first).code, Code::CREATED);
    let again = world.refused(addr(66), "register", &first, Code::CHANGED);
    old.ticket = world.grant(&old, &first, &again).ticket;

    let mut new = Dev { key: [77; 32], ..old.clone() };
    let proof = world.rotation_proof(&old, &new);
    let rotation = world.register_bytes(&new, proof);
    assert_eq!(world.post(new.addr, "register", &rotation).code, Code::CHANGED);
    world.refused(addr(66), "register", &first, Code::CONFLICT);
    world.refused(addr(66), "register", &rotation, Code::CHANGED);

    let newest = Dev { key: [78; 32], ..new.clone() };
    let proof = world.rotation_proof(&new, &newest);
    let request = world.register_bytes(&newest, proof);
    assert_eq!(world.post(new.addr, "register", &request).code, Code::CHANGED);
    world.refused(addr(66), "register", &rotation, Code::CONFLICT);
    world.restart();
    world.refused(addr(66), "register", &rotation, Code::CONFLICT);
    new = newest;
    world.register_with(&mut new, Proof::None, Code::CHANGED);
    world.attach(&mut new);
}

#[test]
fn without_a_common_suite_there_is_no_registration() {
    let suites = SuiteSet::of(&[Suite::ALL[0], Suite::ALL[1]]);
    let mut world = World::with(Settings { suites, ..Settings::new(id("gate"), Profile::Compact) });
    let amy = Dev::new("amy", 1);
    let code = Code::UNPROCESSABLE_ENTITY;
    let disjoint = Dev { suite: Suite::ALL[2], suites: SuiteSet::of(&[Suite::ALL[2]]), ..amy.clone() };
    refused(&mut world, &disjoint, Proof::None, code);
    refused(&mut world, &Dev { suite: Suite::ALL[3], ..amy.clone() }, Proof::None, code);
    world.device("amy", 1);
}

#[test]
fn a_registration_spliced_from_two_does_not_open() {
    let mut world = World::compact();
    let mut amy = world.device("amy", 1);
    let eve = Dev::new("eve", 2);
    let (one, other) = (world.register_bytes(&amy, Proof::None), world.register_bytes(&eve, Proof::None));
    let one: Register<'_> = sga_schema::decode(&one).unwrap();
    let other: Register<'_> = sga_schema::decode(&other).unwrap();
    for (a, b) in [(one, other), (other, one)] {
        let spliced = encoded(&Register { sealed_key: a.sealed_key, sealed_id: b.sealed_id });
        world.refused(eve.addr, "register", &spliced, Code::UNAUTHORIZED);
    }
    // The same key in two registrations: B belongs to its A only.
    let again = world.register_bytes(&amy, Proof::None);
    let again: Register<'_> = sga_schema::decode(&again).unwrap();
    let spliced = encoded(&Register { sealed_key: again.sealed_key, sealed_id: one.sealed_id });
    world.refused(eve.addr, "register", &spliced, Code::UNAUTHORIZED);
    world.attach(&mut amy);
}

#[test]
fn a_registration_for_another_package_does_not_open() {
    let mut world = World::compact();
    let amy = Dev::new("amy", 1);
    let request = world.register_under([1; 32], &amy, Proof::None);
    world.refused(amy.addr, "register", &request, Code::UNAUTHORIZED);
    world.device("amy", 1);
}

#[test]
fn every_flipped_bit_of_a_registration_is_refused() {
    let mut world = World::compact();
    let amy = Dev::new("amy", 1);
    let request = world.register_bytes(&amy, Proof::None);
    for at in 0..request.len() {
        let mut forged = request.clone();
        forged[at] ^= 1 << (at % 8);
        let answer = world.unchanged_any(|w| w.post(amy.addr, "register", &forged));
        assert!(matches!(answer.code, Code::BAD_REQUEST | Code::UNAUTHORIZED), "byte {at}: {answer:?}");
    }
    assert!(!world.store.contains_key(&Key::Name(amy.id).to_bytes()));
    assert_eq!(world.post(amy.addr, "register", &request).code, Code::CREATED);
}
