//! A device whose stored state was set back: whatever older copy it starts from, it never seals two plaintexts under one key and
//! nonce. The gateway of `support` keeps all that was sealed by leg, run, sequence and salt, and refuses a second ciphertext.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use rand_core::Rng;
use sga_crypto::Secret;
use sga_device::{Accept, Device, RequestKind, Suite, SuiteSet};
use sga_schema::{Half, MessageItem, MessagePost, Profile, kind};
use support::{End, Gateway, encoded, id, settle};

fn registered(profile: Profile, seed: u8) -> (Gateway, End, End) {
    let new = |name: &str, seed: u8| {
        let key = Secret::new([seed; 32]);
        End::new(Device::new(id(name), key, Suite::AesCcm8, SuiteSet::ALL, Accept::All).unwrap(), seed)
    };
    let (mut gateway, mut amy, mut bob) = (Gateway::new(profile, seed), new("amy", seed), new("bob", seed + 1));
    amy.device.register();
    bob.device.register();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    (gateway, amy, bob)
}

fn established(profile: Profile, seed: u8) -> (Gateway, End, End) {
    let (mut gateway, mut amy, mut bob) = registered(profile, seed);
    amy.device.connect(id("bob"), None).unwrap();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(amy.device.can_send(id("bob")) && bob.device.can_send(id("amy")));
    (gateway, amy, bob)
}

/// Texts get through to the end's peer, if need be under a new run.
fn gets_through(gateway: &mut Gateway, from: &mut End, to: &mut End, text: &[u8]) {
    let peer = to.device.id();
    for attempt in 0..12 {
        if attempt > 0 {
            // A set-back end may be in a session or run that the other is not in: a new run then, later a new session.
            from.device.abandon(peer);
            from.device.connect(peer, (attempt > 3).then(|| Suite::ALL[attempt % 4])).unwrap();
            settle(gateway, &mut [from, to]);
        }
        if from.device.can_send(peer) {
            from.send(peer, text);
            settle(gateway, &mut [from, to]);
        }
        if to.texts.last().is_some_and(|last| last == text) {
            return;
        }
    }
    let tail = |end: &End| end.log[end.log.len().saturating_sub(30)..].join("\n");
    panic!("{:?}\n{}\n\n{}", from.device.session(peer), tail(from), tail(to));
}

/// What leaves next of this kind; what leaves before it is answered.
fn next_of(gateway: &mut Gateway, end: &mut End, kind: RequestKind) -> Vec<u8> {
    loop {
        let (out, payload) = end.poll().unwrap();
        if out.kind == kind {
            return payload;
        }
        let reply = gateway.handle(out.kind, &payload);
        let _ = end.respond(reply);
    }
}

#[test]
fn without_a_restart_nothing_has_a_salt() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact, 1);
    amy.device.rekey(id("bob")).unwrap();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    gets_through(&mut gateway, &mut amy, &mut bob, b"plain");
    // Two Halves, message 0 of each end, twice; one text.
    assert_eq!((gateway.lives().0.len(), gateway.lives().1), (0, 9));
}

#[test]
fn a_life_has_one_salt_and_the_peer_opens_what_it_is_on() {
    for profile in Profile::ALL {
        let (mut gateway, mut amy, mut bob) = established(profile, 1);
        amy.crash();
        gets_through(&mut gateway, &mut amy, &mut bob, b"under the keys of the life before");
        amy.device.rekey(id("bob")).unwrap();
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert_eq!(gateway.lives().0.len(), 1, "a text and a Half");
        let before = gateway.lives().1;
        gets_through(&mut gateway, &mut amy, &mut bob, b"under keys of this life");
        assert_eq!((gateway.lives().0.len(), gateway.lives().1), (1, before + 1), "no salt");
        bob.crash();
        gets_through(&mut gateway, &mut bob, &mut amy, b"back");
        assert_eq!(gateway.lives().0.len(), 2);
        assert_eq!(amy.device.counters().failed_openings + bob.device.counters().failed_openings, 0);
    }
}

/// The same run and the same sequences, again and again from one copy.
#[test]
fn one_copy_many_lives() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact, 1);
    let copy = amy.copies.len() - 1;
    for round in 0..20 {
        for text in 0..3 {
            amy.send(id("bob"), format!("text {text} of life {round}").as_bytes());
            settle(&mut gateway, &mut [&mut amy, &mut bob]);
            if !amy.device.can_send(id("bob")) {
                break;
            }
        }
        // Each life seals a Half for run 2.
        amy.device.rekey(id("bob")).unwrap();
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        amy.set_back(copy);
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
    }
    assert!(gateway.lives().0.len() >= 19, "{}", gateway.lives().0.len());
    gets_through(&mut gateway, &mut amy, &mut bob, b"at last");
    gets_through(&mut gateway, &mut bob, &mut amy, b"and back");
}

