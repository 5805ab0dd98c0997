//! Repair 6: numbers that are no elements, in every place where an element can stand. (Paper 5.1; "no checks on N".)
//!
//! The attacker is whoever can put something there: anyone for the encryption to the gateway, a registered device for N and F_G,
//! the network for the package, a gateway that cheats for Y. With 0, 1, p − 1 or the identity the result of an exponentiation is
//! known without the exponent; with a non-residue one bit of it is. What is not canonical would give one element two hashes.

use sga_coap::Code;
use sga_crypto::{Element, GroupId, Secret, steps};
use sga_device::{Phase, RequestKind};
use sga_schema::{BReason, BRefusal, Package, Profile, Proof, Register, Role, Sealed};

use crate::support::by_hand::{Dev, Made, World, encoded};
use crate::support::ends::{End, Gateway, id, settle};
use crate::support::figures::{bad, good};
use crate::support::{attacker, is_refused, link, script};

const PROFILES: [Profile; 2] = [Profile::Compact, Profile::Classic];

fn group(profile: Profile) -> GroupId {
    GroupId::from_profile(profile.id()).expect("built in")
}

/// Bad ones as long as an element, and of other lengths.
fn all_bad(profile: Profile) -> Vec<(String, Vec<u8>)> {
    let group = group(profile);
    let one = good(group).as_bytes().to_vec();
    let mut all: Vec<_> = bad(group).into_iter().map(|(what, bytes)| (what.to_owned(), bytes)).collect();
    all.push(("too short".into(), one[1..].to_vec()));
    all.push(("too long".into(), [&[0], &one[..]].concat()));
    all.push(("empty".into(), Vec::new()));
    all
}

#[test]
fn what_is_bad_here_is_bad_to_the_mathematics_and_the_good_is_good() {
    for profile in PROFILES {
        for (what, bytes) in all_bad(profile) {
            assert!(Element::parse(group(profile), &bytes).is_err(), "{what}");
        }
        assert!(Element::parse(group(profile), good(group(profile)).as_bytes()).is_ok());
    }
}

/// enc of Register, A1 and A3. The ciphertext behind it is what it would be for the shared value that the attacker knows: for 1 and
/// the identity that is the element itself.
#[test]
fn in_the_encryption_to_the_gateway() {
    for profile in PROFILES {
        let mut world = script::gateway(profile);
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        let zoe = Dev::new("zoe", 3);
        for (what, enc) in all_bad(profile) {
            for shared in known_powers(profile, &enc) {
                let forged = register_with_known_key(&mut world, &zoe, &enc, &shared);
                let answer = world.unchanged_any(|world| world.post(attacker(), "register", &forged));
                assert!(is_refused(answer.code), "Register, {what}: {answer:?}");
            }
            let tail = [7; 60];
            let forged = encoded(&Sealed(&[&enc[..], &tail].concat()));
            let answer = world.unchanged_any(|world| world.post(attacker(), "negotiate", &forged));
            assert!(is_refused(answer.code), "A1 or A3, {what}: {answer:?}");
        }
        // With good ones all three are taken.
        world.register_with(&mut zoe.clone(), Proof::None, Code::CREATED);
        world.agree(&mut amy, &mut bob);
    }
}

/// What enc^PR may be without knowing PR, where that is one of few.
fn known_powers(profile: Profile, enc: &[u8]) -> Vec<Vec<u8>> {
    let len = profile.element_len();
    let mut one = vec![0; len];
    one[len - 1] = 1;
    vec![vec![0; len], one, enc.to_vec()]
}

/// Register whose A is encrypted under the key that follows from this shared value.
fn register_with_known_key(world: &mut World, dev: &Dev, enc: &[u8], shared: &[u8]) -> Vec<u8> {
    let hash = sga_crypto::sha256(&world.package());
    let secret = sga_schema::RegisterSecret {
        registered_key: dev.key,
        suite: dev.suite,
        suites: dev.suites,
        proof: Proof::None,
    };
    let a = crate::support::known::pk_under(shared, enc, world.keys.pair.public.as_bytes(), &hash, &encoded(&secret));
    let key = steps::register_id(crate::support::by_hand::aead(dev.suite), &dev.key(), &sga_crypto::sha256(&a));
    let b = crate::support::by_hand::seal(key, &sga_schema::SealedId(dev.id));
    encoded(&Register { sealed_key: &a, sealed_id: &b })
}

/// The forgery of the test above is a good message where the element is good: with the right shared value it is taken.
#[test]
fn the_forged_registration_is_well_made() {
    let mut world = script::gateway(Profile::Compact);
    let pair = world.keys.pair.clone();
    let e = sga_crypto::Seed::from_bytes([0x3c; 32]);
    let (enc, shared) = (good(pair.group), pair.group.exp(&pair.public, &e));
    let forged = register_with_known_key(&mut world, &Dev::new("zoe", 3), enc.as_bytes(), shared.as_bytes());
    assert_eq!(world.post(attacker(), "register", &forged).code, Code::CREATED);
}

/// PK in a package, towards a device.
#[test]
fn as_the_gateways_key() {
    for profile in PROFILES {
        let answer = |key: &[u8]| {
            let mut gateway = Gateway::new(profile, 9);
            let mut amy = End::new(link::device("amy", 1), 1);
            amy.device.register();
            let (out, payload) = amy.poll().expect("GET");
            assert_eq!(out.kind, RequestKind::Package);
            let (code, package) = gateway.handle(out.kind, &payload);
            let true_one: Package<'_> = sga_schema::decode(&package).expect("a package");
            let _ = amy.respond((code, encoded(&Package { public_key: key, ..true_one })));
            (amy.has("PackageUnusable"), amy.poll().map(|(out, _)| out.kind))
        };
        for (what, key) in all_bad(profile) {
            assert_eq!(answer(&key), (true, None), "{what}");
        }
        assert_eq!(answer(good(group(profile)).as_bytes()), (false, Some(RequestKind::Register)));
    }
}

