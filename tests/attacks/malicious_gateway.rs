//! Repair 10: a gateway that does not keep to the protocol.
//!
//! The attacker is the gateway: it has PR, every k_d and every k_t, makes up what it likes, and wants to read texts. In print nothing
//! stops it from sitting in the middle of B5. Here two things do, for those who use them: a secret that two devices share out of band
//! goes into all keys; and both can compare a code. The first test is the control: without either it reads everything.

use proptest::prelude::*;
use sga_crypto::{Secret, steps};
use sga_device::{Accept, Device, Suite, SuiteSet};
use sga_schema::{MessageItem, Profile, kind};

use crate::support::ends::{End, Gateway, Middle, id, settle};

fn end(name: &str, seed: u8) -> End {
    let suite = Suite::AesCcm8;
    End::new(Device::new(id(name), Secret::new([seed; 32]), suite, SuiteSet::ALL, Accept::All).unwrap(), seed)
}

/// amy and bob at a gateway, each with its pair secret for the other, and a run between them as far as it goes.
fn connected(profile: Profile, in_the_middle: bool, secrets: [Option<u8>; 2]) -> (Gateway, End, End) {
    let mut gateway = Gateway::new(profile, 9);
    gateway.middle = in_the_middle.then(Middle::default);
    let (mut amy, mut bob) = (end("amy", 1), end("bob", 2));
    for (end, peer, secret) in [(&mut amy, "bob", secrets[0]), (&mut bob, "amy", secrets[1])] {
        end.device.register();
        if let Some(byte) = secret {
            end.device.set_pair_secret(id(peer), Some(Secret::new([byte; 32]))).unwrap();
        }
    }
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    amy.device.connect(id("bob"), None).unwrap();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    (gateway, amy, bob)
}

fn codes(amy: &End, bob: &End) -> [Option<[u8; 32]>; 2] {
    [(amy, "bob"), (bob, "amy")]
        .map(|(end, peer)| end.device.session(id(peer)).and_then(|session| session.comparison_code))
}

fn can_talk(amy: &End, bob: &End) -> [bool; 2] {
    [amy.device.can_send(id("bob")), bob.device.can_send(id("amy"))]
}