/// Either end starts at any time from any copy that it ever had, at any stage of the negotiation, the exchange and a text.
#[test]
fn any_copy_at_any_time() {
    let mut salts = 0;
    for seed in 0..60 {
        let profile = if seed % 20 == 0 { Profile::Classic } else { Profile::Compact };
        let (mut gateway, mut amy, mut bob) = registered(profile, seed * 2);
        amy.device.connect(id("bob"), None).unwrap();
        for round in 0..120_u32 {
            for (end, peer) in [(&mut amy, "bob"), (&mut bob, "amy")] {
                let peer = id(peer);
                match end.rng.next_u32() % 24 {
                    0 => {
                        let copy = end.rng.next_u32() as usize % end.copies.len();
                        end.set_back(copy);
                    }
                    1 => drop(end.device.rekey(peer)),
                    2 => end.device.abandon(peer),
                    3 if end.device.is_registered() && round % 4 == 0 => end.device.connect(peer, None).unwrap(),
                    _ if end.device.can_send(peer) => end.send(peer, &round.to_be_bytes()),
                    _ => {}
                }
                if let Some((out, payload)) = end.poll() {
                    let reply = gateway.handle(out.kind, &payload);
                    // Some answers are lost.
                    if end.rng.next_u32() % 8 == 0 {
                        end.device.handle_failure();
                    } else {
                        let _ = end.respond(reply);
                    }
                }
                if let Some(payload) = gateway.notification(end.device.id()) {
                    end.notify(payload);
                }
            }
        }
        salts += gateway.lives().0.len();
        // Whatever happened: a new session, and everything is well again.
        for (end, peer) in [(&mut amy, "bob"), (&mut bob, "amy")] {
            end.device.register();
            end.device.abandon(id(peer));
        }
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        gets_through(&mut gateway, &mut amy, &mut bob, b"there");
        gets_through(&mut gateway, &mut bob, &mut amy, b"and back");
    }
    assert!(salts > 200, "only {salts} lives sealed anything");
}

/// k_t was stored before the session was agreed: the copy agrees to it a second time.
#[test]
fn a_session_that_is_agreed_twice_has_salted_halves_the_second_time() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact, 1);
    for end in [&mut amy, &mut bob] {
        let before = gateway.unsalted_halves();
        let copies = end.copies.len();
        let peer = if end.device.id() == id("amy") { id("bob") } else { id("amy") };
        let copy = (0..copies).rfind(|&copy| {
            end.set_back(copy);
            let phase = end.device.session(peer).map(|session| session.phase);
            matches!(phase, Some(sga_device::Phase::Invited | sga_device::Phase::Replying))
        });
        assert!(copy.is_some(), "{peer}");
        // What it has dealt with since comes once more.
        gateway.again(end.device.id());
        let salts = gateway.lives().0.len();
        settle(&mut gateway, &mut [end]);
        let _ = end.device.rekey(peer);
        settle(&mut gateway, &mut [end]);
        assert!(gateway.lives().0.len() > salts, "{:?}", end.log);
        assert_eq!(gateway.unsalted_halves(), before, "{peer}: a Half without a salt, under a key from the store");
    }
}

/// Message 0 is the same bytes in each life, also if what it might have spoken of went otherwise.
#[test]
fn message_0_does_not_change_when_a_text_in_flight_is_given_up() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact, 1);
    amy.send(id("bob"), b"first");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    amy.device.rekey(id("bob")).unwrap();
    settle(&mut gateway, &mut [&mut amy]);
    // While her Half waits for his, she seals one more text under run 1; then the keys of run 2 come.
    amy.send(id("bob"), b"in flight");
    settle(&mut gateway, &mut [&mut bob]);
    let notification = gateway.notification(id("amy")).unwrap();
    amy.notify(notification);
    amy.save();
    let status = amy.device.session(id("bob")).unwrap();
    assert_eq!((status.run, status.in_flight), (2, Some((1, 2))));
    let copy = amy.copies.len() - 1;
    for abandoned in [false, true] {
        amy.set_back(copy);
        if abandoned {
            amy.device.abandon(id("bob"));
        }
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert_eq!(amy.device.session(id("bob")).unwrap().confirmed, Some(0), "message 0 is stored");
    }
    gets_through(&mut gateway, &mut amy, &mut bob, b"after");
}

