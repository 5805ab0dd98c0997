//! Repair 9, the pin and the transcript; repair 7, the suite in it: weaker than both ends would have it. (Paper 5.1, 4.3.)
//!
//! The attacker is on the path and wants a weaker suite, another profile or another version, or itself as the gateway. The package
//! is the only thing that is not sealed; everything that follows from it is over its hash.

use sga_coap::Code;
use sga_device::{Handled, RequestKind};
use sga_schema::{
    A1, A3, NegotiateSecret, Package, Policy, Profile, Proof, RegisterSecret, Suite, SuiteSet, VERSION, kind,
};

use crate::support::bend::{fields, flipped};
use crate::support::by_hand::{Dev, World, encoded, id, sign_a1, sign_a3};
use crate::support::link::{AMY, Link};
use crate::support::{attacker, is_refused, script};

/// Fetches the package for amy and hands her another; what she sends then is carried to the gateway.
fn after_package(pinned: bool, bend: impl Fn(&[u8]) -> Vec<u8>) -> (Link, Option<Code>) {
    let mut link = Link::new(Profile::Compact);
    if pinned {
        let pair = &link.world.keys.pair;
        let pin = sga_crypto::steps::pin(VERSION, Profile::Compact.id(), pair.public.as_bytes());
        link.ends[AMY].device.set_pin(Some(pin));
    }
    link.ends[AMY].device.register();
    let (out, request) = link.ends[AMY].poll().expect("GET /register");
    assert_eq!(out.kind, RequestKind::Package);
    let (code, package) = link.ask(AMY, &out, &request);
    let _: Handled = link.ends[AMY].respond((code, bend(&package)));
    let mut answered = None;
    if let Some((out, request)) = link.ends[AMY].poll().filter(|(out, _)| out.kind == RequestKind::Register) {
        let reply = link.ask(AMY, &out, &request);
        answered = Some(Code(reply.0));
        let _: Handled = link.ends[AMY].respond(reply);
    }
    (link, answered)
}

fn other_key() -> Vec<u8> {
    crate::support::figures::good(sga_crypto::GroupId::Ristretto255).as_bytes().to_vec()
}

/// Packages that differ in one thing.
fn tampered(package: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let true_one: Package<'_> = sga_schema::decode(package).expect("a package");
    let key = other_key();
    let classic = crate::support::figures::good(sga_crypto::GroupId::Ffdhe2048);
    vec![
        ("fewer suites", encoded(&Package { suites: SuiteSet::of(&[Suite::AesCcm8]), ..true_one })),
        ("another id", encoded(&Package { gateway_id: id("gat"), ..true_one })),
        ("another policy", encoded(&Package { policy: Policy::Token, ..true_one })),
        ("another key", encoded(&Package { public_key: &key, ..true_one })),
        (
            "another profile",
            encoded(&Package { profile: Profile::Classic, public_key: classic.as_bytes(), ..true_one }),
        ),
        ("version 0", [&package[..1], &[0], &package[2..]].concat()),
        ("version 2", [&package[..1], &[2], &package[2..]].concat()),
        ("nothing", Vec::new()),
    ]
}

#[test]
fn a_tampered_package_leads_to_no_registration() {
    let package = script::gateway(Profile::Compact).package();
    for pinned in [false, true] {
        for (what, bent) in tampered(&package) {
            let (link, answered) = after_package(pinned, |_| bent.clone());
            assert!(!link.ends[AMY].device.is_registered(), "{what}");
            // Without a pin another key is taken, and then the gateway cannot open what is made for it.
            assert!(answered.is_none_or(|code| code == Code::UNAUTHORIZED), "{what}: {answered:?}");
            let name = sga_gateway_core::Key::Name(id("amy")).to_bytes();
            assert!(!link.world.store.contains_key(&name), "{what}: the gateway knows of no amy");
        }
        // As it is, it leads to one.
        let (link, answered) = after_package(pinned, <[u8]>::to_vec);
        assert_eq!(answered, Some(Code::CREATED));
        assert!(link.ends[AMY].device.is_registered());
    }
}

