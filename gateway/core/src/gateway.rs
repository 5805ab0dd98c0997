//! The front door: datagrams and completions in, datagrams and orders out.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use rand_chacha::ChaCha12Rng;
use rand_core::{CryptoRng, SeedableRng};
use sga_coap::link_format::{self, Link};
use sga_coap::{Code, Demand, Endpoint, Event, IncomingRequest, Now, Response, Transmit};
use sga_crypto::sha256;
use sga_schema::MsgPost;

use crate::answer::{CBOR, Refusal};
use crate::attachments::Attachments;
use crate::cache::Cache;
use crate::decoy::Decoys;
use crate::invitations::Invitations;
use crate::job::{Job, Outcome};
use crate::jobs::Jobs;
use crate::limits::{
    AGED_BUSY_INTERVAL, AGED_INTERVAL, CENSUS_HURRY_INTERVAL, CENSUS_INTERVAL, EXPIRY_INTERVAL, TASKS_MAX,
    TASKS_UNPROVEN_MAX, UNVERIFIED_LOADS_MAX, UPTIME_INTERVAL,
};
use crate::mailbox::Mailboxes;
use crate::rates::{Kind, Limiter};
use crate::record::Meta;
use crate::rotation::Rotation;
use crate::route::{self, Path};
use crate::runs::Runs;
use crate::settings::{Boot, GatewayKeys, Settings};
use crate::storage::{Commit, DeviceIndex, Found, Load, StoreError};
use crate::task::{Census, Locks, Origin, Phase, Task};
use crate::ticket::Tickets;
use crate::upkeep::{Round, Upkeep};

/// Why the gateway wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The CoAP endpoint's own.
    Coap(sga_coap::Deadline),
    /// Invitations may have run out.
    Expiry,
    /// The uptime is to be written down.
    Uptime,
    /// Items may have grown too old.
    Aged,
    /// Devices and sessions are to be looked at.
    Census,
}

/// The gateway, without clock, sockets, threads and disk.
///
/// It survives lost, doubled, late, reordered, malformed and forged datagrams, a store that fails, and a restart from what the
/// store has. It trusts its keys, and the store for what it said was done.
pub struct Gateway<R> {
    pub(crate) settings: Settings,
    pub(crate) keys: GatewayKeys,
    pub(crate) package: Vec<u8>,
    pub(crate) package_hash: [u8; 32],
    pub(crate) links: Vec<Link>,
    pub(crate) rotation: Rotation,
    pub(crate) tickets: Tickets,
    pub(crate) rng: R,
    pub(crate) endpoint: Endpoint<ChaCha12Rng>,
    pub(crate) cache: Cache,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) attachments: Attachments,
    pub(crate) locks: Locks,
    pub(crate) meta: Meta,
    pub(crate) tasks: HashMap<u64, Task>,
    pub(crate) next_task: u64,
    pub(crate) ready: VecDeque<u64>,
    pub(crate) loads: VecDeque<Load>,
    pub(crate) commits: VecDeque<Commit>,
    pub(crate) jobs: Jobs,
    pub(crate) limiter: Limiter,
    pub(crate) runs: Runs,
    pub(crate) decoys: Decoys,
    pub(crate) invitations: Invitations,
    /// Requests in work that have proven nothing.
    pub(crate) unproven_tasks: usize,
    /// Loads in work for requests from addresses that have not shown that they receive.
    pub(crate) unverified_loads: usize,
    /// Uptime of earlier starts, and when this one began.
    uptime_before_s: u64,
    started: Option<Now>,
    next_expiry: Now,
    next_uptime: Now,
    pub(crate) next_aged: Now,
    pub(crate) next_census: Now,
    /// Where the next look for items that are too old begins.
    pub(crate) aged_from: DeviceIndex,
    pub(crate) census: Census,
    pub(crate) upkeep: Upkeep,
    /// Sessions with revoked devices may be left: the census makes no pauses until it is through with the sessions.
    pub(crate) hurried: bool,
}