#[test]
fn a_text_in_flight_is_sent_again_as_it_was() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact, 1);
    for salted in [false, true] {
        amy.send(id("bob"), b"kept");
        let sent = next_of(&mut gateway, &mut amy, RequestKind::Message);
        let post: MessagePost<'_> = sga_schema::decode(&sent).unwrap();
        assert_eq!(post.salt.is_some(), salted);
        for _ in 0..3 {
            amy.crash();
            assert!(amy.device.verify_stored(id("bob"), &sent));
            assert_eq!(next_of(&mut gateway, &mut amy, RequestKind::Message), sent);
        }
        for other in [None, Some([9; 8])].into_iter().filter(|salt| *salt != post.salt) {
            assert!(!amy.device.verify_stored(id("bob"), &encoded(&MessagePost { salt: other, ..post })));
        }
        amy.crash();
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert_eq!(bob.texts.last().unwrap(), b"kept");
    }
}

/// An answer to a text that was sealed before the device was set back says nothing of the one sealed after.
#[test]
fn an_old_answer_does_not_confirm_another_text() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact, 1);
    let copy = amy.copies.len() - 1;
    amy.send(id("bob"), b"one");
    let first = next_of(&mut gateway, &mut amy, RequestKind::Message);
    let answer = gateway.handle(RequestKind::Message, &first);
    let _ = amy.respond(answer.clone());
    assert!(amy.has("Sent"));
    amy.log.clear();
    amy.set_back(copy);
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    amy.send(id("bob"), b"another");
    let second = next_of(&mut gateway, &mut amy, RequestKind::Message);
    assert_ne!(first, second);
    let _ = amy.respond(answer);
    assert!(!amy.has("Sent"), "{:?}", amy.log);
    amy.device.handle_failure();
    gets_through(&mut gateway, &mut amy, &mut bob, b"under a new run");
}

#[test]
fn a_salt_that_was_stripped_added_or_changed_does_not_open() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact, 1);
    for restarted in [false, true] {
        if restarted {
            amy.crash();
        }
        amy.send(id("bob"), b"as it was");
        let sent = next_of(&mut gateway, &mut amy, RequestKind::Message);
        let _ = amy.respond(gateway.handle(RequestKind::Message, &sent));
        let (_, _, good) = gateway.items(id("bob")).last().unwrap().clone();
        let item: MessageItem<'_> = sga_schema::decode(&good).unwrap();
        assert_eq!(item.salt.is_some(), restarted);
        let mut bent = item.salt;
        bent.iter_mut().for_each(|salt| salt[7] ^= 1);
        let before = bob.texts.len();
        gateway.items(id("bob")).pop();
        for other in [None, bent, Some([0; 8])].into_iter().filter(|salt| *salt != item.salt) {
            let failed = bob.device.counters().failed_openings;
            gateway.append(id("bob"), kind::MESSAGE, encoded(&MessageItem { salt: other, ..item }));
            settle(&mut gateway, &mut [&mut bob]);
            assert_eq!((bob.texts.len(), bob.device.counters().failed_openings), (before, failed + 1));
        }
        gateway.append(id("bob"), kind::MESSAGE, good.clone());
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert_eq!((bob.texts.len(), bob.texts.last().unwrap().as_slice()), (before + 1, &b"as it was"[..]));
    }
}

#[test]
fn the_same_half_within_a_life_another_one_in_the_next() {
    let (mut gateway, mut amy, _bob) = established(Profile::Compact, 1);
    amy.crash();
    let copy = amy.copies.len() - 1;
    let mut bodies = Vec::new();
    for _ in 0..3 {
        amy.device.rekey(id("bob")).unwrap();
        let once = next_of(&mut gateway, &mut amy, RequestKind::Half);
        amy.device.handle_failure();
        let again = next_of(&mut gateway, &mut amy, RequestKind::Half);
        assert_eq!(once, again);
        let half: Half<'_> = sga_schema::decode(&once).unwrap();
        assert_eq!(half.run, 2);
        bodies.push((half.salt.unwrap(), half.body.to_vec()));
        amy.set_back(copy);
    }
    bodies.sort();
    assert!(bodies.windows(2).all(|pair| pair[0].0 != pair[1].0 && pair[0].1 != pair[1].1));
}
