//! Time, network and the order in which things happen.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_coap::{Config, Endpoint, Event, IncomingResponse, Request};
use sga_device::agent::Image;
use sga_device::{DeviceId, SuiteSet};
use sga_gateway_core::{Now, Settings};

use super::device::DeviceNode;
use super::gateway::GatewayNode;
use super::store::SimStore;

/// What the network does to datagrams, in parts of 1,000.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Never arrives.
    pub lost: u32,
    /// Arrives twice.
    pub doubled: u32,
    /// Arrives late, after others that were sent later.
    pub late: u32,
}

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Datagram {
    /// From where.
    pub from: SocketAddr,
    /// To where.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// What a test says of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the faults have it.
    Pass,
    /// Lost.
    Lose,
}

/// Addresses that are forged and belong to nobody here: 100.64.0.0/10.
fn is_nobody(address: SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V4(ip) if ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64)
}

/// Looks at each datagram that is sent: its number and itself.
type Inspector = Box<dyn FnMut(usize, &Datagram) -> Verdict>;

/// Everything, and the time.
pub struct World {
    /// The time.
    pub now: Now,
    /// The gateway.
    pub gateway: GatewayNode,
    /// The devices.
    pub devices: Vec<DeviceNode>,
    /// What the network does.
    pub faults: Faults,
    rng: ChaCha12Rng,
    network: BinaryHeap<Reverse<(Now, u64, Datagram)>>,
    sent: usize,
    lost: usize,
    doubled: usize,
    inspect: Option<Inspector>,
    wasted: usize,
    /// Where somebody sits who is no device, and what arrived there.
    outsider: Option<(SocketAddr, Vec<Vec<u8>>)>,
}

