//! The paper's steps A1–A5 and B1–B7, each looked at in a real run over CoAP with all secrets at hand.

mod support;

use sga_crypto::{accelerator, short_hash, steps};
use sga_schema::{
    A4Secret, AgreedItem, Half, HandlePlain, InvitationItem, Profile, Role, Sealed, Suite, Tag8, Wanted, WantedItem,
    kind,
};
use support::values::{decoded, opened};
use support::{AEAD, ALICE, BOB, Run, run};

const PROFILES: [Profile; 2] = [Profile::Compact, Profile::Classic];

#[test]
fn a1_invitation_is_sealed_for_the_gateway_and_made_by_d_i() {
    let run = run(Profile::Compact);
    let a1 = run.a1();
    assert_eq!((a1.id_i.as_bytes(), a1.id_j.as_bytes(), a1.suite), (&b"alice"[..], &b"bob"[..], Suite::AesCcm8));
    let tag = steps::a1_tag(run.k_d(ALICE), a1.request_number, 1, &a1.nonce_i, &a1.masked, b"alice", b"bob", 1, b"gw");
    assert_eq!(a1.tag, tag, "f_kdi over A1");
    assert_ne!(a1.masked, *run.k_t(ALICE).expose(), "k_t travels under a pad");
    let exchange = run.exchange(ALICE, "negotiate", 0);
    assert_eq!(exchange.code, "2.01");
    let Sealed(sealed) = decoded(&exchange.answer);
    let key = steps::a1_answer(AEAD, &run.k_t(ALICE), &sga_crypto::sha256(&exchange.request));
    let plain = opened(key, sealed).expect("k_t^i[handle_i]");
    let HandlePlain(handle) = decoded(&plain);
    let item: AgreedItem<'_> = decoded(run.item(ALICE, kind::AGREED));
    assert_eq!(handle, item.handle);
}

#[test]
fn a2_invitation_reaches_d_j_without_k_t() {
    let run = run(Profile::Compact);
    let item: InvitationItem = decoded(run.item(BOB, kind::INVITATION));
    assert_eq!((item.id_i.as_bytes(), item.suite, item.nonce_i), (&b"alice"[..], Suite::AesCcm8, run.a1().nonce_i));
    assert_eq!(item.peer_key, *steps::peer_key(&run.k_t(ALICE)).expose());
    assert_ne!(item.peer_key, *run.k_t(ALICE).expose());
}

#[test]
fn a3_answer_is_sealed_for_the_gateway_and_made_by_d_j() {
    let run = run(Profile::Compact);
    let (a3, item) = (run.a3(), decoded::<InvitationItem>(run.item(BOB, kind::INVITATION)));
    assert_eq!((a3.handle, a3.nonce_g, a3.suite), (item.handle, item.nonce_g, Some(item.suite)));
    let tag =
        steps::a3_tag(run.k_d(BOB), &a3.handle.0, &a3.nonce_g, &a3.nonce_j, &a3.masked, 1, b"alice", b"bob", b"gw");
    assert_eq!(a3.tag, tag, "f_kdj over A3");
    let exchange = run.exchange(BOB, "negotiate", 0);
    let Tag8(answer) = decoded(&exchange.answer);
    assert_eq!(answer, steps::a3_answer(&run.k_t(BOB), &sga_crypto::sha256(&exchange.request)));
}

#[test]
fn a4_brings_d_i_the_derived_key_of_d_j() {
    let run = run(Profile::Compact);
    let item: AgreedItem<'_> = decoded(run.item(ALICE, kind::AGREED));
    let (a1, a3) = (run.a1(), run.a3());
    assert_eq!(item.nonce_g, a3.nonce_g);
    let plain = opened(steps::a4(AEAD, &run.k_t(ALICE), &a1.nonce_i, &item.nonce_g), item.sealed).expect("under k_t^i");
    let secret: A4Secret = decoded(&plain);
    assert_eq!(secret.nonce_j, a3.nonce_j);
    assert_eq!(secret.peer_key, *steps::peer_key(&run.k_t(BOB)).expose());
}

#[test]
fn a5_both_ends_and_the_gateway_have_one_transcript() {
    for profile in PROFILES {
        let run = run(profile);
        // Each Half opens under th_A as computed from what the gateway saw, and only under it.
        run.half(ALICE);
        run.half(BOB);
        let half: Half<'_> = decoded(&run.exchange(ALICE, "kex", 0).request);
        let mut other = run.th_a();
        other[0] ^= 1;
        let key = match profile {
            Profile::Compact => steps::b_body_compact(AEAD, &run.k_t(ALICE), run.k_d(ALICE), &other, 0, 1, None),
            _ => steps::b_outer(AEAD, &run.k_t(ALICE), &other, 1, 0, None),
        };
        assert!(opened(key, half.body).is_err());
    }
}

#[test]
fn b1_carries_n_i_with_a_tag_under_k_is() {
    for profile in PROFILES {
        tag_is_right(&run(profile), ALICE);
    }
}

#[test]
fn b2_is_what_makes_d_j_work() {
    for profile in PROFILES {
        let run = run(profile);
        let item: WantedItem<'_> = decoded(run.item(BOB, kind::WANTED));
        assert_eq!(item.run, 1);
        let plain = opened(steps::b2(AEAD, &run.k_t(BOB), &run.th_a(), 1, 1), item.sealed).expect("under k_t^j");
        let Wanted = decoded(&plain);
    }
}

#[test]
fn b3_carries_n_j_with_a_tag_under_k_js() {
    for profile in PROFILES {
        tag_is_right(&run(profile), BOB);
    }
}

