//! Repairs 3 and 8: what came to a device, brought to it again. (Paper 5.1.)
//!
//! On the way to a device the attacker has the inbox, its notifications and all answers; each counts for one request or for one
//! number. And even a gateway that serves old items under new numbers brings no text twice.

use std::collections::HashSet;

use sga_device::{Handled, RequestKind};
use sga_schema::{Profile, Suite, kind};

use crate::support::bend::spliced;
use crate::support::ends::{End, Gateway, Reply, id, settle};
use crate::support::link::{AMY, BOB, Link, device};

fn snapshot(end: &End) -> Vec<u8> {
    let mut buf = vec![0; sga_device::snapshot_len_max(3)];
    let len = end.device.snapshot(&mut buf).expect("room");
    buf.truncate(len);
    buf
}

/// amy and bob with a session, and with two texts said.
fn established(profile: Profile) -> (Gateway, End, End) {
    let mut gateway = Gateway::new(profile, 9);
    let [mut amy, mut bob] = [("amy", 1), ("bob", 2)].map(|(name, seed)| End::new(device(name, seed), seed));
    amy.device.register();
    bob.device.register();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    amy.device.connect(id("bob"), None).expect("a peer");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    for text in [&b"one"[..], b"two"] {
        amy.send(id("bob"), text);
        bob.send(id("amy"), text);
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
    }
    assert_eq!((amy.texts.len(), bob.texts.len()), (2, 2));
    (gateway, amy, bob)
}

/// Repair 8, the sequences: each message is opened once, under whatever number its item comes.
#[test]
fn items_under_new_numbers_bring_no_text_twice() {
    for profile in [Profile::Compact, Profile::Classic] {
        let (mut gateway, mut amy, mut bob) = established(profile);
        let status = |amy: &End, bob: &End| (amy.device.session(id("bob")), bob.device.session(id("amy")));
        let before = status(&amy, &bob);
        for _ in 0..3 {
            for end in [&mut amy, &mut bob] {
                gateway.again(end.device.id());
            }
            settle(&mut gateway, &mut [&mut amy, &mut bob]);
            assert_eq!((amy.texts.len(), bob.texts.len()), (2, 2), "{:?}", bob.log);
        }
        assert_eq!(status(&amy, &bob), before, "no new run, no new session");
        amy.send(id("bob"), b"three");
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert_eq!(bob.texts.last().map(Vec::as_slice), Some(&b"three"[..]));
    }
}

/// The same with texts that the device has not seen yet: all orders and repetitions give each at most once, rising.
#[test]
fn shuffled_and_doubled_messages_give_each_text_at_most_once() {
    let orders: [&[usize]; 6] = [&[0, 0, 1, 1, 2], &[2, 1, 0], &[1, 0, 1, 2], &[0, 2, 1, 2], &[2, 2, 2], &[1, 2, 0, 1]];
    for order in orders {
        let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
        for text in [&b"a"[..], b"b", b"c"] {
            amy.send(id("bob"), text);
            settle(&mut gateway, &mut [&mut amy]);
        }
        let items = std::mem::take(gateway.items(id("bob")));
        let messages = items.iter().filter(|item| item.1 == kind::MESSAGE).map(|item| item.2.clone());
        // What is before them was acknowledged already.
        let bodies: Vec<_> = messages.rev().take(3).collect::<Vec<_>>().into_iter().rev().collect();
        order.iter().for_each(|&at| gateway.append(id("bob"), kind::MESSAGE, bodies[at].clone()));
        settle(&mut gateway, &mut [&mut bob]);
        let texts = &bob.texts[2..];
        assert!(!texts.is_empty() && texts.windows(2).all(|pair| pair[0] < pair[1]), "{order:?}: {texts:?}");
        // What is missing is said.
        let all = texts.len() == 3;
        assert_eq!(bob.has("Gap"), !all, "{order:?}: {:?}", bob.log);
    }
}

/// Every answer that a device ever got, as the answer to every later request.
#[test]
fn old_answers_are_no_answers() {
    let tried: usize = (0..12).map(with_old_answers).sum();
    assert!(tried > 100, "{tried}");
}

/// A session that comes about although every third request is answered with something old; which, `from` says.
fn with_old_answers(from: usize) -> usize {
    let mut link = Link::registered(Profile::Compact);
    link.ends[AMY].device.connect(crate::support::link::id("bob"), None).expect("a peer");
    let mut tried = 0;
    let mut settled = false;
    for _ in 0..2_000 {
        let mut moved = false;
        for who in [AMY, BOB] {
            let Some((out, request)) = link.ends[who].poll() else { continue };
            moved = true;
            let sealed = !matches!(out.kind, RequestKind::Package | RequestKind::Ack);
            let old: Vec<Reply> = link.tape.iter().map(|exchange| exchange.reply.clone()).collect();
            // One at a time: a refused request is due again, three refusals in a row make it rest.
            if let Some(reply) = old.get((tried / 3 + from) % old.len().max(1)).filter(|_| sealed && tried % 3 == 0) {
                let before = link.stored(who);
                let _: Handled = link.ends[who].respond(reply.clone());
                assert_eq!(link.stored(who), before, "{:?} answered with {reply:02x?}", out.kind);
                tried += 1;
                continue;
            }
            tried += 1;
            let reply = link.ask(who, &out, &request);
            link.tape.push(crate::support::link::Exchange { who, out, request, reply: reply.clone() });
            let _: Handled = link.ends[who].respond(reply);
        }
        if !moved {
            settled = link.can_talk();
            if settled {
                break;
            }
            link.ends.iter_mut().for_each(|end| end.device.attach(false));
            // What was refused too often rests until the application asks again.
            for (who, peer) in [(AMY, "bob"), (BOB, "amy")] {
                let rests = |session: sga_device::SessionStatus| session.parked;
                if link.ends[who].device.session(id(peer)).is_some_and(rests) {
                    link.ends[who].device.connect(id(peer), None).expect("a peer");
                }
            }
        }
    }
    assert!(settled, "{tried}: {:?} {:?}", link.ends[AMY].log, link.ends[BOB].log);
    link.talk();
    tried / 3
}

