//! A run between alice and bob of which everything is known: the datagrams, both k_d, PR, and all randomness.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod values;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use coap_lite::{MessageClass, Packet};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_crypto::{Aead, Element, GroupId, Seed, steps};
use sga_device::{DeviceId, Phase, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::{Attach, Inbox, InboxSecret, Profile};
use sga_tests::sim::{Datagram, Verdict, World};

pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;

pub(crate) fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

/// A request of a device with its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) device: usize,
    pub(crate) path: String,
    pub(crate) request: Vec<u8>,
    pub(crate) code: String,
    pub(crate) answer: Vec<u8>,
}

/// An item that a device was sent.
#[derive(Clone, Debug)]
pub(crate) struct SeenItem {
    pub(crate) device: usize,
    pub(crate) kind: u32,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) items: Vec<SeenItem>,
}

/// A perfect network: both register, agree, exchange keys, and say one thing each.
pub(crate) fn run(profile: Profile) -> Run {
    run_watched(profile, |_| {})
}

/// The same, looked at after everything that happens.
pub(crate) fn run_watched(profile: Profile, mut watch: impl FnMut(&World)) -> Run {
    let mut world = World::new(7, Settings::new(id("gw"), profile));
    world.add("alice", SuiteSet::ALL);
    world.add("bob", SuiteSet::ALL);
    let taped: Rc<RefCell<Vec<Datagram>>> = Rc::default();
    let tape = taped.clone();
    world.inspect(move |_, datagram| {
        tape.borrow_mut().push(datagram.clone());
        Verdict::Pass
    });
    world.devices[ALICE].want(id("bob"), None);
    world.devices[ALICE].text(id("bob"), b"hello bob".to_vec());
    world.devices[BOB].text(id("alice"), b"hello alice".to_vec());
    let done = world.run_until(Duration::from_secs(600), |world| {
        watch(world);
        let has = |at: usize, peer: &str| {
            let node = &world.devices[at];
            let established =
                node.device().session(id(peer)).is_some_and(|session| session.phase == Phase::Established);
            established && node.is_done() && node.received.contains_key(&id(peer))
        };
        has(ALICE, "bob") && has(BOB, "alice")
    });
    assert!(done, "a perfect network");
    let datagrams = taped.borrow().clone();
    let exchanges = exchanges(&world, &datagrams);
    let items = items(&world, &exchanges, &datagrams);
    Run { world, exchanges, items }
}

fn device_at(world: &World, datagram: &Datagram) -> Option<usize> {
    world.devices.iter().position(|node| node.address == datagram.from || node.address == datagram.to)
}

/// Requests that fit one datagram, with what answered them.
fn exchanges(world: &World, datagrams: &[Datagram]) -> Vec<Exchange> {
    let parsed: Vec<_> = datagrams.iter().map(|d| (d, Packet::from_bytes(&d.bytes).expect("CoAP"))).collect();
    let mut out = Vec::new();
    for (at, (datagram, request)) in parsed.iter().enumerate() {
        if !matches!(request.header.code, MessageClass::Request(_)) || datagram.to != world.gateway.address {
            continue;
        }
        let answer = parsed[at..].iter().find(|(other, packet)| {
            other.to == datagram.from
                && packet.get_token() == request.get_token()
                && matches!(packet.header.code, MessageClass::Response(_))
        });
        let Some((_, answer)) = answer else { continue };
        let path = request.get_option(coap_lite::CoapOption::UriPath).and_then(|segments| segments.front().cloned());
        out.push(Exchange {
            device: device_at(world, datagram).expect("one of two"),
            path: String::from_utf8(path.unwrap_or_default()).expect("text"),
            request: request.payload.clone(),
            code: answer.header.get_code(),
            answer: answer.payload.clone(),
        });
    }
    out
}

/// Opens every inbox that went over the network.
fn items(world: &World, exchanges: &[Exchange], datagrams: &[Datagram]) -> Vec<SeenItem> {
    let attaches: Vec<_> = exchanges
        .iter()
        .filter(|exchange| exchange.path == "msg")
        .filter_map(|exchange| {
            let attach: Attach<'_> = sga_schema::decode(&exchange.request).ok()?;
            // An Ack has the same shape but for the counter.
            Some((exchange.device, attach.nonce))
        })
        .collect();
    let mut out: Vec<SeenItem> = Vec::new();
    for datagram in datagrams.iter().filter(|datagram| datagram.from == world.gateway.address) {
        let packet = Packet::from_bytes(&datagram.bytes).expect("CoAP");
        let Ok(inbox) = sga_schema::decode::<Inbox<'_>>(&packet.payload) else { continue };
        let device = device_at(world, datagram).expect("one of two");
        let opened = attaches.iter().filter(|(owner, _)| *owner == device).find_map(|(_, nonce)| {
            let key = &world.devices[device].registered_key;
            let mut bytes = inbox.sealed.to_vec();
            let len = steps::inbox(AEAD, key, nonce, inbox.counter).open(&mut bytes).ok()?;
            bytes.truncate(len);
            Some(bytes)
        });
        let Some(opened) = opened else { continue };
        let secret: InboxSecret<'_> = sga_schema::decode(&opened).expect("the gateway's own encoding");
        for item in secret.items.iter() {
            let seen = SeenItem { device, kind: item.kind, body: item.body.to_vec() };
            if !out.iter().any(|other| other.body == seen.body && other.device == device) {
                out.push(seen);
            }
        }
    }
    out
}

/// The suite of all devices of these runs.
pub(crate) const AEAD: Aead = Aead::AesCcm8;

impl Run {
    pub(crate) fn group(&self) -> GroupId {
        self.world.gateway.keys().pair.group
    }

    pub(crate) fn exchange(&self, device: usize, path: &str, number: usize) -> &Exchange {
        self.exchanges
            .iter()
            .filter(|exchange| exchange.device == device && exchange.path == path && exchange.code.starts_with('2'))
            .nth(number)
            .expect("it was sent and answered")
    }

    pub(crate) fn item(&self, device: usize, kind: u32) -> &[u8] {
        let item = self.items.iter().find(|item| item.device == device && item.kind == kind);
        &item.expect("it was delivered").body
    }

    /// The ephemeral R of a device, found in its random stream by what it makes.
    pub(crate) fn ephemeral(&self, device: usize, n: &Element) -> Seed {
        let mut rng = ChaCha12Rng::from_seed(self.world.devices[device].seed);
        let mut stream = vec![0; 4_096];
        rng.fill_bytes(&mut stream);
        stream
            .windows(32)
            .step_by(4)
            .map(|window| Seed::from_bytes(window.try_into().expect("32 bytes")))
            .find(|seed| self.group().exp_base(seed) == *n)
            .expect("N = g^R for an R from the device's generator")
    }
}
