//! Repair 11: what comes back to a device, forged.
//!
//! The attacker is on the path and answers in the gateway's place: bare codes, texts, answers to other requests, bent ones, inboxes of
//! its own making. In print nothing is sealed on the way back: a forged "stored" or a forged item loses mail. Here a code without a
//! seal changes nothing that a device has stored, and the texts arrive, once, when the attacker tires.

use sga_device::RequestKind;
use sga_schema::{Inbox, ItemsWriter, MessageItem, NextAttach, Profile, kind};

use crate::support::by_hand::encoded;
use crate::support::ends::Reply;
use crate::support::link::{AMY, BOB, Exchange, Link, id};

/// Codes that some request may be answered with, and a few that none is.
const CODES: [u8; 16] =
    [0x41, 0x42, 0x43, 0x44, 0x45, 0x80, 0x81, 0x83, 0x84, 0x85, 0x89, 0x8d, 0x96, 0x9d, 0xa0, 0xa3];

/// What the attacker can make of an exchange and of all before it, without any key.
fn forgeries(exchange: &Exchange, before: &[Exchange]) -> Vec<Reply> {
    let (code, payload) = &exchange.reply;
    let mut all: Vec<Reply> = CODES.iter().filter(|other| *other != code).map(|code| (*code, Vec::new())).collect();
    for bytes in [&b""[..], b"stored", &[0x40], &[0x48, 0, 0, 0, 0, 0, 0, 0, 0], &[0x82, 0, 0x40], &[0xff; 30]] {
        if !(payload.is_empty() && bytes.is_empty()) {
            all.push((*code, bytes.to_vec()));
        }
    }
    // The true one, bent.
    for at in [0, 1, payload.len() / 2, payload.len().saturating_sub(1)] {
        let mut bent = payload.clone();
        if let Some(byte) = bent.get_mut(at) {
            *byte ^= 1;
            all.push((*code, bent));
        }
    }
    if let Some((_, shorter)) = payload.split_last() {
        all.push((*code, shorter.to_vec()));
        all.push((*code, [&payload[..], &[0]].concat()));
    }
    // Older ones, with this code and with their own.
    let old: Vec<&Exchange> = before.iter().filter(|old| !old.reply.1.is_empty()).collect();
    for old in old.iter().rev().take(3).chain(old.iter().filter(|old| old.out.kind == exchange.out.kind).take(3)) {
        all.push((*code, old.reply.1.clone()));
        all.push(old.reply.clone());
    }
    all.retain(|forged| *forged != exchange.reply);
    all
}

/// Whether a bare code is all that its request is answered with, by design: an acknowledged cursor is asked for again with the next
/// attach, and the package is checked by what follows from it.
fn is_bare(kind: RequestKind) -> bool {
    matches!(kind, RequestKind::Package | RequestKind::Ack)
}

/// What the application of a device does that was told of a failure: it asks again.
fn ask_again(link: &mut Link) {
    for _ in 0..6 {
        for end in &mut link.ends {
            if !end.device.is_attached() {
                end.device.register();
            }
        }
        link.settle();
        let attached = link.ends.iter().all(|end| end.device.is_attached());
        if attached && !link.can_talk() {
            for (who, peer) in [(AMY, "bob"), (BOB, "amy")] {
                // A text in flight goes first, also for who has not asked for a session.
                if who == AMY || link.ends[who].device.in_flight_text(id(peer)).is_some() {
                    link.ends[who].device.connect(id(peer), None).expect("a peer");
                }
            }
            link.settle();
        }
    }
}

/// All of it, with one forged answer: the `forgery`th to the `at`th request. None: there is no such request; false: no such forgery.
fn with_forged(at: usize, forgery: usize) -> Option<bool> {
    let mut link = Link::new(Profile::Compact);
    let mut count = 0;
    let mut found = None;
    let mut on_path = |link: &mut Link, exchange: &Exchange| {
        count += 1;
        if count == at + 1 {
            let before = &link.tape[..link.tape.len() - 1];
            let forged = forgeries(exchange, before).into_iter().nth(forgery).filter(|_| !is_bare(exchange.out.kind));
            found = Some(forged.is_some());
            if let Some(forged) = forged {
                let stored = link.stored(exchange.who);
                let texts = link.ends[exchange.who].texts.len();
                let _ = link.ends[exchange.who].respond(forged.clone());
                let what = format!("{:?} answered with {forged:02x?}", exchange.out.kind);
                assert_eq!(link.stored(exchange.who), stored, "what is stored has changed: {what}");
                assert_eq!(link.ends[exchange.who].texts.len(), texts, "a text of nobody: {what}");
            }
        }
        // After a forged one this comes too late: nothing is in flight.
        exchange.reply.clone()
    };
    link.ends.iter_mut().for_each(|end| end.device.register());
    link.settle_by(&mut on_path);
    if link.ends[AMY].device.is_registered() {
        link.ends[AMY].device.connect(id("bob"), None).expect("a peer");
    }
    link.settle_by(&mut on_path);
    for (who, peer) in [(AMY, "bob"), (BOB, "amy")] {
        if link.ends[who].device.can_send(id(peer)) {
            link.ends[who].send(id(peer), b"a text");
        }
    }
    link.settle_by(&mut on_path);
    if found != Some(true) {
        return found;
    }
    ask_again(&mut link);
    assert!(link.can_talk(), "{at} {forgery}: {:?} {:?}", link.ends[AMY].log, link.ends[BOB].log);
    for (who, peer) in [(AMY, "bob"), (BOB, "amy")] {
        if link.ends[1 - who].texts.is_empty() {
            // It was not sealed before.
            link.ends[who].send(id(peer), b"a text");
            link.settle();
        }
        assert_eq!(link.ends[1 - who].texts, [b"a text".to_vec()], "{at} {forgery}: {:?}", link.ends[1 - who].log);
    }
    Some(true)
}

