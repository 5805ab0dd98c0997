//! What is inside a Half (`docs/protocol.md` §6, B4): whoever has the seals' keys may still put nonsense in them. It costs that
//! run and nothing else.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::Code;
use sga_crypto::{Element, GroupId, Secret, Seed, steps};
use sga_schema::{BReason, BRefusal, HalfClassic, Role};
use support::{Dev, Made, Session, World, aead, encoded, items_of, seal_bytes};

use Role::{Initiator, Responder};

/// p of ffdhe2048 (RFC 7919, appendix A.1).
const P_HEX: &str = "FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF97D2F\
E363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935984F0C70E0E68B77E2A689DAF3EFE8721D\
F158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FBB96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D70\
9E02FCE1CDF7E2ECC03404CD28342F619172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EF\
FA886B423861285C97FFFFFFFFFFFFFFFF";

fn agreed_in(mut world: World) -> (World, Dev, Dev, Session) {
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    world.take(&mut amy);
    (world, amy, bob, session)
}

/// Posts a Half whose seals are good and whose inside is not: it fails under seal and ends the run.
fn fails(world: &mut World, session: &Session, dev: &Dev, role: Role, run: u32, request: &[u8]) {
    let items = [1, 2].map(|mailbox| items_of(&world.store, mailbox, 0));
    let answer = world.post(dev.addr, "kex", request);
    assert_eq!(answer.code, Code::UNPROCESSABLE_ENTITY);
    let refusal = world.b_refusal(session, role, request, &answer);
    assert_eq!(refusal, BRefusal { reason: BReason::Failed, run });
    assert_eq!([1, 2].map(|mailbox| items_of(&world.store, mailbox, 0)), items, "nobody is told");
    // That run is over, for both ends, and stays so.
    for (dev, role) in [(dev, role), (dev, role.other())] {
        let late = world.make(session, dev, role, run);
        let answer = world.unchanged_any(|w| w.post(dev.addr, "kex", &late.request));
        assert!(!answer.code.is_success(), "{answer:?}");
    }
    world.refused(dev.addr, "kex", request, Code::UNPROCESSABLE_ENTITY);
}

