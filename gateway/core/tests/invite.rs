//! A1 (`docs/protocol.md` §5): who may invite whom, and that a number is good for one request.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::Code;
use sga_gateway_core::Settings;
use sga_schema::{A1, A1Reason, A1Refusal, A4Reason, Accept, NegotiateSecret, Profile, Proof, Suite, SuiteSet, kind};
use support::{Dev, Sent, World, addr, id, items_of, not_agreed, sealed_bytes, sign_a1};

fn two() -> (World, Dev, Dev) {
    let mut world = World::compact();
    let (amy, bob) = (world.device("amy", 1), world.device("bob", 2));
    (world, amy, bob)
}

fn post_a1(world: &mut World, a1: A1, code: Code) {
    let request = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
    world.refused(addr(66), "negotiate", &request, code);
}

fn expect_refusal(sent: &Sent, code: Code, reason: A1Reason, detail: u32) {
    assert_eq!(sent.answer.code, code);
    assert_eq!(sent.refusal(), A1Refusal { reason, detail });
}

/// The number of a refused A1 is used up: the same bytes get the same answer, others none, and the next is taken.
fn number_is_used_up(world: &mut World, dev: &mut Dev, sent: &Sent) {
    let again = world.refused(addr(66), "negotiate", &sent.request, sent.answer.code);
    assert_eq!(again, sent.answer);
    world.restart();
    let again = world.refused(addr(66), "negotiate", &sent.request, sent.answer.code);
    assert_eq!(again.payload, sent.answer.payload, "stored, not remembered");
    let other = world.a1(dev, sent.a1.id_j, sent.a1.suite, [1; 16]);
    post_a1(world, other, Code::UNAUTHORIZED);
}

#[test]
fn a_good_a1_gives_a_handle_and_an_invitation() {
    for mut world in [World::compact(), World::classic()] {
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        let sent = world.invite(&mut amy, bob.id);
        let item = world.invitation(&mut bob);
        assert_ne!(sent.handle(), item.handle);
        assert_eq!((item.id_i, item.nonce_i, item.suite), (amy.id, sent.a1.nonce_i, sent.a1.suite));
        let peer = sga_crypto::steps::peer_key(&sga_crypto::Secret::new(sent.key));
        assert_eq!(&item.peer_key, peer.expose());
    }
}

#[test]
fn a_wrong_tag_is_refused() {
    let (mut world, mut amy, bob) = two();
    amy.request_number = 1;
    let good = world.a1(&amy, bob.id, amy.suite, [1; 16]);
    for byte in 0..8 {
        let mut forged = good;
        forged.tag[byte] ^= 1;
        post_a1(&mut world, forged, Code::UNAUTHORIZED);
    }
    let changes: [fn(&mut A1); 5] = [
        |a1| a1.request_number += 1,
        |a1| a1.nonce_i[0] ^= 1,
        |a1| a1.masked[0] ^= 1,
        |a1| a1.id_j = id("eve"),
        |a1| a1.suite = Suite::ALL[3],
    ];
    for change in changes {
        let mut forged = good;
        change(&mut forged);
        post_a1(&mut world, forged, Code::UNAUTHORIZED);
    }
    // Somebody else's key.
    let mut forged = good;
    sign_a1(&bob, &mut forged, support::GATE);
    post_a1(&mut world, forged, Code::UNAUTHORIZED);
    let request = world.negotiate_bytes(&NegotiateSecret::Invite(good));
    assert_eq!(world.post(amy.addr, "negotiate", &request).code, Code::CREATED);
}

#[test]
fn an_a1_for_another_gateway_is_refused() {
    let (mut world, mut amy, bob) = two();
    amy.request_number = 1;
    let mut a1 = world.a1(&amy, bob.id, amy.suite, [1; 16]);
    sign_a1(&amy, &mut a1, b"other gate");
    post_a1(&mut world, a1, Code::UNAUTHORIZED);
    amy.request_number = 0;
    world.invite(&mut amy, bob.id).handle();
}

