//! The gateway's core with a store and an accelerator that take simulated time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_crypto::{Element, GroupId, Secret, Seed};
use sga_gateway_core::{Boot, Commit, Gateway, GatewayKeys, KeyPair, Now, Outcome, Previous, Settings, Work};
use sga_schema::{Profile, Role};

use super::store::SimStore;
use super::trouble::Trouble;

/// Something that will be done for the core.
#[expect(clippy::large_enum_variant, reason = "few exist at a time")]
pub(crate) enum Pending {
    Load(u64, Vec<sga_gateway_core::Found>),
    Commit(Commit),
    Job(u64, Outcome),
}

/// What the gateway computed for one run: all that it ever has of it.
#[derive(Debug)]
pub struct SeenRun {
    /// N of the end whose Half came first.
    pub n_first: Element,
    /// N of the end whose Half came second, and K' of it.
    pub n_second: Element,
    /// Whose Half came second.
    pub second: Role,
    /// R_s.
    pub session_secret: Seed,
    /// Y for the end that came second.
    pub y_second: Element,
    /// Y for the end that came first.
    pub y_first: Element,
    /// K' of the second.
    pub key_second: Secret<32>,
}

/// A gateway that can be stopped at any moment and started again from what its store has.
pub struct GatewayNode {
    /// Where it is.
    pub address: SocketAddr,
    pub(crate) core: Gateway<ChaCha12Rng>,
    /// What is on the medium.
    pub store: SimStore,
    /// What goes wrong with it.
    pub trouble: Trouble,
    /// What the devices are told of the gateway; an operator's settings.
    pub settings: Settings,
    keys: GatewayKeys,
    /// Key pairs before the one in `keys`, and the last of them while it is taken.
    rotations: (u32, Option<Previous>),
    /// The core has the keys as they are.
    begun: bool,
    /// Orders of the core, each with the time at which it is done; commits in order.
    pub(crate) pending: VecDeque<(Now, Pending)>,
    last_commit_done: Now,
    /// Commits that were durable when it stopped last, of those in hand.
    restarts: u64,
    /// Pieces of public-key work that were done.
    pub jobs: u64,
    /// All runs that were closed.
    pub runs: Vec<SeenRun>,
    rng: ChaCha12Rng,
}

impl GatewayNode {
    pub(crate) fn new(address: SocketAddr, settings: Settings, rng: &mut ChaCha12Rng) -> Self {
        let group = GroupId::from_profile(settings.profile.id()).expect("all groups are built");
        let secret = Seed::new(rng);
        let public = group.exp_base(&secret);
        let mut fill = |bytes: &mut [u8]| rng.fill_bytes(bytes);
        let (mut ticket_key, mut echo_key, mut generation) = ([0; 16], [0; 32], [0; 4]);
        fill(&mut ticket_key);
        fill(&mut echo_key);
        fill(&mut generation);
        let keys = GatewayKeys { pair: Arc::new(KeyPair { group, secret, public }), ticket_key, echo_key };
        let boot = Boot::fresh(generation);
        let store = SimStore::fresh(&boot);
        let mut own = ChaCha12Rng::from_rng(rng);
        let core = Gateway::new(settings.clone(), keys.clone(), boot, ChaCha12Rng::from_rng(&mut own));
        Self {
            address,
            core,
            store,
            trouble: Trouble::default(),
            settings,
            keys,
            rotations: (0, None),
            begun: false,
            pending: VecDeque::new(),
            last_commit_done: Now::ZERO,
            restarts: 0,
            jobs: 0,
            runs: Vec::new(),
            rng: own,
        }
    }

    /// The key pair, for checks that know everything.
    pub fn keys(&self) -> &GatewayKeys {
        &self.keys
    }

    /// The profile served.
    pub fn profile(&self) -> Profile {
        self.settings.profile
    }

    /// Whether the key pair before the current one is still there.
    pub fn has_previous_pair(&self) -> bool {
        self.rotations.1.is_some()
    }

