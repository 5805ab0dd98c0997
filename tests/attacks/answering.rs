//! Repair 2: answering for d_j. (Paper 5.1, "both smart devices are the legitimate users".)
//!
//! In print, A3 holds nothing that only d_j could make: who sees that an invitation is under way answers it, and d_i has a session
//! with the wrong one. The attackers here are an outsider, who has what went over the network, and mallory, a registered device,
//! who also knows the handle and n_G of bob's invitation (as if the inbox had leaked).

use sga_coap::Code;
use sga_crypto::steps;
use sga_schema::{A3, InvitationItem, NegotiateSecret, Profile, Suite, kind};

use crate::support::by_hand::{Dev, World, sign_a3};
use crate::support::{attacker, script};

struct Scene {
    world: World,
    amy: Dev,
    bob: Dev,
    mallory: Dev,
    /// amy's invitation, which bob has and has not answered.
    item: InvitationItem,
}

fn invited(profile: Profile) -> Scene {
    let mut world = script::gateway(profile);
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let mallory = world.device("mallory", 3);
    world.invite(&mut amy, bob.id);
    let item = world.invitation(&mut bob);
    Scene { world, amy, bob, mallory, item }
}

impl Scene {
    fn refused(&mut self, a3: A3) {
        let request = self.world.negotiate_bytes(&NegotiateSecret::Reply(a3));
        for from in [attacker(), self.mallory.addr, self.bob.addr] {
            self.world.refused(from, "negotiate", &request, Code::UNAUTHORIZED);
        }
    }

    /// bob answers, and the session is his.
    fn bob_answers(mut self) {
        let a3 = self.world.a3(&self.bob, &self.item, Some(self.item.suite), [3; 16]);
        assert_eq!(self.world.reply(&self.bob, a3).1.code, Code::CHANGED);
        let items = self.world.take(&mut self.amy);
        assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [kind::AGREED]);
    }
}

#[test]
fn an_a3_under_another_key_than_k_dj_is_refused() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut scene = invited(profile);
        let item = scene.item;
        for key in [scene.mallory.key, [0; 32], scene.amy.key] {
            let forger = Dev { key, ..scene.bob.clone() };
            for suite in [Some(item.suite), None] {
                let a3 = scene.world.a3(&forger, &item, suite, [3; 16]);
                scene.refused(a3);
            }
        }
        // mallory in its own name; and with values that others have made.
        let own = scene.world.a3(&scene.mallory.clone(), &item, Some(item.suite), [3; 16]);
        scene.refused(own);
        for tag in [[0; 8], [0xff; 8], item.nonce_i, item.nonce_g] {
            scene.refused(A3 { tag, ..own });
        }
        scene.bob_answers();
    }
}

/// A tag is for one invitation, its inviter and its suite.
#[test]
fn bobs_own_tag_is_no_good_for_other_values() {
    let mut scene = invited(Profile::Compact);
    let item = scene.item;
    let good = scene.world.a3(&scene.bob.clone(), &item, Some(item.suite), [3; 16]);
    let other_suite = Suite::ALL.into_iter().find(|suite| *suite != item.suite);
    let bent = [
        A3 { suite: None, ..good },
        A3 { suite: other_suite, ..good },
        A3 { nonce_j: [1; 8], ..good },
        A3 { nonce_g: [1; 8], ..good },
        A3 { masked: [1; 16], ..good },
        A3 { handle: sga_schema::Handle([1; 4]), ..good },
    ];
    bent.into_iter().for_each(|a3| scene.refused(a3));
    // What bob has made for an invitation of somebody else.
    let mut for_other = good;
    sign_a3(&scene.bob, scene.mallory.id, &mut for_other);
    scene.refused(for_other);
    // What bob himself has made for another suite than was offered, or for another n_G.
    for mut a3 in [A3 { suite: other_suite, ..good }, A3 { nonce_g: [1; 8], ..good }] {
        sign_a3(&scene.bob, scene.amy.id, &mut a3);
        scene.refused(a3);
    }
    scene.bob_answers();
}

/// Who answers with d_i's handle, or answers its own invitation, is not d_j.
#[test]
fn the_inviter_cannot_answer_itself() {
    let mut world = script::gateway(Profile::Compact);
    let (mut mallory, mut bob) = (world.device("mallory", 3), world.device("bob", 2));
    let sent = world.invite(&mut mallory, bob.id);
    let item = world.invitation(&mut bob);
    for handle in [sent.handle(), item.handle] {
        let mut a3 = world.a3(&mallory, &item, Some(item.suite), [3; 16]);
        a3.handle = handle;
        sign_a3(&mallory, mallory.id, &mut a3);
        let request = world.negotiate_bytes(&NegotiateSecret::Reply(a3));
        world.refused(mallory.addr, "negotiate", &request, Code::UNAUTHORIZED);
    }
    assert!(world.take(&mut mallory).is_empty(), "no A4");
    let a3 = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    assert_eq!(world.reply(&bob, a3).1.code, Code::CHANGED);
}

/// Guessing f8 on line: each try costs an encryption to the gateway and a round trip, and locks nobody out.
#[test]
fn guessed_tags_are_refused_and_lock_nobody_out() {
    let mut scene = invited(Profile::Compact);
    let item = scene.item;
    let good = scene.world.a3(&scene.bob.clone(), &item, Some(item.suite), [3; 16]);
    for _ in 0..300 {
        let tag = scene.world.random();
        assert_ne!(tag, good.tag);
        let request = scene.world.negotiate_bytes(&NegotiateSecret::Reply(A3 { tag, ..good }));
        scene.world.refused(attacker(), "negotiate", &request, Code::UNAUTHORIZED);
    }
    scene.bob_answers();
}

/// The tag of A3 says who d_j answers: two invitations to bob, and bob's answer to one sent with the other's handle.
#[test]
fn an_answer_to_one_inviter_is_none_to_another() {
    let mut scene = invited(Profile::Compact);
    scene.world.invite(&mut scene.mallory, scene.bob.id);
    let of_mallory = scene.world.invitation(&mut scene.bob);
    let mut a3 = scene.world.a3(&scene.bob.clone(), &of_mallory, Some(of_mallory.suite), [3; 16]);
    let key = scene.bob.key();
    let (i, cid) = (scene.mallory.id, of_mallory.suite.id());
    let tag =
        steps::a3_tag(&key, &a3.handle.0, &a3.nonce_g, &a3.nonce_j, &a3.masked, cid, i.as_bytes(), b"bob", b"gate");
    assert_eq!(tag, a3.tag, "made for mallory's");
    (a3.handle, a3.nonce_g) = (scene.item.handle, scene.item.nonce_g);
    scene.refused(a3);
    scene.bob_answers();
}
