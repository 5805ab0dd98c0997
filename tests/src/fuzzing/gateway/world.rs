//! The gateway's core, three devices and an outsider, with a network under the input's command.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sga_crypto::Aead;
use sga_device::agent::Image;
use sga_device::{DeviceId, Phase, SessionStatus, Suite, SuiteSet};
use sga_gateway_core::{Now, Settings, limits};
use sga_schema::Profile;

use super::ledger::{Texts, Way};
use super::network::Network;
use super::sealed::{Holder, Sealed};
use crate::script::wire::Message;
use crate::sim::{Datagram, DeviceNode, GatewayNode, Received, SimStore};

pub(crate) const DEVICES: usize = 3;
const NAMES: [&str; DEVICES] = ["alice", "bob", "carol"];

/// Few, so that mailboxes get full.
const MESSAGES_MAX: usize = 6;

/// How long an application waits before it asks for a session again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Things that happen without time passing; more is a circle.
const AT_ONCE_MAX: usize = 3_000;

/// Simulated time after which texts must flow again.
const RECOVERY_ROUNDS: usize = 240;
const ROUND: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) gateway: GatewayNode,
    pub(crate) devices: Vec<DeviceNode>,
    pub(crate) network: Network,
    pub(crate) texts: Texts,
    pub(crate) sealed: Sealed,
    pub(crate) rng: ChaCha12Rng,
    /// The store has handed out something damaged: nothing need work from then on.
    pub(crate) poisoned: bool,
    /// Datagrams and wakings so far.
    pub(crate) work: usize,
    /// Who wants sessions with whom.
    wanted: Vec<Way>,
}

/// What a run may begin with, made once.
#[derive(Clone)]
struct Start {
    now: Now,
    store: SimStore,
    devices: Vec<(Image, Received)>,
    texts: Texts,
    sealed: Sealed,
    wanted: Vec<Way>,
}

pub(crate) fn id(at: usize) -> DeviceId {
    DeviceId::new(NAMES[at].as_bytes()).expect("an id")
}

pub(crate) fn outsider(at: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1 + at % 4], 5_683))
}

