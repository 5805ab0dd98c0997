//! A server and a client under test, strangers who send them anything, and a network that does what it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sga_coap::{Code, Config, Endpoint, Event, IncomingRequest, Now, Response, Token, limits};

use super::ledger::{Ledger, check_empty};
use super::messages::{PATHS, Seen};

pub(crate) const STRANGERS: usize = 4;
/// Datagrams under way at a time; more are lost.
const FLYING_MAX: usize = 32;

/// Timers are handled this late at most.
pub(crate) const LATE_MAX: Duration = Duration::from_secs(3);

/// A datagram between client and server.
#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    pub(crate) to_server: bool,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Side {
    pub(crate) endpoint: Endpoint<ChaCha12Rng>,
    pub(crate) ledger: Ledger,
}

pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) server: Side,
    pub(crate) client: Side,
    pub(crate) flying: Vec<Datagram>,
    /// What the strangers know of the server, and last what they know of the client.
    pub(crate) seen: [Seen; STRANGERS + 1],
    /// Requests with the application.
    pub(crate) waiting: Vec<IncomingRequest>,
    /// Registrations that the application has granted.
    pub(crate) observers: Vec<(SocketAddr, Token)>,
    /// The longest registration of each peer.
    pub(crate) registrations: BTreeMap<SocketAddr, usize>,
}

pub(crate) fn stranger(at: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1], 1_000 + at as u16))
}

pub(crate) fn server_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5_683))
}

pub(crate) fn client_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 2], 40_000))
}

/// Bounds that a few messages reach.
fn small() -> Config {
    Config {
        max_datagram: 300,
        block_szx_max: 3,
        max_body: 400,
        dedup_max: 10,
        dedup_max_per_peer: 4,
        dedup_max_bytes: 1_000,
        pending_max: 5,
        pending_max_per_peer: 3,
        uploads_max: 4,
        upload_bytes_max: 500,
        snapshots_max: 3,
        snapshot_bytes_max: 1_000,
        observers_max: 3,
        observers_max_per_peer: 2,
        verified_max: 2,
        exchanges_max: 5,
        exchanges_max_per_peer: 3,
        ..Config::default()
    }
}

/// `roomy`: nothing is forgotten for want of room, so that more must hold.
fn config(roomy: bool, token_len: usize) -> Config {
    let sizes = if roomy { Config { max_body: 2_000, ..Config::default() } } else { small() };
    Config {
        token_len,
        needs_verified_address: |_, path| path.first().is_some_and(|one| one == PATHS[1].as_bytes()),
        known_path: |path| {
            let [one] = path else { return None };
            let known = PATHS.iter().take(2).any(|known| known.as_bytes() == one);
            known.then_some(&[Code::GET, Code::POST, Code::PUT, Code::FETCH])
        },
        observable: |_, _| true,
        ..sizes
    }
}

impl World {
    pub(crate) fn new(roomy: bool, token_len: usize) -> Self {
        let side = |seed: u64| {
            let config = config(roomy, token_len);
            let endpoint = Endpoint::new(config.clone(), ChaCha12Rng::seed_from_u64(seed), [seed as u8; 32]);
            Side { endpoint, ledger: Ledger::new(config, roomy) }
        };
        Self {
            now: Duration::from_secs(1_000),
            server: side(1),
            client: side(2),
            flying: Vec::new(),
            seen: Default::default(),
            waiting: Vec::new(),
            observers: Vec::new(),
            registrations: BTreeMap::new(),
        }
    }

    pub(crate) fn give_server(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Side { endpoint, ledger } = &mut self.server;
        ledger.received(from, bytes.len());
        endpoint.handle_datagram(self.now, from, bytes);
        let mid = if let [_, _, high, low, ..] = bytes { u16::from_be_bytes([*high, *low]) } else { 0 };
        self.drain(mid);
    }

    pub(crate) fn give_client(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.client.ledger.received(from, bytes.len());
        self.client.endpoint.handle_datagram(self.now, from, bytes);
        self.drain(0);
    }

