//! Counters and lengths: whether attaches (and registrations, invitations, texts) of one device can be told from those of another by
//! how long they are, and what message IDs and tokens carry.
//!
//! The observer is shown examples of two devices, then an event of one of them, and guesses which. Its **advantage** is 0 for
//! guessing and 1 for certainty: half the difference between how often it says "the second" of the second and of the first. It looks
//! at the whole sequence of payload lengths of an event, in both directions; it learns from one half of the events and is
//! measured on the other.
#![expect(clippy::print_stdout, reason = "the figures of docs/security.md")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use sga_device::{Suite, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Datagram, Verdict, World};

use super::traffic::id;
use super::wire::{Kind, Observer, Seen};

/// What an event looks like from outside.
type Shape = Vec<(bool, usize)>;

/// A world that is watched.
struct Stage {
    world: World,
    /// Whether the devices pad.
    pad: bool,
    passing: Rc<RefCell<Vec<Datagram>>>,
    observer: Observer,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Stage {
    fn new(seed: u64, pad: bool) -> Self {
        let mut world = World::new(seed, Settings::new(id("gw"), Profile::Compact));
        let passing: Rc<RefCell<Vec<Datagram>>> = Rc::default();
        let tap = passing.clone();
        world.inspect(move |_, datagram| {
            tap.borrow_mut().push(datagram.clone());
            Verdict::Pass
        });
        let observer = Observer::new(world.gateway.address);
        Self { world, pad, passing, observer }
    }

    fn add(&mut self, name: &str, suites: SuiteSet) -> usize {
        let at = self.world.add(name, suites);
        self.world.devices[at].set_pad(self.pad);
        at
    }

    /// Until all is quiet.
    fn settle(&mut self) {
        let end = self.world.now + MINUTE;
        let quiet = |world: &mut World| {
            world
                .devices
                .iter()
                .all(|node| node.device().is_attached() && node.is_done() && !node.device().needs_save())
        };
        assert!(self.world.run_until(end, quiet), "it never gets quiet");
        // What is on its way yet.
        let later = self.world.now + Duration::from_millis(500);
        self.world.run_until(later, |_| false);
    }

    /// What passed since the last time, to and from a device.
    fn seen(&mut self, at: usize) -> Vec<Seen> {
        let address = self.world.devices[at].address.ip();
        let observer = &mut self.observer;
        let seen: Vec<Seen> =
            self.passing.borrow_mut().drain(..).map(|datagram| observer.see(&datagram, |_| 0)).collect();
        seen.into_iter().filter(|seen| seen.device == address).collect()
    }

    fn shape(&mut self, at: usize) -> Shape {
        let seen = self.seen(at);
        seen.iter().filter(|seen| !seen.payload.is_empty()).map(|seen| (seen.to_gateway, seen.payload.len())).collect()
    }

    /// The device comes back at another address and attaches.
    fn attach(&mut self, at: usize) -> Shape {
        self.settle();
        self.seen(at);
        self.world.restart_device(at);
        self.settle();
        self.shape(at)
    }

    fn connect(&mut self, from: usize, to: usize) {
        let peer = self.world.devices[to].id;
        self.world.devices[from].device_mut().connect(peer, None).expect("registered");
        let own = self.world.devices[from].id;
        let both =
            |world: &mut World| world.devices[from].device().can_send(peer) && world.devices[to].device().can_send(own);
        let done = self.world.run_until(self.world.now + MINUTE, both);
        assert!(done, "no session: {:?}", [from, to].map(|at| &self.world.devices[at].notices));
        self.settle();
    }

    fn text(&mut self, from: usize, to: usize, len: usize) {
        let peer = self.world.devices[to].id;
        self.world.devices[from].text(peer, vec![b'.'; len]);
    }

    /// While a device is away, texts come for it; then it is back at another address.
    fn attach_to_texts(&mut self, from: usize, to: usize, lens: &[usize]) -> Shape {
        self.settle();
        // Nowhere.
        let port = self.world.devices[to].address.port();
        self.world.devices[to].address.set_port(1);
        for len in lens {
            self.text(from, to, *len);
        }
        let sender = self.world.devices[from].id;
        let end = self.world.now + MINUTE;
        assert!(self.world.run_until(end, |world| {
            let node = world.devices.iter().find(|node| node.id == sender).expect("it is there");
            node.is_done()
        }));
        self.seen(to);
        self.world.devices[to].address.set_port(port);
        self.world.restart_device(to);
        self.settle();
        self.shape(to)
    }
}

/// Two groups of events.
struct Events([Vec<Shape>; 2]);

/// What an observer gains.
#[derive(Debug)]
struct Figure {
    advantage: f64,
    events: usize,
    /// Different shapes there were.
    shapes: usize,
}

impl Events {
    fn figure(&self) -> Figure {
        let mut learned: HashMap<&Shape, i64> = HashMap::new();
        for (group, sign) in self.0.iter().zip([-1, 1]) {
            group.iter().step_by(2).for_each(|shape| *learned.entry(shape).or_default() += sign);
        }
        let says = |group: &[Shape]| {
            let tested: Vec<_> = group.iter().skip(1).step_by(2).collect();
            let sum: i64 = tested.iter().map(|shape| learned.get(*shape).map_or(0, |seen| seen.signum())).sum();
            sum as f64 / tested.len() as f64
        };
        let advantage = (says(&self.0[1]) - says(&self.0[0])) / 2.0;
        let all = self.0.iter().flatten();
        let shapes = all.collect::<std::collections::HashSet<_>>().len();
        Figure { advantage, events: self.0.iter().map(Vec::len).sum(), shapes }
    }
}

/// Devices that are new, and one that has attached and received some hundred times.
fn age(pad: bool) -> Events {
    let mut stage = Stage::new(1, pad);
    let (sender, old) = (stage.add("sender", SuiteSet::ALL), stage.add("old", SuiteSet::ALL));
    stage.settle();
    stage.connect(sender, old);
    for _ in 0..60 {
        (0..5).for_each(|_| stage.text(sender, old, 20));
        for _ in 0..5 {
            stage.attach(old);
        }
    }
    let mut events = Events([Vec::new(), Vec::new()]);
    for number in 0..25 {
        let new = stage.add(&format!("n{number:02}"), SuiteSet::ALL);
        stage.settle();
        stage.connect(sender, new);
        for _ in 0..20 {
            let (young, aged) = (stage.attach(new), stage.attach(old));
            events.0[0].push(young);
            events.0[1].push(aged);
        }
    }
    events
}

/// Devices of one age with different suites of their own.
fn suites(pad: bool) -> Events {
    let mut stage = Stage::new(2, pad);
    let devices = [stage.add("one", SuiteSet::ALL), stage.add("two", SuiteSet::of(&[Suite::ChaCha20Poly1305]))];
    let shapes = |stage: &mut Stage, at| (0..500).map(|_| stage.attach(at)).collect();
    Events(devices.map(|at| shapes(&mut stage, at)))
}

/// What waits for two devices while they are away.
fn waiting(pad: bool, lens: [&[&[usize]]; 2]) -> Events {
    let mut stage = Stage::new(3, pad);
    let sender = stage.add("sender", SuiteSet::ALL);
    let devices = [stage.add("one", SuiteSet::ALL), stage.add("two", SuiteSet::ALL)];
    stage.settle();
    devices.iter().for_each(|at| stage.connect(sender, *at));
    let mut events = Events([Vec::new(), Vec::new()]);
    for round in 0..500 {
        for group in [0, 1] {
            let lens = lens[group][round / 2 % lens[group].len()];
            let shape = stage.attach_to_texts(sender, devices[group], lens);
            events.0[group].push(shape);
        }
    }
    events
}

/// Texts as they leave.
fn sending(pad: bool, lens: [&[usize]; 2]) -> Events {
    let mut stage = Stage::new(4, pad);
    let devices = [stage.add("one", SuiteSet::ALL), stage.add("two", SuiteSet::ALL)];
    let receiver = stage.add("receiver", SuiteSet::ALL);
    stage.settle();
    devices.iter().for_each(|at| stage.connect(*at, receiver));
    let mut events = Events([Vec::new(), Vec::new()]);
    for round in 0..500 {
        for group in [0, 1] {
            stage.seen(devices[group]);
            stage.text(devices[group], receiver, lens[group][round / 2 % lens[group].len()]);
            stage.settle();
            let seen = stage.seen(devices[group]);
            // How many came before is in the sequence number, and in nobody's power to hide.
            let posts = seen.iter().filter(|seen| seen.kind == Kind::Message && seen.to_gateway);
            events.0[group].push(posts.map(|seen| (true, ciphertext_len(&seen.payload))).collect());
        }
    }
    events
}

fn ciphertext_len(payload: &[u8]) -> usize {
    sga_schema::decode::<sga_schema::MessagePost<'_>>(payload).expect("a whole Message").ciphertext.len()
}

/// Registrations and invitations of devices with short and long names. A peer has room for 32.
fn names(pad: bool) -> Events {
    let mut events = Events([Vec::new(), Vec::new()]);
    for seed in 10..26 {
        let mut stage = Stage::new(seed, pad);
        let peer = stage.add("peer", SuiteSet::ALL);
        stage.settle();
        for number in 0..15 {
            for (group, name) in [format!("s{number:02}"), format!("a long name {number:03}")].iter().enumerate() {
                let at = stage.add(name, SuiteSet::ALL);
                stage.settle();
                stage.connect(at, peer);
                let seen = stage.seen(at);
                let asked = seen.iter().filter(|seen| matches!(seen.kind, Kind::Register | Kind::Negotiate));
                events.0[group].push(asked.map(|seen| (seen.to_gateway, seen.payload.len())).collect());
            }
        }
    }
    events
}

fn figures(pad: bool) -> Vec<(&'static str, Figure)> {
    let all = [
        ("age", age(pad)),
        ("own suite", suites(pad)),
        ("length of a waiting text", waiting(pad, [&[&[9], &[12]], &[&[15], &[17]]])),
        ("number of waiting texts", waiting(pad, [&[&[20]], &[&[20, 20, 20, 20]]])),
        ("length of a text", sending(pad, [&[2, 9], &[10, 17]])),
        ("length of the name", names(pad)),
    ];
    let figures: Vec<_> = all.into_iter().map(|(what, events)| (what, events.figure())).collect();
    for (what, Figure { advantage, events, shapes }) in &figures {
        println!("padded {pad}, {what}: advantage {advantage:.2}, {events} events, {shapes} shapes");
    }
    figures
}

#[test]
fn lengths_tell_devices_apart() {
    for (what, figure) in figures(false) {
        assert!(figure.advantage > 0.9, "{what}: {figure:?}: the observer has become worse");
    }
}

/// Of n events that all look alike, another look has a probability below ln(10⁶) / n, or they would not all look alike but with one
/// below 10⁻⁶. Whoever guesses by lengths gains at most twice that.
fn advantage_max(figure: &Figure) -> f64 {
    2.0 * 1e6f64.ln() / (figure.events as f64 / 2.0)
}

#[test]
fn padding_leaves_the_observer_guessing() {
    for (what, figure) in figures(true) {
        if what == "number of waiting texts" {
            // A class says how much there is, roughly: this remains.
            assert!(figure.advantage > 0.9, "{what}: {figure:?}: what docs/security.md says of it is no longer so");
            continue;
        }
        println!("{what}: below {:.2} but for a chance of one in a million", advantage_max(&figure));
        assert!(figure.shapes == 1 && figure.advantage == 0.0, "{what}: {figure:?}");
    }
}

#[test]
fn message_ids_and_tokens_start_anew_with_each_start_and_go_on_otherwise() {
    let mut stage = Stage::new(6, false);
    let at = stage.add("device", SuiteSet::ALL);
    stage.settle();
    let ids = |stage: &mut Stage| -> (Vec<u16>, Vec<Vec<u8>>) {
        let seen = stage.seen(at);
        let requests = seen.iter().filter(|seen| seen.to_gateway && (1..32).contains(&seen.code));
        requests.map(|seen| (seen.message_id, seen.token.clone())).unzip()
    };
    let near = |before: u16, after: u16| after.wrapping_sub(before) <= 64;
    let (mut last, mut tokens) = (*ids(&mut stage).0.last().expect("it has registered"), Vec::new());
    let (mut restarted, mut moved) = (0, 0);
    const ROUNDS: usize = 300;
    for _ in 0..ROUNDS {
        // Another address, which the device does not know of; then another one and a start.
        let address = &mut stage.world.devices[at].address;
        address.set_port(address.port() + 1);
        stage.world.devices[at].device_mut().attach(true);
        stage.settle();
        let (numbers, mut used) = ids(&mut stage);
        moved += usize::from(near(last, numbers[0]));
        last = *numbers.last().expect("it has attached");
        tokens.append(&mut used);
        stage.world.restart_device(at);
        stage.settle();
        let (numbers, mut used) = ids(&mut stage);
        restarted += usize::from(near(last, numbers[0]));
        last = *numbers.last().expect("it has attached");
        tokens.append(&mut used);
    }
    // By chance 65 of 65,536: 0.3 of 300; 8 or more come with a probability below one in a million.
    println!("message IDs go on: {moved} of {ROUNDS} after a move, {restarted} of {ROUNDS} after a start");
    assert!(restarted < 8 && moved == ROUNDS, "what docs/security.md says of message IDs is no longer so");
    // Tokens of two random bytes: so many pairs are equal, give or take.
    let count = tokens.len();
    tokens.sort();
    let equal = tokens.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let expected = (count * count) as f64 / 2.0 / 65_536.0;
    println!("{count} tokens, {equal} equal pairs, {expected:.1} expected");
    assert!((equal as f64) < expected + 6.0 * expected.sqrt() + 6.0, "tokens are not random");
}
