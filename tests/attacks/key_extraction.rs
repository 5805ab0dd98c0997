//! Repair 1: the registered key of another device, by way of A1.
//!
//! The attacker is mallory, a registered device, and wants the key k_d of another one, alice. In print, A1 carries `k_t ⊕ k_di` and
//! nothing that only d_i could make; A2 hands k_t to the peer. So mallory sends an A1 in alice's name, with itself as the peer and
//! an X of its choice: the gateway takes `k_t = X ⊕ k_d`, and A2 brings it.

use std::time::Duration;

use sga_coap::{Code, Request};
use sga_crypto::{PkPurpose, Secret, Seed, steps};
use sga_device::SuiteSet;
use sga_gateway_core::Settings;
use sga_schema::{A1, InvitationItem, NegotiateSecret, Profile, Sealed, Suite, kind};
use sga_tests::sim::World;

use crate::support::by_hand;
use crate::support::taped::{self, id};

/// The gateway of the printed paper, as far as A1 and A2 go (its ideal ciphers left out: they do not matter).
mod printed {
    pub(super) fn a1(k_t: [u8; 16], k_di: [u8; 16]) -> [u8; 16] {
        core::array::from_fn(|at| k_t[at] ^ k_di[at])
    }

    /// What A2 brings to the peer: k_t, recovered with the key of whoever A1 names as its sender.
    pub(super) fn a2(masked: [u8; 16], k_di: [u8; 16]) -> [u8; 16] {
        a1(masked, k_di)
    }
}

fn xor(one: &[u8; 16], other: &[u8; 16]) -> [u8; 16] {
    core::array::from_fn(|at| one[at] ^ other[at])
}

#[test]
fn works_against_the_printed_form() {
    let alices_key = [0x5a; 16];
    let x = [0x17; 16];
    assert_eq!(xor(&printed::a2(x, alices_key), &x), alices_key, "k_di = k_t ⊕ X");
}

/// What mallory can put where f_kdi(A1) belongs.
fn tags(key: &Secret<32>, a1: &A1) -> Vec<[u8; 8]> {
    let (i, j) = (a1.id_i.as_bytes(), a1.id_j.as_bytes());
    let own =
        |attach| steps::a1_tag(key, a1.request_number, attach, &a1.nonce_i, &a1.masked, i, j, a1.suite.id(), b"gw");
    vec![own(1), own(0), own(2), [0; 8], [0xff; 8], a1.nonce_i]
}

/// The whole attack, to its end: what mallory computes is no part of alice's key, and there is nothing to compute it from.
#[test]
fn fails_against_ours() {
    let mut world = World::new(3, Settings::new(id("gw"), Profile::Compact));
    world.add("alice", SuiteSet::ALL);
    world.add("mallory", SuiteSet::ALL);
    let attached = |world: &mut World| world.devices.iter().all(|node| node.device().is_attached());
    assert!(world.run_until(Duration::from_secs(60), attached));
    let before = world.gateway.store.clone();
    let a1 = A1 {
        request_number: 1,
        nonce_i: [9; 8],
        masked: [0x17; 16],
        id_i: id("alice"),
        id_j: id("mallory"),
        suite: Suite::AesCcm8,
        tag: [0; 8],
    };
    for (number, tag) in tags(&world.devices[1].registered_key, &a1).into_iter().enumerate() {
        let response = invite(&mut world, A1 { tag, ..a1 });
        assert_eq!(response, Code::UNAUTHORIZED, "tag {number}");
    }
    assert_eq!(world.gateway.store, before, "no session, no item, no number used up");
    // The request is one that the gateway takes when it comes from alice: only the tag was missing.
    let key = &world.devices[0].registered_key;
    let tag = steps::a1_tag(key, 1, 1, &a1.nonce_i, &a1.masked, b"alice", b"mallory", 1, b"gw");
    assert_eq!(invite(&mut world, A1 { tag, ..a1 }), Code::CREATED);
}