/// Every inbox that a device was ever sent, as a notification of the current one.
#[test]
fn old_inboxes_are_no_notifications() {
    let (mut gateway, mut amy, mut bob) = established(Profile::Compact);
    let mut seen = Vec::new();
    for number in 0..6 {
        amy.send(id("bob"), format!("text {number}").as_bytes());
        settle(&mut gateway, &mut [&mut amy]);
        let payload = gateway.notification(id("bob")).expect("a notification");
        bob.notify(payload.clone());
        seen.push(payload);
        settle(&mut gateway, &mut [&mut bob]);
        if number == 3 {
            // Another attach, another n_a.
            bob.device.attach(true);
            settle(&mut gateway, &mut [&mut bob]);
        }
        let (before, texts) = (snapshot(&bob), bob.texts.len());
        for old in &seen {
            bob.notify(old.clone());
            amy.notify(old.clone());
            assert_eq!((snapshot(&bob), bob.texts.len()), (before.clone(), texts));
        }
    }
    assert_eq!(bob.texts.len(), 8, "each once");
}

/// Items that are sealed for a peer, for the gateway's end or for a run: mixed with those of an older session, field by field, they
/// are nothing. (Only a gateway could bring them: the inbox is sealed. Invitations have no other seal than that.)
#[test]
fn items_spliced_of_two_sessions_are_nothing() {
    for profile in [Profile::Compact, Profile::Classic] {
        let (mut gateway, mut amy, mut bob) = established(profile);
        let kinds = [kind::AGREED, kind::WANTED, kind::KEY, kind::MESSAGE];
        let of_kind = |gateway: &Gateway, kind| {
            let both = ["amy", "bob"].into_iter().flat_map(|name| gateway.bodies(id(name), kind));
            both.take(4).collect::<Vec<_>>()
        };
        let old: Vec<_> = kinds.iter().map(|&kind| (kind, of_kind(&gateway, kind))).collect();
        assert!(old.iter().all(|(_, bodies)| !bodies.is_empty()));
        amy.device.connect(id("bob"), Some(Suite::ChaCha20Poly1305)).expect("a peer");
        let (mut done, mut forged) = (HashSet::new(), 0);
        for _ in 0..300 {
            for end in [&mut amy, &mut bob] {
                if let Some((out, payload)) = end.poll() {
                    let reply = gateway.handle(out.kind, &payload);
                    ["amy", "bob"].into_iter().for_each(|name| forged += splice(&mut gateway, name, &old, &mut done));
                    let _ = end.respond(reply);
                }
                if let Some(payload) = gateway.notification(end.device.id()) {
                    end.notify(payload);
                }
            }
        }
        assert!(forged > 30, "{forged}");
        for (end, peer) in [(&amy, "bob"), (&bob, "amy")] {
            let session = end.device.session(id(peer)).expect("a session");
            assert_eq!((session.suite, session.run, session.established), (Some(Suite::ChaCha20Poly1305), 1, true));
            assert!(!end.has("Failed"), "{:?}", end.log);
        }
        assert_eq!((amy.texts.len(), bob.texts.len()), (2, 2), "no text of nobody");
        amy.send(id("bob"), b"three");
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert_eq!(bob.texts.last().map(Vec::as_slice), Some(&b"three"[..]));
    }
}

/// Puts all mixtures of each new item with old ones of its kind before it; how many.
fn splice(gateway: &mut Gateway, name: &str, old: &[(u32, Vec<Vec<u8>>)], done: &mut HashSet<Vec<u8>>) -> usize {
    let mut count = 0;
    let items = std::mem::take(gateway.items(id(name)));
    let (known, new): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| done.contains(&item.2));
    *gateway.items(id(name)) = known;
    for (_, kind, body) in new {
        // A message 0 that does not open says that the keys differ: it ends the run (`device/tests/pairing.rs`).
        let confirms = sga_schema::decode::<sga_schema::MessageItem<'_>>(&body).is_ok_and(|item| item.sequence == 0);
        for older in old.iter().filter(|(of, _)| *of == kind && !confirms).flat_map(|(_, bodies)| bodies) {
            for forged in spliced(&body, older) {
                done.insert(forged.clone());
                gateway.append(id(name), kind, forged);
                count += 1;
            }
        }
        done.insert(body.clone());
        gateway.append(id(name), kind, body);
    }
    count
}