/// Tries each inside as the first and as the second Half of a run; the next run works each time.
fn all_fail(world: World, insides: impl Fn(&World, &Made) -> Vec<(&'static str, Made)>) {
    let (mut world, amy, bob, session) = agreed_in(world);
    let mut run = 1;
    let sample = world.make(&session, &amy, Initiator, 1);
    for at in 0..insides(&world, &sample).len() {
        for second in [false, true] {
            let (dev, role) = if second { (&bob, Responder) } else { (&amy, Initiator) };
            if second {
                let first = world.make(&session, &amy, Initiator, run);
                assert_eq!(world.post(amy.addr, "kex", &first.request).code, Code::CREATED);
            }
            let good = world.make(&session, dev, role, run);
            let (what, mut bad) = insides(&world, &good).swap_remove(at);
            if what != "tag" {
                // A tag under the K' that the inside says: where nothing checks the element, it fits.
                let key = Secret::new(bad.key);
                bad.tag = steps::b_tag(&key, role.id(), run, &session.th_a, &bad.element, &bad.trapdoor);
            }
            let request = world.wrap(&session, dev, role, run, &bad);
            fails(&mut world, &session, dev, role, run, &request);
            run += 1;
        }
        world.close(&session, &amy, &bob, run);
        run += 1;
    }
}

fn with_element(good: &Made, element: Vec<u8>) -> Made {
    Made { element, ..good.clone() }
}

/// An element of small order: its K is known without r, and so is the tag.
fn with_known_k(good: &Made, element: Vec<u8>, k: &[u8]) -> Made {
    let mut key = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::new(Some(&[]), k).expand(b"\x81\x66SGA1 K", &mut key).unwrap();
    Made { element, key, ..good.clone() }
}

/// x − y of two big-endian numbers.
fn minus(x: &[u8], y: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut out = vec![0; x.len()];
    for at in (0..x.len()).rev() {
        let difference = i16::from(x[at]) - i16::from(y[at]) - borrow;
        borrow = i16::from(difference < 0);
        out[at] = difference.rem_euclid(256).try_into().unwrap();
    }
    out
}

#[test]
fn classic_elements_outside_the_group_end_the_run() {
    let p = hex::decode(P_HEX).unwrap();
    let mut one = vec![0; 256];
    one[255] = 1;
    all_fail(World::classic(), |_, good| {
        let non_residue = minus(&p, &good.element);
        assert!(Element::parse(GroupId::Ffdhe2048, &good.element).is_ok());
        vec![
            ("0", with_known_k(good, vec![0; 256], &[0; 256])),
            ("1", with_known_k(good, one.clone(), &one)),
            // r is even or odd, and so is K, 1 or p - 1.
            ("p - 1", with_known_k(good, minus(&p, &one), &one)),
            ("p - 1", with_known_k(good, minus(&p, &one), &minus(&p, &one))),
            ("p", with_known_k(good, p.clone(), &[0; 256])),
            ("above p", with_element(good, vec![0xff; 256])),
            // K is that of the good one where r is even.
            ("a non-residue", with_element(good, non_residue.clone())),
            ("a non-residue", with_element(good, non_residue.clone())),
            ("a non-residue", with_element(good, non_residue)),
        ]
    });
}

#[test]
fn compact_elements_that_are_none_end_the_run() {
    all_fail(World::compact(), |_, good| {
        // RFC 9496, appendix A.3: non-canonical, negative, non-square.
        let hex = |text: &str| hex::decode(text).unwrap();
        vec![
            ("identity", with_known_k(good, vec![0; 32], &[0; 32])),
            ("p", with_element(good, hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"))),
            ("high bit", with_element(good, hex("0000000000000000000000000000000000000000000000000000000000000080"))),
            ("negative", with_element(good, hex("0100000000000000000000000000000000000000000000000000000000000000"))),
            ("non-square", with_element(good, hex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"))),
            ("garbage", with_element(good, vec![0x5b; 32])),
            (
                "another element",
                with_element(good, {
                    let seed = Seed::from_bytes([3; 32]);
                    GroupId::Ristretto255.exp_base(&seed).as_bytes().to_vec()
                }),
            ),
        ]
    });
}

#[test]
fn the_tags_above_are_made_as_a_good_one_is() {
    let (mut world, amy, _, session) = agreed_in(World::compact());
    let made = world.make(&session, &amy, Initiator, 1);
    let group = world.keys.pair.group;
    let n = Element::parse(group, &made.element).unwrap();
    let r = steps::encapsulated_r(group, &world.keys.pair.public, &Seed::from_bytes(made.big_r), &n);
    let known = with_known_k(&made, made.element.clone(), group.exp(&n, &r).as_bytes());
    assert_eq!(known.key, made.key);
}

#[test]
fn a_wrong_tag_inside_ends_the_run() {
    for world in [World::compact(), World::classic()] {
        all_fail(world, |_, good| {
            let mut first = good.clone();
            first.tag[0] ^= 1;
            let mut last = good.clone();
            last.tag[7] ^= 0x80;
            vec![("tag", first), ("tag", last)]
        });
    }
}

#[test]
fn a_trapdoor_that_does_not_open_ends_the_run() {
    all_fail(World::classic(), |world, good| {
        let flipped = |at: usize| {
            let mut bad = good.clone();
            bad.trapdoor[at] ^= 1;
            bad
        };
        let pair = &world.keys.pair;
        let other = steps::trapdoor(pair.group, &pair.public, &Seed::from_bytes([3; 32])).as_bytes().to_vec();
        vec![
            ("encapsulation", flipped(255)),
            ("mask", flipped(256)),
            ("last byte", flipped(287)),
            ("of another r", Made { trapdoor: other, ..good.clone() }),
        ]
    });
}

#[test]
fn the_tag_of_the_other_role_ends_the_run() {
    let (mut world, amy, bob, session) = agreed_in(World::compact());
    let mut bad = world.make(&session, &amy, Initiator, 1);
    let key = Secret::new(bad.key);
    bad.tag = steps::b_tag(&key, Responder.id(), 1, &session.th_a, &bad.element, &bad.trapdoor);
    let request = world.wrap(&session, &amy, Initiator, 1, &bad);
    fails(&mut world, &session, &amy, Initiator, 1, &request);
    world.close(&session, &amy, &bob, 2);
}

#[test]
fn an_inside_that_does_not_decode_ends_the_run() {
    for world in [World::compact(), World::classic()] {
        let (mut world, amy, bob, session) = agreed_in(world);
        for (at, plain) in [&b""[..], &[0x80], &[0xff; 40], &[0x82, 0x40, 0x40]].into_iter().enumerate() {
            let run = at as u32 + 1;
            let request = world.wrap_plain(&session, &amy, Initiator, run, plain);
            fails(&mut world, &session, &amy, Initiator, run, &request);
        }
        world.close(&session, &amy, &bob, 9);
    }
}

#[test]
fn a_wrong_inner_seal_ends_the_run() {
    let (mut world, amy, bob, session) = agreed_in(World::classic());
    let good = world.make(&session, &amy, Initiator, 1);
    // Sealed under a key that is not k_d.
    let key = steps::b_inner(aead(amy.suite), &bob.key(), &session.th_a, 1, Initiator.id(), &good.trapdoor, None);
    let sealed_element = seal_bytes(key, &good.element);
    let plain = encoded(&HalfClassic { sealed_element: &sealed_element, trapdoor: &good.trapdoor, tag: good.tag });
    let request = world.wrap_plain(&session, &amy, Initiator, 1, &plain);
    fails(&mut world, &session, &amy, Initiator, 1, &request);
    world.close(&session, &amy, &bob, 2);
}

#[test]
fn a_bad_half_for_a_closed_run_does_not_end_it() {
    let (mut world, amy, bob, session) = agreed_in(World::compact());
    let run = world.close(&session, &amy, &bob, 1);
    let good = world.make(&session, &amy, Initiator, 1);
    let bad = world.wrap(&session, &amy, Initiator, 1, &with_element(&good, vec![0; 32]));
    world.refused(amy.addr, "kex", &bad, Code::CONFLICT);
    let again = world.refused(bob.addr, "kex", &run.made[1].request, Code::CHANGED);
    assert_eq!(again, run.answer);
    let text = world.message(&session, &run, Initiator, 0, b"text");
    assert_eq!(world.post(amy.addr, "msg", &text).code, Code::CHANGED);
}