/// N in B1 and in B3, and g^e in F_G, from a registered device that makes everything else right, the tag for a known K included.
#[test]
fn in_a_half() {
    for profile in PROFILES {
        let mut world = script::gateway(profile);
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        let session = world.agree(&mut amy, &mut bob);
        let mut run = 1;
        for (what, bytes) in bad(group(profile)) {
            for second in [false, true] {
                let mut forgeries: Vec<(String, Forge)> = Vec::new();
                for k in known_powers(profile, &bytes) {
                    let n = bytes.clone();
                    forgeries.push((format!("N = {what}"), Box::new(move |made| with_known_k(made, n.clone(), &k))));
                }
                if profile == Profile::Classic {
                    let bytes = bytes.clone();
                    let trapdoor = move |made: &Made| {
                        let mut forged = made.clone();
                        forged.trapdoor[..bytes.len()].copy_from_slice(&bytes);
                        forged
                    };
                    forgeries.push((format!("g^e = {what}"), Box::new(trapdoor)));
                }
                for (what, forge) in forgeries {
                    let (dev, role) = if second { (&bob, Role::Responder) } else { (&amy, Role::Initiator) };
                    if second {
                        let first = world.make(&session, &amy, Role::Initiator, run);
                        assert_eq!(world.post(amy.addr, "kex", &first.request).code, Code::CREATED);
                    }
                    let mut forged = forge(&world.make(&session, dev, role, run));
                    let key = Secret::new(forged.key);
                    let (n, f) = (&forged.element, &forged.trapdoor);
                    forged.tag = steps::b_tag(&key, role.id(), run, &session.th_a, n, f);
                    let request = world.wrap(&session, dev, role, run, &forged);
                    let answer = world.post(dev.addr, "kex", &request);
                    assert_eq!(answer.code, Code::UNPROCESSABLE_ENTITY, "{what}, second: {second}");
                    let refusal = world.b_refusal(&session, role, &request, &answer);
                    assert_eq!(refusal, BRefusal { reason: BReason::Failed, run });
                    // The items of one session are bounded, and bob has been asked for many runs.
                    world.take(&mut bob);
                    run += 1;
                }
            }
        }
        // That cost those runs and nothing else.
        world.close(&session, &amy, &bob, run);
    }
}

type Forge = Box<dyn Fn(&Made) -> Made>;

fn with_known_k(made: &Made, element: Vec<u8>, k: &[u8]) -> Made {
    Made { element, key: crate::support::known::k_prime(k), ..made.clone() }
}

/// Y in B6, from a gateway that cheats: Z would be known to it. The device makes no key of it, and opens another run when asked to.
#[test]
fn as_y_in_b6() {
    /// Which bad one is sent; a function pointer cannot carry it.
    static LIES: std::sync::Mutex<Option<Vec<u8>>> = std::sync::Mutex::new(None);
    for profile in PROFILES {
        let cheated = |lie: Option<Vec<u8>>| {
            *LIES.lock().expect("one thread") = lie;
            let mut gateway = Gateway::new(profile, 9);
            gateway.lie = Some(|_, y, _| {
                if let Some(lie) = LIES.lock().expect("one thread").clone() {
                    *y = lie;
                }
            });
            let [mut amy, mut bob] =
                [("amy", 1), ("bob", 2)].map(|(name, seed)| End::new(link::device(name, seed), seed));
            amy.device.register();
            bob.device.register();
            settle(&mut gateway, &mut [&mut amy, &mut bob]);
            amy.device.connect(id("bob"), None).expect("a peer");
            settle(&mut gateway, &mut [&mut amy, &mut bob]);
            let phase = |end: &End, peer| end.device.session(id(peer)).map(|session| session.phase);
            let refused = amy.has("KeyRefused") && bob.has("KeyRefused");
            (phase(&amy, "bob"), phase(&bob, "amy"), refused)
        };
        for (what, bytes) in bad(group(profile)) {
            let agreed = Some(Phase::Agreed);
            assert_eq!(cheated(Some(bytes)), (agreed, agreed, true), "{what}");
        }
        let there = Some(Phase::Established);
        assert_eq!(cheated(None), (there, there, false));
    }
}

/// Repair 7: B6 names both N. One with h(N) of another half is refused, whoever could seal it.
#[test]
fn a_b6_with_another_n_in_it_is_refused() {
    for profile in PROFILES {
        let mut gateway = Gateway::new(profile, 9);
        gateway.lie = Some(|_, _, peer_hash| peer_hash[0] ^= 1);
        let [mut amy, mut bob] = [("amy", 1), ("bob", 2)].map(|(name, seed)| End::new(link::device(name, seed), seed));
        amy.device.register();
        bob.device.register();
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        amy.device.connect(id("bob"), None).expect("a peer");
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        for (end, peer) in [(&amy, "bob"), (&bob, "amy")] {
            let session = end.device.session(id(peer)).expect("agreed");
            assert_eq!((session.phase, session.run), (Phase::Agreed, 0), "no keys: {:?}", end.log);
            assert!(end.has("KeyRefused"));
        }
        gateway.lie = None;
        amy.device.rekey(id("bob")).expect("a session");
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert!(amy.device.can_send(id("bob")) && bob.device.can_send(id("amy")));
    }
}