#[test]
fn an_a1_of_an_unknown_device_is_refused() {
    let (mut world, mut amy, bob) = two();
    let eve = Dev { request_number: 1, ..Dev::new("eve", 9) };
    let a1 = world.a1(&eve, bob.id, eve.suite, [1; 16]);
    post_a1(&mut world, a1, Code::UNAUTHORIZED);
    world.invite(&mut amy, bob.id).handle();
}

#[test]
fn bytes_that_do_not_open_are_refused() {
    let (mut world, mut amy, bob) = two();
    amy.request_number = 1;
    let a1 = world.a1(&amy, bob.id, amy.suite, [1; 16]);
    let request = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
    let sga_schema::Sealed(sealed) = sga_schema::decode(&request).unwrap();
    let mut forged: Vec<Vec<u8>> = (0..sealed.len()).map(|len| sealed[..len].to_vec()).collect();
    forged.extend((0..sealed.len()).map(|at| {
        let mut bytes = sealed.to_vec();
        bytes[at] ^= 0x10;
        bytes
    }));
    forged.push([sealed, &[0]].concat());
    for bytes in forged {
        world.refused(addr(66), "negotiate", &sealed_bytes(&bytes), Code::UNAUTHORIZED);
    }
    assert_eq!(world.post(amy.addr, "negotiate", &request).code, Code::CREATED);
}

#[test]
fn the_same_a1_again_gets_the_stored_answer_and_nothing_else_does() {
    let (mut world, mut amy, mut bob) = two();
    let sent = world.invite(&mut amy, bob.id);
    number_is_used_up(&mut world, &mut amy, &sent);
    // The same A1 in another encryption is other bytes.
    post_a1(&mut world, sent.a1, Code::UNAUTHORIZED);
    let second = world.invite(&mut amy, bob.id);
    assert_ne!(sent.handle(), second.handle());
    world.refused(addr(66), "negotiate", &sent.request, Code::UNAUTHORIZED);
    let lower = Dev { request_number: 1, ..amy.clone() };
    let a1 = world.a1(&lower, bob.id, amy.suite, [1; 16]);
    post_a1(&mut world, a1, Code::UNAUTHORIZED);
    // The second replaced the first.
    let items = world.take(&mut bob);
    assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [kind::VOID, kind::INVITATION]);
}

#[test]
fn an_unknown_peer_is_refused_under_seal() {
    let (mut world, mut amy, bob) = two();
    let sent = world.invite(&mut amy, id("nobody"));
    expect_refusal(&sent, Code::NOT_FOUND, A1Reason::NoSuchPeer, 0);
    number_is_used_up(&mut world, &mut amy, &sent);
    world.invite(&mut amy, bob.id).handle();
}

#[test]
fn oneself_is_refused_under_seal() {
    let (mut world, mut amy, bob) = two();
    let sent = world.invite(&mut amy, id("amy"));
    expect_refusal(&sent, Code::FORBIDDEN, A1Reason::Yourself, 0);
    number_is_used_up(&mut world, &mut amy, &sent);
    world.invite(&mut amy, bob.id).handle();
}

#[test]
fn a_suite_that_not_both_have_is_refused_with_the_common_set() {
    let settings = Settings::new(id("gate"), Profile::Compact);
    let mut world = World::with(Settings { suites: SuiteSet::from_bits(0b0111).unwrap(), ..settings });
    let mut amy = world.device("amy", 1);
    let mut bob = Dev { suites: SuiteSet::from_bits(0b1010).unwrap(), ..Dev::new("bob", 2) };
    world.register_with(&mut bob, Proof::None, Code::CREATED);
    world.attach(&mut bob);
    // In nobody's; in the devices' and not the gateway's; in the inviter's only.
    for suite in [Suite::ALL[0], Suite::ALL[3], Suite::ALL[2]] {
        let sent = world.invite_with(&mut amy, bob.id, suite);
        expect_refusal(&sent, Code::UNPROCESSABLE_ENTITY, A1Reason::NoCommonSuite, 0b0010);
        number_is_used_up(&mut world, &mut amy, &sent);
    }
    world.invite_with(&mut amy, bob.id, Suite::ALL[1]).handle();
}