/// f_K over role, run, th_A, N and F.
fn tag_is_right(run: &Run, device: usize) {
    let (n, f, tag) = run.half(device);
    let expected = steps::b_tag(&steps::k_prime(&run.k_s(device)), device as u8, 1, &run.th_a(), n.as_bytes(), &f);
    assert_eq!(tag, expected[..tag.len()]);
    let big_r = run.ephemeral(device, &n);
    assert_eq!(run.group().exp_base(&big_r), n, "N = g^R");
}

#[test]
fn b4_the_gateway_recovers_r_and_k_from_what_it_holds() {
    for profile in PROFILES {
        let run = run(profile);
        let pair = &run.world.gateway.keys().pair;
        for device in [ALICE, BOB] {
            let (n, f, tag) = run.half(device);
            let verify = |tag: &[u8], role: u8, number: u32| {
                let th_a = run.th_a();
                let (secret, public) = (&pair.secret, &pair.public);
                accelerator::verify_half(pair.group, secret, public, n.as_bytes(), &f, tag, role, number, &th_a)
            };
            let verified = verify(&tag, device as u8, 1).expect("as it came");
            assert_eq!(verified.key, steps::k_prime(&run.k_s(device)), "K = N^r");
            let mut forged = tag.clone();
            forged[0] ^= 1;
            assert!(verify(&forged, device as u8, 1).is_err());
            assert!(verify(&tag, 1 - device as u8, 1).is_err());
            assert!(verify(&tag, device as u8, 2).is_err());
        }
    }
}

#[test]
fn b5_the_gateway_raises_each_n_to_one_r_s() {
    for profile in PROFILES {
        let run = run(profile);
        let seen = &run.world.gateway.runs[0];
        assert_eq!(seen.second, Role::Responder);
        let (n_i, n_j) = (run.half(ALICE).0, run.half(BOB).0);
        assert_eq!((&seen.n_first, &seen.n_second), (&n_i, &n_j));
        assert_eq!(seen.y_first, run.group().exp(&n_j, &seen.session_secret), "Y_i = N_j^Rs");
        assert_eq!(seen.y_second, run.group().exp(&n_i, &seen.session_secret), "Y_j = N_i^Rs");
    }
}

#[test]
fn b6_reaches_both_ends_with_the_whole_transcript_in_its_tag() {
    for profile in PROFILES {
        let run = run(profile);
        let seen = &run.world.gateway.runs[0];
        for (device, peer, y) in [(ALICE, BOB, &seen.y_first), (BOB, ALICE, &seen.y_second)] {
            let (element, peer_hash, tag) = run.b6(device);
            assert_eq!(element, *y);
            assert_eq!(peer_hash, short_hash(run.half(peer).0.as_bytes()));
            let key = steps::k_prime(&run.k_s(device));
            assert_eq!(tag, steps::b6_tag(&key, device as u8, 1, &run.th_b(), element.as_bytes()));
        }
    }
}

#[test]
fn b7_both_ends_recover_one_session_element_and_root() {
    for profile in PROFILES {
        let run = run(profile);
        let [z_i, z_j] = [ALICE, BOB].map(|device| {
            let big_r = run.ephemeral(device, &run.half(device).0);
            run.group().exp(&run.b6(device).0, &big_r)
        });
        assert_eq!(z_i, z_j, "Y_i^Ri = K_isj = Y_j^Rj");
        let code = steps::comparison_code(&run.root(&z_i));
        for (device, peer) in [(ALICE, "bob"), (BOB, "alice")] {
            let session = run.world.devices[device].device().session(support::id(peer)).expect("a session");
            assert_eq!(session.comparison_code, Some(code), "the device's own root");
        }
    }
}

/// All that the gateway has: PR, both N, R_s, both r, both K, both Y. The session element is not among what these give by
/// exponentiation, up to three exponents deep. (That nothing else gives it is the Diffie–Hellman assumption, not a test's to show.)
#[test]
fn the_gateways_values_do_not_give_the_session_element() {
    let run = run(Profile::Compact);
    let (group, pair) = (run.group(), &run.world.gateway.keys().pair);
    let seen = &run.world.gateway.runs[0];
    let (n_i, n_j) = (run.half(ALICE).0, run.half(BOB).0);
    let z = group.exp(&run.b6(ALICE).0, &run.ephemeral(ALICE, &n_i));
    assert_eq!(z, group.exp(&run.b6(BOB).0, &run.ephemeral(BOB, &n_j)), "both ends have it");
    let (r_i, r_j) = (run.r(ALICE), run.r(BOB));
    let exponents = [&pair.secret, &seen.session_secret, &r_i, &r_j];
    let mut reach = vec![
        group.exp_base(&pair.secret),
        n_i.clone(),
        n_j.clone(),
        run.k_s(ALICE),
        run.k_s(BOB),
        seen.y_first.clone(),
        seen.y_second.clone(),
    ];
    for _ in 0..3 {
        assert!(!reach.contains(&z), "the gateway could compute the session element");
        reach = reach.iter().flat_map(|base| exponents.map(|exponent| group.exp(base, exponent))).collect();
    }
    assert!(!reach.contains(&z));
    // The search itself finds what the gateway does have: Y_i from N_j in one step.
    assert!(exponents.iter().any(|exponent| group.exp(&n_j, exponent) == seen.y_first));
    // And nothing that the gateway stores holds it, or a root made from it.
    let root = run.root(&z);
    for bytes in run.world.gateway.store.bytes() {
        for secret in [z.as_bytes(), root.expose()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}
