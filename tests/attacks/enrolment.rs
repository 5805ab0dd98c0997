//! Repair 9: getting in without having been let in. (Paper 4.1, 5.2: on-line guessing.)
//!
//! The attacker does not know the enrolment secret and tries. What a try costs is shown, what it teaches, and that it hurts nobody
//! else: there is no lock on a name.

use std::collections::{HashMap, HashSet};

use sga_coap::Code;
use sga_gateway_core::{Enrolment, Key, Settings};
use sga_schema::{Profile, Proof};

use crate::support::attacker;
use crate::support::by_hand::{Answer, Dev, World, addr, id};

const SECRET: &[u8] = b"sixteen bytes at least";

fn with(enrolment: Enrolment) -> World {
    World::with(Settings { enrolment, ..Settings::new(id("gate"), Profile::Compact) })
}

fn policies() -> [Enrolment; 2] {
    let names = ["amy", "bob", "zoe"];
    [
        Enrolment::Token(SECRET.to_vec()),
        Enrolment::List(names.iter().map(|name| (id(name), SECRET.to_vec())).collect::<HashMap<_, _>>()),
    ]
}

fn refused(world: &mut World, dev: &Dev, proof: Proof) -> Answer {
    let request = world.register_bytes(dev, proof);
    let answer = world.unchanged_any(|world| world.post(attacker(), "register", &request));
    assert_eq!(answer.code, Code::UNAUTHORIZED, "{proof:?}");
    answer
}

/// Guesses at the secret, at the proof, and for every name: one answer for all, byte for byte.
#[test]
fn guesses_are_refused_and_all_answers_are_alike() {
    for enrolment in policies() {
        let mut world = with(enrolment);
        let mut amy = Dev::new("amy", 1);
        let proof = world.enrol_proof(SECRET, &amy);
        world.register_with(&mut amy, proof, Code::CREATED);
        let mut answers = HashSet::new();
        for guess in 0..200_u32 {
            // amy is registered, bob and zoe may register, nobody else may.
            for name in ["amy", "bob", "nobody"] {
                let dev = Dev { key: world.random(), ..Dev::new(name, 77) };
                let secret = [&SECRET[..SECRET.len() - 4], &guess.to_be_bytes()].concat();
                let proof = match guess % 3 {
                    0 => world.enrol_proof(&secret, &dev),
                    1 => Proof::Enrolment(world.random()),
                    _ => Proof::None,
                };
                let answer = refused(&mut world, &dev, proof);
                answers.insert((answer.payload, answer.content_format, answer.max_age));
            }
        }
        assert_eq!(answers.len(), 1, "an answer says which names there are");
        // No name is locked, and no address: who knows the secret registers at once, from the very same one.
        let bob = Dev { addr: attacker(), ..Dev::new("bob", 2) };
        let proof = world.enrol_proof(SECRET, &bob);
        world.register_with(&mut bob.clone(), proof, Code::CREATED);
        world.attach(&mut amy);
    }
}

/// Only where anyone may register does an answer say that a name is taken.
#[test]
fn names_are_disclosed_under_open_only() {
    let mut world = with(Enrolment::Open);
    world.device("amy", 1);
    let request = world.register_bytes(&Dev { key: [7; 32], ..Dev::new("amy", 1) }, Proof::None);
    assert_eq!(world.post(attacker(), "register", &request).code, Code::CONFLICT);
    // Who knows the secret may know, too: it could have registered the name.
    for enrolment in policies() {
        let mut world = with(enrolment);
        let mut amy = Dev::new("amy", 1);
        let proof = world.enrol_proof(SECRET, &amy);
        world.register_with(&mut amy, proof, Code::CREATED);
        let thief = Dev { key: [7; 32], ..amy };
        let proof = world.enrol_proof(SECRET, &thief);
        let request = world.register_bytes(&thief, proof);
        assert_eq!(world.post(attacker(), "register", &request).code, Code::CONFLICT);
        refused(&mut world, &thief, Proof::None);
    }
}

/// What a try costs. From an address that does not answer Echo it costs the gateway a short answer; from one that does, one
/// exponentiation for the attacker's two, and the attacker waits for each answer. No try makes the next one easier: with a secret of
/// 128 bits and a thousand tries a second the chance is below 2^-90 in ten years.
#[test]
fn a_try_costs_the_attacker_more_than_the_gateway() {
    let mut world = with(Enrolment::Token(SECRET.to_vec()));
    let dev = Dev::new("mallory", 7);
    let guess = world.enrol_proof(b"a guess of that length", &dev);
    let request = world.register_bytes(&dev, guess);
    // Not verified: no work at all, whatever it sends.
    for port in 0..200 {
        let unheard = addr(20_000 + port);
        world.asleep.insert(unheard);
        world.send(unheard, sga_coap::Request::new(Code::POST, ["register"]).with_payload(60, &request[..]));
    }
    assert_eq!((world.jobs, world.transmits), (0, 200), "each is asked to show that it is there");
    // Verified: one answer for one try. The gateway keeps nothing of it.
    let transmits = world.transmits;
    for _ in 0..50 {
        refused(&mut world, &dev, guess);
    }
    assert_eq!(world.jobs, 50, "one for a try");
    assert_eq!(world.transmits - transmits, 51, "one datagram for a try, and one with Echo");
    assert!(world.gateway.is_idle());
    assert!(!world.store.contains_key(&Key::Name(dev.id).to_bytes()));
}

/// A secret of one device is none of another's, and one that is not listed has none.
#[test]
fn listed_devices_have_secrets_of_their_own() {
    let list = HashMap::from([(id("amy"), SECRET.to_vec()), (id("bob"), b"the other device's secret".to_vec())]);
    let mut world = with(Enrolment::List(list));
    for (name, secret) in [("bob", SECRET), ("mallory", SECRET), ("amy", b"the other device's secret")] {
        let dev = Dev::new(name, 5);
        let proof = world.enrol_proof(secret, &dev);
        refused(&mut world, &dev, proof);
        // Made under the right secret for another's name.
        let other = world.enrol_proof(SECRET, &Dev::new("amy", 5));
        if name != "amy" {
            refused(&mut world, &dev, other);
        }
    }
    let mut amy = Dev::new("amy", 5);
    let proof = world.enrol_proof(SECRET, &amy);
    world.register_with(&mut amy, proof, Code::CREATED);
}
