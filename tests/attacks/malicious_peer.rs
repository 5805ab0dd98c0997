//! Repair 4, and what a registered device can do that does not keep to the protocol. (Paper 5.1, 5.4: "a malicious smart device".)
//!
//! mallory is registered with keys of its own, and has a session with the victim, bob. It sends garbage under good seals, wrong
//! tags, halves that do not fit; it speaks on the legs of others; it fills bob's mailbox. Costs of that: its own runs. amy's session
//! with bob goes on, also while bob is away.

use sga_coap::Code;
use sga_crypto::{Secret, steps};
use sga_gateway_core::limits::{INVITATIONS_MAX, MAILBOX_MESSAGES_MAX};
use sga_schema::{
    Half, HalfClassic, HandlePlain, InvitationItem, MessagePost, NegotiateSecret, Profile, Role, Sealed, kind,
};

use crate::support::by_hand::{Dev, Run, Session, World, aead, encoded, items_of, open, seal_bytes};
use crate::support::script;

use Role::{Initiator, Responder};

const PROFILES: [Profile; 2] = [Profile::Compact, Profile::Classic];

struct Scene {
    world: World,
    amy: Dev,
    bob: Dev,
    mallory: Dev,
    /// amy with bob, and mallory with bob; both closed run 1.
    honest: (Session, Run),
    other: (Session, Run),
}

fn scene(profile: Profile) -> Scene {
    let mut world = script::gateway(profile);
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let mut mallory = world.device("mallory", 3);
    let honest = world.agree(&mut amy, &mut bob);
    let run = world.close(&honest, &amy, &bob, 1);
    let other = world.agree(&mut mallory, &mut bob);
    let own = world.close(&other, &mallory, &bob, 1);
    world.take(&mut amy);
    world.take(&mut bob);
    Scene { world, amy, bob, mallory, honest: (honest, run), other: (other, own) }
}

impl Scene {
    /// amy and bob speak, and open a run.
    fn goes_on(&mut self, sequence: u32) {
        let (session, run) = self.honest.clone();
        for (role, dev) in [(Initiator, &self.amy), (Responder, &self.bob)] {
            let text = self.world.message(&session, &run, role, sequence, b"still here");
            assert_eq!(self.world.post(dev.addr, "msg", &text).code, Code::CHANGED);
        }
        let arrived = |items: Vec<crate::support::by_hand::OwnedItem>, kind| items.iter().any(|item| item.kind == kind);
        assert!(arrived(self.world.take(&mut self.bob), kind::MESSAGE));
        assert!(arrived(self.world.take(&mut self.amy), kind::MESSAGE));
    }
}

/// Bytes under good seals that are no Half, and Halves that are wrong inside, as B1 and as B3.
#[test]
fn garbage_in_a_half_costs_its_own_run() {
    for profile in PROFILES {
        let mut scene = scene(profile);
        let (session, _) = scene.other.clone();
        let mut run = 2;
        let mut inner: Vec<Option<Vec<u8>>> = [&b""[..], &[0x80], &[0xff; 40], &[0x5b; 400], &[0x83, 0x40, 0x40, 0x40]]
            .into_iter()
            .map(|plain| Some(plain.to_vec()))
            .collect();
        inner.push(None);
        for plain in inner {
            for second in [false, true] {
                let world = &mut scene.world;
                if second {
                    let first = world.make(&session, &scene.bob, Responder, run);
                    assert_eq!(world.post(scene.bob.addr, "kex", &first.request).code, Code::CREATED);
                }
                let mut made = world.make(&session, &scene.mallory, Initiator, run);
                let request = match &plain {
                    Some(plain) => world.wrap_plain(&session, &scene.mallory, Initiator, run, plain),
                    // All is well but for f8.
                    None => {
                        made.tag[0] ^= 1;
                        world.wrap(&session, &scene.mallory, Initiator, run, &made)
                    }
                };
                let bobs = items_of(&world.store, 2, 0).len();
                let answer = world.post(scene.mallory.addr, "kex", &request);
                assert_eq!(answer.code, Code::UNPROCESSABLE_ENTITY, "{plain:02x?} {second}");
                assert_eq!(items_of(&world.store, 2, 0).len(), bobs, "bob is not woken for it");
                run += 1;
            }
        }
        scene.goes_on(0);
        let (mallory, bob) = (scene.mallory.clone(), scene.bob.clone());
        scene.world.close(&session, &mallory, &bob, run);
        scene.goes_on(1);
    }
}

