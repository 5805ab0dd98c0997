//! Registration to texts against a gateway of one file, with crashes, losses and forgeries.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use rand_core::SeedableRng;
use sga_crypto::Secret;
use sga_device::{Accept, Device, Handled, Phase, RequestKind, Suite, SuiteSet};
use sga_schema::Profile;
use support::{End, Gateway, id, settle};

fn end(name: &str, seed: u8, accept: Accept) -> End {
    let suite = Suite::AesCcm8;
    End::new(Device::new(id(name), Secret::new([seed; 32]), suite, SuiteSet::ALL, accept).unwrap(), seed)
}

fn registered(profile: Profile) -> (Gateway, End, End) {
    let mut gateway = Gateway::new(profile, 9);
    let (mut amy, mut bob) = (end("amy", 1, Accept::All), end("bob", 2, Accept::All));
    amy.device.register();
    bob.device.set_pin(Some(gateway.pin()));
    bob.device.register();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(amy.device.is_attached() && bob.device.is_attached());
    (gateway, amy, bob)
}

fn established(profile: Profile) -> (Gateway, End, End) {
    let (mut gateway, mut amy, mut bob) = registered(profile);
    amy.device.connect(id("bob"), None).unwrap();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    for (end, peer) in [(&bob, "amy"), (&amy, "bob")] {
        let status = end.device.session(id(peer)).unwrap();
        let counters = end.device.counters();
        assert_eq!((status.phase, status.run), (Phase::Established, 1), "{:?} {counters:?}", end.log);
    }
    (gateway, amy, bob)
}

fn exchange(gateway: &mut Gateway, amy: &mut End, bob: &mut End, text: &[u8]) {
    amy.send(id("bob"), text);
    settle(gateway, &mut [amy, bob]);
    assert_eq!(bob.texts.last().map(Vec::as_slice), Some(text));
    bob.send(id("amy"), text);
    settle(gateway, &mut [amy, bob]);
    assert_eq!(amy.texts.last().map(Vec::as_slice), Some(text));
}

#[test]
fn texts_go_both_ways_in_every_profile() {
    for profile in Profile::ALL {
        let (mut gateway, mut amy, mut bob) = established(profile);
        for suite in Suite::ALL {
            let same = amy.device.session(id("bob")).unwrap().suite == Some(suite);
            if !same && profile == Profile::Compact {
                amy.device.connect(id("bob"), Some(suite)).unwrap();
                settle(&mut gateway, &mut [&mut amy, &mut bob]);
                assert_eq!(bob.device.session(id("amy")).unwrap().suite, Some(suite));
            }
            exchange(&mut gateway, &mut amy, &mut bob, b"hello");
        }
        let code = |end: &End, peer| end.device.session(id(peer)).unwrap().comparison_code.unwrap();
        assert_eq!(code(&amy, "bob"), code(&bob, "amy"));
        for step in ["A1", "A4", "A5", "B1", "B6", "B7"] {
            assert!(amy.has(&format!("step: {step},")), "{step}: {:?}", amy.log);
        }
        for step in ["A2", "A3", "B2", "B3", "B6", "B7"] {
            assert!(bob.has(&format!("step: {step},")), "{step}: {:?}", bob.log);
        }
        assert!(!amy.has("Gap") && !bob.has("Gap") && !amy.has("Failed") && !bob.has("Failed"));
    }
}

#[test]
fn another_package_than_the_pinned_one_is_refused() {
    let mut gateway = Gateway::new(Profile::Compact, 9);
    let mut amy = end("amy", 1, Accept::All);
    amy.device.set_pin(Some([7; 16]));
    amy.device.register();
    settle(&mut gateway, &mut [&mut amy]);
    assert!(amy.has("PinMismatch") && !amy.device.is_registered());
}

#[test]
fn a_snapshot_comes_back_the_same() {
    let (_, amy, _) = established(Profile::Compact);
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([5; 32]);
    let restored = Device::<3>::restore(&amy.disk, &mut rng).unwrap();
    let mut buf = vec![0; sga_device::snapshot_len_max(3)];
    let len = restored.snapshot(&mut buf).unwrap();
    assert_eq!(amy.disk, &buf[..len]);
    for cut in 0..amy.disk.len() {
        assert!(Device::<3>::restore(&amy.disk[..cut], &mut rng).is_err());
        assert!(amy.device.snapshot(&mut buf[..cut]).is_err());
    }
}

#[test]
fn a_restarted_gateway_and_device_get_back_in_step() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    gateway.restart();
    amy.crash();
    bob.device.attach(true);
    exchange(&mut gateway, &mut amy, &mut bob, b"again");
    // A device that lost its last attach numbers registers again.
    let old = amy.disk.clone();
    amy.device.attach(true);
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    amy.disk = old;
    amy.crash();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(amy.device.is_attached());
    assert_eq!(amy.log.iter().filter(|line| *line == "Registered").count(), 2);
}

