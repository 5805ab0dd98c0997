//! Sessions that the gateway's store no longer has: what counts as evidence, and what does not. And state of version 1.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sga_crypto::Secret;
use sga_device::{Accept, Device, DeviceError, Phase, RequestKind, Role, SnapshotError, Suite, SuiteSet};
use sga_schema::{MessagePost, Profile};
use support::{End, Gateway, id, settle};

fn established() -> (Gateway, End, End) {
    let new = |name: &str, seed: u8| {
        let key = Secret::new([seed; 32]);
        End::new(Device::new(id(name), key, Suite::AesCcm8, SuiteSet::ALL, Accept::All).unwrap(), seed)
    };
    let (mut gateway, mut amy, mut bob) = (Gateway::new(Profile::Compact, 9), new("amy", 1), new("bob", 2));
    amy.device.register();
    bob.device.register();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    amy.device.connect(id("bob"), None).unwrap();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(amy.device.can_send(id("bob")) && bob.device.can_send(id("amy")));
    (gateway, amy, bob)
}

/// Answers all requests of this kind with a bare code, all others as they should be, until nothing of that kind is due.
fn refuse(gateway: &mut Gateway, end: &mut End, kind: RequestKind, code: u8) -> usize {
    let mut refused = 0;
    while let Some((out, payload)) = end.poll() {
        if out.kind == kind {
            refused += 1;
            assert!(refused < 20, "it never ends");
            let _ = end.respond((code, Vec::new()));
        } else {
            let reply = gateway.handle(out.kind, &payload);
            let _ = end.respond(reply);
        }
    }
    refused
}

fn has_session(end: &End) -> bool {
    end.device.session(id("bob")).is_some_and(|session| session.role.is_some())
}

#[test]
fn bare_codes_alone_end_no_session() {
    for code in [0x81, 0x80, 0x83, 0x84, 0x89, 0xa0] {
        let (mut gateway, mut amy, _bob) = established();
        amy.send(id("bob"), b"text");
        refuse(&mut gateway, &mut amy, RequestKind::Message, code);
        amy.device.connect(id("bob"), None).unwrap();
        amy.device.abandon(id("bob"));
        refuse(&mut gateway, &mut amy, RequestKind::Half, code);
        assert!(has_session(&amy) && !amy.has("SessionGone"), "{code:x}: {:?}", amy.log);
    }
}

#[test]
fn a_new_generation_alone_ends_no_session() {
    let (mut gateway, mut amy, mut bob) = established();
    gateway.generation = [2; 4];
    amy.device.attach(true);
    bob.device.attach(true);
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(amy.has("generation_changed: true"));
    amy.send(id("bob"), b"it goes on");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(bob.texts, [b"it goes on".to_vec()]);
    assert!(!amy.has("SessionGone") && !bob.has("SessionGone"));
}

#[test]
fn a_new_generation_and_4_01_end_it_and_nothing_else_does() {
    for kind in [RequestKind::Message, RequestKind::Half] {
        for (code, gone) in [(0x81, true), (0x80, false), (0x89, false), (0x96, false), (0xa0, false)] {
            let (mut gateway, mut amy, _bob) = established();
            gateway.generation = [2; 4];
            amy.device.attach(true);
            if kind == RequestKind::Message {
                amy.send(id("bob"), b"text");
            } else {
                amy.device.rekey(id("bob")).unwrap();
            }
            let refused = refuse(&mut gateway, &mut amy, kind, code);
            let what = format!("{kind:?} {code:x}: {:?}", amy.log);
            assert_eq!((has_session(&amy), amy.has("SessionGone")), (!gone, gone), "{what}");
            assert_eq!(amy.has("TextLost"), gone && kind == RequestKind::Message, "{what}");
            if gone {
                // As often as anything is tried, and with attaches in between.
                assert_eq!(refused, 3, "{what}");
                assert_eq!(amy.device.in_flight_text(id("bob")), None);
                let mut buf = [0; 80];
                assert_eq!(amy.device.send(id("bob"), b"x", &mut buf), Err(DeviceError::NotReady), "invited again");
                // Stored.
                amy.crash();
                assert!(!has_session(&amy));
            }
        }
    }
}