/// Halves that are good each, of another run or another session: there is no Y to mismatch, since the gateway makes both.
#[test]
fn a_half_of_another_run_or_session_does_not_close_a_run() {
    for profile in PROFILES {
        let mut scene = scene(profile);
        let (session, _) = scene.other.clone();
        let first = scene.world.make(&session, &scene.bob.clone(), Responder, 2);
        assert_eq!(scene.world.post(scene.bob.addr, "kex", &first.request).code, Code::CREATED);
        // What mallory made for run 3, what it made for another session of its own, and bob's own half.
        let ahead = scene.world.make(&session, &scene.mallory.clone(), Initiator, 3);
        let half: Half<'_> = sga_schema::decode(&ahead.request).unwrap();
        let moved = encoded(&Half { run: 2, ..half });
        scene.world.refused(scene.mallory.addr, "kex", &moved, Code::UNAUTHORIZED);
        let bobs: Half<'_> = sga_schema::decode(&first.request).unwrap();
        let turned = encoded(&Half { handle: session.handle(Initiator), ..bobs });
        scene.world.refused(scene.mallory.addr, "kex", &turned, Code::UNAUTHORIZED);
        scene.goes_on(0);
    }
}

/// With its own keys on amy's and bob's legs; with the handles that it has seen on the air.
#[test]
fn it_cannot_speak_on_the_legs_of_others() {
    for profile in PROFILES {
        let mut scene = scene(profile);
        let (session, run) = scene.honest.clone();
        let (own, own_run) = scene.other.clone();
        for role in [Initiator, Responder] {
            let handle = session.handle(role);
            // Keys and transcript of its own session, handles of theirs.
            let mixed = Session { handle: session.handle, ..own.clone() };
            let made = scene.world.make(&mixed, &scene.mallory.clone(), role, 2);
            scene.world.refused(scene.mallory.addr, "kex", &made.request, Code::UNAUTHORIZED);
            // The transcript may be known to it, not the keys.
            let mixed = Session { key: own.key, ..session.clone() };
            let made = scene.world.make(&mixed, &scene.mallory.clone(), role, 2);
            scene.world.refused(scene.mallory.addr, "kex", &made.request, Code::UNAUTHORIZED);
            for sequence in 0..3 {
                let text = scene.world.message(&own, &own_run, Initiator, sequence, b"not amy's");
                let post: MessagePost<'_> = sga_schema::decode(&text).unwrap();
                let forged = encoded(&MessagePost { handle, ..post });
                scene.world.refused(scene.mallory.addr, "msg", &forged, Code::UNAUTHORIZED);
            }
        }
        let _ = run;
        scene.goes_on(0);
    }
}