impl<R: CryptoRng> Gateway<R> {
    /// A gateway on top of a store that holds what `boot` says.
    pub fn new(settings: Settings, keys: GatewayKeys, boot: Boot, mut rng: R) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let endpoint =
            Endpoint::new(route::coap_config(settings.separate_after), ChaCha12Rng::from_seed(seed), keys.echo_key);
        let package = settings.package(&keys.pair.public);
        let mut rates_key = [0; 16];
        rng.fill_bytes(&mut rates_key);
        let decoys = Decoys::new(&mut rng);
        let mut cache = Cache::new();
        decoys.place(&mut cache);
        Self {
            package_hash: sha256(&package),
            links: route::links(package.len()),
            package,
            rotation: Rotation::default(),
            tickets: Tickets::new(&keys.ticket_key),
            endpoint,
            cache,
            decoys,
            mailboxes: Mailboxes::new(),
            attachments: Attachments::new(),
            locks: Locks::default(),
            uptime_before_s: boot.meta.uptime_s,
            meta: boot.meta,
            tasks: HashMap::new(),
            next_task: 1,
            ready: VecDeque::new(),
            loads: VecDeque::new(),
            commits: VecDeque::new(),
            jobs: Jobs::new(settings.rates.jobs_in_hand),
            limiter: Limiter::new(settings.rates, &rates_key),
            runs: Runs::new(settings.runs_per_leg, &rates_key),
            invitations: Invitations::default(),
            unproven_tasks: 0,
            unverified_loads: 0,
            started: None,
            next_expiry: Now::ZERO,
            next_uptime: Now::ZERO,
            next_aged: Now::ZERO,
            next_census: Now::ZERO,
            aged_from: 0,
            census: Census::Devices(0),
            upkeep: Upkeep::default(),
            hurried: false,
            settings,
            keys,
            rng,
        }
    }

    /// Takes one datagram. It never fails: what is wrong with it is the peer's to hear and the log's to keep.
    pub fn handle_datagram(&mut self, now: Now, peer: SocketAddr, bytes: &[u8]) {
        self.begin(now);
        let demand = self.demand(now, peer);
        self.endpoint.handle_demanding(now, peer, bytes, demand);
        self.drain_events(now);
    }

    /// Whether this address has shown, not long ago, that it receives, and its source is within its limits: its datagrams go before
    /// those of others when there are too many.
    #[must_use]
    pub fn is_known(&self, now: Now, peer: SocketAddr) -> bool {
        self.endpoint.is_verified(peer, now) && !self.limiter.is_over(now, peer)
    }

    /// What a request has to show: more if many have failed that came from there, if a session has had its runs, or if the store is
    /// busy with strangers.
    fn demand(&self, now: Now, peer: SocketAddr) -> Demand {
        match self.limiter.demand(now, peer) {
            Demand::Usual if self.runs.is_asked(now, peer) => Demand::Proven,
            Demand::Usual if self.unverified_loads >= UNVERIFIED_LOADS_MAX => Demand::Verified,
            demand => demand,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.begin(now);
        self.endpoint.handle_timeout(now);
        self.drain_events(now);
        if now >= self.next_expiry {
            self.next_expiry = now + EXPIRY_INTERVAL;
            self.end_overlap(now);
            self.start_round(now, Round::Expiry, Phase::Expire);
        }
        if now >= self.next_uptime {
            self.next_uptime = now + UPTIME_INTERVAL;
            self.start_round(now, Round::Meta, Phase::Meta);
        }
        if now >= self.next_aged {
            self.next_aged = now + if self.upkeep.is_over(Round::Aged) { AGED_INTERVAL } else { AGED_BUSY_INTERVAL };
            self.start_round(now, Round::Aged, Phase::Aged(self.aged_from));
        }
        if now >= self.next_census {
            self.next_census = now + if self.hurried { CENSUS_HURRY_INTERVAL } else { CENSUS_INTERVAL };
            self.start_round(now, Round::Census, Phase::Census(self.census));
        }
        self.run_ready(now);
    }

    /// The answers to a [`Load`].
    pub fn handle_load_done(&mut self, now: Now, id: u64, found: Result<Vec<Found>, StoreError>) {
        self.begin(now);
        let Some(mut task) = self.tasks.remove(&id) else { return };
        self.unverified_loads -= usize::from(task.is_unverified());
        let wants = core::mem::take(&mut task.wants);
        match found.and_then(|found| self.take_found(&mut task, wants, found)) {
            Ok(()) => self.run(now, task),
            Err(error) => self.fail(now, task, error),
        }
        self.run_ready(now);
    }

    /// A [`Commit`] is durable, or has not happened at all.
    pub fn handle_commit_done(&mut self, now: Now, id: u64, result: Result<(), StoreError>) {
        self.begin(now);
        let Some(mut task) = self.tasks.remove(&id) else { return };
        let Some(plan) = task.plan.take() else { return };
        match result {
            Ok(()) => self.apply(now, task, plan),
            Err(error) => {
                for (mailbox, meta) in plan.appended {
                    self.mailboxes.settle(mailbox, meta, false);
                }
                self.fail(now, task, error);
            }
        }
        self.run_ready(now);
    }

    /// The accelerator has done a [`Job`].
    pub fn handle_job_done(&mut self, now: Now, id: u64, outcome: Outcome) {
        self.begin(now);
        let Some(mut task) = self.tasks.remove(&id) else { return };
        self.jobs.done(!task.phase.is_unproven());
        task.scratch.outcome = Some(outcome);
        self.run(now, task);
        self.run_ready(now);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.endpoint.poll_transmit()
    }

    /// The next load to do.
    pub fn poll_load(&mut self) -> Option<Load> {
        self.loads.pop_front()
    }

    /// The next commit to do; the order is to be kept.
    pub fn poll_commit(&mut self) -> Option<Commit> {
        self.commits.pop_front()
    }

    /// The next piece of public-key work to do.
    pub fn poll_job(&mut self) -> Option<Job> {
        self.jobs.poll()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, and why.
    pub fn poll_deadline(&self) -> Option<(Now, Deadline)> {
        let coap = self.endpoint.poll_deadline().map(|(at, why)| (at, Deadline::Coap(why)));
        let own = [
            (self.next_expiry, Deadline::Expiry),
            (self.next_uptime, Deadline::Uptime),
            (self.next_aged, Deadline::Aged),
            (self.next_census, Deadline::Census),
        ];
        coap.into_iter().chain(own).min_by_key(|(at, _)| *at)
    }

    /// Asks for the counters to be written, so that the shell can wait for it and exit.
    pub fn shutdown_commit(&mut self, now: Now) {
        self.begin(now);
        self.start(now, Phase::Meta, None);
    }

    /// Whether nothing waits for a load, a job or a commit.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Seconds that the gateway has been up, over all its starts.
    #[must_use]
    pub fn uptime_s(&self, now: Now) -> u64 {
        let started = self.started.unwrap_or(now);
        self.uptime_before_s + now.saturating_sub(started).as_secs()
    }

    pub(crate) fn begin(&mut self, now: Now) {
        if self.started.is_none() {
            self.started = Some(now);
            self.next_expiry = now;
            self.next_uptime = now + UPTIME_INTERVAL;
            self.next_aged = now + AGED_INTERVAL;
            self.next_census = now + CENSUS_INTERVAL;
            // The last start may have been cut off while it told the peers of revoked devices.
            self.look_for_ended(now);
        }
    }

    fn drain_events(&mut self, now: Now) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Request(request) => self.handle_request(now, request),
                Event::ObserverGone { peer, token, reason } => {
                    log::debug!("observer {peer} {token} gone: {reason:?}");
                    self.attachments.stop_observing(peer, token);
                }
                Event::ObserverIdle { peer, token } => {
                    if let Some(device) = self.attachments.probe(peer, token) {
                        self.attachments.set_building(device, true);
                        self.start(now, Phase::Notify(device), None);
                    }
                }
                Event::NotificationAcked { peer, token, id } => {
                    if let Some(device) = self.attachments.notified(peer, token, id) {
                        self.wake(now, device);
                    }
                }
                Event::Response { .. } | Event::Failed { .. } => {}
            }
        }
        self.run_ready(now);
    }

    fn handle_request(&mut self, now: Now, request: IncomingRequest) {
        let (id, peer) = (request.id, request.peer);
        match self.route(now, request) {
            Ok(()) => {}
            Err(refusal) => {
                log::debug!("{peer}: {refusal:?}");
                self.endpoint.respond(now, id, refusal.into_response());
            }
        }
    }

    /// What anyone may know: the package, and what there is.
    fn describe(&self, request: &IncomingRequest) -> Option<Result<Response, Refusal>> {
        let (format, body) = match (Path::of(&request.path)?, request.method) {
            (Path::Register, Code::GET) => (CBOR, self.package.clone()),
            (Path::Discovery, Code::GET) => match link_format::filtered(&self.links, &request.query) {
                Some(links) => (link_format::CONTENT_FORMAT, links.into_bytes()),
                None => return Some(Err(Refusal::Filter)),
            },
            _ => return None,
        };
        if !request.accepts(format) {
            return Some(Err(Refusal::Accept(format)));
        }
        Some(Ok(Response::new(Code::CONTENT).with_payload(format, body).with_hashed_etag()))
    }

    /// Which phase a request belongs to. The endpoint has checked path and method.
    fn route(&mut self, now: Now, request: IncomingRequest) -> Result<(), Refusal> {
        if let Some(response) = self.describe(&request) {
            self.endpoint.respond(now, request.id, response?);
            return Ok(());
        }
        if request.content_format.is_some_and(|format| format != CBOR) {
            return Err(Refusal::Format);
        }
        if !request.accepts(CBOR) {
            return Err(Refusal::Accept(CBOR));
        }
        let phase = match (Path::of(&request.path), request.method) {
            (Some(Path::Register), Code::POST) => Phase::Register,
            (Some(Path::Negotiate), Code::POST) => Phase::Negotiate,
            (Some(Path::Kex), Code::POST) => Phase::Half,
            (Some(Path::Msg), Code::FETCH) => Phase::Attach,
            (Some(Path::Msg), Code::POST) => match sga_schema::decode::<MsgPost<'_>>(&request.payload)? {
                MsgPost::Ack(_) => Phase::Acknowledge,
                MsgPost::Message(_) => Phase::Message,
            },
            _ => return Err(Refusal::Method),
        };
        if let Some(wait) = self.limiter.wait(now, request.peer, Kind::Guess, request.proven) {
            return Err(Refusal::TooMany(wait));
        }
        let unproven = phase.is_unproven();
        if self.tasks.len() >= TASKS_MAX || unproven && self.unproven_tasks >= TASKS_UNPROVEN_MAX {
            return Err(Refusal::Busy);
        }
        self.unproven_tasks += usize::from(unproven);
        let origin = Origin {
            id: request.id,
            peer: request.peer,
            token: request.token,
            verified: request.verified,
            proven: request.proven,
            observe: request.registers(),
            block_bytes: 16 << request.block2_szx.unwrap_or(route::BLOCK_SZX_MAX).min(route::BLOCK_SZX_MAX),
            hash: sha256(&request.payload),
            payload: request.payload,
        };
        self.start(now, phase, Some(origin));
        Ok(())
    }
}