#[test]
fn a_peer_that_takes_no_invitation_is_left_alone() {
    let (mut world, mut amy, mut bob) = two();
    for accept in [Accept::None, Accept::Known] {
        bob.accept = accept;
        world.attach(&mut bob);
        let sent = world.invite(&mut amy, bob.id);
        expect_refusal(&sent, Code::FORBIDDEN, A1Reason::PeerRefuses, 0);
        number_is_used_up(&mut world, &mut amy, &sent);
        assert!(world.attach(&mut bob).is_empty());
    }
    bob.accept = Accept::All;
    world.attach(&mut bob);
    world.agree(&mut amy, &mut bob);
    bob.accept = Accept::Known;
    world.attach(&mut bob);
    world.invite(&mut amy, bob.id).handle();
    let mut eve = world.device("eve", 3);
    let sent = world.invite(&mut eve, bob.id);
    expect_refusal(&sent, Code::FORBIDDEN, A1Reason::PeerRefuses, 0);
    bob.accept = Accept::None;
    world.attach(&mut bob);
    let sent = world.invite(&mut amy, bob.id);
    expect_refusal(&sent, Code::FORBIDDEN, A1Reason::PeerRefuses, 0);
}

#[test]
fn a_fifth_invitation_finds_no_room() {
    let (mut world, mut amy, mut bob) = two();
    for (at, name) in ["c", "d", "e", "f"].into_iter().enumerate() {
        let mut dev = world.device(name, 10 + at as u8);
        world.invite(&mut dev, bob.id).handle();
    }
    let sent = world.invite(&mut amy, bob.id);
    assert_eq!(sent.answer.code, Code::SERVICE_UNAVAILABLE);
    assert_eq!(sent.refusal().reason, A1Reason::MailboxFull);
    assert!(sent.refusal().detail > 0, "seconds");
    number_is_used_up(&mut world, &mut amy, &sent);
    assert_eq!(items_of(&world.store, 2, 0).len(), 4);
    world.take(&mut bob);
    world.invite(&mut amy, bob.id).handle();
    assert_eq!(world.take(&mut bob).len(), 1);
}

#[test]
fn of_crossing_a1s_the_smaller_id_survives_if_it_was_first() {
    let (mut world, mut amy, mut bob) = two();
    let first = world.invite(&mut amy, bob.id);
    let sent = world.invite(&mut bob, amy.id);
    expect_refusal(&sent, Code::CONFLICT, A1Reason::Crossing, 0);
    number_is_used_up(&mut world, &mut bob, &sent);
    assert!(world.take(&mut amy).is_empty());
    let item = world.invitation(&mut bob);
    let a3 = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    assert_eq!(world.reply(&bob, a3).1.code, Code::CHANGED);
    first.handle();
}

#[test]
fn of_crossing_a1s_the_smaller_id_survives_if_it_was_second() {
    let (mut world, mut amy, mut bob) = two();
    let first = world.invite(&mut bob, amy.id);
    let old = world.invitation(&mut amy);
    let second = world.invite(&mut amy, bob.id);
    second.handle();
    let items = world.take(&mut bob);
    assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [kind::NOT_AGREED, kind::INVITATION]);
    assert_eq!(not_agreed(&first, &items[0].body), A4Reason::Withdrawn);
    // The one that was withdrawn is gone.
    let a3 = world.a3(&amy, &old, Some(old.suite), [3; 16]);
    let request = world.negotiate_bytes(&NegotiateSecret::Reply(a3));
    world.refused(amy.addr, "negotiate", &request, Code::UNAUTHORIZED);
    let item = sga_schema::decode(&items[1].body).unwrap();
    let a3 = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    assert_eq!(world.reply(&bob, a3).1.code, Code::CHANGED);
}

#[test]
fn a_withdrawn_invitation_that_was_not_fetched_is_never_seen() {
    let (mut world, mut amy, mut bob) = two();
    world.invite(&mut bob, amy.id);
    world.invite(&mut amy, bob.id).handle();
    let items = world.take(&mut amy);
    assert!(items.iter().all(|item| item.kind == kind::VOID), "{items:?}");
}
