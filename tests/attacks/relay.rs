//! Relay (paper 5.5): the attacker is everybody's network.
//!
//! It stands between alice, bob and the gateway and passes on what it likes, from its own addresses, when it likes. What that lets it
//! do: learn sizes and times, delay, lose, and be the address that the gateway answers to. What not: read, change or invent
//! anything, be one of them towards another, or pass one device off as a third.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sga_coap::{Code, Request};
use sga_crypto::Secret;
use sga_device::SuiteSet;
use sga_device::agent::Agent;
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Datagram, Verdict, World};

use crate::support::taped::{ALICE, BOB, id};
use crate::support::{attacker, script};

const TO_BOB: &[u8] = b"a text that nobody on the way may read";
const TO_ALICE: &[u8] = b"nor this one, that comes back";

/// A port of the attacker's for each device: the gateway sees only these.
fn port_of(device: SocketAddr) -> SocketAddr {
    let mut address: SocketAddr = "[2001:db8::66]:0".parse().expect("an address");
    let SocketAddr::V6(own) = device else { panic!("all are V6 here") };
    address.set_port(10_000 + own.ip().segments()[7] * 1_000 + own.port() % 1_000);
    address
}

/// Everything that is sent goes to the attacker, which passes on what `pass` leaves of it. Returns what it has seen.
fn relayed(
    world: &mut World,
    pass: impl Fn(usize, &mut Datagram) -> bool,
    done: impl Fn(&World) -> bool,
) -> Vec<Vec<u8>> {
    let caught: Rc<RefCell<Vec<Datagram>>> = Rc::default();
    let catch = caught.clone();
    world.inspect(move |_, datagram| {
        catch.borrow_mut().push(datagram.clone());
        Verdict::Lose
    });
    let mut homes: HashMap<SocketAddr, SocketAddr> = HashMap::new();
    let mut seen = Vec::new();
    let gateway = world.gateway.address;
    let end = world.now + Duration::from_secs(86_400);
    let finished = world.run_until(end, |world| {
        loop {
            let Some(mut datagram) = caught.borrow_mut().pop() else { break };
            seen.push(datagram.bytes.clone());
            let number = seen.len();
            if datagram.from == gateway {
                // To one of the attacker's ports; it knows whose that is.
                let Some(home) = homes.get(&datagram.to) else { continue };
                datagram.to = *home;
            } else {
                homes.insert(port_of(datagram.from), datagram.from);
                datagram.from = port_of(datagram.from);
            }
            if pass(number, &mut datagram) {
                world.inject(&datagram);
            }
        }
        done(world)
    });
    assert!(finished, "it never came about");
    seen
}

fn world() -> World {
    let mut world = World::new(11, Settings::new(id("gw"), Profile::Compact));
    world.add("alice", SuiteSet::ALL);
    world.add("bob", SuiteSet::ALL);
    world.devices[ALICE].want(id("bob"), None);
    world.devices[ALICE].text(id("bob"), TO_BOB.to_vec());
    world.devices[BOB].text(id("alice"), TO_ALICE.to_vec());
    world
}

fn is_said(world: &World) -> bool {
    let has = |at: usize, from: &str, text: &[u8]| match world.devices[at].received.get(&id(from)).map(Vec::as_slice) {
        None => false,
        Some(texts) => {
            assert_eq!(texts, [text.to_vec()], "what was said, once");
            true
        }
    };
    has(BOB, "alice", TO_BOB) && has(ALICE, "bob", TO_ALICE)
}

