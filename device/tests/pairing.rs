//! Pair secrets: what goes under which keys, and how it is noticed that the two ends do not share one.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use sga_crypto::Secret;
use sga_device::{Accept, Device, DeviceError, Phase, RequestKind, Suite, SuiteSet};
use sga_schema::{Half, MessagePost, Profile};
use support::{End, Gateway, id, settle};

fn registered(profile: Profile) -> (Gateway, End, End) {
    let new = |name: &str, seed: u8| {
        let key = Secret::new([seed; 32]);
        End::new(Device::new(id(name), key, Suite::AesCcm8, SuiteSet::ALL, Accept::All).unwrap(), seed)
    };
    let (mut gateway, mut amy, mut bob) = (Gateway::new(profile, 9), new("amy", 1), new("bob", 2));
    amy.device.register();
    bob.device.register();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    (gateway, amy, bob)
}

fn established(profile: Profile) -> (Gateway, End, End) {
    let (mut gateway, mut amy, mut bob) = registered(profile);
    amy.device.connect(id("bob"), None).unwrap();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(amy.device.can_send(id("bob")) && bob.device.can_send(id("amy")));
    (gateway, amy, bob)
}

fn pair(end: &mut End, peer: &str, secret: Option<u8>) {
    end.device.set_pair_secret(id(peer), secret.map(|byte| Secret::new([byte; 32]))).unwrap();
}

fn run(end: &End, peer: &str) -> u32 {
    end.device.session(id(peer)).unwrap().run
}

fn reports(end: &End) -> Vec<&String> {
    end.log.iter().filter(|line| line.starts_with("NotConfirmed")).collect()
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
fn secrets_that_differ_are_noticed_at_both_ends_and_no_run_is_tried_for_ever() {
    for profile in Profile::ALL {
        for secrets in [[Some(1), Some(2)], [Some(1), None], [None, Some(1)]] {
            let (mut gateway, mut amy, mut bob) = registered(profile);
            pair(&mut amy, "bob", secrets[0]);
            pair(&mut bob, "amy", secrets[1]);
            amy.device.connect(id("bob"), None).unwrap();
            settle(&mut gateway, &mut [&mut amy, &mut bob]);
            for (end, peer, secret) in [(&mut amy, "bob", secrets[0]), (&mut bob, "amy", secrets[1])] {
                let paired = secret.is_some();
                let expected: Vec<String> = [(1, true), (2, false)]
                    .map(|(run, again)| {
                        let peer = id(peer);
                        format!("{:?}", sga_device::Event::NotConfirmed { peer, run, paired, again })
                    })
                    .into();
                assert_eq!(reports(end), expected.iter().collect::<Vec<_>>(), "{profile} {secrets:?}");
                assert!(!end.has("Established") && !end.device.can_send(id(peer)));
                assert_eq!(end.device.send(id(peer), b"no", &mut [0; 99]), Err(DeviceError::NotReady));
            }
            // Nothing but message 0 was ever sealed, and what is refused for good is tried again when it is asked for.
            amy.device.connect(id("bob"), None).unwrap();
            settle(&mut gateway, &mut [&mut amy, &mut bob]);
            assert!(run(&amy, "bob") <= 5 && reports(&bob).len() <= 5, "{:?}", reports(&bob));
            assert!(amy.texts.is_empty() && bob.texts.is_empty());
        }
    }
}

#[test]
fn the_same_secret_establishes_and_gives_other_codes_than_none() {
    let codes = [None, Some(7)].map(|secret| {
        let (mut gateway, mut amy, mut bob) = registered(Profile::Compact);
        pair(&mut amy, "bob", secret);
        pair(&mut bob, "amy", secret);
        amy.device.connect(id("bob"), None).unwrap();
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        exchange(&mut gateway, &mut amy, &mut bob, b"hello");
        let status = [(&amy, "bob"), (&bob, "amy")].map(|(end, peer)| end.device.session(id(peer)).unwrap());
        assert!(status.iter().all(|status| status.paired == secret.is_some()));
        assert_eq!(status[0].comparison_code, status[1].comparison_code);
        status[0].comparison_code
    });
    // The same seeds, so all else is the same.
    assert_ne!(codes[0], codes[1]);
}

#[test]
fn a_secret_set_in_a_session_counts_at_once() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    exchange(&mut gateway, &mut amy, &mut bob, b"before");
    pair(&mut amy, "bob", Some(3));
    let status = amy.device.session(id("bob")).unwrap();
    assert!(!amy.device.can_send(id("bob")) && status.superseded && !status.established, "{status:?}");
    assert_eq!((status.phase, status.highest_run), (Phase::Agreed, 2), "its next run is open");
    // Also after a restart, before and after the peer has taken part.
    for _ in 0..2 {
        amy.save();
        amy.crash();
        assert_eq!(amy.device.send(id("bob"), b"no", &mut [0; 99]), Err(DeviceError::NotReady));
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
    }
    assert!(!reports(&amy).is_empty() && !reports(&bob).is_empty());
    assert!(!amy.device.can_send(id("bob")) && !bob.device.can_send(id("amy")));
    pair(&mut bob, "amy", Some(3));
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    exchange(&mut gateway, &mut amy, &mut bob, b"after");
    assert!(!amy.has("Gap") && !bob.has("Gap"));
    // The same again is nothing new.
    let before = run(&amy, "bob");
    pair(&mut amy, "bob", Some(3));
    assert!(!amy.device.needs_save());
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(run(&amy, "bob"), before);
}

