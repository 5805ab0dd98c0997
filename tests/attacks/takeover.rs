//! Repair 9: another's identity. (Paper 4.1, 5.1: "legitimate users".)
//!
//! In print a registration is three parts that nothing ties together, and whoever registers a name has it. The attacker wants to be
//! amy: by registering her name with another key, by an old registration of hers, by parts of two registrations, by a proof that
//! was made for something else. In all cases amy goes on as she was.

use std::collections::HashMap;

use sga_coap::Code;
use sga_gateway_core::{Enrolment, Settings};
use sga_schema::{Profile, Proof, Register, RegisterSecret, SealedId, Suite, SuiteSet};

use crate::support::by_hand::{Dev, World, aead, encoded, id, seal};
use crate::support::{attacker, is_refused, script};

const SECRET: &[u8] = b"sixteen bytes at least";
const OTHER_SECRET: &[u8] = b"the other device's secret";

fn policies() -> Vec<Enrolment> {
    let list = HashMap::from([(id("amy"), SECRET.to_vec()), (id("mallory"), OTHER_SECRET.to_vec())]);
    vec![Enrolment::Open, Enrolment::Token(SECRET.to_vec()), Enrolment::List(list)]
}

/// amy, registered under this policy.
fn with(enrolment: Enrolment) -> (World, Dev) {
    let settings = Settings { enrolment, ..Settings::new(id("gate"), Profile::Compact) };
    let mut world = World::with(settings);
    let mut amy = Dev::new("amy", 1);
    let proof = world.enrol_proof(SECRET, &amy);
    world.register_with(&mut amy, proof, Code::CREATED);
    world.attach(&mut amy);
    (world, amy)
}

/// amy still is who she was: her attach is taken, and she is known by her key.
fn amy_is_amy(world: &mut World, amy: &mut Dev) {
    world.attach(amy);
    world.register_with(amy, Proof::None, Code::CHANGED);
    world.attach(amy);
}

#[test]
fn a_taken_name_is_not_given_to_another_key() {
    for enrolment in policies() {
        let (mut world, mut amy) = with(enrolment);
        for (number, suite) in Suite::ALL.into_iter().enumerate() {
            let thief = Dev { key: [70 + number as u8; 32], suite, suites: SuiteSet::ALL, ..amy.clone() };
            let wrong_old = Dev { key: [60; 32], ..amy.clone() };
            let proofs = [
                Proof::None,
                world.enrol_proof(SECRET, &thief),
                world.enrol_proof(OTHER_SECRET, &thief),
                // As if the old key were known; a proof of the old key for another new one; the two kinds exchanged.
                world.rotation_proof(&wrong_old, &thief),
                world.rotation_proof(&amy, &Dev { key: [59; 32], ..thief.clone() }),
                as_rotation(world.enrol_proof(SECRET, &thief)),
            ];
            for proof in proofs {
                let request = world.register_bytes(&thief, proof);
                for _ in 0..2 {
                    let answer = world.unchanged_any(|world| world.post(attacker(), "register", &request));
                    assert!(matches!(answer.code, Code::CONFLICT | Code::UNAUTHORIZED), "{proof:?}: {answer:?}");
                }
            }
        }
        amy_is_amy(&mut world, &mut amy);
        world.restart();
        amy_is_amy(&mut world, &mut amy);
        // Who has the old key may replace it.
        let mut new = Dev { key: [99; 32], ..amy.clone() };
        let proof = world.rotation_proof(&amy, &new);
        world.register_with(&mut new, proof, Code::CHANGED);
        world.attach(&mut new);
    }
}

fn as_rotation(proof: Proof) -> Proof {
    match proof {
        Proof::Enrolment(bytes) => Proof::Rotation(bytes),
        other => other,
    }
}

/// Old registrations: of a key that was replaced, under its name and under others, for ever.
#[test]
fn a_retired_key_never_comes_back() {
    for enrolment in policies() {
        let (mut world, amy) = with(enrolment);
        let mut keys = vec![amy.clone()];
        let mut recorded = vec![(world.register_bytes(&amy, Proof::None), amy.clone())];
        for number in 100..103 {
            let old = keys.last().expect("not empty").clone();
            let mut new = Dev { key: [number; 32], ..old.clone() };
            let proof = world.rotation_proof(&old, &new);
            let request = world.register_bytes(&new, proof);
            assert_eq!(world.post(new.addr, "register", &request).code, Code::CHANGED);
            recorded.push((request, new.clone()));
            world.register_with(&mut new, Proof::None, Code::CHANGED);
            world.attach(&mut new);
            keys.push(new);
        }
        let mut newest = keys.pop().expect("not empty");
        for restarted in [false, true] {
            if restarted {
                world.restart();
            }
            for (request, made) in recorded.iter().filter(|(_, made)| made.key != newest.key) {
                let answer = world.unchanged_any(|world| world.post(attacker(), "register", request));
                assert!(matches!(answer.code, Code::CONFLICT | Code::UNAUTHORIZED), "{answer:?} to {}", made.key[0]);
            }
            for old in &keys {
                // With all that whoever has the old key can prove.
                for name in ["amy", "mallory", "somebody"] {
                    let thief = Dev { id: id(name), ..old.clone() };
                    let proofs = [
                        world.rotation_proof(old, &thief),
                        world.enrol_proof(if name == "mallory" { OTHER_SECRET } else { SECRET }, &thief),
                        Proof::None,
                    ];
                    for proof in proofs {
                        let request = world.register_bytes(&thief, proof);
                        let answer = world.unchanged_any(|world| world.post(attacker(), "register", &request));
                        assert!(matches!(answer.code, Code::CONFLICT | Code::UNAUTHORIZED), "{name}: {answer:?}");
                    }
                }
            }
        }
        amy_is_amy(&mut world, &mut newest);
    }
}