impl World {
    pub(crate) fn new() -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(11);
        let address = SocketAddr::from(([192, 0, 2, 1], 5_683));
        let mut settings = Settings::new(DeviceId::new(b"gw").expect("an id"), Profile::Compact);
        settings.mailbox_messages_max = MESSAGES_MAX;
        let gateway = GatewayNode::new(address, settings, &mut rng);
        let pair = &gateway.keys().pair;
        let pin = sga_gateway_core::pin(Profile::Compact, &pair.public);
        let suites = [
            SuiteSet::ALL,
            SuiteSet::of(&[Suite::ChaCha20Poly1305, Suite::AesCcm8]),
            SuiteSet::of(&[Suite::ChaCha20Poly1305]),
        ];
        let devices = (0..DEVICES)
            .map(|at| {
                let own = SocketAddr::from(([198, 51, 100, 1 + at as u8], 40_000));
                let mut node = DeviceNode::new(id(at), own, address, suites[at], &mut rng);
                // Or a network that changes the first package would decide whom it trusts.
                node.device_mut().set_pin(Some(pin));
                node.patience = PATIENCE;
                node
            })
            .collect();
        Self {
            now: Duration::from_secs(1),
            gateway,
            devices,
            network: Network::new(address),
            texts: Texts::default(),
            sealed: Sealed::default(),
            rng,
            poisoned: false,
            work: 0,
            wanted: Vec::new(),
        }
    }

    /// 0: nobody is registered. 1: all are. 2: alice and bob have a session, too. 3: all have, and texts lie in mailboxes.
    pub(crate) fn at_stage(stage: u8) -> Self {
        static STARTS: OnceLock<[Start; 3]> = OnceLock::new();
        let mut world = Self::new();
        let Some(stage) = usize::from(stage & 3).checked_sub(1) else { return world };
        let start = STARTS.get_or_init(|| [0, 1, 2].map(Start::make))[stage].clone();
        world.now = start.now;
        world.gateway.store = start.store;
        world.gateway.crash();
        for (node, (image, received)) in world.devices.iter_mut().zip(start.devices) {
            node.received = received;
            node.image = image;
            node.restart(world.now, &mut world.rng);
        }
        (world.texts, world.sealed) = (start.texts, start.sealed);
        start.wanted.into_iter().for_each(|way| world.want(way));
        world
    }

    /// Both ends' applications want to talk; the first asks for it.
    pub(crate) fn want(&mut self, (from, to): Way) {
        if from != to && !self.wanted.contains(&(from, to)) {
            self.wanted.push((from, to));
            self.devices[from].want(id(to), None);
        }
    }

    pub(crate) fn text(&mut self, way: Way, len: usize) {
        if way.0 != way.1 {
            let text = self.texts.make(way, len);
            self.devices[way.0].text(id(way.1), text);
        }
    }

    pub(crate) fn device_at(&self, address: SocketAddr) -> Option<usize> {
        self.devices.iter().position(|node| node.address == address)
    }

    pub(crate) fn holder(&self, at: usize) -> Holder {
        let own = [Suite::AesCcm8, Suite::AesCcm8, Suite::ChaCha20Poly1305][at];
        Holder {
            at,
            aead: Aead::from_id(own.id()).expect("all suites are built"),
            registered_key: *self.devices[at].registered_key.expose(),
            set_back: self.texts.set_back.contains(&at),
        }
    }

    /// Time passes, with all that is due when it is due.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut at_once = 0;
        loop {
            self.settle();
            let Some(next) = self.next_at().filter(|&next| next <= end) else { break };
            at_once = if next > self.now { 0 } else { at_once + 1 };
            assert!(at_once < AT_ONCE_MAX, "it goes in a circle at {:?}", self.now);
            self.now = self.now.max(next);
            self.work += 1;
            if let Some(datagram) = self.network.arrived(self.now) {
                self.deliver(&datagram);
            }
        }
        self.now = end;
    }

    fn next_at(&self) -> Option<Now> {
        let devices = self.devices.iter().filter_map(|node| node.agent.poll_deadline());
        self.network.next_at().into_iter().chain(self.gateway.next_at()).chain(devices).min()
    }

    /// Lets everybody do what is due at this moment.
    pub(crate) fn settle(&mut self) {
        let now = self.now;
        self.gateway.work(now);
        self.gateway.take_orders(now);
        let mut out = Vec::new();
        while let Some(transmit) = self.gateway.core.poll_transmit() {
            out.push(Datagram { from: self.gateway.address, to: transmit.peer, bytes: transmit.bytes });
        }
        for node in &mut self.devices {
            node.work(now, |from, to, bytes| out.push(Datagram { from, to, bytes }));
            self.sealed.look_at_kept(&node.image);
        }
        self.texts.look(&mut self.devices);
        for datagram in out {
            self.look_at(&datagram);
            self.network.send(now, datagram);
        }
    }

    fn look_at(&mut self, datagram: &Datagram) {
        let message = Message::decode(&datagram.bytes)
            .unwrap_or_else(|why| panic!("{} sent {why}: {:02x?}", datagram.from, datagram.bytes));
        if let Some(at) = self.device_at(datagram.from) {
            self.sealed.look_at_request(&self.holder(at), datagram.from, &message);
        } else if let Some(at) = self.device_at(datagram.to) {
            self.sealed.look_at_answer(&self.holder(at), datagram.to, &message);
        }
    }

    fn deliver(&mut self, datagram: &Datagram) {
        let now = self.now;
        if datagram.to == self.gateway.address {
            self.gateway.core.handle_datagram(now, datagram.from, &datagram.bytes);
            self.gateway.take_orders(now);
        } else if let Some(at) = self.device_at(datagram.to) {
            self.devices[at].agent.handle_datagram(now, datagram.from, &datagram.bytes);
        }
    }

    /// What must hold at any time.
    pub(crate) fn check(&self) {
        self.sealed.check_store(&self.gateway.store, MESSAGES_MAX + MESSAGES_MAX.div_ceil(limits::MAILBOX_SHARE));
        let usage = self.gateway.core.usage();
        assert!(usage.tasks <= limits::TASKS_MAX + 8, "{usage:?}");
        assert!(usage.waiters <= limits::WAITERS_MAX, "{usage:?}");
        assert!(usage.locks <= usage.tasks * 8, "{usage:?}");
        assert!(usage.observers <= usage.attachments, "{usage:?}");
        assert!(usage.tasks > 0 || usage.reserved == 0, "{usage:?}");
    }

    /// The network and the store work again, and nobody does anything strange: texts flow, nothing that was confirmed is lost, and
    /// the gateway is left with nothing to do.
    pub(crate) fn recover(mut self) -> bool {
        self.network.heal();
        self.gateway.trouble = Default::default();
        if self.poisoned {
            self.run(ROUND);
            return false;
        }
        if self.texts.ways().is_empty() {
            self.want((0, 1));
            self.text((0, 1), 0);
        }
        for way in self.texts.ways() {
            self.want((way.0.min(way.1), way.0.max(way.1)));
            self.text(way, 0);
        }
        for round in 0.. {
            self.run(ROUND);
            if self.texts.is_through() && self.devices.iter().all(DeviceNode::is_done) {
                break;
            }
            assert!(round < RECOVERY_ROUNDS, "texts do not flow again:\n{}", self.describe());
            if round % 3 == 2 {
                self.ask_again();
            }
        }
        self.texts.check_nothing_lost();
        self.check_codes();
        self.check_idle();
        true
    }

    /// Applications try again what was given up.
    fn ask_again(&mut self) {
        for node in &mut self.devices {
            if !node.device().is_attached() {
                node.device_mut().register();
            }
        }
        for (from, to) in self.texts.ways() {
            let device = self.devices[from].device_mut();
            if device.is_attached() {
                // There may be no room for another peer, which the next try finds gone.
                let _ = device.connect(id(to), None);
            }
            if [from, to].iter().any(|at| self.texts.set_back.contains(at)) {
                // The last one may have been lost for good.
                self.text((from, to), 0);
            }
        }
    }

    /// Two ends that are both established under one run have the same keys.
    fn check_codes(&self) {
        for &(from, to) in &self.wanted {
            let ends = [self.devices[from].device().session(id(to)), self.devices[to].device().session(id(from))];
            let [Some(one), Some(other)] = ends else { continue };
            if one.phase == Phase::Established && other.phase == Phase::Established && one.run == other.run {
                assert_eq!(one.comparison_code, other.comparison_code, "{one:?} and {other:?}");
            }
        }
    }

    fn check_idle(&mut self) {
        for _ in 0..20 {
            if self.gateway.core.is_idle() {
                break;
            }
            self.run(Duration::from_secs(1));
        }
        let usage = self.gateway.core.usage();
        assert_eq!((usage.tasks, usage.locks, usage.reserved), (0, 0, 0), "{usage:?}");
    }

    fn describe(&self) -> String {
        let mut text = format!("{:?}, {:?}\n", self.now, self.gateway.core.usage());
        for node in &self.devices {
            let device = node.device();
            text += &format!("{}: attached {}, idle {}\n", node.id, device.is_attached(), node.agent.is_idle());
            for session in device.sessions() {
                let SessionStatus { peer, phase, role, run, highest_run, next_send, next_receive, .. } = session;
                let SessionStatus { in_flight, parked, .. } = session;
                text += &format!(
                    "   {peer} {phase:?} {role:?} runs {run} of {highest_run}, next {next_send} and {next_receive}"
                );
                text += &format!(", in flight {in_flight:?}, parked {parked}\n");
            }
        }
        text + &format!("{:?}", self.texts)
    }
}

impl Start {
    fn make(stage: usize) -> Self {
        let mut world = World::new();
        world.run(Duration::from_secs(5));
        let ways: &[Way] = [&[][..], &[(0, 1)], &[(0, 1), (0, 2), (1, 2)]][stage];
        for &way in ways {
            world.want(way);
            world.text(way, 20);
            world.text((way.1, way.0), 20);
        }
        world.run(Duration::from_secs(30));
        assert!(world.texts.is_through(), "a perfect network: {}", world.describe());
        if stage == 2 {
            // carol hears nothing of what is sent to her from here on.
            let address = world.devices[2].address;
            world.devices[2].address.set_port(1);
            world.text((0, 2), 20);
            world.text((1, 2), 20);
            world.text((0, 2), 20);
            world.run(Duration::from_secs(10));
            world.devices[2].address = address;
        }
        Self {
            now: world.now,
            store: world.gateway.store.clone(),
            devices: world.devices.iter().map(|node| (node.image.clone(), node.received.clone())).collect(),
            texts: world.texts,
            sealed: world.sealed,
            wanted: world.wanted,
        }
    }
}