/// With the pin what is not the pinned key is refused before anything is made for it; the device says so.
#[test]
fn the_pin_refuses_another_key_profile_or_version() {
    let package = script::gateway(Profile::Compact).package();
    for what in ["another key", "another profile", "version 0", "version 2", "nothing"] {
        let (_, bent) = tampered(&package).into_iter().find(|(name, _)| *name == what).expect("in the list");
        let (link, answered) = after_package(true, |_| bent.clone());
        assert_eq!(answered, None, "{what}: something was sealed for a stranger");
        assert!(link.ends[AMY].has("PinMismatch") || link.ends[AMY].has("PackageUnusable"), "{:?}", link.ends[AMY].log);
    }
    // Without one the first is taken, and the device says that it was: who is on the path at that moment is its gateway.
    let (_, bent) = tampered(&package).into_iter().find(|(name, _)| *name == "another key").expect("in the list");
    let (link, answered) = after_package(false, |_| bent.clone());
    assert_eq!(answered, Some(Code::UNAUTHORIZED));
    assert!(link.ends[AMY].has("pinned: false"), "{:?}", link.ends[AMY].log);
}

/// Every bit of the package: with a pin, and without.
#[test]
fn no_bit_of_a_package_can_be_changed() {
    let package = script::gateway(Profile::Compact).package();
    for bent in flipped(&package) {
        let (link, answered) = after_package(true, |_| bent.clone());
        assert!(!link.ends[AMY].device.is_registered());
        assert!(answered.is_none_or(|code| code == Code::UNAUTHORIZED), "{answered:?} to {bent:02x?}");
    }
}

/// A device that is registered fetches the package again: of another key it takes nothing, but goes on with the package that it has,
/// which its gateway takes for as long as it has that key pair.
#[test]
fn a_registered_device_stays_with_its_gateway() {
    let mut link = Link::registered(Profile::Compact);
    let package = link.world.package();
    for (what, bent) in tampered(&package) {
        link.ends[AMY].device.register();
        let (before, pin) = (link.stored(AMY), link.ends[AMY].device.pin());
        let (out, request) = link.ends[AMY].poll().expect("GET /register");
        let (code, _) = link.ask(AMY, &out, &request);
        let _: Handled = link.ends[AMY].respond((code, bent));
        // Suites and policy may have changed, as far as anybody can see; the gateway says then that they have not.
        if let Some((out, request)) = link.ends[AMY].poll().filter(|(out, _)| out.kind == RequestKind::Register) {
            let reply = link.ask(AMY, &out, &request);
            let code = Code(reply.0);
            let _: Handled = link.ends[AMY].respond(reply);
            assert_eq!(link.ends[AMY].device.pin(), pin, "{what}");
            if code == Code::CHANGED {
                // Under the true PK, or the gateway could not have read it: only the ticket is new.
                assert!(what.contains("key") || what.contains("profile"), "{what}");
                link.settle();
                continue;
            }
            assert_eq!(code, Code::UNAUTHORIZED, "{what}");
        }
        assert_eq!(link.stored(AMY), before, "{what}");
    }
    link.ends[AMY].device.register();
    link.settle();
    link.talk();
}

/// cid in A1 and in A3 is under the tags; that of A2 is in the inbox.
#[test]
fn the_suite_of_a_negotiation_cannot_be_lowered() {
    let mut world = script::gateway(Profile::Compact);
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    amy.request_number += 1;
    let good = world.a1(&amy, bob.id, Suite::ChaCha20Poly1305, [5; 16]);
    for suite in Suite::ALL.into_iter().filter(|suite| *suite != good.suite) {
        let request = world.negotiate_bytes(&NegotiateSecret::Invite(A1 { suite, ..good }));
        world.refused(attacker(), "negotiate", &request, Code::UNAUTHORIZED);
    }
    let request = world.negotiate_bytes(&NegotiateSecret::Invite(good));
    assert_eq!(world.post(amy.addr, "negotiate", &request).code, Code::CREATED);
    let item = world.invitation(&mut bob);
    assert_eq!(item.suite, Suite::ChaCha20Poly1305);
    let good = world.a3(&bob, &item, Some(item.suite), [3; 16]);
    for suite in Suite::ALL.into_iter().filter(|suite| *suite != item.suite) {
        // By an outsider, and by bob himself.
        let mut by_bob = A3 { suite: Some(suite), ..good };
        sign_a3(&bob, amy.id, &mut by_bob);
        for a3 in [A3 { suite: Some(suite), ..good }, by_bob] {
            let request = world.negotiate_bytes(&NegotiateSecret::Reply(a3));
            world.refused(attacker(), "negotiate", &request, Code::UNAUTHORIZED);
        }
    }
    assert_eq!(world.reply(&bob, good).1.code, Code::CHANGED);
}