#[test]
fn a_new_generation_resets_the_cursor_and_repeats_are_dropped() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    exchange(&mut gateway, &mut amy, &mut bob, b"once");
    gateway.generation = [2; 4];
    bob.device.attach(true);
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(bob.has("generation_changed: true"));
    assert_eq!(bob.texts.len(), 1);
}

#[test]
fn a_crash_after_sealing_sends_the_same_bytes() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    amy.send(id("bob"), b"kept");
    for lost in 0..3 {
        amy.crash();
        loop {
            let (out, payload) = amy.poll().unwrap();
            let reply = gateway.handle(out.kind, &payload);
            if out.stored.is_some() {
                assert!(amy.device.verify_stored(id("bob"), &payload), "{lost}");
                break; // the answer is lost
            }
            let _ = amy.respond(reply);
        }
    }
    amy.device.handle_failure();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(bob.texts, [b"kept".to_vec()]);
    assert!(amy.has("Sent"));
}

#[test]
fn every_crash_on_the_way_to_a_session_ends_in_one() {
    for crash_at in 0..40 {
        for answer_lost in [false, true] {
            let (mut gateway, mut amy, mut bob) = registered(Profile::Compact);
            amy.device.connect(id("bob"), None).unwrap();
            let mut count = 0;
            for _ in 0..40 {
                for end in [&mut amy, &mut bob] {
                    if let Some((out, payload)) = end.poll() {
                        let reply = gateway.handle(out.kind, &payload);
                        count += 1;
                        if count == crash_at && !answer_lost {
                            let _ = end.respond(reply);
                            end.crash();
                        } else if count == crash_at {
                            end.crash();
                        } else {
                            let _ = end.respond(reply);
                        }
                    }
                    if let Some(payload) = gateway.notification(end.device.id()) {
                        end.notify(payload);
                    }
                }
            }
            settle(&mut gateway, &mut [&mut amy, &mut bob]);
            assert!(amy.device.can_send(id("bob")), "{crash_at} {answer_lost} {:?}", amy.log);
            assert!(bob.device.can_send(id("amy")), "{crash_at} {answer_lost} {:?}", bob.log);
            exchange(&mut gateway, &mut amy, &mut bob, b"after");
        }
    }
}

#[test]
fn lost_answers_lead_to_the_same_half_and_a_rekey_loses_nothing() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Classic);
    amy.send(id("bob"), b"under run 1");
    bob.device.rekey(id("amy")).unwrap();
    let mut halves = Vec::new();
    while halves.len() < 3 {
        let (out, payload) = bob.poll().unwrap();
        let reply = gateway.handle(out.kind, &payload);
        if out.kind == RequestKind::Half {
            halves.push(payload);
            bob.device.handle_failure();
        } else {
            let _ = bob.respond(reply);
        }
    }
    assert!(halves.windows(2).all(|pair| pair[0] == pair[1]));
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(bob.texts, [b"under run 1".to_vec()]);
    assert_eq!(bob.device.session(id("amy")).unwrap().run, 2);
    assert!(!bob.has("Gap") && !amy.has("Gap"));
    exchange(&mut gateway, &mut amy, &mut bob, b"under run 2");
}

#[test]
fn both_ends_may_rekey_at_once() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    amy.device.rekey(id("bob")).unwrap();
    bob.device.rekey(id("amy")).unwrap();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(amy.device.session(id("bob")).unwrap().run, 2);
    exchange(&mut gateway, &mut amy, &mut bob, b"run 2");
}

#[test]
fn refusals_are_reported() {
    let mut gateway = Gateway::new(Profile::Compact, 9);
    let (mut amy, mut bob) = (end("amy", 1, Accept::All), end("bob", 2, Accept::None));
    amy.device.register();
    bob.device.register();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    amy.device.connect(id("bob"), None).unwrap();
    amy.device.connect(id("carl"), None).unwrap();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(amy.has("why: Declined") && amy.has("why: NoSuchPeer") && bob.has("ByThisDevice"));
    assert!(bob.device.sessions().next().is_none());
}

