//! A3 (`docs/protocol.md` §5): one answer to one invitation, and what the inviter hears of it.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::Code;
use sga_crypto::{Secret, steps};
use sga_schema::{A3, A4Reason, A4Secret, AgreedItem, InvitationItem, NegotiateSecret, Suite, kind};
use support::{Dev, Sent, World, a3_answer, addr, aead, not_agreed, open, sign_a3};

/// Amy has invited Bob, who has the invitation.
fn invited() -> (World, Dev, Dev, Sent, InvitationItem) {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let sent = world.invite(&mut amy, bob.id);
    let item = world.invitation(&mut bob);
    (world, amy, bob, sent, item)
}

fn refuse(world: &mut World, a3: A3) {
    let request = world.negotiate_bytes(&NegotiateSecret::Reply(a3));
    world.refused(addr(66), "negotiate", &request, Code::UNAUTHORIZED);
}

fn accept(world: &mut World, bob: &Dev, item: &InvitationItem) {
    let a3 = world.a3(bob, item, Some(item.suite), [3; 16]);
    assert_eq!(world.reply(bob, a3).1.code, Code::CHANGED);
}

#[test]
fn a_good_a3_agrees_and_tells_the_inviter() {
    let (mut world, mut amy, bob, sent, item) = invited();
    let a3 = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    let (request, answer) = world.reply(&bob, a3);
    assert_eq!((answer.code, answer.payload), (Code::CHANGED, a3_answer([3; 16], &request)));
    let items = world.take(&mut amy);
    assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [kind::AGREED]);
    let agreed: AgreedItem<'_> = sga_schema::decode(&items[0].body).unwrap();
    assert_eq!((agreed.handle, agreed.nonce_g), (sent.handle(), item.nonce_g));
    let key = steps::a4(aead(item.suite), &Secret::new(sent.key), &item.nonce_i, &item.nonce_g);
    let secret: A4Secret = sga_schema::decode(&open(key, agreed.sealed).expect("A4 opens")).unwrap();
    assert_eq!(secret.nonce_j, a3.nonce_j);
    assert_eq!(&secret.peer_key, steps::peer_key(&Secret::new([3; 16])).expose());
}

#[test]
fn a_wrong_tag_is_refused() {
    let (mut world, amy, bob, _, item) = invited();
    let good = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    for byte in 0..8 {
        let mut forged = good;
        forged.tag[byte] ^= 1;
        refuse(&mut world, forged);
    }
    let changes: [fn(&mut A3); 4] =
        [|a3| a3.nonce_g[0] ^= 1, |a3| a3.nonce_j[0] ^= 1, |a3| a3.masked[0] ^= 1, |a3| a3.suite = None];
    for change in changes {
        let mut forged = good;
        change(&mut forged);
        refuse(&mut world, forged);
    }
    let mut forged = good;
    sign_a3(&Dev { id: bob.id, ..amy.clone() }, amy.id, &mut forged);
    refuse(&mut world, forged);
    accept(&mut world, &bob, &item);
}

#[test]
fn an_unknown_handle_is_refused() {
    let (mut world, amy, bob, _, item) = invited();
    let mut a3 = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    a3.handle.0[0] ^= 1;
    sign_a3(&bob, amy.id, &mut a3);
    refuse(&mut world, a3);
    accept(&mut world, &bob, &item);
}

#[test]
fn the_initiators_handle_answers_nothing() {
    let (mut world, amy, bob, sent, item) = invited();
    for dev in [&amy, &bob] {
        let mut a3 = world.a3(dev, &item, Some(item.suite), [3; 16]);
        a3.handle = sent.handle();
        sign_a3(dev, amy.id, &mut a3);
        refuse(&mut world, a3);
    }
    accept(&mut world, &bob, &item);
}

#[test]
fn another_suite_or_another_n_g_than_in_a2_is_refused_though_signed() {
    let (mut world, _, bob, _, item) = invited();
    for suite in Suite::ALL.into_iter().filter(|suite| *suite != item.suite) {
        let a3 = world.a3(&bob, &item, Some(suite), [3; 16]);
        refuse(&mut world, a3);
    }
    let other = InvitationItem { nonce_g: [0; 8], ..item };
    let a3 = world.a3(&bob, &other, Some(item.suite), [3; 16]);
    refuse(&mut world, a3);
    accept(&mut world, &bob, &item);
}

