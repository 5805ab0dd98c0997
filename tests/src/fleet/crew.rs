//! All devices on one thread.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use sga_coap::Now;

use super::{Clock, Gateway, Node, Program, Reading, Verdict, log_end};

/// What wakes the loop without being a socket.
const WAKER: Token = Token(usize::MAX);

/// Devices, two by two: each odd one is the peer of the one before.
pub struct Fleet {
    poll: Poll,
    waker: Arc<Waker>,
    clock: Clock,
    /// The devices.
    pub nodes: Vec<Node>,
}

impl Fleet {
    /// Nobody yet.
    ///
    /// # Errors
    /// The operating system has no room for it.
    pub fn new() -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self { poll, waker, clock: Clock::start(), nodes: Vec::new() })
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Adds two new devices.
    ///
    /// # Errors
    /// There is no socket.
    pub fn add_pair(&mut self, gateway: SocketAddr, seed: u64, text_len: fn(u32) -> usize) -> std::io::Result<()> {
        let pair = self.nodes.len() / 2;
        let (a, b) = (format!("a{pair}"), format!("b{pair}"));
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(self.nodes.len() as u64);
        self.add(Node::new(&a, &b, gateway, seed, text_len)?)?;
        self.add(Node::new(&b, &a, gateway, seed ^ (1 << 63), text_len)?)
    }

    /// Adds a device.
    ///
    /// # Errors
    /// Its socket cannot be waited for.
    pub fn add(&mut self, mut node: Node) -> std::io::Result<()> {
        self.poll.registry().register(&mut node.socket, Token(self.nodes.len()), Interest::READABLE)?;
        self.nodes.push(node);
        Ok(())
    }

    /// Starts a gateway; what it prints wakes this fleet.
    ///
    /// # Errors
    /// See [`Gateway::spawn`].
    pub fn spawn(&self, program: &Program, data: &Path, listen: &str, log: &Path) -> std::io::Result<Gateway> {
        Gateway::spawn(program, data, listen, log, self.waker.clone())
    }

    /// Starts a gateway and works on until it serves; tells all devices so.
    ///
    /// # Errors
    /// It ends, or does not serve in time: the reason, with its log.
    pub fn start(
        &mut self,
        program: &Program,
        data: &Path,
        listen: &str,
        log: &Path,
        limit: Duration,
    ) -> Result<(Gateway, SocketAddr), String> {
        let mut gateway =
            self.spawn(program, data, listen, log).map_err(|error| format!("cannot start a gateway: {error}"))?;
        self.run_until(limit, |_| gateway.address().is_some() || gateway.has_ended());
        match gateway.address() {
            Some(address) => {
                self.nodes.iter_mut().for_each(Node::gateway_restarted);
                Ok((gateway, address))
            }
            None if gateway.has_ended() => Err(format!("the gateway ended at its start:\n{}", log_end(&gateway.log()))),
            None => Err(format!("the gateway did not serve within {limit:?}:\n{}", log_end(&gateway.log()))),
        }
    }

    /// Lets all devices work until `done` or until the time is over; says whether it was done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut [Node]) -> bool) -> bool {
        let end = self.clock.now() + limit;
        let mut events = Events::with_capacity(256);
        let mut due: Vec<bool> = vec![true; self.nodes.len()];
        loop {
            let now = self.clock.now();
            for (node, due) in self.nodes.iter_mut().zip(&mut due) {
                if std::mem::take(due) || node.deadline().is_some_and(|at| at <= now) {
                    node.work(now);
                }
            }
            if done(&mut self.nodes) {
                return true;
            }
            let now = self.clock.now();
            if now >= end {
                return false;
            }
            let deadline = self.nodes.iter().filter_map(Node::deadline).chain([end]).min().unwrap_or(end);
            // The poller counts in milliseconds and rounds up.
            if self.poll.poll(&mut events, Some(deadline.saturating_sub(now))).is_err() {
                continue;
            }
            for event in &events {
                if let Some(due) = due.get_mut(event.token().0) {
                    *due = true;
                }
            }
        }
    }

    /// Has all devices send, with their inboxes open, until all sessions are there.
    ///
    /// # Errors
    /// They are not within the time.
    pub fn establish(&mut self, limit: Duration) -> Result<(), String> {
        for node in &mut self.nodes {
            node.read(Reading::On);
            node.sends = true;
        }
        if self.run_until(limit, |nodes| nodes.iter().all(Node::is_established)) {
            return Ok(());
        }
        let behind: Vec<String> = self.nodes.iter().filter(|node| !node.is_established()).map(Node::describe).collect();
        Err(format!("no sessions within {limit:?}: {}", behind.join("; ")))
    }

    /// No new texts; waits until all that are on their way are acknowledged.
    ///
    /// # Errors
    /// They are not within the time.
    pub fn calm(&mut self, limit: Duration) -> Result<(), String> {
        self.nodes.iter_mut().for_each(|node| node.sends = false);
        if self.run_until(limit, |nodes| nodes.iter().all(Node::is_sent)) {
            return Ok(());
        }
        let behind: Vec<String> = self.nodes.iter().filter(|node| !node.is_sent()).map(Node::describe).collect();
        Err(format!("texts not acknowledged within {limit:?}: {}", behind.join("; ")))
    }

    /// Reads all inboxes to their ends, or until those with little patience have given up.
    ///
    /// # Errors
    /// It takes longer than this.
    pub fn read_all(&mut self, limit: Duration) -> Result<(), String> {
        self.nodes.iter_mut().for_each(|node| node.read(Reading::ToTheEnd));
        let is_over = |node: &Node| matches!(node.reading(), Reading::Done | Reading::GivenUp(_));
        if self.run_until(limit, |nodes| nodes.iter().all(is_over)) {
            return Ok(());
        }
        let behind: Vec<String> = self.nodes.iter().filter(|node| !is_over(node)).map(Node::describe).collect();
        Err(format!("inboxes not read within {limit:?}: {}", behind.join("; ")))
    }

    /// How what was delivered fits what was sent, of each device's texts.
    pub fn verdicts(&mut self) -> Vec<Verdict> {
        for at in 0..self.nodes.len() {
            let received = std::mem::take(&mut self.nodes[at ^ 1].received);
            self.nodes[at].traffic.deliver(&received);
            self.nodes[at ^ 1].received = received;
        }
        self.nodes.iter().map(|node| node.traffic.verdict()).collect()
    }
}
