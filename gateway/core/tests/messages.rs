//! Messages (`docs/protocol.md` §7): stored once, then said to be stored; nothing under a number that means something else.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::Code;
use sga_gateway_core::Settings;
use sga_schema::{Handle, MessageItem, MessagePost, Profile, Role, kind};
use support::{Dev, Run, Session, World, addr, encoded, id, items_of, stored};

use Role::{Initiator, Responder};

fn keyed_in(mut world: World) -> (World, Dev, Dev, Session, Run) {
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    let run = world.close(&session, &amy, &bob, 1);
    world.take(&mut amy);
    world.take(&mut bob);
    (world, amy, bob, session, run)
}

fn keyed() -> (World, Dev, Dev, Session, Run) {
    keyed_in(World::compact())
}

fn send(world: &mut World, session: &Session, run: &Run, role: Role, sequence: u32, text: &[u8]) {
    let request = world.message(session, run, role, sequence, text);
    let answer = world.post(addr(50), "msg", &request);
    assert_eq!((answer.code, answer.payload), (Code::CHANGED, stored(session, run, role, sequence)));
}

fn refused(world: &mut World, session: &Session, run: &Run, sequence: u32, text: &[u8], code: Code) {
    let request = world.message(session, run, Initiator, sequence, text);
    world.refused(addr(66), "msg", &request, code);
}