/// A suite that one of the three does not have is refused under seal, with what all have; and nobody else can say that.
#[test]
fn a_suite_outside_the_sets_is_refused_whoever_asks() {
    let mut world = script::gateway(Profile::Compact);
    let narrow = Dev { suite: Suite::AesCcm8, suites: SuiteSet::of(&[Suite::AesCcm8]), ..Dev::new("bob", 2) };
    let mut amy = world.device("amy", 1);
    let mut bob = narrow.clone();
    world.register_with(&mut bob, Proof::None, Code::CREATED);
    world.attach(&mut bob);
    let sent = world.invite_with(&mut amy, bob.id, Suite::Ascon128);
    assert_eq!(sent.refusal().detail, SuiteSet::of(&[Suite::AesCcm8]).bits());
    assert!(world.take(&mut bob).is_empty());
    // One's own set cannot be lowered by who does not have the key: another set needs another key.
    for suites in [SuiteSet::of(&[Suite::AesCcm8]), SuiteSet::of(&[Suite::AesCcm8, amy.suite])] {
        let request = world.register_bytes(&Dev { suites, ..amy.clone() }, Proof::None);
        world.refused(attacker(), "register", &request, Code::CONFLICT);
    }
    let sent = world.invite_with(&mut amy, bob.id, Suite::AesCcm8);
    sent.handle();
    assert_eq!(world.take(&mut bob).iter().filter(|item| item.kind == kind::INVITATION).count(), 1);
}

/// An A1 of the old suite under a new number, with the tag of the last: the tag is for its own number.
#[test]
fn an_old_suite_cannot_be_brought_back() {
    let mut world = script::gateway(Profile::Compact);
    let (mut amy, bob) = (world.device("amy", 1), world.device("bob", 2));
    let old = world.invite_with(&mut amy, bob.id, Suite::AesCcm8).a1;
    let request = world.negotiate_bytes(&NegotiateSecret::Invite(A1 { request_number: 2, ..old }));
    world.refused(attacker(), "negotiate", &request, Code::UNAUTHORIZED);
    amy.request_number = 2;
    let mut own = A1 { request_number: 2, ..old };
    sign_a1(&amy, &mut own, crate::support::by_hand::GATE);
    let request = world.negotiate_bytes(&NegotiateSecret::Invite(own));
    assert_eq!(world.post(amy.addr, "negotiate", &request).code, Code::CREATED);
}

/// Versions: of Register, of what is inside it (there is none, and no place for one), of the package.
#[test]
fn other_versions_are_refused() {
    let mut world: World = script::gateway(Profile::Compact);
    let amy = Dev::new("amy", 1);
    let good = world.register_bytes(&amy, Proof::None);
    for version in [0, 2, 3, 23] {
        let mut bent = fields(&good);
        bent[0] = vec![version];
        let bytes = crate::support::bend::array(&bent);
        world.refused(attacker(), "register", &bytes, Code::BAD_REQUEST);
    }
    // The first element of what is inside: a version there is no k_d.
    let hash = sga_crypto::sha256(&world.package());
    let secret = RegisterSecret { registered_key: amy.key, suite: amy.suite, suites: amy.suites, proof: Proof::None };
    let mut inside = fields(&encoded(&secret));
    inside.insert(0, vec![1]);
    let a = world.pk(sga_crypto::PkPurpose::Register { package_hash: hash }, &crate::support::bend::array(&inside));
    let forged = encoded(&sga_schema::Register { sealed_key: &a, sealed_id: &[0; 16] });
    let answer = world.unchanged_any(|world| world.post(attacker(), "register", &forged));
    assert!(is_refused(answer.code));
    assert_eq!(world.post(amy.addr, "register", &good).code, Code::CREATED);
}
