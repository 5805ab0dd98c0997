//! A network worth observing: five devices with all suites, two of them padded, sessions between them, restarts, moves, rekeys and new sessions.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use sga_device::agent::Notice;
use sga_device::{DeviceId, Suite, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Datagram, Faults, Verdict, World};

use super::wire::{Observer, Seen};

/// Long enough not to occur by chance.
pub(crate) const NAMES: [&str; 5] =
    ["device of alice.", "device of bobby.", "device of carol.", "device of david.", "device of erica."];

/// Sessions: from, to, suite.
const SESSIONS: [(usize, usize, Suite); 5] = [
    (0, 1, Suite::AesCcm8),
    (0, 2, Suite::AesCcm16),
    (3, 0, Suite::ChaCha20Poly1305),
    (4, 1, Suite::Ascon128),
    (2, 4, Suite::Ascon128),
];

pub(crate) fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("1–16 bytes")
}

/// Everything that passed, datagrams that the network lost afterwards included.
pub(crate) struct Recording {
    pub(crate) seen: Vec<Seen>,
    pub(crate) datagrams: Vec<Datagram>,
    pub(crate) world: World,
}

/// What happens, and how often.
pub(crate) struct Events {
    at: Vec<(Duration, Event)>,
}

#[derive(Clone, Copy)]
enum Event {
    RestartGateway,
    RestartDevice(usize),
    /// Its NAT gives it another port; it does not know.
    Move(usize),
    Attach(usize),
    Rekey(usize),
    /// A new session with another cipher.
    Renew(usize),
    Text(usize, usize),
}

impl Events {
    fn plan(world: &mut World, span_s: u32) -> Self {
        let mut at = Vec::new();
        let mut push = |world: &mut World, count: u32, make: &dyn Fn(&mut World) -> Event| {
            for _ in 0..count {
                let when = Duration::from_millis(u64::from(world.random(span_s * 1_000)));
                let event = make(world);
                at.push((when, event));
            }
        };
        let device = |world: &mut World| world.random(NAMES.len() as u32) as usize;
        let session = |world: &mut World| world.random(SESSIONS.len() as u32) as usize;
        push(world, 2, &|_| Event::RestartGateway);
        push(world, 10, &|world| Event::RestartDevice(device(world)));
        push(world, 8, &|world| Event::Move(device(world)));
        push(world, 10, &|world| Event::Attach(device(world)));
        push(world, 8, &|world| Event::Rekey(session(world)));
        push(world, 4, &|world| Event::Renew(session(world)));
        push(world, 60, &|world| {
            let len = if world.random(8) == 0 { 1_500 } else { world.random(80) as usize };
            Event::Text(session(world), len)
        });
        Self { at }
    }

    fn happen(&mut self, world: &mut World) {
        while let Some(at) = self.at.iter().position(|(at, _)| *at <= world.now) {
            let (_, event) = self.at.swap_remove(at);
            happen(world, event);
        }
    }
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::RestartGateway => world.restart_gateway(),
        Event::RestartDevice(at) => world.restart_device(at),
        Event::Move(at) => {
            let address = &mut world.devices[at].address;
            address.set_port(address.port() + 1);
        }
        Event::Attach(at) => world.devices[at].device_mut().attach(true),
        Event::Rekey(session) => {
            let (from, to, _) = SESSIONS[session];
            // Without a session yet there is nothing to renew.
            let _ = world.devices[from].device_mut().rekey(id(NAMES[to]));
        }
        Event::Renew(session) => {
            let (from, to, _) = SESSIONS[session];
            let suite = Suite::ALL[world.random(4) as usize];
            // Not before it is registered, and perhaps not with a suite that it has.
            let _ = world.devices[from].device_mut().connect(id(NAMES[to]), Some(suite));
        }
        Event::Text(session, len) => {
            let (from, to, _) = SESSIONS[session];
            let (from, to) = if world.random(2) == 0 { (from, to) } else { (to, from) };
            world.devices[from].text(id(NAMES[to]), b"the same text. ".iter().copied().cycle().take(len).collect());
        }
    }
}

fn attaches_taken(world: &World, device: IpAddr) -> usize {
    let node = world.devices.iter().find(|node| node.address.ip() == device);
    node.map_or(0, |node| node.notices.iter().filter(|notice| matches!(notice, Notice::Attached)).count())
}

/// Runs a world and keeps what passes.
pub(crate) fn record(seed: u64, profile: Profile, span_s: u32) -> Recording {
    let mut world = World::new(seed, Settings::new(id("gateway of them."), profile));
    world.faults = Faults { lost: 30, doubled: 30, late: 30 };
    // Their own suites are all four.
    let sets = [
        SuiteSet::ALL,
        SuiteSet::ALL,
        SuiteSet::of(&[Suite::AesCcm16, Suite::ChaCha20Poly1305, Suite::Ascon128]),
        SuiteSet::of(&[Suite::ChaCha20Poly1305, Suite::Ascon128]),
        SuiteSet::of(&[Suite::Ascon128]),
    ];
    for (name, suites) in NAMES.iter().zip(sets) {
        let at = world.add(name, suites);
        world.devices[at].set_pad(at % 2 == 1);
    }
    for (from, to, suite) in SESSIONS {
        world.devices[from].want(id(NAMES[to]), Some(suite));
    }
    let passing: Rc<RefCell<Vec<Datagram>>> = Rc::default();
    let tap = passing.clone();
    world.inspect(move |_, datagram| {
        tap.borrow_mut().push(datagram.clone());
        Verdict::Pass
    });
    let mut events = Events::plan(&mut world, span_s);
    let mut observer = Observer::new(world.gateway.address);
    let (mut seen, mut datagrams) = (Vec::new(), Vec::new());
    world.run_until(Duration::from_secs(u64::from(span_s) + 30), |world| {
        for datagram in passing.borrow_mut().drain(..) {
            seen.push(observer.see(&datagram, |device| attaches_taken(world, device)));
            datagrams.push(datagram);
        }
        events.happen(world);
        false
    });
    Recording { seen, datagrams, world }
}
