//! Repairs 3, 5, 7 and 9: messages put together from parts of others. (Paper 5.1, 5.5.)
//!
//! The attacker has recorded everything and sends any mixture of it: of the same device's messages, of other devices', of other
//! sessions, legs, runs, suites and profiles. For A1 and A3 it is even supposed to know what is inside the encryption to the
//! gateway. Before each honest message of a whole run, every mixture of it with each earlier message of its kind is sent.

use std::collections::HashMap;

use sga_coap::Code;
use sga_schema::{Half, NegotiateSecret, Profile, Role, Sealed};

use crate::support::bend::{array, exchanged, fields, mixed, spliced};
use crate::support::by_hand::{World, encoded};
use crate::support::script::{self, Kind, Step};
use crate::support::{attacker, is_refused};

fn refuse(world: &mut World, step: &Step, forged: &[u8]) {
    let answer = world.unchanged_any(|world| step.kind.send(world, attacker(), forged));
    assert!(is_refused(answer.code), "{:?} of {}: {answer:02x?} to {forged:02x?}", step.kind, step.dev.id);
}

/// Mixtures of two messages of one kind, as bytes.
fn mixtures(step: &Step, older: &Step, element_len: usize) -> Vec<Vec<u8>> {
    match step.kind {
        // One bstr: enc ‖ ct.
        Kind::A1 | Kind::A3 => {
            let halves = |bytes| {
                let Sealed(sealed) = sga_schema::decode(bytes).unwrap();
                let (enc, ct) = sealed.split_at(element_len);
                vec![enc.to_vec(), ct.to_vec()]
            };
            let mixed = mixed(&halves(&step.bytes), &halves(&older.bytes));
            mixed.iter().map(|parts| encoded(&Sealed(&parts.concat()))).collect()
        }
        // A ticket only says whose message it is; any of the device's does.
        Kind::Attach | Kind::Ack if step.dev.id == older.dev.id => {
            let (own, mut other) = (fields(&step.bytes), fields(&older.bytes));
            other[0].clone_from(&own[0]);
            mixed(&own, &other).iter().map(|fields| array(fields)).collect()
        }
        _ => spliced(&step.bytes, &older.bytes),
    }
}

/// Mixtures of what is inside two A1s or two A3s.
fn inside(one: &NegotiateSecret, other: &NegotiateSecret) -> Vec<NegotiateSecret> {
    let all = exchanged(&encoded(one), &encoded(other));
    all.iter().filter_map(|bytes| sga_schema::decode(bytes).ok()).collect()
}

#[test]
fn no_part_of_a_message_fits_another() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut seen: Vec<Step> = Vec::new();
        let mut tried: HashMap<Kind, usize> = HashMap::new();
        let element_len = profile.element_len();
        script::run(&mut script::gateway(profile), |world, step| {
            for older in seen.iter().filter(|older| older.kind == step.kind) {
                for forged in mixtures(step, older, element_len) {
                    refuse(world, step, &forged);
                    *tried.entry(step.kind).or_default() += 1;
                }
                let (Some(one), Some(other)) = (&step.inside, &older.inside) else { continue };
                for secret in inside(one, other) {
                    let forged = world.negotiate_bytes(&secret);
                    refuse(world, step, &forged);
                    *tried.entry(step.kind).or_default() += 1;
                }
            }
            seen.push(step.clone());
        });
        for kind in Kind::ALL {
            assert!(tried.get(&kind).is_some_and(|tried| *tried >= 10), "{kind:?}: {tried:?}");
        }
    }
}

/// A message of one kind sent as another, whole or without its head: nothing that one step has sealed opens in another.
#[test]
fn no_message_is_one_of_another_kind() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut seen: Vec<Step> = Vec::new();
        script::run(&mut script::gateway(profile), |world, step| {
            let first = !seen.iter().any(|older| older.kind == step.kind);
            if first {
                for kind in Kind::ALL.into_iter().filter(|kind| *kind != step.kind) {
                    if kind.path() == step.kind.path() && (kind == Kind::Attach) == (step.kind == Kind::Attach) {
                        // It is told apart by what it is, not by where it is sent.
                        continue;
                    }
                    let answer = world.unchanged_any(|world| kind.send(world, attacker(), &step.bytes));
                    assert!(is_refused(answer.code), "{:?} as {kind:?}: {answer:?}", step.kind);
                }
                for older in &seen {
                    for forged in parts_moved(step, older) {
                        refuse(world, step, &forged);
                    }
                }
                seen.push(step.clone());
            }
        });
        assert_eq!(seen.len(), Kind::ALL.len());
    }
}

/// The last field of a message, which is sealed or a tag, in the place of another's that is a bstr too.
fn parts_moved(step: &Step, older: &Step) -> Vec<Vec<u8>> {
    if matches!(step.kind, Kind::A1 | Kind::A3) || matches!(older.kind, Kind::A1 | Kind::A3) {
        return if step.kind.path() == older.kind.path() { Vec::new() } else { vec![older.bytes.clone()] };
    }
    let (own, other) = (fields(&step.bytes), fields(&older.bytes));
    let bstr = |field: &Vec<u8>| field[0] >> 5 == 2;
    let mut all = Vec::new();
    for at in 0..own.len() {
        for sealed in other.iter().filter(|field| bstr(field) && bstr(&own[at]) && **field != own[at]) {
            let mut forged = own.clone();
            forged[at].clone_from(sealed);
            all.push(array(&forged));
        }
    }
    // A ticket of another device says that the message is that one's: it does not open either.
    all
}

/// What was made for a gateway of another profile, under the same names and keys.
#[test]
fn no_message_fits_another_profile() {
    let record = |profile| {
        let mut steps: Vec<Step> = Vec::new();
        script::run(&mut script::gateway(profile), |_, step| steps.push(step.clone()));
        steps
    };
    for (profile, other) in [(Profile::Compact, Profile::Classic), (Profile::Classic, Profile::Compact)] {
        let foreign = record(other);
        let mut at = 0;
        script::run(&mut script::gateway(profile), |world, step| {
            assert_eq!(step.kind, foreign[at].kind, "the same script");
            // k_d alone makes an attach and an Ack: they are of no profile.
            if !matches!(step.kind, Kind::Attach | Kind::Ack) {
                refuse(world, step, &foreign[at].bytes);
            }
            at += 1;
        });
        assert_eq!(at, foreign.len());
    }
}

/// Repair 5: a Half of one run is no Half of another, whatever its number in the clear says: the tag of N and the seal of N are over
/// the transcript.
#[test]
fn a_half_belongs_to_its_run_and_its_end() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut world = script::gateway(profile);
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        let session = world.agree(&mut amy, &mut bob);
        let run = world.close(&session, &amy, &bob, 1);
        for (made, role) in run.made.iter().zip([Role::Initiator, Role::Responder]) {
            let half: Half<'_> = sga_schema::decode(&made.request).unwrap();
            for number in [2, 3, 1_000] {
                for handle in [session.handle(role), session.handle(role.other())] {
                    let forged = encoded(&Half { handle, run: number, ..half });
                    world.refused(attacker(), "kex", &forged, Code::UNAUTHORIZED);
                }
            }
        }
        world.close(&session, &amy, &bob, 2);
    }
}