fn contains(seen: &[Vec<u8>], secret: &[u8]) -> bool {
    seen.iter().any(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
}

#[test]
fn a_relay_carries_what_it_cannot_read() {
    let mut world = world();
    let seen = relayed(&mut world, |_, _| true, is_said);
    assert!(seen.len() > 40);
    for text in [TO_BOB, TO_ALICE] {
        assert!(!contains(&seen, text), "a text was on the air");
    }
    for node in &world.devices {
        assert!(!contains(&seen, &node.registered_key.expose()[..16]), "k_d was on the air");
        for key in Agent::traffic_secrets(node.device()) {
            assert!(!contains(&seen, &key), "a traffic key was on the air");
        }
    }
    // What it does see in the clear is the package, in blocks.
    assert!(world.gateway.keys().pair.public.as_bytes().windows(8).any(|part| contains(&seen, part)));
}

/// Losing, delaying and changing: the same texts arrive, once, or later.
#[test]
fn a_relay_that_changes_and_loses_only_delays() {
    for every in [5, 7, 9] {
        let mut world = world();
        // Without a pin the first package counts, and a bent one may be the first (see `downgrade`).
        let pin = sga_gateway_core::pin(Profile::Compact, &world.gateway.keys().pair.public);
        world.devices.iter_mut().for_each(|node| node.device_mut().set_pin(Some(pin)));
        let bent = RefCell::new(0);
        let pass = |number: usize, datagram: &mut Datagram| match number % every {
            0 => false,
            1 => {
                // Behind the header, so that it is not just noise to CoAP.
                if let Some(last) = datagram.bytes.last_mut() {
                    *last ^= 0x10;
                    *bent.borrow_mut() += 1;
                }
                number % (2 * every) == 1
            }
            _ => true,
        };
        relayed(&mut world, pass, is_said);
        assert!(*bent.borrow() > 5);
        // From now on it lets everything through.
        world.devices[ALICE].text(id("bob"), b"and on".to_vec());
        let done =
            |world: &World| world.devices[BOB].received[&id("alice")].last().is_some_and(|text| text == b"and on");
        relayed(&mut world, |_, _| true, done);
    }
}

/// To be one of them towards the gateway, a relay has the other's messages; with its own keys added it has nothing more.
#[test]
fn a_relay_is_not_who_it_relays() {
    let mut world = script::gateway(Profile::Compact);
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let mut mallory = world.device("mallory", 3);
    amy.request_number += 1;
    let key = world.random();
    let a1 = world.a1(&amy, bob.id, amy.suite, key);
    let request = world.negotiate_bytes(&sga_schema::NegotiateSecret::Invite(a1));
    // mallory passes amy's A1 on as its own: it is amy's. The answer opens for amy only.
    let answer = world.post(mallory.addr, "negotiate", &request);
    let sent = crate::support::by_hand::Sent { a1, key, request: request.clone(), answer: answer.clone() };
    sent.handle();
    let sga_schema::Sealed(sealed) = sga_schema::decode(&answer.payload).unwrap();
    let suite = crate::support::by_hand::aead(a1.suite);
    for key in [[0; 16], mallory.key[..16].try_into().expect("16 bytes")] {
        let seal = sga_crypto::steps::a1_answer(suite, &Secret::new(key), &sga_crypto::sha256(&request));
        assert!(crate::support::by_hand::open(seal, sealed).is_none());
    }
    let item = world.invitation(&mut bob);
    assert_eq!(item.id_i, amy.id, "bob is told of amy, not of mallory");
    assert!(world.take(&mut mallory).is_empty());
    // amy sends the same herself later, since she has heard nothing: the stored answer, and no second invitation.
    let again = world.refused(amy.addr, "negotiate", &request, Code::CREATED);
    assert_eq!(again.payload, answer.payload);
}

/// An attach that never arrived, sent by the attacker: the gateway answers to the attacker, who can open nothing, take nothing away
/// and give nothing. Its device finds out, and attaches anew.
#[test]
fn a_caught_attach_gives_sealed_bytes_and_costs_the_device_a_round() {
    let mut world = script::gateway(Profile::Compact);
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    world.invite(&mut amy, bob.id);
    bob.attach_number += 1;
    bob.nonce = world.random();
    let caught = world.attach_bytes(&bob);
    let observe = Request::new(Code::FETCH, ["msg"]).with_payload(60, &caught[..]).with_observe();
    let answer = world.request(attacker(), observe);
    assert_eq!(answer.code, Code::CONTENT);
    let inbox: sga_schema::Inbox<'_> = sga_schema::decode(&answer.payload).unwrap();
    for key in [[0; 32], amy.key] {
        let suite = crate::support::by_hand::aead(bob.suite);
        let seal = sga_crypto::steps::inbox(suite, &Secret::new(key), &bob.nonce, inbox.counter);
        assert!(crate::support::by_hand::open(seal, inbox.sealed).is_none());
    }
    // bob's own, sent again since nobody answered, is refused; he registers with his key, and attaches: all is there.
    world.unchanged(Code::UNAUTHORIZED, |world| world.fetch(bob.addr, &caught));
    world.register_with(&mut bob, sga_schema::Proof::None, Code::CHANGED);
    assert_eq!(world.attach(&mut bob).len(), 1);
    // Nobody is told anything at the attacker's address any more: the observation has ended.
    world.unchanged(Code::UNAUTHORIZED, |world| world.fetch(attacker(), &caught));
}

/// The whole of it for one device: it stays attached by way of the relay, and comes back to the open network without harm.
#[test]
fn a_device_returns_from_a_relay_without_harm() {
    let mut world = world();
    relayed(&mut world, |_, _| true, is_said);
    world.inspect(|_, _| Verdict::Pass);
    world.devices[ALICE].text(id("bob"), b"without it".to_vec());
    let end = world.now + Duration::from_secs(600);
    let done = world.run_until(end, |world| {
        world.devices[BOB].received[&id("alice")].last().is_some_and(|text| text == b"without it")
    });
    assert!(done);
}
