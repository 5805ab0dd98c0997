//! The gateway's core with its own endpoint, in simulated time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sga_gateway_core::{Now, Settings};
use sga_schema::{DeviceId, Profile};

use super::run::Peer;
use crate::sim::GatewayNode;

/// What the gateway has in hand is done within this time: a commit takes at most 8.5 ms.
const SETTLED: Duration = Duration::from_millis(100);

/// A gateway of its own, with a store and an accelerator that can be stopped.
pub struct Simulated {
    node: GatewayNode,
    now: Now,
    works: bool,
    sources: Vec<String>,
    inboxes: BTreeMap<SocketAddr, VecDeque<Vec<u8>>>,
}

impl Simulated {
    /// Everything follows from the seed.
    ///
    /// # Panics
    /// Never: the names are good.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let id = DeviceId::new(b"gateway").expect("seven bytes");
        let settings = Settings::new(id, Profile::Compact);
        let node = GatewayNode::new(SocketAddr::from(([192, 0, 2, 1], 5683)), settings, &mut rng);
        let now = Duration::from_secs(1_000);
        Self { node, now, works: true, sources: Vec::new(), inboxes: BTreeMap::new() }
    }

    fn address(&mut self, source: &str) -> SocketAddr {
        let known = self.sources.iter().position(|known| known == source);
        let at = known.unwrap_or_else(|| {
            self.sources.push(source.to_owned());
            self.sources.len() - 1
        });
        SocketAddr::from(([198, 51, 100, 1], 10_000 + at as u16))
    }

    fn collect(&mut self) {
        self.node.take_orders(self.now);
        while let Some(transmit) = self.node.core.poll_transmit() {
            self.inboxes.entry(transmit.peer).or_default().push_back(transmit.bytes);
        }
    }

    /// Does what comes next, if it comes before `end`.
    fn advance(&mut self, end: Now) -> bool {
        let deadline = self.node.core.poll_deadline().map(|(at, _)| at);
        let next = if self.works { self.node.next_at() } else { deadline };
        let Some(next) = next.filter(|at| *at <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if self.works {
            self.node.work(self.now);
        } else {
            self.node.core.handle_timeout(self.now);
        }
        self.collect();
        true
    }
}

impl Peer for Simulated {
    fn send(&mut self, source: &str, bytes: &[u8]) -> Result<(), String> {
        let from = self.address(source);
        self.node.core.handle_datagram(self.now, from, bytes);
        self.collect();
        Ok(())
    }

    fn receive(&mut self, source: &str) -> Result<Option<Vec<u8>>, String> {
        let to = self.address(source);
        let end = self.now + SETTLED;
        loop {
            if let Some(bytes) = self.inboxes.get_mut(&to).and_then(VecDeque::pop_front) {
                return Ok(Some(bytes));
            }
            if !self.advance(end) {
                return Ok(None);
            }
        }
    }

    fn settle(&mut self) {
        let end = self.now + SETTLED;
        while self.advance(end) {}
    }

    fn wait(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now + time;
        while self.advance(end) {}
        Ok(())
    }

    fn work(&mut self, goes_on: bool) -> Result<(), String> {
        self.works = goes_on;
        Ok(())
    }
}