impl World {
    /// A gateway and nobody else.
    ///
    /// # Panics
    /// Never: the address is a constant.
    pub fn new(seed: u64, settings: Settings) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let address = "[2001:db8::1]:5683".parse().expect("an address");
        Self {
            now: Now::ZERO,
            gateway: GatewayNode::new(address, settings, &mut rng),
            devices: Vec::new(),
            faults: Faults::default(),
            rng,
            network: BinaryHeap::new(),
            sent: 0,
            lost: 0,
            doubled: 0,
            inspect: None,
            wasted: 0,
            outsider: None,
        }
    }

    /// Adds a device; it registers by itself. Returns its position.
    ///
    /// # Panics
    /// The id is not 1–16 bytes.
    pub fn add(&mut self, id: &str, suites: SuiteSet) -> usize {
        let id = DeviceId::new(id.as_bytes()).expect("an id");
        let number = self.devices.len() as u16 + 2;
        let address = SocketAddr::from((std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number), 40_000));
        let node = DeviceNode::new(id, address, self.gateway.address, suites, &mut self.rng);
        self.devices.push(node);
        self.devices.len() - 1
    }

    /// Looks at each datagram before it is sent.
    pub fn inspect(&mut self, inspector: impl FnMut(usize, &Datagram) -> Verdict + 'static) {
        self.inspect = Some(Box::new(inspector));
    }

    /// Datagrams sent so far.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Datagrams lost by the network so far.
    pub fn lost(&self) -> usize {
        self.lost
    }

    /// Datagrams doubled so far.
    pub fn doubled(&self) -> usize {
        self.doubled
    }

    /// A number below a bound, from the world's seed.
    pub fn random(&mut self, below: u32) -> u32 {
        self.rng.next_u32() % below.max(1)
    }

    /// Somebody who is no device asks the gateway something, over CoAP, and answers Echo as any client does. Faults spare it.
    ///
    /// # Panics
    /// There is no answer within 10 minutes.
    pub fn ask(&mut self, from: SocketAddr, request: Request) -> IncomingResponse {
        let mut client = Endpoint::new(Config::default(), ChaCha12Rng::from_rng(&mut self.rng), [0; 32]);
        self.outsider = Some((from, Vec::new()));
        client.request(self.now, self.gateway.address, request).expect("room for one request");
        let end = self.now + Duration::from_secs(600);
        let mut answer = None;
        while answer.is_none() && self.now < end {
            while let Some(transmit) = client.poll_transmit() {
                self.gateway.core.handle_datagram(self.now, from, &transmit.bytes);
                self.gateway.take_orders(self.now);
            }
            self.run_until(self.now + Duration::from_millis(20), |_| false);
            self.now += Duration::from_millis(20);
            let arrived = self.outsider.as_mut().map(|(_, arrived)| std::mem::take(arrived)).unwrap_or_default();
            for bytes in arrived {
                client.handle_datagram(self.now, self.gateway.address, &bytes);
            }
            client.handle_timeout(self.now);
            while let Some(event) = client.poll_event() {
                if let Event::Response { response, .. } = event {
                    answer = Some(response);
                }
            }
        }
        self.outsider = None;
        answer.expect("an answer")
    }

    /// A datagram arrives now, from whatever address it says: what somebody on the network can do. Faults and inspection spare it.
    pub fn inject(&mut self, datagram: &Datagram) {
        self.deliver(datagram);
        self.settle();
    }

    /// A datagram from a forged address, one of 100.64.0.0/10, arrives at the gateway. What goes back goes nowhere and is counted.
    /// Neither uses the world's randomness, so that all else happens as it would without.
    pub fn forge(&mut self, from: SocketAddr, bytes: &[u8]) {
        assert!(is_nobody(from), "not an address of nobody");
        self.gateway.core.handle_datagram(self.now, from, bytes);
        self.settle();
    }

    /// Bytes that went to forged addresses.
    pub fn wasted(&self) -> usize {
        self.wasted
    }

    /// The gateway's power goes and comes back.
    pub fn restart_gateway(&mut self) {
        self.gateway.crash();
    }

    /// A device's power goes and comes back, at another port.
    pub fn restart_device(&mut self, at: usize) {
        self.devices[at].restart(self.now, &mut self.rng);
    }

    /// A device starts from an older copy of its image, at another port.
    pub fn set_back_device(&mut self, at: usize, image: Image) {
        self.devices[at].set_back(image, self.now, &mut self.rng);
    }

    /// The gateway's store is replaced, by an older copy or by an empty one; it has another generation then.
    pub fn replace_store(&mut self, copy: Option<SimStore>) {
        self.gateway.replace_store(copy);
    }

    /// The gateway's store loses the last of what it has confirmed, without noticing: its generation stays.
    pub fn set_store_back(&mut self, copy: SimStore) {
        self.gateway.set_store_back(copy);
    }

    /// The operator shuts out these devices, and no others.
    pub fn revoke(&mut self, devices: &[DeviceId]) {
        self.gateway.settings.revoked = devices.iter().copied().collect();
        self.gateway.core.set_revoked(self.now, self.gateway.settings.revoked.clone());
        self.gateway.take_orders(self.now);
    }

    /// The gateway gets another key pair; the old one is taken for so long.
    pub fn rotate_keys(&mut self, overlap: Duration) {
        self.gateway.rotate_keys(self.now, overlap);
    }

    /// Runs until `done` or the time is over; says whether it was done. `done` is asked after everything that happens.
    pub fn run_until(&mut self, end: Now, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            self.settle();
            let Some(next) = self.next_at().filter(|&next| next <= end) else { return false };
            self.now = self.now.max(next);
            let arrived = self.network.peek().is_some_and(|Reverse((at, ..))| *at <= self.now);
            if arrived && let Some(Reverse((_, _, datagram))) = self.network.pop() {
                self.deliver(&datagram);
            }
        }
    }

    fn next_at(&self) -> Option<Now> {
        let network = self.network.peek().map(|Reverse((at, ..))| *at);
        let devices = self.devices.iter().filter_map(|node| node.agent.poll_deadline());
        network.into_iter().chain(self.gateway.next_at()).chain(devices).min()
    }

    /// Lets everybody do what is due at this moment.
    fn settle(&mut self) {
        let now = self.now;
        self.gateway.work(now);
        self.gateway.take_orders(now);
        let mut out = Vec::new();
        while let Some(transmit) = self.gateway.core.poll_transmit() {
            out.push(Datagram { from: self.gateway.address, to: transmit.peer, bytes: transmit.bytes });
        }
        for node in &mut self.devices {
            node.work(now, |from, to, bytes| out.push(Datagram { from, to, bytes }));
        }
        out.into_iter().for_each(|datagram| self.send(datagram));
        if self.gateway.core.is_idle() {
            assert_eq!(self.gateway.core.usage().reserved, 0, "a reservation was left behind");
        }
    }

    fn send(&mut self, datagram: Datagram) {
        if is_nobody(datagram.to) {
            self.wasted += datagram.bytes.len();
            return;
        }
        if let Some((address, arrived)) = &mut self.outsider
            && *address == datagram.to
        {
            arrived.push(datagram.bytes);
            return;
        }
        let number = self.sent;
        self.sent += 1;
        if let Some(inspect) = &mut self.inspect
            && inspect(number, &datagram) == Verdict::Lose
        {
            self.lost += 1;
            return;
        }
        if self.random(1_000) < self.faults.lost {
            self.lost += 1;
            return;
        }
        let copies = if self.random(1_000) < self.faults.doubled { 2 } else { 1 };
        self.doubled += copies - 1;
        for copy in 0..copies {
            let late = self.random(1_000) < self.faults.late;
            let jitter = if late { self.random(8_000_000) } else { self.random(20_000) };
            let at = self.now + Duration::from_micros(u64::from(2_000 + jitter));
            let order = (number * 2 + copy) as u64;
            self.network.push(Reverse((at, order, datagram.clone())));
        }
    }

    fn deliver(&mut self, datagram: &Datagram) {
        let now = self.now;
        if datagram.to == self.gateway.address {
            self.gateway.core.handle_datagram(now, datagram.from, &datagram.bytes);
            self.gateway.take_orders(now);
        } else if let Some(node) = self.devices.iter_mut().find(|node| node.address == datagram.to) {
            node.agent.handle_datagram(now, datagram.from, &datagram.bytes);
        }
    }
}