/// Repair 4. In print d_j is handed k_t^i: it opens d_i's B1 and forges B6 to it. Here it has `peer(k_t^i)`, which opens nothing.
#[test]
fn what_d_j_was_handed_opens_nothing_of_d_i() {
    for profile in PROFILES {
        let mut world = script::gateway(profile);
        let (mut amy, mut mallory) = (world.device("amy", 1), world.device("mallory", 3));
        let sent = world.invite(&mut amy, mallory.id);
        let item: InvitationItem = world.invitation(&mut mallory);
        let handed = Secret::new(item.peer_key);
        let key_j = world.random();
        let a3 = world.a3(&mallory, &item, Some(item.suite), key_j);
        world.reply(&mallory, a3);
        let th_a = steps::th_a(
            sga_schema::VERSION,
            profile.id(),
            item.suite.id(),
            b"amy",
            b"mallory",
            b"gate",
            &item.nonce_i,
            &item.nonce_g,
            &a3.nonce_j,
        );
        let suite = aead(item.suite);
        // The answer to A1, A4, and B1 as they went over the network.
        let Sealed(answer) = sga_schema::decode(&sent.answer.payload).unwrap();
        let hash = sga_crypto::sha256(&sent.request);
        assert!(open(steps::a1_answer(suite, &handed, &hash), answer).is_none());
        let session = Session { handle: [sent.handle(), item.handle], key: [sent.key, key_j], suite: item.suite, th_a };
        let b1 = world.make(&session, &amy, Initiator, 1);
        let half: Half<'_> = sga_schema::decode(&b1.request).unwrap();
        assert!(open(steps::b_outer(suite, &handed, &th_a, 1, 0, None), half.body).is_none(), "B1 opens for d_j");
        // What seals towards amy under it is nothing that amy opens.
        let true_key = Secret::new(sent.key);
        let forged = seal_bytes(steps::b6(suite, &handed, &th_a, 1, 0), &[0x80]);
        assert!(open(steps::b6(suite, &true_key, &th_a, 1, 0), &forged).is_none(), "d_j forges B6 for d_i");
        // The honest key does all of that.
        let key = steps::a1_answer(suite, &true_key, &hash);
        assert!(sga_schema::decode::<HandlePlain>(&open(key, answer).expect("amy opens it")).is_ok());
        if profile == Profile::Classic {
            let plain = open(steps::b_outer(suite, &true_key, &th_a, 1, 0, None), half.body).expect("the gateway does");
            assert!(sga_schema::decode::<HalfClassic<'_>>(&plain).is_ok());
        }
        assert_eq!(world.post(amy.addr, "kex", &b1.request).code, Code::CREATED);
    }
}

/// mallory posts to bob, who is away, until the gateway takes no more. amy's texts, her B2 and her next session get through.
#[test]
fn a_flooded_mailbox_is_bounded_and_leaves_room_for_others() {
    let mut scene = scene(Profile::Compact);
    let (own, own_run) = scene.other.clone();
    let mut stored = 0;
    let refusal = loop {
        let text = scene.world.message(&own, &own_run, Initiator, stored, &[7; 40]);
        let answer = scene.world.post(scene.mallory.addr, "msg", &text);
        if answer.code != Code::CHANGED {
            break answer;
        }
        stored += 1;
        assert!(stored as usize <= MAILBOX_MESSAGES_MAX, "there is no bound");
    };
    assert_eq!(refusal.code, Code::SERVICE_UNAVAILABLE);
    assert!(refusal.max_age.is_some());
    // And B2s, one run after the other.
    let mut opened = 0;
    for run in 2..200 {
        let made = scene.world.make(&own, &scene.mallory.clone(), Initiator, run);
        match scene.world.post(scene.mallory.addr, "kex", &made.request).code {
            Code::CREATED => opened += 1,
            code => {
                assert_eq!(code, Code::SERVICE_UNAVAILABLE, "run {run}");
                break;
            }
        }
    }
    assert!(opened < 100, "there is no bound on items of the protocol's own");
    // bob is still away.
    let (session, run) = scene.honest.clone();
    for sequence in 0..10 {
        let text = scene.world.message(&session, &run, Initiator, sequence, b"from amy");
        assert_eq!(scene.world.post(scene.amy.addr, "msg", &text).code, Code::CHANGED, "amy's text {sequence}");
    }
    let made = scene.world.make(&session, &scene.amy.clone(), Initiator, 2);
    assert_eq!(scene.world.post(scene.amy.addr, "kex", &made.request).code, Code::CREATED, "amy's B1");
    let bob = scene.bob.id;
    scene.world.invite(&mut scene.amy, bob).handle();
    // A flooder is served again when bob has fetched.
    let items = scene.world.take(&mut scene.bob);
    assert!(items.len() > stored as usize);
    let text = scene.world.message(&own, &own_run, Initiator, stored, &[7; 40]);
    assert_eq!(scene.world.post(scene.mallory.addr, "msg", &text).code, Code::CHANGED);
}

/// Invitations: few wait in a mailbox, one of a pair. Who takes up all places keeps others out for an hour at most, or until the
/// victim looks; the others are told so under seal.
#[test]
fn invitations_are_bounded_and_run_out() {
    let mut world = script::gateway(Profile::Compact);
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    for number in 0..INVITATIONS_MAX + 1 {
        let mut sybil = world.device(&format!("mallory{number}"), 10 + number as u8);
        for _ in 0..3 {
            let sent = world.invite(&mut sybil, bob.id);
            assert_eq!(sent.answer.code == Code::CREATED, number < INVITATIONS_MAX, "{number}");
        }
    }
    let sent = world.invite(&mut amy, bob.id);
    assert_eq!(sent.refusal().reason, sga_schema::A1Reason::MailboxFull);
    world.pass(3_700);
    world.invite(&mut amy, bob.id).handle();
    assert_eq!(world.invitation(&mut bob).id_i, amy.id);
}

/// An A1 to oneself, to nobody, and in a crossing: refused under seal, and a stranger learns no names.
#[test]
fn odd_invitations_are_refused() {
    let mut world = script::gateway(Profile::Compact);
    let mut mallory = world.device("mallory", 3);
    let bob = world.device("bob", 2);
    let (own, nobody) = (mallory.id, crate::support::by_hand::id("nobody"));
    for (peer, reason) in [(own, sga_schema::A1Reason::Yourself), (nobody, sga_schema::A1Reason::NoSuchPeer)] {
        let sent = world.invite(&mut mallory, peer);
        assert_eq!(sent.refusal().reason, reason);
    }
    // Not registered: existing and other names get the same.
    let mut answers = Vec::new();
    for peer in [bob.id, nobody] {
        let stranger = Dev { request_number: 1, ..Dev::new("stranger", 9) };
        let a1 = world.a1(&stranger, peer, stranger.suite, [1; 16]);
        let request = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
        answers.push(world.refused(stranger.addr, "negotiate", &request, Code::UNAUTHORIZED));
    }
    assert_eq!(answers[0], answers[1]);
}