/// A of one registration with B of another: of other devices, of other keys of one device, and of two registrations of one key.
#[test]
fn a_registration_spliced_of_two_is_refused() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut world = script::gateway(profile);
        let mut amy = world.device("amy", 1);
        let devs = [amy.clone(), amy.clone(), Dev::new("mallory", 2), Dev { key: [9; 32], ..amy.clone() }];
        let made = devs.each_ref().map(|dev| world.register_bytes(dev, Proof::None));
        for (at, one) in made.iter().enumerate() {
            for other in made.iter().enumerate().filter(|(with, _)| *with != at).map(|(_, other)| other) {
                let one: Register<'_> = sga_schema::decode(one).unwrap();
                let other: Register<'_> = sga_schema::decode(other).unwrap();
                let spliced = encoded(&Register { sealed_key: one.sealed_key, sealed_id: other.sealed_id });
                world.refused(attacker(), "register", &spliced, Code::UNAUTHORIZED);
            }
        }
        amy_is_amy(&mut world, &mut amy);
    }
}

/// B is sealed under the k_d in A and bound to A: who does not know k_d puts no other name to it.
#[test]
fn nobody_puts_a_name_to_the_key_of_another() {
    let mut world = script::gateway(Profile::Compact);
    let mut amy = world.device("amy", 1);
    let fresh = Dev::new("zoe", 3);
    let recorded = world.register_bytes(&fresh, Proof::None);
    let parts: Register<'_> = sga_schema::decode(&recorded).unwrap();
    let a_hash = sga_crypto::sha256(parts.sealed_key);
    for key in [amy.key, [0; 32], [1; 32]] {
        let seal_key = sga_crypto::steps::register_id(aead(fresh.suite), &sga_crypto::Secret::new(key), &a_hash);
        let b = seal(seal_key, &SealedId(id("mallory")));
        let forged = encoded(&Register { sealed_id: &b, ..parts });
        world.refused(attacker(), "register", &forged, Code::UNAUTHORIZED);
    }
    assert_eq!(world.post(fresh.addr, "register", &recorded).code, Code::CREATED);
    amy_is_amy(&mut world, &mut amy);
}

/// Made for another package: of another gateway, or of this one before its policy or its suites changed.
#[test]
fn a_registration_for_another_package_is_refused() {
    let (mut world, mut amy) = with(Enrolment::Token(SECRET.to_vec()));
    let zoe = Dev::new("zoe", 3);
    let other = World::with(Settings::new(id("gate"), Profile::Compact)).package();
    for hash in [sga_crypto::sha256(&other), [0; 32]] {
        let (x, set) = (zoe.suite.id(), zoe.suites.bits());
        let key = zoe.key();
        let proof = Proof::Enrolment(sga_crypto::steps::enrol_proof(SECRET, &hash, &key, x, set, zoe.id.as_bytes()));
        // The whole of it; and only the proof, recorded elsewhere.
        let whole = world.register_under(hash, &zoe, proof);
        let proof_only = world.register_bytes(&zoe, proof);
        for request in [whole, proof_only] {
            world.refused(attacker(), "register", &request, Code::UNAUTHORIZED);
        }
    }
    amy_is_amy(&mut world, &mut amy);
}

/// What the proof is over: k_d, x, CidSet and the id, each changed by whoever can make the rest.
#[test]
fn a_proof_is_for_one_registration_only() {
    let mut world = World::with(Settings {
        enrolment: Enrolment::Token(SECRET.to_vec()),
        ..Settings::new(id("gate"), Profile::Compact)
    });
    let zoe = Dev::new("zoe", 3);
    let proof = world.enrol_proof(SECRET, &zoe);
    let other_suite = Suite::ALL.into_iter().find(|suite| *suite != zoe.suite).expect("four");
    let bent = [
        Dev { key: [4; 32], ..zoe.clone() },
        Dev { suite: other_suite, ..zoe.clone() },
        Dev { suites: SuiteSet::of(&[zoe.suite]), ..zoe.clone() },
        Dev { id: id("mallory"), ..zoe.clone() },
    ];
    for dev in bent {
        let request = world.register_bytes(&dev, proof);
        world.refused(attacker(), "register", &request, Code::UNAUTHORIZED);
    }
    let request = world.register_bytes(&zoe, proof);
    assert_eq!(world.post(zoe.addr, "register", &request).code, Code::CREATED);
}

/// Without the gateway's PR nobody opens a recorded A, so nobody can enclose a proof that it has seen: it has seen none.
#[test]
fn the_proof_of_a_registration_is_not_on_the_air() {
    let mut world = World::with(Settings {
        enrolment: Enrolment::Token(SECRET.to_vec()),
        ..Settings::new(id("gate"), Profile::Compact)
    });
    let zoe = Dev::new("zoe", 3);
    let proof = world.enrol_proof(SECRET, &zoe);
    let request = world.register_bytes(&zoe, proof);
    let Proof::Enrolment(bytes) = proof else { unreachable!("of that kind") };
    for secret in [&bytes[..], &zoe.key, SECRET, zoe.id.as_bytes()] {
        assert!(!request.windows(secret.len()).any(|window| window == secret));
    }
    let inside = encoded(&RegisterSecret { registered_key: zoe.key, suite: zoe.suite, suites: zoe.suites, proof });
    assert!(inside.windows(16).any(|window| window == bytes), "it is inside");
    let answer = world.unchanged_any(|world| world.post(attacker(), "register", &inside));
    assert!(is_refused(answer.code));
}