#[test]
fn no_message_leaves_under_keys_from_before_the_secret() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    amy.send(id("bob"), b"sealed before");
    pair(&mut amy, "bob", Some(3));
    pair(&mut bob, "amy", Some(3));
    let (mut texts, mut halves) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        for end in [&mut amy, &mut bob] {
            while let Some((out, payload)) = end.poll() {
                match out.kind {
                    RequestKind::Message => {
                        let post: MessagePost<'_> = sga_schema::decode(&payload).unwrap();
                        texts.push((post.run, post.sequence));
                    }
                    RequestKind::Half => halves.push(sga_schema::decode::<Half<'_>>(&payload).unwrap().run),
                    _ => {}
                }
                let reply = gateway.handle(out.kind, &payload);
                let _ = end.respond(reply);
            }
            if let Some(payload) = gateway.notification(end.device.id()) {
                end.notify(payload);
            }
        }
        if amy.device.can_send(id("bob")) && amy.outbox.is_none() {
            amy.send(id("bob"), b"sealed after");
        }
    }
    // What was sealed before is delivered; all else is under run 2.
    assert!(texts.iter().all(|&(run, sequence)| run == 2 || (run, sequence) == (1, 1)), "{texts:?}");
    assert!(halves.iter().all(|&run| run == 2), "{halves:?}");
    assert_eq!(bob.texts.first().map(Vec::as_slice), Some(&b"sealed before"[..]));
    assert_eq!(bob.texts.last().map(Vec::as_slice), Some(&b"sealed after"[..]));
}

#[test]
fn forgetting_opens_a_run_and_both_ends_have_to() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    pair(&mut amy, "bob", Some(3));
    pair(&mut bob, "amy", Some(3));
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    exchange(&mut gateway, &mut amy, &mut bob, b"with");
    pair(&mut amy, "bob", None);
    assert!(amy.device.can_send(id("bob")), "keys made with a secret are good enough for one who has forgotten it");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    // One who still holds it never falls back to none.
    assert!(!reports(&amy).is_empty() && !reports(&bob).is_empty() && !bob.device.can_send(id("amy")));
    pair(&mut bob, "amy", None);
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    exchange(&mut gateway, &mut amy, &mut bob, b"without");
}

#[test]
fn a_message_0_that_somebody_bends_costs_one_run() {
    let (mut gateway, mut amy, mut bob) = registered(Profile::Compact);
    amy.device.connect(id("bob"), None).unwrap();
    let mut bent = false;
    for _ in 0..60 {
        for end in [&mut amy, &mut bob] {
            if let Some((out, payload)) = end.poll() {
                // By the gateway: from others it takes no message that is bent.
                gateway.bend_next_message = out.kind == RequestKind::Message && !std::mem::replace(&mut bent, true);
                let reply = gateway.handle(out.kind, &payload);
                let _ = end.respond(reply);
            }
            if let Some(payload) = gateway.notification(end.device.id()) {
                end.notify(payload);
            }
        }
    }
    assert_eq!(reports(&amy).len() + reports(&bob).len(), 1, "{:?} {:?}", amy.log, bob.log);
    assert_eq!((run(&amy, "bob"), run(&bob, "amy")), (2, 2));
    exchange(&mut gateway, &mut amy, &mut bob, b"under run 2");
}

#[test]
fn what_is_asked_wrongly_changes_nothing() {
    let (_, mut amy, _) = registered(Profile::Compact);
    amy.save();
    assert_eq!(amy.device.set_pair_secret(id("amy"), Some(Secret::new([1; 32]))), Err(DeviceError::OwnId));
    pair(&mut amy, "bob", None);
    assert!(!amy.device.needs_save() && amy.device.session(id("bob")).is_none());
    for peer in ["bob", "carl", "dave"] {
        pair(&mut amy, peer, Some(1));
    }
    assert_eq!(amy.device.set_pair_secret(id("eve"), Some(Secret::new([1; 32]))), Err(DeviceError::TooManyPeers));
    pair(&mut amy, "carl", None);
    pair(&mut amy, "eve", Some(1));
    assert!(amy.device.session(id("carl")).is_none(), "one that was forgotten makes room");
    amy.save();
    amy.crash();
    assert!(amy.device.session(id("eve")).unwrap().paired && amy.device.session(id("bob")).unwrap().paired);
}