/// What the gateway has shown under its new generation is not undone by codes that anyone can send.
#[test]
fn a_session_shown_under_the_new_generation_stays() {
    for shown_by in [RequestKind::Message, RequestKind::Half] {
        for kind in [RequestKind::Message, RequestKind::Half] {
            let (mut gateway, mut amy, mut bob) = established();
            gateway.generation = [2; 4];
            amy.device.attach(true);
            bob.device.attach(true);
            if shown_by == RequestKind::Message {
                amy.send(id("bob"), b"text");
            } else {
                amy.device.rekey(id("bob")).unwrap();
            }
            settle(&mut gateway, &mut [&mut amy, &mut bob]);
            amy.crash();
            if kind == RequestKind::Message {
                amy.send(id("bob"), b"text");
            } else {
                amy.device.rekey(id("bob")).unwrap();
            }
            refuse(&mut gateway, &mut amy, kind, 0x81);
            assert!(has_session(&amy) && !amy.has("SessionGone"), "{shown_by:?} {kind:?}");
        }
    }
}

#[test]
fn a_session_that_is_gone_leaves_what_opens_what_was_sent() {
    let (mut gateway, mut amy, mut bob) = established();
    bob.send(id("amy"), b"on its way");
    settle(&mut gateway, &mut [&mut bob]);
    let items = gateway.items(id("amy")).clone();
    gateway.items(id("amy")).clear();
    gateway.generation = [2; 4];
    amy.device.attach(true);
    amy.send(id("bob"), b"text");
    refuse(&mut gateway, &mut amy, RequestKind::Message, 0x81);
    assert!(!has_session(&amy), "{:?}", amy.log);
    for (_, kind, body) in items {
        gateway.append(id("amy"), kind, body);
    }
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(amy.texts, [b"on its way".to_vec()]);
    // And the invitation that went out by itself has led to the next session.
    assert!(amy.device.can_send(id("bob")), "{:?}", amy.log);
    amy.send(id("bob"), b"text");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(bob.texts, [b"text".to_vec()]);
}

/// `tests/fixtures/snapshot-1-*.bin`: written by the core while its layout was version 1.
#[test]
fn state_of_version_1_is_read() {
    let amy = include_bytes!("fixtures/snapshot-1-amy.bin");
    let bob = include_bytes!("fixtures/snapshot-1-bob.bin");
    let text = include_bytes!("fixtures/snapshot-1-text.bin");
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let mut device = Device::<3>::restore(amy, &mut rng).unwrap();
    assert!(device.needs_save(), "it is written anew at once");
    let session = device.session(id("bob")).unwrap();
    assert_eq!((session.phase, session.role, session.paired), (Phase::Established, Some(Role::Initiator), true));
    assert_eq!((session.run, session.next_send, session.next_receive, session.confirmed), (1, 3, 2, Some(1)));
    assert_eq!(device.session(id("carl")).unwrap().phase, Phase::Invited);
    assert_eq!(session.in_flight, Some((1, 2)));
    assert!(device.verify_stored(id("bob"), text), "sealed before there were salts");
    let mut buf = vec![0; sga_device::snapshot_len_max(3)];
    let len = device.snapshot(&mut buf).unwrap();
    assert_eq!((amy[..2].to_vec(), buf[..2].to_vec()), (vec![0x85, 1], vec![0x85, 3]));
    let again = Device::<3>::restore(&buf[..len], &mut rng).unwrap();
    assert!(!again.needs_save());
    assert_eq!(again.sessions().collect::<Vec<_>>(), device.sessions().collect::<Vec<_>>());
    for cut in 0..amy.len() {
        assert!(Device::<3>::restore(&amy[..cut], &mut rng).is_err());
    }
    let mut later = amy.to_vec();
    for version in [0, 4, 23] {
        later[1] = version;
        assert_eq!(Device::<3>::restore(&later, &mut rng).err(), Some(SnapshotError::Version));
    }
    // What it seals from now on has a salt; its keys are those that the peer has.
    device.saved();
    device.abandon(id("bob"));
    let mut payload = [0; 100];
    let sealed = device.send(id("bob"), b"salted", &mut payload).unwrap();
    let post: MessagePost<'_> = sga_schema::decode(&payload[..sealed.len]).unwrap();
    assert!(post.salt.is_some());
    let code = |device: &Device<3>, peer| device.session(id(peer)).unwrap().comparison_code;
    let bob = Device::<3>::restore(bob, &mut rng).unwrap();
    assert_eq!(code(&device, "bob"), code(&bob, "amy"));
}