#[test]
fn a_forged_answer_changes_nothing_and_loses_nothing() {
    let (mut requests, mut tried) = (0, 0);
    for at in 0.. {
        let mut forgery = 0;
        loop {
            match with_forged(at, forgery) {
                None => {
                    assert!(requests > 20 && tried > 500, "{requests} requests, {tried} forged answers");
                    return;
                }
                Some(false) => break,
                Some(true) => {
                    forgery += 1;
                    tried += 1;
                }
            }
        }
        requests += 1;
    }
}

/// The gateway never gets the text, and somebody says "stored" in its place: the text is sent again until it is.
#[test]
fn a_forged_stored_loses_no_text() {
    for forged in [&b""[..], &[0x48, 0, 0, 0, 0, 0, 0, 0, 0], &[0x48, 1, 2, 3, 4, 5, 6, 7, 8], b"stored"] {
        let mut link = Link::established(Profile::Compact);
        link.ends[AMY].send(id("bob"), b"the text");
        for _ in 0..2 {
            let (out, _) = link.ends[AMY].poll().expect("the text is due");
            assert_eq!(out.kind, RequestKind::Message);
            let before = link.stored(AMY);
            let _ = link.ends[AMY].respond((0x44, forged.to_vec()));
            assert_eq!(link.stored(AMY), before);
            assert!(!link.ends[AMY].has("Sent"), "the device believes that it was stored");
        }
        link.settle();
        assert_eq!(link.ends[BOB].texts, [b"the text".to_vec()]);
        assert!(link.ends[AMY].has("Sent"));
    }
}

/// A "stored" of an earlier text, or of another session's, is none of this one.
#[test]
fn an_old_stored_loses_no_text() {
    let mut link = Link::established(Profile::Compact);
    link.say(AMY, b"one");
    link.say(BOB, b"two");
    let old: Vec<Reply> =
        link.tape.iter().map(|exchange| exchange.reply.clone()).filter(|reply| reply.0 == 0x44).collect();
    assert!(old.len() > 4);
    for reply in old {
        link.ends[AMY].send(id("bob"), b"three");
        let (out, _) = link.ends[AMY].poll().expect("the text is due");
        assert_eq!(out.kind, RequestKind::Message);
        let before = link.stored(AMY);
        let _ = link.ends[AMY].respond(reply);
        assert_eq!(link.stored(AMY), before, "an old answer was taken");
        let texts = link.ends[BOB].texts.len();
        link.settle();
        assert_eq!(link.ends[BOB].texts.len(), texts + 1);
    }
}

/// What forged refusals can do at most: after a new run a text that is refused and refused is given up. Its application is told that
/// it was not delivered, never that it was.
#[test]
fn a_text_given_up_for_forged_refusals_is_reported() {
    for code in [0x89, 0x8d, 0x81] {
        let mut link = Link::established(Profile::Compact);
        link.ends[AMY].send(id("bob"), b"a text");
        let mut forge = |link: &mut Link, exchange: &Exchange| {
            if exchange.out.kind == RequestKind::Message && exchange.out.stored.is_some() {
                let _ = link.ends[exchange.who].respond((code, Vec::new()));
            }
            exchange.reply.clone()
        };
        // The gateway has it, which the device is never told.
        link.settle_by(&mut forge);
        assert!(link.ends[AMY].has("Failed { what: Text {"), "{:?}", link.ends[AMY].log);
        for _ in 0..2 {
            link.ends[AMY].device.rekey(id("bob")).expect("a session");
            link.settle_by(&mut forge);
        }
        assert!(link.ends[AMY].has("TextLost"), "{:?}", link.ends[AMY].log);
        assert!(!link.ends[AMY].has("Sent {"), "{:?}", link.ends[AMY].log);
        assert_eq!(link.ends[BOB].texts, [b"a text".to_vec()], "once");
        // The session goes on.
        link.say(AMY, b"another");
        link.say(BOB, b"and back");
    }
}

