//! Padding (`docs/protocol.md` §10): the gateway takes it where it belongs, refuses what is none, and answers in kind.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::Code;
use sga_crypto::{PkPurpose, sha256, steps};
use sga_schema::padding::{self, decode_padded};
use sga_schema::{
    Ack, AckSecret, Attach, AttachSecret, Grant, Inbox, InboxSecret, NegotiateSecret, Profile, Proof, Register,
    RegisterSecret, Registered, Role, SealedId, Suite,
};
use support::{Answer, Dev, World, aead, encoded, id, open, seal_bytes};

/// With so many bytes of padding, the first of which is `begin`.
fn padded(message: &[u8], to: usize, begin: u8) -> Vec<u8> {
    let mut bytes = message.to_vec();
    bytes.push(begin);
    bytes.resize(to, 0);
    bytes
}

/// What is sealed in place of a padded message, and whether it is one.
fn variants(message: &[u8], to: usize) -> Vec<(Vec<u8>, bool)> {
    let good = padded(message, to, 0x80);
    let mut nonzero = good.clone();
    *nonzero.last_mut().unwrap() ^= 1;
    let mut bad = vec![nonzero, padded(message, to + 1, 0x80), padded(message, to, 0)];
    if to > message.len() + 1 {
        bad.push(padded(message, to - 1, 0x80));
        bad.push(padded(&padded(message, message.len() + 1, 0x80), to, 0x80));
    }
    let bad = bad.into_iter().map(|plain| (plain, false));
    bad.chain([(good, true)]).collect()
}

fn attach_with(world: &mut World, dev: &mut Dev, plain: &[u8]) -> Answer {
    dev.nonce = world.random();
    dev.counter = 0;
    let sealed = seal_bytes(steps::attach(aead(dev.suite), &dev.key(), &dev.nonce), plain);
    let request = encoded(&Attach { ticket: dev.ticket, nonce: dev.nonce, sealed: &sealed });
    world.fetch(dev.addr, &request)
}

/// The next attach of a device, as it is encoded.
fn attach_secret(dev: &mut Dev) -> Vec<u8> {
    dev.attach_number += 1;
    let (attach_number, cursor, generation, accept) = (dev.attach_number, dev.cursor, dev.generation, dev.accept);
    encoded(&AttachSecret { attach_number, cursor, generation, accept })
}

/// Attaches padded; the length of what was sealed in the answer, and how many items were in it.
fn attach(world: &mut World, dev: &mut Dev) -> (usize, usize) {
    let plain = attach_secret(dev);
    let answer = attach_with(world, dev, &padded(&plain, padding::ATTACH_SEALED_LEN - dev.suite.tag_len(), 0x80));
    assert_eq!(answer.code, Code::CONTENT);
    inbox(dev, &answer)
}

fn inbox(dev: &mut Dev, answer: &Answer) -> (usize, usize) {
    let inbox: Inbox<'_> = sga_schema::decode(&answer.payload).unwrap();
    let len = inbox.sealed.len();
    let plain = open(steps::inbox(aead(dev.suite), &dev.key(), &dev.nonce, inbox.counter), inbox.sealed).unwrap();
    let fits = padding::inbox_sealed_len(len) == len;
    let (secret, is_padded): (InboxSecret<'_>, bool) = decode_padded(&plain, fits).unwrap();
    assert!(is_padded, "{len}");
    dev.ticket = secret.next.unwrap().ticket;
    (len, secret.items.len())
}

#[test]
fn an_attach_is_padded_to_one_size_or_not_at_all() {
    for suite in Suite::ALL {
        let mut world = World::compact();
        let mut bob = Dev { suite, ..Dev::new("bob", 2) };
        world.register_with(&mut bob, Proof::None, Code::CREATED);
        let plain = attach_secret(&mut bob);
        for (plain, good) in variants(&plain, padding::ATTACH_SEALED_LEN - suite.tag_len()) {
            if good {
                let answer = attach_with(&mut world, &mut bob, &plain);
                assert_eq!((answer.code, inbox(&mut bob, &answer)), (Code::CONTENT, (52, 0)), "{suite}");
            } else {
                let answer = world.unchanged_any(|world| attach_with(world, &mut bob.clone(), &plain));
                assert_eq!(answer.code, Code::BAD_REQUEST, "{suite} {plain:02x?}");
            }
        }
        // Whoever does not pad is not padded, the next time.
        assert_eq!(world.attach(&mut bob).len(), 0);
    }
}

#[test]
fn an_acknowledgement_is_padded_to_one_size_or_not_at_all() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    world.invite(&mut amy, bob.id);
    assert_eq!(attach(&mut world, &mut bob).1, 1);
    let ticket = bob.ticket;
    let plain = encoded(&AckSecret { cursor: 1 });
    for (counter, (plain, good)) in (1..).zip(variants(&plain, padding::ACK_SEALED_LEN - bob.suite.tag_len())) {
        let sealed = seal_bytes(steps::ack(aead(bob.suite), &bob.key(), &bob.nonce, counter), &plain);
        let request = encoded(&Ack { ticket, counter, sealed: &sealed });
        if good {
            assert_eq!(world.post(bob.addr, "msg", &request).code, Code::CHANGED);
        } else {
            world.refused(bob.addr, "msg", &request, Code::BAD_REQUEST);
        }
    }
    assert_eq!(attach(&mut world, &mut bob), (52, 0), "it was taken");
}

