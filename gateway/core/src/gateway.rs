//! The front door: datagrams and completions in, datagrams and orders out.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use rand_chacha::ChaCha12Rng;
use rand_core::{CryptoRng, SeedableRng};
use sga_coap::{Code, Endpoint, Event, IncomingRequest, Now, Response, Transmit};
use sga_crypto::sha256;
use sga_schema::MsgPost;

use crate::answer::{CBOR, Refusal, answer};
use crate::cache::Cache;
use crate::inbox::Attachments;
use crate::job::{Job, Outcome};
use crate::limits::{EXPIRY_INTERVAL, TASKS_MAX, UPTIME_INTERVAL};
use crate::mailbox::Mailboxes;
use crate::record::{Meta, Record};
use crate::route::{self, Path};
use crate::settings::{Boot, GatewayKeys, Settings};
use crate::storage::{Change, Commit, DeviceIndex, Found, Key, Load, StoreError, StoredItem, Want};
use crate::task::{Locks, Origin, Phase, Plan, Step, Stop, Task, Then};
use crate::ticket::Tickets;

/// Why the gateway wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The CoAP endpoint's own.
    Coap(sga_coap::Deadline),
    /// Invitations may have run out.
    Expiry,
    /// The uptime is to be written down.
    Uptime,
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
    pub(crate) tickets: Tickets,
    pub(crate) rng: R,
    pub(crate) endpoint: Endpoint<ChaCha12Rng>,
    pub(crate) cache: Cache,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) attachments: Attachments,
    pub(crate) locks: Locks,
    pub(crate) meta: Meta,
    tasks: HashMap<u64, Task>,
    next_task: u64,
    ready: VecDeque<u64>,
    loads: VecDeque<Load>,
    commits: VecDeque<Commit>,
    jobs: VecDeque<Job>,
    /// Uptime of earlier starts, and when this one began.
    uptime_before_s: u64,
    started: Option<Now>,
    next_expiry: Now,
    next_uptime: Now,
}