fn messages(world: &World) -> Vec<u32> {
    let messages = items_of(&world.store, 2, 0).into_iter().filter(|item| item.kind == kind::MESSAGE);
    messages.map(|item| sga_schema::decode::<MessageItem<'_>>(&item.body).unwrap().sequence).collect()
}

#[test]
fn a_message_arrives_as_it_was_sent() {
    for world in [World::compact(), World::classic()] {
        let (mut world, mut amy, mut bob, session, run) = keyed_in(world);
        send(&mut world, &session, &run, Initiator, 0, b"to bob");
        send(&mut world, &session, &run, Responder, 0, &[7; 8_000]);
        for (dev, role, text) in [(&mut bob, Responder, &b"to bob"[..]), (&mut amy, Initiator, &[7; 8_000])] {
            let items = world.take(dev);
            let item: MessageItem<'_> = sga_schema::decode(&items[0].body).unwrap();
            let expected =
                MessageItem { handle: session.handle(role), run: 1, sequence: 0, ciphertext: text, salt: None };
            assert_eq!((items.len(), item), (1, expected));
        }
    }
}

#[test]
fn a_wrong_hop_tag_is_refused() {
    let (mut world, _, _, session, run) = keyed();
    let request = world.message(&session, &run, Initiator, 0, b"text");
    let good: MessagePost<'_> = sga_schema::decode(&request).unwrap();
    let mut forged = vec![
        MessagePost { sequence: 1, ..good },
        MessagePost { ciphertext: b"tent", ..good },
        MessagePost { handle: session.handle(Responder), ..good },
    ];
    forged.extend((0..8).map(|at| {
        let mut hop_tag = good.hop_tag;
        hop_tag[at] ^= 1;
        MessagePost { hop_tag, ..good }
    }));
    for post in forged {
        world.refused(addr(66), "msg", &encoded(&post), Code::UNAUTHORIZED);
    }
    send(&mut world, &session, &run, Initiator, 0, b"text");
}

#[test]
fn a_salt_is_passed_on_and_the_hop_tag_covers_it() {
    let (mut world, _, mut bob, session, run) = keyed();
    send(&mut world, &session, &run, Initiator, 0, b"zero");
    let unsalted = world.message(&session, &run, Initiator, 1, b"text");
    let plain: MessagePost<'_> = sga_schema::decode(&unsalted).unwrap();
    let (request, stored) = world.message_in_life(&session, &run, 1, b"text", [7; 8]);
    let good: MessagePost<'_> = sga_schema::decode(&request).unwrap();
    let added = MessagePost { salt: Some([7; 8]), ..plain };
    for forged in [added, MessagePost { salt: None, ..good }, MessagePost { salt: Some([8; 8]), ..good }] {
        world.refused(addr(66), "msg", &encoded(&forged), Code::UNAUTHORIZED);
    }
    // Message 0 has none.
    let (zero, _) = world.message_in_life(&session, &run, 0, b"zero", [7; 8]);
    world.refused(addr(66), "msg", &zero, Code::BAD_REQUEST);
    let answer = world.post(addr(50), "msg", &request);
    assert_eq!((answer.code, &answer.payload), (Code::CHANGED, &stored));
    // Again the same; under another life's salt, or without one, it is another message.
    world.restart();
    assert_eq!(world.refused(addr(66), "msg", &request, Code::CHANGED).payload, stored);
    let (other, _) = world.message_in_life(&session, &run, 1, b"text", [8; 8]);
    for other in [other, unsalted] {
        world.refused(addr(66), "msg", &other, Code::CONFLICT);
    }
    let items = world.take(&mut bob);
    let item: MessageItem<'_> = sga_schema::decode(&items[1].body).unwrap();
    assert_eq!((items.len(), item.sequence, item.ciphertext, item.salt), (2, 1, &b"text"[..], Some([7; 8])));
}

#[test]
fn an_unknown_handle_or_run_is_refused() {
    let (mut world, _, _, session, run) = keyed();
    let nowhere = Session { handle: [Handle([0; 4]); 2], ..session.clone() };
    refused(&mut world, &nowhere, &run, 0, b"text", Code::UNAUTHORIZED);
    for number in [2, u32::MAX] {
        refused(&mut world, &session, &Run { run: number, ..run.clone() }, 0, b"text", Code::UNAUTHORIZED);
    }
    send(&mut world, &session, &run, Initiator, 0, b"text");
}

#[test]
fn there_is_no_message_before_the_run_is_closed() {
    let (mut world, amy, bob, session, run) = keyed();
    let first = world.make(&session, &amy, Initiator, 2);
    assert_eq!(world.post(amy.addr, "kex", &first.request).code, Code::CREATED);
    refused(&mut world, &session, &Run { run: 2, ..run.clone() }, 0, b"text", Code::UNAUTHORIZED);
    send(&mut world, &session, &run, Initiator, 0, b"the run in force goes on");
    let second = world.close_second(&session, first, &bob, 2);
    send(&mut world, &session, &second, Initiator, 0, b"text");
}

#[test]
fn the_same_message_again_is_stored_once() {
    let (mut world, _, _, session, run) = keyed();
    send(&mut world, &session, &run, Initiator, 0, b"text");
    let request = world.message(&session, &run, Initiator, 0, b"text");
    for _ in 0..2 {
        let again = world.refused(addr(66), "msg", &request, Code::CHANGED);
        assert_eq!(again.payload, stored(&session, &run, Initiator, 0));
        assert_eq!(messages(&world), [0]);
        world.restart();
    }
}

#[test]
fn another_message_under_the_same_number_is_refused() {
    let (mut world, _, _, session, run) = keyed();
    send(&mut world, &session, &run, Initiator, 0, b"text");
    refused(&mut world, &session, &run, 0, b"tent", Code::CONFLICT);
    world.restart();
    refused(&mut world, &session, &run, 0, b"tent", Code::CONFLICT);
    // The other direction has numbers of its own.
    send(&mut world, &session, &run, Responder, 0, b"tent");
    assert_eq!(messages(&world), [0]);
}

#[test]
fn a_number_below_the_window_is_refused() {
    let (mut world, _, _, session, run) = keyed();
    for sequence in [1, 100] {
        send(&mut world, &session, &run, Initiator, sequence, b"text");
    }
    for sequence in [0, 1, 84] {
        refused(&mut world, &session, &run, sequence, b"text", Code::CONFLICT);
    }
    send(&mut world, &session, &run, Initiator, 85, b"text");
    send(&mut world, &session, &run, Initiator, 99, b"text");
    refused(&mut world, &session, &run, 99, b"tent", Code::CONFLICT);
    assert_eq!(messages(&world), [1, 100, 85, 99]);
}

#[test]
fn a_full_mailbox_says_when_to_come_back_and_has_room_after_an_acknowledgement() {
    let settings = Settings::new(id("gate"), Profile::Compact);
    let world = World::with(Settings { mailbox_messages_max: 3, ..settings });
    let (mut world, amy, mut bob, session, run) = keyed_in(world);
    for sequence in 0..3 {
        send(&mut world, &session, &run, Initiator, sequence, b"text");
    }
    let request = world.message(&session, &run, Initiator, 3, b"text");
    for _ in 0..2 {
        let answer = world.refused(amy.addr, "msg", &request, Code::SERVICE_UNAVAILABLE);
        assert!(answer.max_age.is_some_and(|seconds| seconds > 0));
        world.restart();
    }
    // What is stored is stored, and the protocol's own items still find room.
    let again = world.message(&session, &run, Initiator, 2, b"text");
    world.refused(amy.addr, "msg", &again, Code::CHANGED);
    let half = world.make(&session, &amy, Initiator, 2);
    assert_eq!(world.post(amy.addr, "kex", &half.request).code, Code::CREATED);
    assert_eq!(world.attach(&mut bob).len(), 4);
    let ack = world.ack_bytes(&mut bob, 3);
    world.post(bob.addr, "msg", &ack);
    send(&mut world, &session, &run, Initiator, 3, b"text");
}

#[test]
fn a_full_mailbox_holds_nobody_else_up() {
    let settings = Settings::new(id("gate"), Profile::Compact);
    let world = World::with(Settings { mailbox_messages_max: 1, ..settings });
    let (mut world, _, _, session, run) = keyed_in(world);
    send(&mut world, &session, &run, Initiator, 0, b"text");
    refused(&mut world, &session, &run, 1, b"text", Code::SERVICE_UNAVAILABLE);
    send(&mut world, &session, &run, Responder, 0, b"text");
}

#[test]
fn a_message_of_the_run_before_is_still_taken_after_a_rekey() {
    let (mut world, amy, bob, session, one) = keyed();
    send(&mut world, &session, &one, Initiator, 0, b"text");
    let two = world.close(&session, &amy, &bob, 2);
    send(&mut world, &session, &one, Initiator, 1, b"on its way");
    send(&mut world, &session, &two, Initiator, 0, b"text");
    send(&mut world, &session, &one, Initiator, 2, b"on its way too");
    refused(&mut world, &session, &one, 1, b"other", Code::CONFLICT);
    refused(&mut world, &session, &two, 0, b"other", Code::CONFLICT);
    assert_eq!(messages(&world), [0, 1, 0, 2]);
}

#[test]
fn a_run_that_both_ends_have_left_behind_is_refused() {
    let (mut world, amy, bob, session, one) = keyed();
    for role in [Initiator, Responder] {
        send(&mut world, &session, &one, role, 0, b"text");
    }
    let two = world.close(&session, &amy, &bob, 2);
    for role in [Initiator, Responder] {
        send(&mut world, &session, &two, role, 0, b"text");
    }
    let three = world.close(&session, &amy, &bob, 3);
    for sequence in [0, 1] {
        refused(&mut world, &session, &one, sequence, b"text", Code::UNAUTHORIZED);
    }
    world.restart();
    refused(&mut world, &session, &one, 1, b"text", Code::UNAUTHORIZED);
    send(&mut world, &session, &two, Initiator, 1, b"text");
    send(&mut world, &session, &three, Initiator, 0, b"text");
}

#[test]
fn a_message_is_stored_once_however_many_runs_its_sender_has_used_since() {
    let (mut world, amy, bob, session, one) = keyed();
    send(&mut world, &session, &one, Initiator, 0, b"text");
    for number in 2..5 {
        let run = world.close(&session, &amy, &bob, number);
        send(&mut world, &session, &run, Initiator, 0, b"text");
    }
    let replayed = world.message(&session, &one, Initiator, 0, b"text");
    let answer = world.unchanged_any(|w| w.post(addr(66), "msg", &replayed));
    assert!(matches!(answer.code, Code::CONFLICT | Code::UNAUTHORIZED), "{answer:?}");
    assert_eq!(messages(&world).len(), 4);
}

#[test]
fn runs_whose_messages_are_taken_are_bounded() {
    let (mut world, amy, bob, session, one) = keyed();
    for number in 2..20 {
        world.close(&session, &amy, &bob, number);
    }
    refused(&mut world, &session, &one, 0, b"text", Code::UNAUTHORIZED);
}

#[test]
fn a_message_of_the_session_before_is_still_taken() {
    let (mut world, mut amy, mut bob, old, one) = keyed();
    send(&mut world, &old, &one, Initiator, 0, b"text");
    let new = world.agree(&mut amy, &mut bob);
    send(&mut world, &old, &one, Initiator, 1, b"on its way");
    let run = world.close(&new, &amy, &bob, 1);
    send(&mut world, &new, &run, Initiator, 0, b"text");
    let newest = world.agree(&mut amy, &mut bob);
    refused(&mut world, &old, &one, 2, b"text", Code::UNAUTHORIZED);
    let run = world.close(&newest, &amy, &bob, 1);
    send(&mut world, &newest, &run, Responder, 0, b"text");
}