#[test]
fn a_padded_registration_has_a_padded_answer() {
    for name in ["a", "a name of 16 byt"] {
        let mut world = World::compact();
        let dev = Dev::new(name, 3);
        let package_hash = sha256(&world.package());
        let secret =
            RegisterSecret { registered_key: dev.key, suite: dev.suite, suites: dev.suites, proof: Proof::None };
        let plain = encoded(&SealedId(dev.id));
        for (plain, good) in variants(&plain, padding::ID_SEALED_LEN - dev.suite.tag_len()) {
            let a = world.pk(PkPurpose::Register { package_hash }, &encoded(&secret));
            let b = seal_bytes(steps::register_id(aead(dev.suite), &dev.key(), &sha256(&a)), &plain);
            let request = encoded(&Register { sealed_key: &a, sealed_id: &b });
            if !good {
                world.refused(dev.addr, "register", &request, Code::BAD_REQUEST);
                continue;
            }
            let answer = world.post(dev.addr, "register", &request);
            let registered: Registered<'_> = sga_schema::decode(&answer.payload).unwrap();
            assert_eq!((answer.code, registered.sealed.len()), (Code::CREATED, padding::GRANT_SEALED_LEN));
            let key = steps::registered(aead(dev.suite), &dev.key(), &sha256(&request), &registered.nonce);
            let plain = open(key, registered.sealed).unwrap();
            assert!(decode_padded::<Grant>(&plain, true).unwrap().1);
        }
    }
}

#[test]
fn an_a1_is_padded_to_one_size_and_an_a3_never() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    amy.request_number += 1;
    let a1 = world.a1(&amy, bob.id, Suite::AesCcm8, [7; 16]);
    let plain = encoded(&NegotiateSecret::Invite(a1));
    for (plain, good) in variants(&plain, padding::A1_LEN) {
        let sealed = world.pk(PkPurpose::Negotiate, &plain);
        let request = support::sealed_bytes(&sealed);
        if good {
            assert_eq!(world.post(amy.addr, "negotiate", &request).code, Code::CREATED);
        } else {
            world.refused(amy.addr, "negotiate", &request, Code::BAD_REQUEST);
        }
    }
    let item = world.invitation(&mut bob);
    let a3 = world.a3(&bob, &item, Some(Suite::AesCcm8), [8; 16]);
    let plain = padded(&encoded(&NegotiateSecret::Reply(a3)), padding::A1_LEN, 0x80);
    let sealed = world.pk(PkPurpose::Negotiate, &plain);
    world.refused(bob.addr, "negotiate", &support::sealed_bytes(&sealed), Code::BAD_REQUEST);
    assert_eq!(world.reply(&bob, a3).1.code, Code::CHANGED);
}

#[test]
fn a_padded_inbox_has_as_many_items_as_any_other_and_fits_the_same_block() {
    let mut world = World::with(sga_gateway_core::Settings::new(id("gate"), Profile::Compact));
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    let run = world.close(&session, &amy, &bob, 1);
    world.take(&mut bob);
    let mut sizes = std::collections::BTreeSet::new();
    for sequence in 0..120 {
        let text = vec![7; [1, 60, 300][sequence as usize % 3]];
        let request = world.message(&session, &run, Role::Initiator, sequence, &text);
        assert_eq!(world.post(amy.addr, "msg", &request).code, Code::CHANGED);
        let plain = world.attach(&mut bob).len();
        let (len, items) = attach(&mut world, &mut bob);
        assert_eq!(items, plain, "{sequence}");
        assert!(len <= 1_012, "one block, as without: {len}");
        sizes.insert(len);
    }
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [116, 244, 500, 1_012]);
    // One item that is larger than a block.
    world.take(&mut bob);
    let request = world.message(&session, &run, Role::Initiator, 120, &[7; 5_000]);
    assert_eq!(world.post(amy.addr, "msg", &request).code, Code::CHANGED);
    assert_eq!(attach(&mut world, &mut bob), (5 * 1_024 - 12, 1));
}