fn invite(world: &mut World, a1: A1) -> Code {
    let pair = &world.gateway.keys().pair;
    let mut plain = [0; 128];
    let len = sga_schema::encode(&NegotiateSecret::Invite(a1), &mut plain).expect("room");
    let mut sealed = [0; 256];
    let e = Seed::from_bytes([a1.tag[0] ^ 0x33; 32]);
    let sealed_len =
        steps::pk_seal(pair.group, &pair.public, &e, PkPurpose::Negotiate, &plain[..len], &mut sealed).expect("room");
    let mut payload = [0; 300];
    let len = sga_schema::encode(&Sealed(&sealed[..sealed_len]), &mut payload).expect("room");
    let from = "[2001:db8::66]:6666".parse().expect("an address");
    let request = Request::new(Code::POST, ["negotiate"]).with_payload(60, &payload[..len]);
    world.ask(from, request).code
}

/// Every request number and every suite, in both directions, with mallory at any end: the inbox that mallory empties afterwards
/// holds no A2 from which to compute anything.
#[test]
fn no_name_in_an_a1_but_ones_own_leads_to_an_a2() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut world = crate::support::script::gateway(profile);
        let (mut alice, mut mallory) = (world.device("alice", 0x5a), world.device("mallory", 2));
        let names = [(alice.id, mallory.id), (alice.id, alice.id), (by_hand::id("nobody"), mallory.id)];
        for (id_i, id_j) in names {
            for request_number in [1, 2, u32::MAX] {
                let x: [u8; 16] = world.random();
                let mut a1 = world.a1(&mallory, id_j, Suite::AesCcm8, [0; 16]);
                (a1.id_i, a1.masked, a1.request_number) = (id_i, x, request_number);
                by_hand::sign_a1(&mallory, &mut a1, by_hand::GATE);
                let request = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
                let answer = world.post(mallory.addr, "negotiate", &request);
                let items = world.take(&mut mallory);
                let a2 = items.iter().find(|item| item.kind == kind::INVITATION);
                let a2 = a2.map(|item| sga_schema::decode::<InvitationItem>(&item.body).expect("A2"));
                let extracted = a2.map(|item| xor(&item.peer_key, &x));
                assert_ne!(extracted.map(|key| key == alice.key[..16]), Some(true), "k_di = k_t ⊕ X");
                assert_eq!(extracted, None, "an A2 that alice has not asked for");
                assert_eq!(answer.code, Code::UNAUTHORIZED);
            }
        }
        // With its own name mallory invites whom it likes.
        world.invite(&mut mallory, alice.id).handle();
        assert_eq!(world.invitation(&mut alice).id_i, mallory.id);
    }
}

/// Even where an A1 is accepted, what the peer gets is a derivate of k_t: it does not give the pad, and no pad is the key.
#[test]
fn the_peer_of_an_honest_invitation_learns_no_key() {
    let run = taped::run(Profile::Compact);
    let item: InvitationItem = sga_schema::decode(run.item(taped::BOB, kind::INVITATION)).expect("A2");
    let alices_key = run.world.devices[taped::ALICE].registered_key.expose();
    // Suppose that bob even knew the masked value that travels under the gateway's public key.
    let pair = &run.world.gateway.keys().pair;
    let request = &run.exchange(taped::ALICE, "negotiate", 0).request;
    let Sealed(sealed) = sga_schema::decode(request).expect("a bare bstr");
    let mut out = vec![0; sealed.len()];
    let len = steps::pk_open(pair.group, &pair.secret, &pair.public, PkPurpose::Negotiate, sealed, &mut out)
        .expect("opened by who holds PR");
    let Ok(NegotiateSecret::Invite(a1)) = sga_schema::decode(&out[..len]) else { panic!("A1") };
    let extracted = xor(&item.peer_key, &a1.masked);
    assert!(!alices_key.windows(16).any(|window| window == extracted), "not a part of k_d");
    let key = &run.world.devices[taped::ALICE].registered_key;
    assert_ne!(steps::a1_mask(key, &a1.nonce_i, &extracted), a1.masked, "and not the pad either");
    assert_ne!(steps::a1_mask(key, &a1.nonce_i, &item.peer_key), a1.masked, "what the peer got is not k_t");
}