/// `tests/fixtures/snapshot-2-amy.bin`: written by the core while its layout was version 2.
#[test]
fn state_of_version_2_is_read() {
    let [first, second] =
        [&include_bytes!("fixtures/snapshot-1-amy.bin")[..], &include_bytes!("fixtures/snapshot-2-amy.bin")[..]];
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let mut written = [first, second].map(|bytes| {
        let device = Device::<3>::restore(bytes, &mut rng).unwrap();
        assert!(device.needs_save(), "it is written anew at once");
        let mut buf = vec![0; sga_device::snapshot_len_max(3)];
        let len = device.snapshot(&mut buf).unwrap();
        buf.truncate(len);
        buf
    });
    assert_eq!((second[1], written[1][1]), (2, 3));
    assert_eq!(written[0], written[1], "the same state");
    written[0][1] = 2;
    assert!(Device::<3>::restore(&written[0], &mut rng).is_err(), "that is not how version 2 was laid out");
}

/// The generation that stands for the one that version 1 did not store is the one the device knew.
#[test]
fn a_session_of_version_1_can_be_found_gone() {
    let (mut gateway, mut amy, _bob) = established();
    // The layout of version 1: without the generation behind `highest_run` of the only agreement.
    let generation = [&[1, 0x44][..], &gateway.generation].concat();
    let at = amy.disk.windows(6).position(|bytes| bytes == generation).unwrap();
    let mut old = amy.disk.clone();
    old.drain(at + 1..at + 6);
    let head = amy.disk[..at].iter().rposition(|byte| *byte == 0x88).unwrap();
    assert_eq!(amy.disk[head..head + 3], [0x88, 0, 1], "role and suite of the agreement");
    old[head] = 0x87;
    old[1] = 1;
    // And without the key that is to take the place of k_d, which is the last of the identity.
    assert_eq!(old[2], 0x87);
    old[2] = 0x86;
    let pin = &amy.device.pin().unwrap()[..];
    let end = old.windows(16).position(|bytes| bytes == pin).unwrap() + 16;
    assert_eq!(old.remove(end), 0xf6);
    amy.disk = old;
    amy.crash();
    assert_eq!(amy.disk[1], 3);
    amy.device.rekey(id("bob")).unwrap();
    refuse(&mut gateway, &mut amy, RequestKind::Half, 0x81);
    assert!(has_session(&amy), "the generation is the one it had");
    gateway.generation = [2; 4];
    amy.device.attach(true);
    amy.device.connect(id("bob"), None).unwrap();
    amy.device.rekey(id("bob")).unwrap();
    refuse(&mut gateway, &mut amy, RequestKind::Half, 0x81);
    assert!(!has_session(&amy) && amy.has("SessionGone"), "{:?}", amy.log);
}

/// To a B2 of a session that it does not know a device has no answer; to an A2 it has.
#[test]
fn a_peer_that_lost_the_session_is_invited_when_it_is_asked_for_again() {
    for restarted in [false, true] {
        let (mut gateway, mut amy, _) = established();
        let key = Secret::new([2; 32]);
        let mut bob = End::new(Device::new(id("bob"), key, Suite::AesCcm8, SuiteSet::ALL, Accept::All).unwrap(), 3);
        bob.device.register();
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        amy.device.connect(id("bob"), None).unwrap();
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert!(!bob.device.can_send(id("amy")), "{:?}", bob.log);
        if restarted {
            amy.crash();
        }
        amy.device.connect(id("bob"), None).unwrap();
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        amy.send(id("bob"), b"here again");
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert_eq!(bob.texts, [b"here again".to_vec()], "{:?}", amy.log);
    }
}