#[test]
fn forged_input_changes_nothing() {
    let (mut gateway, mut amy, mut bob) = registered(Profile::Compact);
    amy.device.connect(id("bob"), None).unwrap();
    for step in 0..30 {
        for end in [&mut amy, &mut bob] {
            if let Some((out, payload)) = end.poll() {
                let before = end.disk.clone();
                let forged =
                    [(0x45, vec![0x82, 0, 0x40]), (0x44, vec![0x48; 9]), (0x41, vec![0x41, 0]), (0x89, vec![])];
                let (code, payload_forged) = forged[step % forged.len()].clone();
                if step % 3 == 0 && !matches!(out.kind, RequestKind::Package | RequestKind::Register) {
                    let _ = end.respond((code, payload_forged));
                    let mut buf = vec![0; sga_device::snapshot_len_max(3)];
                    let len = end.device.snapshot(&mut buf).unwrap();
                    assert_eq!(before, &buf[..len], "{out:?}");
                } else {
                    let reply = gateway.handle(out.kind, &payload);
                    let _ = end.respond(reply);
                }
            }
            if let Some(payload) = gateway.notification(end.device.id()) {
                let before = end.device.counters().failed_openings;
                let mut bent = payload.clone();
                *bent.last_mut().unwrap() ^= 1;
                end.notify(bent);
                assert_eq!(end.device.counters().failed_openings, before + 1);
                end.notify(payload.clone());
                end.notify(payload);
            }
        }
    }
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    exchange(&mut gateway, &mut amy, &mut bob, b"still");
    assert_eq!(bob.texts.len(), 1);
}

#[test]
fn later_means_later_and_no_request_hides_a_save() {
    let (mut gateway, mut amy, _bob) = registered(Profile::Compact);
    amy.device.connect(id("bob"), None).unwrap();
    assert!(amy.device.needs_save());
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([5; 32]);
    let mut buf = [0; sga_device::REQUEST_LEN_MAX];
    assert_eq!(amy.device.poll_request(&mut rng, &mut buf).unwrap(), None);
    let (out, payload) = amy.poll().unwrap();
    assert_eq!(out.kind, RequestKind::Invite);
    assert_eq!(amy.respond((0xa3, Vec::new())), Handled::Retry);
    // What was refused may come to the gateway once more: after another attach it means nothing there.
    let (attach, bytes) = amy.poll().unwrap();
    assert!(matches!(attach.kind, RequestKind::Attach { .. }));
    assert_eq!(amy.respond(gateway.handle(attach.kind, &bytes)), Handled::Done);
    let (again, other) = amy.poll().unwrap();
    assert_eq!(again.kind, RequestKind::Invite);
    assert_ne!(payload, other);
    assert_eq!(amy.respond(gateway.handle(again.kind, &other)), Handled::Done);
}

/// A gateway without room gets some by what is acknowledged: a text that it refuses again and again must not be in the way.
#[test]
fn an_acknowledgement_does_not_wait_for_a_text_that_finds_no_room() {
    const NO_ROOM: u8 = 0xa3;
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    bob.send(id("amy"), b"to be acknowledged");
    while let Some((out, payload)) = bob.poll() {
        let reply = gateway.handle(out.kind, &payload);
        let _ = bob.respond(reply);
    }
    amy.send(id("bob"), b"there is no room for this");
    let (out, _) = amy.poll().unwrap();
    assert_eq!(out.kind, RequestKind::Message);
    amy.notify(gateway.notification(id("amy")).unwrap());
    assert_eq!(amy.texts.len(), 1);
    assert_eq!(amy.respond((NO_ROOM, Vec::new())), Handled::Retry, "it waits as it was told");
    amy.save();
    let mut buf = [0; sga_device::REQUEST_LEN_MAX];
    let out = amy.device.poll_acknowledgement(&mut buf).unwrap().expect("meanwhile");
    assert_eq!(out.kind, RequestKind::Ack);
    assert_eq!(amy.device.poll_acknowledgement(&mut [0; 64]).unwrap(), None, "one request at a time");
    assert_eq!(amy.respond(gateway.handle(out.kind, &buf[..out.len])), Handled::Done);
    assert_eq!(amy.device.poll_acknowledgement(&mut buf).unwrap(), None, "once");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(bob.texts.last().map(Vec::as_slice), Some(&b"there is no room for this"[..]));
}

/// A device that always has a text to send acknowledges its inbox all the same.
#[test]
fn an_acknowledgement_is_not_starved_by_texts() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    bob.send(id("amy"), b"to be acknowledged");
    while let Some((out, payload)) = bob.poll() {
        let reply = gateway.handle(out.kind, &payload);
        let _ = bob.respond(reply);
    }
    amy.notify(gateway.notification(id("amy")).unwrap());
    let mut kinds = Vec::new();
    for _ in 0..4 {
        if amy.device.can_send(id("bob")) {
            amy.send(id("bob"), b"one after the other");
        }
        let (out, payload) = amy.poll().unwrap();
        kinds.push(out.kind);
        assert_eq!(amy.respond(gateway.handle(out.kind, &payload)), Handled::Done);
    }
    use RequestKind::{Ack, Message};
    assert_eq!(kinds, [Message, Ack, Message, Message]);
}
