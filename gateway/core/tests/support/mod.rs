//! A gateway with a store in memory, and raw clients to talk to it: everything by hand, so that everything can be forged.
#![allow(dead_code, unused_imports, clippy::unwrap_used, reason = "helpers of several tests")]

mod device;
mod session;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_coap::{Code, Config, Endpoint, Event, ExchangeId, IncomingResponse, Request};
use sga_crypto::{GroupId, Seed};
use sga_gateway_core::{Boot, Commit, Found, Gateway, GatewayKeys, Key, KeyPair, Now, Settings, StoreError, Want};
use sga_schema::{DeviceId, Profile};

pub(crate) use device::{Dev, OwnedItem, aead, encoded, open, seal, seal_bytes, sign_a1};
pub(crate) use session::{Made, Run, Sent, Session, a3_answer, not_agreed, sealed_bytes, sign_a3, stored, waiting};
pub(crate) use store::{Store, items_of};
use store::{apply, look};

pub(crate) const GATE: &[u8] = b"gate";
pub(crate) const GENERATION: [u8; 4] = [9; 4];

pub(crate) fn id(text: &str) -> DeviceId {
    DeviceId::new(text.as_bytes()).unwrap()
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) payload: Vec<u8>,
    pub(crate) content_format: Option<u16>,
    pub(crate) max_age: Option<u32>,
}

impl From<IncomingResponse> for Answer {
    fn from(response: IncomingResponse) -> Self {
        let IncomingResponse { code, payload, content_format, max_age, .. } = response;
        Self { code, payload, content_format, max_age }
    }
}

/// The gateway and all that surrounds it.
pub(crate) struct World {
    pub(crate) gateway: Gateway<ChaCha12Rng>,
    pub(crate) settings: Settings,
    pub(crate) keys: GatewayKeys,
    pub(crate) store: Store,
    pub(crate) now: Now,
    pub(crate) rng: ChaCha12Rng,
    /// Commits that the gateway has submitted.
    pub(crate) commits: usize,
    /// The store fails every commit.
    pub(crate) failing: bool,
    /// The store answers no commit: they pile up in `held`.
    pub(crate) holding: bool,
    pub(crate) held: Vec<Commit>,
    /// Loads of items have been read, and their answers wait in `read`.
    pub(crate) slow_loads: bool,
    read: Vec<(u64, Vec<Found>)>,
    /// The store fails every load.
    pub(crate) blind: bool,
    /// Datagrams that the gateway has sent.
    pub(crate) transmits: usize,
    /// Pieces of public-key work that it has asked for.
    pub(crate) jobs: usize,
    /// UDP payload bytes that it has sent, to each address.
    pub(crate) sent_to: BTreeMap<SocketAddr, usize>,
    /// Clients that hear nothing at the moment.
    pub(crate) asleep: BTreeSet<SocketAddr>,
    clients: BTreeMap<SocketAddr, Endpoint<ChaCha12Rng>>,
    answers: Vec<(SocketAddr, ExchangeId, Answer)>,
}

pub(crate) fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn gateway_addr() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 254], 5683))
}

fn generator(seed: u8) -> ChaCha12Rng {
    ChaCha12Rng::from_seed([seed; 32])
}

impl World {
    pub(crate) fn compact() -> Self {
        Self::with(Settings::new(id("gate"), Profile::Compact))
    }

    pub(crate) fn classic() -> Self {
        Self::with(Settings::new(id("gate"), Profile::Classic))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let group = GroupId::from_profile(settings.profile.id()).unwrap();
        let secret = Seed::from_bytes([5; 32]);
        let public = group.exp_base(&secret);
        let pair = Arc::new(KeyPair { group, secret, public });
        let keys = GatewayKeys { pair, ticket_key: [6; 16], echo_key: [7; 32] };
        let boot = Boot::fresh(GENERATION);
        let mut store = Store::new();
        apply(&mut store, &[boot.to_change()]);
        Self {
            gateway: Gateway::new(settings.clone(), keys.clone(), boot, generator(1)),
            settings,
            keys,
            store,
            now: Duration::from_secs(1_000),
            rng: generator(2),
            commits: 0,
            failing: false,
            holding: false,
            held: Vec::new(),
            slow_loads: false,
            read: Vec::new(),
            blind: false,
            transmits: 0,
            jobs: 0,
            sent_to: BTreeMap::new(),
            asleep: BTreeSet::new(),
            clients: BTreeMap::new(),
            answers: Vec::new(),
        }
    }