    /// How often it was stopped.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Takes the core's orders.
    pub(crate) fn take_orders(&mut self, now: Now) {
        while let Some(load) = self.core.poll_load() {
            let found = self.store.read(&load);
            self.pending.push_back((now + Duration::from_micros(100), Pending::Load(load.id, found)));
        }
        while let Some(commit) = self.core.poll_commit() {
            let sync = Duration::from_micros(500 + u64::from(self.rng.next_u32() % 8_000));
            self.last_commit_done = self.last_commit_done.max(now + sync);
            self.pending.push_back((self.last_commit_done, Pending::Commit(commit)));
        }
        while let Some(job) = self.core.poll_job() {
            self.jobs += 1;
            let secrets = match &job.work {
                Work::Close { half, other, session_secret } => {
                    Some((half.role, other.clone(), session_secret.duplicate()))
                }
                _ => None,
            };
            let (id, outcome) = job.run();
            if let (Some((second, n_first, session_secret)), Outcome::Closed(Some(closed))) = (secrets, &outcome) {
                self.runs.push(SeenRun {
                    n_first,
                    n_second: closed.half.element.clone(),
                    second,
                    session_secret,
                    y_second: closed.y_own.clone(),
                    y_first: closed.y_other.clone(),
                    key_second: closed.half.key.duplicate(),
                });
            }
            self.pending.push_back((now + Duration::from_millis(1), Pending::Job(id, outcome)));
        }
    }

    /// When the next order is done or the core wants to be woken.
    pub(crate) fn next_at(&self) -> Option<Now> {
        let orders = self.pending.iter().map(|(at, _)| *at).min();
        orders.into_iter().chain(self.core.poll_deadline().map(|(at, _)| at)).min()
    }

    /// Everything that is done by now.
    pub(crate) fn work(&mut self, now: Now) {
        self.begin(now);
        while let Some(at) = self.pending.iter().position(|(at, _)| *at <= now) {
            let Some((_, pending)) = self.pending.remove(at) else { return };
            match pending {
                Pending::Load(id, found) => self.core.handle_load_done(now, id, self.trouble.load(found)),
                Pending::Job(id, outcome) => self.core.handle_job_done(now, id, outcome),
                Pending::Commit(commit) => {
                    let result = self.trouble.commit(&commit);
                    if result.is_ok() {
                        self.store.apply(&commit);
                    }
                    self.core.handle_commit_done(now, commit.id, result);
                }
            }
            self.take_orders(now);
        }
        if self.core.poll_deadline().is_some_and(|(at, _)| at <= now) {
            self.core.handle_timeout(now);
            self.take_orders(now);
        }
    }

    /// The store is replaced: by a copy, or by a new one. Either gets a generation of its own.
    pub(crate) fn replace_store(&mut self, copy: Option<SimStore>) {
        self.crash();
        let mut generation = [0; 4];
        self.rng.fill_bytes(&mut generation);
        self.store = copy.unwrap_or_else(|| SimStore::fresh(&Boot::fresh(generation)));
        self.store.set_generation(generation);
        self.start();
    }

    /// The store loses what came after a copy of it, and does not know.
    pub(crate) fn set_store_back(&mut self, copy: SimStore) {
        self.crash();
        self.store = copy;
        self.start();
    }

    /// The power goes. Of the commits in hand some first ones may have reached the medium although nobody was told.
    pub(crate) fn crash(&mut self) {
        let commits: Vec<_> = self
            .pending
            .drain(..)
            .filter_map(|(_, pending)| match pending {
                Pending::Commit(commit) => Some(commit),
                _ => None,
            })
            .collect();
        let reached = self.rng.next_u32() as usize % (commits.len() + 1);
        commits.iter().take(reached).for_each(|commit| self.store.apply(commit));
        self.start();
        self.restarts += 1;
    }

    fn start(&mut self) {
        let rng = ChaCha12Rng::from_rng(&mut self.rng);
        self.core = Gateway::new(self.settings.clone(), self.keys.clone(), self.store.boot(), rng);
        self.begun = false;
    }

    /// Another key pair; the old one is taken for so long.
    pub(crate) fn rotate_keys(&mut self, now: Now, overlap: Duration) {
        let group = self.keys.pair.group;
        let secret = Seed::new(&mut self.rng);
        let public = group.exp_base(&secret);
        let old = std::mem::replace(&mut self.keys.pair, Arc::new(KeyPair { group, secret, public }));
        let until_s = self.core.uptime_s(now) + overlap.as_secs();
        self.rotations = (self.rotations.0 + 1, Some(Previous { pair: old, until_s }));
        self.begun = false;
    }

    /// What the shell does first, and after a rotation: it hands over the keys.
    fn begin(&mut self, now: Now) {
        if !std::mem::replace(&mut self.begun, true) {
            let (count, previous) = self.rotations.clone();
            self.core.set_keys(now, self.keys.pair.clone(), count, previous);
        }
        if self.core.poll_overlap_over() {
            self.rotations.1 = None;
        }
    }
}
