//! Truncated messages, and messages with one bit changed. (Paper 5.5: "adversaries cannot tamper with messages".)
//!
//! The attacker sits on the path. One message of each kind is cut at every length and bent in every bit before it is let through:
//! what is bent is refused and leaves no trace, and the whole message is taken then.

use sga_coap::Code;
use sga_schema::Profile;

use crate::support::bend::{flipped, flipped_once, truncated};
use crate::support::by_hand::World;
use crate::support::is_refused;
use crate::support::script::{self, Kind, Step};

/// The first message of each kind, and how it is bent.
fn each_first(profile: Profile, bend: impl Fn(&Step) -> Vec<Vec<u8>>, check: impl Fn(&Step, Code)) {
    let mut seen: Vec<Kind> = Vec::new();
    script::run(&mut script::gateway(profile), |world: &mut World, step: &Step| {
        if seen.contains(&step.kind) {
            return;
        }
        seen.push(step.kind);
        for forged in bend(step) {
            let answer = world.unchanged_any(|world| step.kind.send(world, step.dev.addr, &forged));
            check(step, answer.code);
        }
    });
    assert_eq!(seen.len(), Kind::ALL.len());
}

#[test]
fn every_truncated_message_is_malformed() {
    for profile in [Profile::Compact, Profile::Classic] {
        let check = |step: &Step, code| assert_eq!(code, Code::BAD_REQUEST, "{:?}", step.kind);
        each_first(profile, |step| truncated(&step.bytes).collect(), check);
    }
}

fn refused(step: &Step, code: Code) {
    assert!(is_refused(code), "{:?}: {code:?}", step.kind);
}

#[test]
fn every_flipped_bit_is_found_in_compact() {
    each_first(Profile::Compact, |step| flipped(&step.bytes).collect(), refused);
}

/// The messages are long there, and most bits stand in elements, of which one is as good as another: one bit of each byte.
#[test]
fn a_flipped_bit_in_any_byte_is_found_in_classic() {
    each_first(Profile::Classic, |step| flipped_once(&step.bytes).collect(), refused);
}

/// Inside the encryption to the gateway, which says nothing about the sender: A1 and A3 with one bit changed, encrypted anew.
#[test]
fn every_flipped_bit_inside_a1_and_a3_is_found() {
    let mut seen: Vec<Kind> = Vec::new();
    script::run(&mut script::gateway(Profile::Compact), |world, step| {
        let Some(inside) = step.inside.filter(|_| !seen.contains(&step.kind)) else { return };
        seen.push(step.kind);
        for plain in flipped(&crate::support::by_hand::encoded(&inside)) {
            let sealed = world.pk(sga_crypto::PkPurpose::Negotiate, &plain);
            let forged = crate::support::by_hand::sealed_bytes(&sealed);
            let answer = world.unchanged_any(|world| step.kind.send(world, step.dev.addr, &forged));
            refused(step, answer.code);
        }
    });
    assert_eq!(seen, [Kind::A1, Kind::A3]);
}
