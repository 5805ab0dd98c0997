//! Repair 8: what a device has sent, given back to it or to the other side. (Paper 5.1, 5.5.)
//!
//! In print one key serves both directions and no message says which way it goes. The attacker records and sends back: to the
//! sender, on the other leg, in the other role.

use sga_coap::Code;
use sga_schema::{A3, Half, InvitationItem, MessageItem, MessagePost, NegotiateSecret, Profile, Role, Sealed, kind};

use crate::support::attacker;
use crate::support::by_hand::{World, encoded, sealed_bytes};
use crate::support::ends::{End, Gateway, id, settle};
use crate::support::{link, script};

use Role::{Initiator, Responder};

/// A text of alice's comes back to her as an item of her own leg, with every sequence that she might wait for.
#[test]
fn a_text_does_not_open_at_the_end_that_sealed_it() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut gateway = Gateway::new(profile, 9);
        let [mut amy, mut bob] = [("amy", 1), ("bob", 2)].map(|(name, seed)| End::new(link::device(name, seed), seed));
        amy.device.register();
        bob.device.register();
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        amy.device.connect(id("bob"), None).expect("a peer");
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        for text in [&b"one"[..], b"two"] {
            amy.send(id("bob"), text);
            settle(&mut gateway, &mut [&mut amy, &mut bob]);
        }
        // The handle of amy's leg stands in what bob has sent her: his message 0.
        let own = gateway.bodies(id("amy"), kind::MESSAGE);
        let own: MessageItem<'_> = sga_schema::decode(&own[0]).expect("message 0 of bob's");
        let sent = gateway.bodies(id("bob"), kind::MESSAGE);
        for body in &sent {
            let item: MessageItem<'_> = sga_schema::decode(body).expect("an item");
            let back = encoded(&MessageItem { handle: own.handle, ..item });
            gateway.append(id("amy"), kind::MESSAGE, back);
        }
        let failed = amy.device.counters().failed_openings;
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert!(amy.texts.is_empty(), "amy was handed her own text");
        assert_eq!(amy.device.counters().failed_openings - failed, 2, "both texts; message 0 is one that she has");
        assert_eq!(bob.texts, [b"one".to_vec(), b"two".to_vec()]);
        // bob's own arrive.
        bob.send(id("amy"), b"mine");
        settle(&mut gateway, &mut [&mut amy, &mut bob]);
        assert_eq!(amy.texts, [b"mine".to_vec()]);
    }
}

/// On the way to the gateway: the same Half and the same messages on the other leg.
#[test]
fn halves_and_messages_are_refused_on_the_other_leg() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut world = script::gateway(profile);
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        let session = world.agree(&mut amy, &mut bob);
        let first = world.make(&session, &amy, Initiator, 1);
        let half: Half<'_> = sga_schema::decode(&first.request).unwrap();
        let turned = encoded(&Half { handle: session.handle(Responder), ..half });
        world.refused(attacker(), "kex", &turned, Code::UNAUTHORIZED);
        assert_eq!(world.post(amy.addr, "kex", &first.request).code, Code::CREATED);
        // As its own B3.
        world.refused(attacker(), "kex", &turned, Code::UNAUTHORIZED);
        let run = world.close_second(&session, first, &bob, 1);
        for (role, dev) in [(Initiator, &amy), (Responder, &bob)] {
            for sequence in 0..2 {
                let bytes = world.message(&session, &run, role, sequence, b"text");
                let post: MessagePost<'_> = sga_schema::decode(&bytes).unwrap();
                let turned = encoded(&MessagePost { handle: session.handle(role.other()), ..post });
                world.refused(attacker(), "msg", &turned, Code::UNAUTHORIZED);
                assert_eq!(world.post(dev.addr, "msg", &bytes).code, Code::CHANGED);
                world.refused(attacker(), "msg", &turned, Code::UNAUTHORIZED);
            }
        }
    }
}

/// What the gateway has sealed comes back to it where a request's sealed part belongs.
#[test]
fn the_gateways_own_seals_are_no_requests() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut world = script::gateway(profile);
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        let sent = world.invite(&mut amy, bob.id);
        let item = world.invitation(&mut bob);
        reflected_a2(&mut world, &item);
        let a3 = world.a3(&bob, &item, Some(item.suite), [3; 16]);
        assert_eq!(world.reply(&bob, a3).1.code, Code::CHANGED);
        let session = world.agree(&mut amy, &mut bob);
        let run = world.close(&session, &amy, &bob, 1);
        let mut sealed: Vec<Vec<u8>> = Vec::new();
        for answer in [&sent.answer, &run.answer] {
            let Sealed(bytes) = sga_schema::decode(&answer.payload).unwrap();
            sealed.push(bytes.to_vec());
        }
        for item in [world.attach(&mut amy), world.attach(&mut bob)].concat() {
            // The last element of each of these kinds is what is sealed.
            let fields = crate::support::bend::fields(&item.body);
            let last = fields.last().expect("not empty");
            if let Ok(Sealed(bytes)) = sga_schema::decode(last) {
                sealed.push(bytes.to_vec());
            }
        }
        assert!(sealed.len() >= 4);
        for body in &sealed {
            for role in [Initiator, Responder] {
                for run in [1, 2] {
                    let forged = encoded(&Half { handle: session.handle(role), run, body, salt: None });
                    let answer = world.unchanged_any(|world| world.post(attacker(), "kex", &forged));
                    assert_eq!(answer.code, Code::UNAUTHORIZED);
                }
            }
            let answer = world.unchanged_any(|world| world.post(attacker(), "negotiate", &sealed_bytes(body)));
            assert_eq!(answer.code, Code::UNAUTHORIZED);
        }
        world.close(&session, &amy, &bob, 2);
    }
}

/// The values of A2 as those of an A3: what d_j was sent proves nothing about d_j.
fn reflected_a2(world: &mut World, item: &InvitationItem) {
    for masked in [item.peer_key, [0; 16]] {
        for tag in [item.nonce_i, item.nonce_g] {
            let nonce_j = item.nonce_i;
            let suite = Some(item.suite);
            let a3 = A3 { handle: item.handle, nonce_g: item.nonce_g, nonce_j, masked, suite, tag };
            let request = world.negotiate_bytes(&NegotiateSecret::Reply(a3));
            world.refused(attacker(), "negotiate", &request, Code::UNAUTHORIZED);
        }
    }
}