#[test]
fn the_same_values_again_get_the_answer_again_and_others_none() {
    let (mut world, mut amy, bob, _, item) = invited();
    let a3 = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    let (first, answer) = world.reply(&bob, a3);
    for restart in [false, true] {
        if restart {
            world.restart();
        }
        let again = world.refused(addr(66), "negotiate", &first, Code::CHANGED);
        assert_eq!(again.payload, answer.payload);
        // In a new encryption: an answer for these bytes.
        let second = world.negotiate_bytes(&NegotiateSecret::Reply(a3));
        let again = world.refused(addr(66), "negotiate", &second, Code::CHANGED);
        assert_eq!(again.payload, a3_answer([3; 16], &second));
        for (suite, key) in [(Some(item.suite), [3; 16]), (Some(item.suite), [4; 16]), (None, [3; 16])] {
            let other = world.a3(&bob, &item, suite, key);
            refuse(&mut world, other);
        }
        // The same nonce and another key, or a change of mind.
        let mut other = A3 { masked: steps::a3_mask(&bob.key(), &a3.nonce_j, &[4; 16]), ..a3 };
        sign_a3(&bob, amy.id, &mut other);
        refuse(&mut world, other);
        let mut other = A3 { suite: None, ..a3 };
        sign_a3(&bob, amy.id, &mut other);
        refuse(&mut world, other);
    }
    assert_eq!(world.take(&mut amy).len(), 1, "one item only");
}

#[test]
fn suite_0_refuses_and_tells_the_inviter() {
    let (mut world, mut amy, mut bob, sent, item) = invited();
    let a3 = world.a3(&bob, &item, None, [3; 16]);
    let (request, answer) = world.reply(&bob, a3);
    assert_eq!((answer.code, answer.payload), (Code::CHANGED, a3_answer([3; 16], &request)));
    let items = world.take(&mut amy);
    assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [kind::NOT_AGREED]);
    assert_eq!(not_agreed(&sent, &items[0].body), A4Reason::Refused);
    // The same again is answered; a change of mind is not.
    world.refused(addr(66), "negotiate", &request, Code::CHANGED);
    let late = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    refuse(&mut world, late);
    world.agree(&mut amy, &mut bob);
}

#[test]
fn an_invitation_that_nobody_answers_is_over_after_an_hour() {
    let (mut world, mut amy, mut bob, sent, item) = invited();
    world.pass(3_500);
    assert!(world.attach(&mut amy).is_empty(), "not yet");
    world.pass(200);
    let items = world.take(&mut amy);
    assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [kind::NOT_AGREED]);
    assert_eq!(not_agreed(&sent, &items[0].body), A4Reason::TimedOut);
    let late = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    refuse(&mut world, late);
    assert!(!world.store.keys().any(|key| matches!(key[0], b's' | b'l' | b'q')), "nothing is left of it");
    world.agree(&mut amy, &mut bob);
}

#[test]
fn an_invitation_that_ran_out_and_was_not_fetched_is_void() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    world.invite(&mut amy, bob.id);
    world.pass(3_700);
    let items = world.take(&mut bob);
    assert!(items.iter().all(|item| item.kind == kind::VOID), "{items:?}");
    world.agree(&mut amy, &mut bob);
}

#[test]
fn an_invitation_runs_out_across_a_restart() {
    let (mut world, mut amy, bob, sent, item) = invited();
    world.pass(2_000);
    world.restart();
    world.pass(1);
    world.pass(1_000);
    assert!(world.attach(&mut amy).is_empty());
    world.pass(1_200);
    let items = world.take(&mut amy);
    assert_eq!(not_agreed(&sent, &items[0].body), A4Reason::TimedOut);
    let late = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    refuse(&mut world, late);
}

#[test]
fn an_a3_after_the_hour_is_refused_before_anybody_looked() {
    let (mut world, mut amy, mut bob, _, item) = invited();
    world.now += std::time::Duration::from_secs(3_700);
    let late = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    refuse(&mut world, late);
    world.agree(&mut amy, &mut bob);
}

#[test]
fn an_a3_for_an_invitation_that_was_replaced_is_refused() {
    let (mut world, mut amy, mut bob, _, old) = invited();
    world.invite(&mut amy, bob.id);
    let late = world.a3(&bob, &old, Some(old.suite), [3; 16]);
    refuse(&mut world, late);
    let new = world.invitation(&mut bob);
    accept(&mut world, &bob, &new);
    assert_eq!(world.take(&mut amy).len(), 1);
}

#[test]
fn sessions_of_a_pair_are_bounded() {
    let mut world = World::compact();
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    for _ in 0..5 {
        world.agree(&mut amy, &mut bob);
        world.take(&mut amy);
        let sent = world.invite(&mut amy, bob.id);
        let item = world.invitation(&mut bob);
        let a3 = world.a3(&bob, &item, None, [3; 16]);
        world.reply(&bob, a3);
        assert_eq!(not_agreed(&sent, &world.take(&mut amy)[0].body), A4Reason::Refused);
    }
    let count = |tag| world.store.keys().filter(|key| key[0] == tag).count();
    assert_eq!((count(b's'), count(b'l'), count(b'q')), (3, 6, 0), "current, previous, last refused");
}