impl<R: CryptoRng> Gateway<R> {
    /// A gateway on top of a store that holds what `boot` says.
    pub fn new(settings: Settings, keys: GatewayKeys, boot: Boot, mut rng: R) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let endpoint = Endpoint::new(route::coap_config(), ChaCha12Rng::from_seed(seed), keys.echo_key);
        let package = settings.package(&keys.pair.public);
        Self {
            package_hash: sha256(&package),
            package,
            tickets: Tickets::new(&keys.ticket_key),
            endpoint,
            cache: Cache::new(),
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
            jobs: VecDeque::new(),
            started: None,
            next_expiry: Now::ZERO,
            next_uptime: Now::ZERO,
            settings,
            keys,
            rng,
        }
    }

    /// Takes one datagram. It never fails: what is wrong with it is the peer's to hear and the log's to keep.
    pub fn handle_datagram(&mut self, now: Now, peer: SocketAddr, bytes: &[u8]) {
        self.begin(now);
        self.endpoint.handle_datagram(now, peer, bytes);
        self.drain_events(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.begin(now);
        self.endpoint.handle_timeout(now);
        self.drain_events(now);
        if now >= self.next_expiry {
            self.next_expiry = now + EXPIRY_INTERVAL;
            self.start(now, Phase::Expire, None);
        }
        if now >= self.next_uptime {
            self.next_uptime = now + UPTIME_INTERVAL;
            self.start(now, Phase::Meta, None);
        }
        self.run_ready(now);
    }

    /// The answers to a [`Load`].
    pub fn handle_load_done(&mut self, now: Now, id: u64, found: Result<Vec<Found>, StoreError>) {
        self.begin(now);
        let Some(mut task) = self.tasks.remove(&id) else { return };
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
        self.jobs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, and why.
    pub fn poll_deadline(&self) -> Option<(Now, Deadline)> {
        let coap = self.endpoint.poll_deadline().map(|(at, why)| (at, Deadline::Coap(why)));
        let own = [(self.next_expiry, Deadline::Expiry), (self.next_uptime, Deadline::Uptime)];
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
    pub(crate) fn uptime_s(&self, now: Now) -> u64 {
        let started = self.started.unwrap_or(now);
        self.uptime_before_s + now.saturating_sub(started).as_secs()
    }

    fn begin(&mut self, now: Now) {
        if self.started.is_none() {
            self.started = Some(now);
            self.next_expiry = now;
            self.next_uptime = now + UPTIME_INTERVAL;
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
                Event::NotificationAcked { peer, token, .. } => {
                    if let Some(device) = self.attachments.notified(peer, token) {
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

    /// Which phase a request belongs to. The endpoint has checked path and method.
    fn route(&mut self, now: Now, request: IncomingRequest) -> Result<(), Refusal> {
        if request.content_format.is_some_and(|format| format != CBOR) {
            return Err(Refusal::Format);
        }
        if !request.accepts(CBOR) {
            return Err(Refusal::Accept);
        }
        let phase = match (Path::of(&request.path), request.method) {
            (Some(Path::Register), Code::GET) => {
                self.endpoint.respond(now, request.id, answer(Code::CONTENT, self.package.clone()));
                return Ok(());
            }
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
        if self.tasks.len() >= TASKS_MAX {
            return Err(Refusal::Busy);
        }
        let origin = Origin {
            id: request.id,
            peer: request.peer,
            token: request.token,
            observe: request.registers(),
            block_bytes: 16 << request.block2_szx.unwrap_or(route::BLOCK_SZX_MAX).min(route::BLOCK_SZX_MAX),
            hash: sha256(&request.payload),
            payload: request.payload,
        };
        self.start(now, phase, Some(origin));
        Ok(())
    }

    pub(crate) fn start(&mut self, now: Now, phase: Phase, origin: Option<Origin>) {
        let id = self.next_task;
        self.next_task += 1;
        self.run(now, Task::new(id, phase, origin));
    }

    /// Tells an observer what is new, if there is one and something is.
    pub(crate) fn wake(&mut self, now: Now, device: DeviceIndex) {
        let Some(sent_up_to) = self.attachments.may_notify(device) else { return };
        let news = self.mailboxes.get(device).map_or(true, |mailbox| mailbox.has_above(sent_up_to));
        if news {
            self.attachments.set_building(device, true);
            self.start(now, Phase::Notify(device), None);
        }
    }

    fn run_ready(&mut self, now: Now) {
        while let Some(id) = self.ready.pop_front() {
            if let Some(task) = self.tasks.remove(&id) {
                self.run(now, task);
            }
        }
    }

    /// One run of a task's handler.
    fn run(&mut self, now: Now, mut task: Task) {
        let step = match task.phase {
            Phase::Register => self.step_register(&mut task),
            Phase::Attach => self.step_attach(now, &mut task),
            Phase::Acknowledge => self.step_acknowledge(&mut task),
            Phase::Negotiate => self.step_negotiate(now, &mut task),
            Phase::Half => self.step_half(now, &mut task),
            Phase::Message => self.step_message(now, &mut task),
            Phase::Notify(device) => self.step_notify(now, device, &mut task),
            Phase::Expire => self.step_expire(now, &mut task),
            Phase::Withdraw { due_s, session } => self.step_withdraw(now, due_s, session, &mut task),
            Phase::Meta => Ok(self.step_meta(now)),
        };
        match step {
            Ok(Step::Job(work)) => {
                self.jobs.push_back(Job { id: task.id, work });
                self.tasks.insert(task.id, task);
            }
            Ok(Step::Load(wants)) => self.load(task, wants),
            Ok(Step::Commit(mut plan)) => {
                let changes = core::mem::take(&mut plan.changes);
                self.commits.push_back(Commit { id: task.id, changes });
                task.plan = Some(plan);
                self.tasks.insert(task.id, task);
            }
            Ok(Step::Reply(response)) => self.finish(now, task, Some(response)),
            Ok(Step::Done) => self.finish(now, task, None),
            Err(Stop::Need(key)) => self.load(task, vec![Want::Get(key)]),
            Err(Stop::NeedMailbox(mailbox)) => {
                self.load(task, vec![Want::Get(Key::Device(mailbox)), Want::ItemIndex { mailbox }]);
            }
            Err(Stop::Locked(lock)) => {
                if self.locks.wait(lock, task.id) {
                    self.tasks.insert(task.id, task);
                } else {
                    self.finish(now, task, Some(Refusal::Busy.into_response()));
                }
            }
            Err(Stop::Refuse(refusal)) => {
                log::debug!("{:?}: {refusal:?}", task.phase);
                self.finish(now, task, Some(refusal.into_response()));
            }
        }
    }

    fn load(&mut self, mut task: Task, wants: Vec<Want>) {
        self.loads.push_back(Load { id: task.id, wants: wants.clone() });
        task.wants = wants;
        self.tasks.insert(task.id, task);
    }

    /// Puts what a load found where it belongs: records and mailboxes into memory, the rest to the task.
    fn take_found(&mut self, task: &mut Task, wants: Vec<Want>, found: Vec<Found>) -> Result<(), StoreError> {
        for (want, found) in wants.into_iter().zip(found) {
            match (want, found) {
                (Want::Get(key), Found::Value(value)) => {
                    let record = value.map(|bytes| Record::decode(key, &bytes)).transpose();
                    self.cache.fill(key, record.map_err(|error| damaged(key, &error))?);
                }
                (Want::ItemIndex { mailbox }, Found::Index(items)) => {
                    let acknowledged = match self.cache.device(mailbox) {
                        Ok(Some(device)) => device.acknowledged,
                        _ => 0,
                    };
                    self.mailboxes.fill(mailbox, acknowledged, items);
                }
                (Want::Items { .. }, Found::Items(items)) => task.scratch.items = Some(items),
                (Want::Pending { .. }, Found::Pending(pending)) => task.scratch.pending = Some(pending),
                (want, _) => return Err(StoreError::Failed(format!("an answer that does not fit {want:?}"))),
            }
        }
        Ok(())
    }

    /// A commit is done: only now do its changes show.
    fn apply(&mut self, now: Now, task: Task, plan: Plan) {
        for (key, record) in plan.cache {
            self.cache.set(key, record);
        }
        for &(mailbox, number) in &plan.voided {
            self.mailboxes.void(mailbox, number);
        }
        for &(mailbox, number) in &plan.removed {
            self.mailboxes.remove(mailbox, number);
        }
        if let Some((peer, token)) = plan.detached.and_then(|device| self.attachments.remove(device)) {
            self.endpoint.forget_observer(peer, &token);
        }
        if let Some((mailbox, up_to)) = plan.acknowledged {
            self.mailboxes.acknowledge(mailbox, up_to);
        }
        for &(mailbox, meta) in &plan.appended {
            self.mailboxes.settle(mailbox, meta, true);
        }
        let response = match plan.then {
            Then::Nothing => None,
            Then::Respond(response) => Some(response),
            Then::Attach(attachment) => Some(self.attach_done(now, *attachment)),
        };
        self.finish(now, task, response);
        if let Some((mailbox, _)) = plan.acknowledged {
            self.wake(now, mailbox);
        }
        for (mailbox, _) in plan.appended {
            self.wake(now, mailbox);
        }
    }

    fn fail(&mut self, now: Now, task: Task, error: StoreError) {
        log::error!("{:?}: {error}", task.phase);
        self.finish(now, task, Some(Refusal::Store(error).into_response()));
    }

    fn finish(&mut self, now: Now, mut task: Task, response: Option<Response>) {
        self.ready.extend(self.locks.release(&mut task));
        if let Phase::Notify(device) = task.phase {
            self.attachments.set_building(device, false);
        }
        if let (Some(origin), Some(response)) = (task.origin, response) {
            self.endpoint.respond(now, origin.id, response);
        }
    }

    fn step_meta(&mut self, now: Now) -> Step {
        self.meta.uptime_s = self.uptime_s(now);
        let changes = vec![self.meta_change()];
        Step::Commit(Plan { changes, ..Plan::default() })
    }

    pub(crate) fn meta_change(&self) -> Change {
        Change::Put { key: Key::Meta, value: self.meta.encode() }
    }

    /// Appends an item to a mailbox as part of a plan; `None` if there is no room. The last thing that may stop a handler.
    pub(crate) fn append(
        &mut self,
        now: Now,
        plan: &mut Plan,
        mailbox: DeviceIndex,
        kind: u32,
        body: Vec<u8>,
    ) -> Result<Option<u32>, Stop> {
        let messages_max = self.settings.mailbox_messages_max;
        // Only invitations are ever made void.
        let freed = plan.voided.iter().filter(|(of, _)| *of == mailbox).count();
        let Some(meta) = self.mailboxes.reserve(mailbox, kind, body.len(), messages_max, freed)? else {
            return Ok(None);
        };
        // The number that the new item takes is above theirs, which is all that they were kept for.
        for number in self.mailboxes.get(mailbox)?.void_numbers() {
            plan.remove_item(mailbox, number);
        }
        let item = StoredItem { number: meta.number, kind, body, stored_s: self.uptime_s(now) };
        plan.changes.push(Change::Append { mailbox, item });
        plan.appended.push((mailbox, meta));
        Ok(Some(meta.number))
    }

    pub(crate) fn new_ticket(&mut self, device: DeviceIndex) -> [u8; 16] {
        let serial = u64::from_be_bytes(self.random());
        self.tickets.issue(device, serial)
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

fn damaged(key: Key, error: &crate::record::RecordError) -> StoreError {
    StoreError::Failed(format!("record {key:?}: {error}"))
}