    /// The gateway stops and starts again from what its store has.
    pub(crate) fn restart(&mut self) {
        let boot = Boot::from_meta(&self.store[&Key::Meta.to_bytes()]).unwrap();
        self.gateway = Gateway::new(self.settings.clone(), self.keys.clone(), boot, generator(self.random::<1>()[0]));
        self.held.clear();
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn send(&mut self, from: SocketAddr, request: Request) -> ExchangeId {
        self.now += Duration::from_secs(1);
        let seed = self.random::<1>()[0];
        let client =
            self.clients.entry(from).or_insert_with(|| Endpoint::new(Config::default(), generator(seed), [8; 32]));
        let id = client.request(self.now, gateway_addr(), request).unwrap();
        self.pump();
        id
    }

    pub(crate) fn answer(&mut self, from: SocketAddr, id: ExchangeId) -> Option<Answer> {
        let at = self.answers.iter().position(|(peer, exchange, _)| *peer == from && *exchange == id)?;
        Some(self.answers.remove(at).2)
    }

    pub(crate) fn request(&mut self, from: SocketAddr, request: Request) -> Answer {
        let id = self.send(from, request);
        self.answer(from, id).expect("an answer")
    }

    pub(crate) fn post(&mut self, from: SocketAddr, path: &str, payload: &[u8]) -> Answer {
        self.request(from, Request::new(Code::POST, [path]).with_payload(60, payload))
    }

    pub(crate) fn fetch(&mut self, from: SocketAddr, payload: &[u8]) -> Answer {
        self.request(from, Request::new(Code::FETCH, ["msg"]).with_payload(60, payload))
    }

    /// Posts what has to be refused with this code, and must leave no trace.
    pub(crate) fn refused(&mut self, from: SocketAddr, path: &str, payload: &[u8], code: Code) -> Answer {
        self.unchanged(code, |world| world.post(from, path, payload))
    }

    /// What is done here has this answer, and changes nothing: nothing is stored, nothing was to be stored.
    pub(crate) fn unchanged(&mut self, code: Code, act: impl FnOnce(&mut Self) -> Answer) -> Answer {
        let answer = self.unchanged_any(act);
        assert_eq!(answer.code, code, "{answer:02x?}");
        answer
    }

    /// The same, whatever the code.
    pub(crate) fn unchanged_any(&mut self, act: impl FnOnce(&mut Self) -> Answer) -> Answer {
        let (before, commits) = (self.store.clone(), self.commits);
        let answer = act(self);
        let changed = self.store.iter().find(|(key, value)| before.get(*key) != Some(value));
        assert_eq!(changed, None, "the store has changed after {:?}", answer.code);
        assert_eq!(self.store.len(), before.len(), "something is gone from the store");
        assert_eq!(self.commits, commits, "a commit was submitted");
        assert!(self.gateway.is_idle(), "a task was left behind");
        answer
    }

    /// Lets time pass, and what is due happen.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.gateway.handle_timeout(self.now);
        self.pump();
    }

    /// Answers the commits that were held back.
    pub(crate) fn release(&mut self) {
        self.holding = false;
        for commit in std::mem::take(&mut self.held) {
            self.commit(commit);
        }
        self.pump();
    }

    /// Lets everything happen until nothing more does.
    pub(crate) fn pump(&mut self) {
        loop {
            let mut moved = self.work();
            let mut up = Vec::new();
            for (&from, client) in &mut self.clients {
                while let Some(transmit) = client.poll_transmit() {
                    up.push((from, transmit.bytes));
                }
                while let Some(event) = client.poll_event() {
                    match event {
                        Event::Response { id, response } => self.answers.push((from, id, response.into())),
                        other => panic!("{from}: {other:?}"),
                    }
                }
            }
            for (from, bytes) in up {
                self.gateway.handle_datagram(self.now, from, &bytes);
                moved = true;
            }
            while let Some(transmit) = self.gateway.poll_transmit() {
                self.transmits += 1;
                *self.sent_to.entry(transmit.peer).or_default() += transmit.bytes.len();
                let awake = !self.asleep.contains(&transmit.peer);
                if let Some(client) = self.clients.get_mut(&transmit.peer).filter(|_| awake) {
                    client.handle_datagram(self.now, gateway_addr(), &transmit.bytes);
                }
                moved = true;
            }
            if !moved {
                let usage = self.gateway.usage();
                assert!(usage.tasks > 0 || usage.reserved == 0, "a reservation was left behind: {usage:?}");
                return;
            }
        }
    }

    /// What the shell does: the store's and the accelerator's part.
    fn work(&mut self) -> bool {
        let mut moved = false;
        if !self.slow_loads {
            for (id, found) in std::mem::take(&mut self.read) {
                self.gateway.handle_load_done(self.now, id, Ok(found));
                moved = true;
            }
        }
        while let Some(load) = self.gateway.poll_load() {
            if self.slow_loads && load.wants.iter().any(|want| matches!(want, Want::Items { .. })) {
                self.read.push((load.id, look(&self.store, &load)));
                continue;
            }
            let found =
                if self.blind { Err(StoreError::Failed("told to".into())) } else { Ok(look(&self.store, &load)) };
            self.gateway.handle_load_done(self.now, load.id, found);
            moved = true;
        }
        while let Some(job) = self.gateway.poll_job() {
            self.jobs += 1;
            let (id, outcome) = job.run();
            self.gateway.handle_job_done(self.now, id, outcome);
            moved = true;
        }
        while let Some(commit) = self.gateway.poll_commit() {
            self.commits += 1;
            if self.holding {
                self.held.push(commit);
            } else {
                self.commit(commit);
            }
            moved = true;
        }
        moved
    }

    fn commit(&mut self, commit: Commit) {
        let result = if self.failing {
            Err(StoreError::Failed("told to".into()))
        } else {
            apply(&mut self.store, &commit.changes);
            Ok(())
        };
        self.gateway.handle_commit_done(self.now, commit.id, result);
    }
}