    /// Takes what both have to say, and checks what must hold. `mid` is that of the datagram that the server was just given.
    pub(crate) fn drain(&mut self, mid: u16) {
        for at in 0..STRANGERS {
            self.note_verified(stranger(at));
        }
        self.note_verified(client_address());
        while let Some(event) = self.server.endpoint.poll_event() {
            self.server.ledger.handed_over(self.now, mid, &event);
            if let Event::NotificationAcked { peer, .. } = event {
                let longest = self.registrations.get(&peer).copied().unwrap_or_default();
                self.server.ledger.acknowledged(peer, longest);
            }
            match event {
                Event::Request(request) => self.waiting.push(request),
                Event::ObserverIdle { peer, token } => {
                    let _ = self.server.endpoint.notify(self.now, peer, &token, Response::new(Code::CONTENT));
                }
                _ => {}
            }
        }
        while let Some(event) = self.client.endpoint.poll_event() {
            self.client.ledger.told(&event);
        }
        while let Some(transmit) = self.server.endpoint.poll_transmit() {
            let message = self.server.ledger.sent(self.now, transmit.peer, &transmit.bytes);
            if transmit.peer == client_address() {
                self.fly(Datagram { to_server: false, bytes: transmit.bytes });
            } else if let Some(at) = (0..STRANGERS).find(|at| stranger(*at) == transmit.peer) {
                let seen = &mut self.seen[at];
                (seen.mid, seen.token) = (message.mid, message.token.clone());
                seen.echo = message.value(252).map_or_else(|| seen.echo.clone(), <[u8]>::to_vec);
                seen.etag = message.value(4).map_or_else(|| seen.etag.clone(), <[u8]>::to_vec);
            }
        }
        while let Some(transmit) = self.client.endpoint.poll_transmit() {
            // The client asks whom it trusts; what it sends need only be well formed.
            self.client.ledger.verified(self.now, transmit.peer);
            let message = self.client.ledger.sent(self.now, transmit.peer, &transmit.bytes);
            let seen = &mut self.seen[STRANGERS];
            (seen.mid, seen.token) = (message.mid, message.token.clone());
            if transmit.peer == server_address() {
                self.fly(Datagram { to_server: true, bytes: transmit.bytes });
            }
        }
        self.server.ledger.check(&self.server.endpoint.usage());
        self.client.ledger.check(&self.client.endpoint.usage());
    }

    pub(crate) fn notify_one(&mut self, peer: SocketAddr, token: &Token, response: Response) {
        // Whether there is such an observer is the endpoint's to know.
        let _ = self.server.endpoint.notify(self.now, peer, token, response);
    }

    fn note_verified(&mut self, peer: SocketAddr) {
        if self.server.endpoint.is_verified(peer, self.now) {
            self.server.ledger.verified(self.now, peer);
        }
    }

    fn fly(&mut self, datagram: Datagram) {
        if self.flying.len() < FLYING_MAX {
            self.flying.push(datagram);
        }
    }

    /// Lets time pass, with every timer when it is due or, over a short time, all of them late.
    pub(crate) fn wait(&mut self, time: Duration, late: bool) {
        let end = self.now + time;
        let in_time = !late || time > LATE_MAX;
        while let Some(next) = self.next_deadline().filter(|at| in_time && *at < end) {
            self.now = self.now.max(next);
            self.time_out();
        }
        self.now = end;
        self.time_out();
    }

    fn next_deadline(&self) -> Option<Now> {
        let sides = [&self.server, &self.client];
        sides.into_iter().filter_map(|side| side.endpoint.poll_deadline()).map(|(at, _)| at).min()
    }

    fn time_out(&mut self) {
        for side in [&mut self.server, &mut self.client] {
            // One call does so much of each table, and the next goes on with it.
            let usage = side.endpoint.usage();
            let calls_max = 1 + (usage.dedup + usage.timers) / limits::MAX_EXPIRED_AT_ONCE;
            let now = self.now;
            let due = |side: &Side| side.endpoint.poll_deadline().is_some_and(|(at, _)| at <= now);
            let mut calls = 0;
            while calls == 0 || due(side) {
                side.endpoint.handle_timeout(now);
                calls += 1;
                assert!(calls <= calls_max, "at {now:?} due again: {:?}", side.endpoint.poll_deadline());
            }
        }
        self.drain(0);
    }

    /// Everyone falls silent: what was remembered is forgotten in time, and every exchange has ended.
    pub(crate) fn end(mut self) {
        self.flying.clear();
        for (peer, token) in core::mem::take(&mut self.observers) {
            // Nobody will acknowledge it. `Unknown` is one that has gone.
            self.notify_one(peer, &token, Response::new(Code::CONTENT));
        }
        self.drain(0);
        self.quiet();
        for id in self.client.ledger.exchanges.clone() {
            self.client.endpoint.cancel(id);
        }
        self.drain(0);
        self.quiet();
        assert!(self.client.ledger.exchanges.is_empty(), "{:?} never ended", self.client.ledger.exchanges);
        check_empty(&self.server.endpoint.usage());
        check_empty(&self.client.endpoint.usage());
    }

    fn quiet(&mut self) {
        let mut rounds = 0;
        while let Some(next) = self.next_deadline() {
            self.now = self.now.max(next);
            self.time_out();
            rounds += 1;
            assert!(rounds < 20_000, "timers without end: {:?}", self.server.endpoint.poll_deadline());
        }
    }
}