/// What an inbox would look like if nothing were sealed.
fn inbox(items: &[(u32, u32, Vec<u8>)], next: Option<NextAttach>) -> Vec<u8> {
    let mut plain = vec![0; 4_096];
    let mut writer = ItemsWriter::new(&mut plain, 4_000);
    for (number, kind, body) in items {
        assert!(writer.push(*number, *kind, body));
    }
    let len = writer.finish(next);
    encoded(&Inbox { counter: 0, sealed: &plain[..len] })
}

/// Items of the attacker's own making, as the answer to an attach and as a notification: a message, an end of all others, an
/// invitation in anybody's name.
#[test]
fn forged_items_are_not_looked_at() {
    let mut link = Link::established(Profile::Compact);
    link.say(AMY, b"one");
    let handle = sga_schema::Handle([1; 4]);
    let message = encoded(&MessageItem { handle, run: 1, sequence: 2, ciphertext: &[0; 20], salt: None });
    let expired = encoded(&sga_schema::ExpiredItem { handle, run: 1, sequence: 9 });
    let invitation = encoded(&sga_schema::InvitationItem {
        handle,
        nonce_i: [1; 8],
        nonce_g: [2; 8],
        peer_key: [3; 16],
        id_i: id("mallory"),
        suite: sga_schema::Suite::AesCcm8,
    });
    let next = Some(NextAttach { ticket: [9; 16], generation: [8; 4] });
    let bodies = [(kind::MESSAGE, message), (kind::EXPIRED, expired), (kind::INVITATION, invitation), (99, vec![0x80])];
    for (kind, body) in bodies {
        for number in [1, 1_000, u32::MAX] {
            let forged = inbox(&[(number, kind, body.clone())], next);
            let before = link.stored(BOB);
            link.ends[BOB].notify(inbox(&[(number, kind, body.clone())], None));
            link.ends[BOB].notify(forged.clone());
            assert_eq!(link.stored(BOB), before, "a forged notification");
            link.ends[BOB].device.attach(false);
            let (out, request) = link.ends[BOB].poll().expect("an attach");
            assert!(matches!(out.kind, RequestKind::Attach { .. }));
            link.ask(BOB, &out, &request);
            let before = link.stored(BOB);
            let _ = link.ends[BOB].respond((0x45, forged));
            assert_eq!(link.stored(BOB), before, "a forged inbox");
            assert!(!link.ends[BOB].has("generation_changed: true"));
            link.settle();
        }
    }
    // Mail that was waiting meanwhile is there.
    link.say(AMY, b"two");
    assert_eq!(link.ends[BOB].texts, [b"one".to_vec(), b"two".to_vec()]);
}

/// Bits of a true inbox, and true inboxes cut and mixed, in both directions of time.
#[test]
fn a_bent_inbox_is_not_looked_at() {
    let mut link = Link::established(Profile::Compact);
    link.ends[AMY].send(id("bob"), b"one");
    while link.step_by(AMY, &mut |_, exchange| exchange.reply.clone()) {}
    let true_ones = |link: &Link| link.recorded(BOB, |kind| matches!(kind, RequestKind::Attach { .. }));
    let old = true_ones(&link);
    // The attach that would bring the text, bent in each bit, one try at a time.
    let mut bit = 0;
    loop {
        link.ends[BOB].device.attach(false);
        let Some((out, request)) = link.ends[BOB].poll() else { continue };
        let reply = link.ask(BOB, &out, &request);
        if !matches!(out.kind, RequestKind::Attach { .. }) {
            let _ = link.ends[BOB].respond(reply);
            continue;
        }
        let mut bent = reply.1.clone();
        if bit >= bent.len() * 8 {
            let _ = link.ends[BOB].respond(reply);
            break;
        }
        bent[bit / 8] ^= 1 << (bit % 8);
        let before = link.stored(BOB);
        let _ = link.ends[BOB].respond((reply.0, bent));
        assert_eq!(link.stored(BOB), before, "bit {bit}");
        if let Some(exchange) = old.get(bit) {
            link.ends[BOB].notify(exchange.reply.1.clone());
            assert_eq!(link.stored(BOB), before, "an inbox of an earlier attach");
        }
        bit += 1;
    }
    link.settle();
    assert_eq!(link.ends[BOB].texts, [b"one".to_vec()]);
}