/// All ciphertexts that it was ever given, message 0 left out.
fn texts(gateway: &Gateway) -> usize {
    ["amy", "bob"]
        .iter()
        .flat_map(|name| gateway.bodies(id(name), kind::MESSAGE))
        .filter(|body| sga_schema::decode::<MessageItem<'_>>(body).unwrap().sequence > 0)
        .count()
}

#[test]
fn without_a_pair_secret_it_reads_and_only_the_codes_tell() {
    for profile in [Profile::Compact, Profile::Classic] {
        let (mut gateway, mut amy, mut bob) = connected(profile, true, [None, None]);
        assert_eq!(can_talk(&amy, &bob), [true, true], "neither end notices: {:?} {:?}", amy.log, bob.log);
        amy.send(id("bob"), b"the code of the door is 4711");
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert_eq!(bob.texts, [b"the code of the door is 4711"], "it arrives as if nothing were");
        assert_eq!(gateway.middle.as_ref().unwrap().read, [b"the code of the door is 4711"], "and was read");
        let [of_amy, of_bob] = codes(&amy, &bob);
        assert!(of_amy.is_some() && of_bob.is_some() && of_amy != of_bob, "this is what comparing shows");
    }
}

#[test]
fn an_honest_one_gives_both_ends_one_code() {
    for secrets in [[None, None], [Some(7), Some(7)]] {
        let (_, amy, bob) = connected(Profile::Compact, false, secrets);
        assert_eq!(can_talk(&amy, &bob), [true, true]);
        let [of_amy, of_bob] = codes(&amy, &bob);
        assert!(of_amy.is_some() && of_amy == of_bob);
    }
}

#[test]
fn with_a_pair_secret_it_reads_nothing_and_no_text_is_sealed() {
    for profile in [Profile::Compact, Profile::Classic] {
        let (gateway, mut amy, bob) = connected(profile, true, [Some(7), Some(7)]);
        assert_eq!(can_talk(&amy, &bob), [false, false]);
        let mut buf = [0; 100];
        assert!(amy.device.send(id("bob"), b"never sealed", &mut buf).is_err());
        assert_eq!((texts(&gateway), gateway.middle.as_ref().unwrap().read.len()), (0, 0));
        assert!(gateway.middle.as_ref().unwrap().unread > 0, "message 0 is not sealed under a root that it has");
        assert!(amy.device.counters().failed_openings > 0 || bob.device.counters().failed_openings > 0);
    }
}

/// One end with a secret never falls back to none, in the middle or not: presence and absence differ in type.
#[test]
fn a_secret_at_one_end_only_or_another_one_leads_to_no_text() {
    for secrets in [[Some(7), None], [None, Some(7)], [Some(7), Some(8)], [Some(0), None]] {
        for in_the_middle in [false, true] {
            let (gateway, amy, bob) = connected(Profile::Compact, in_the_middle, secrets);
            assert_ne!(can_talk(&amy, &bob), [true, true], "{secrets:?}");
            let paired = [secrets[0].is_some(), secrets[1].is_some()];
            for (can, paired) in can_talk(&amy, &bob).into_iter().zip(paired) {
                assert!(!(can && paired), "an end that has a secret seals nothing without: {secrets:?}");
            }
            assert_eq!(texts(&gateway), 0);
        }
    }
}

/// The pair secret leaks later: what was recorded of such a run stays shut, for no text was sealed in it. And of an honest run the
/// root does not follow from the pair secret and what a gateway has.
#[test]
fn a_pair_secret_that_leaks_later_opens_nothing_that_was_recorded() {
    let (gateway, ..) = connected(Profile::Compact, true, [Some(7), Some(7)]);
    assert_eq!(texts(&gateway), 0, "there is nothing to open");
    let (mut gateway, mut amy, mut bob) = connected(Profile::Compact, false, [Some(7), Some(7)]);
    amy.send(id("bob"), b"of an honest run");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    let opened = gateway.try_roots(Some(&Secret::new([7; 32])), 0);
    assert_eq!(opened, 0, "exponentiations of what it has do not give the element");
}

#[test]
fn what_it_withholds_doubles_and_makes_up_is_seen() {
    let (mut gateway, mut amy, mut bob) = connected(Profile::Compact, false, [None, None]);
    for text in ["one", "two", "three", "four"] {
        amy.send(id("bob"), text.as_bytes());
        // "stored", and dropped.
        settle(&mut gateway, &mut [&mut amy]);
        if text == "two" {
            gateway.items(id("bob")).retain(|item| item.1 != kind::MESSAGE);
        } else {
            settle(&mut gateway, &mut [&mut bob]);
        }
    }
    assert_eq!(bob.texts, [&b"one"[..], b"three", b"four"]);
    assert!(bob.has("Gap"), "the second is reported missing: {:?}", bob.log);
    // All messages once more, the other way round, and bent ones.
    let before = bob.texts.len();
    let bodies = gateway.bodies(id("bob"), kind::MESSAGE);
    for body in bodies.iter().rev() {
        gateway.append(id("bob"), kind::MESSAGE, body.clone());
        let mut bent = body.clone();
        *bent.last_mut().unwrap() ^= 1;
        gateway.append(id("bob"), kind::MESSAGE, bent);
    }
    settle(&mut gateway, &mut [&mut bob]);
    assert_eq!(bob.texts.len(), before, "nothing twice, nothing invented");
    amy.send(id("bob"), b"five");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(bob.texts.last().unwrap(), b"five");
}

/// A gateway that drops the last texts is not found out before the next one: that is what it can do.
#[test]
fn the_last_texts_it_drops_are_missed_only_with_the_next() {
    let (mut gateway, mut amy, mut bob) = connected(Profile::Compact, false, [None, None]);
    amy.send(id("bob"), b"dropped");
    settle(&mut gateway, &mut [&mut amy]);
    assert!(amy.has("Sent"), "it said that it had it");
    gateway.items(id("bob")).clear();
    settle(&mut gateway, &mut [&mut bob]);
    assert!(bob.texts.is_empty() && !bob.has("Gap"));
    amy.send(id("bob"), b"next");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(bob.has("Gap"));
}

proptest! {
    /// Codes are equal where roots are, and nowhere else.
    #[test]
    fn codes_are_as_equal_as_roots(a: [u8; 32], b: [u8; 32], at in 0usize..256) {
        let mut near = a;
        near[at / 8] ^= 1 << (at % 8);
        for (x, y) in [(a, b), (a, near), (a, a)] {
            let [cx, cy] = [x, y].map(|root| steps::comparison_code(&Secret::new(root)));
            prop_assert_eq!(x == y, cx == cy);
            prop_assert_eq!(x == y, steps::comparison_digits(&cx) == steps::comparison_digits(&cy));
        }
    }
}
