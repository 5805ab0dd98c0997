//! Tasks on their way: a handler runs, waits for a load, a job or a commit, and is run again until it has an answer.

use rand_core::CryptoRng;
use sga_coap::{Now, Response};
use sga_schema::Role;

use crate::answer::Refusal;
use crate::gateway::Gateway;
use crate::job::Job;
use crate::rates::Kind;
use crate::record::{Record, Stage};
use crate::storage::{Change, Commit, DeviceIndex, Found, Key, Load, StoreError, StoredItem, Want};
use crate::task::{Origin, Phase, Plan, Step, Stop, Task, Then};
use crate::upkeep::Round;

impl<R: CryptoRng> Gateway<R> {
    pub(crate) fn start(&mut self, now: Now, phase: Phase, origin: Option<Origin>) {
        let id = self.next_task;
        self.next_task += 1;
        self.upkeep.began(phase);
        self.run(now, Task::new(id, phase, origin));
    }

    /// Begins a round of the gateway's own, unless the last one is still in work.
    pub(crate) fn start_round(&mut self, now: Now, round: Round, phase: Phase) {
        if self.upkeep.is_over(round) {
            self.start(now, phase, None);
        }
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

    pub(crate) fn run_ready(&mut self, now: Now) {
        while let Some(id) = self.ready.pop_front() {
            if let Some(task) = self.tasks.remove(&id) {
                self.run(now, task);
            }
        }
    }

    /// One run of a task's handler.
    pub(crate) fn run(&mut self, now: Now, mut task: Task) {
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
            Phase::Aged(from) => self.step_aged(now, from, &mut task),
            Phase::DropItems(mailbox) => self.step_drop_items(now, mailbox, &mut task),
            Phase::Census(from) => self.step_census(now, from, &mut task),
            Phase::Forget(index) => self.step_forget(now, index, &mut task),
            Phase::DropSession(handle) => self.step_drop_session(now, handle, &mut task),
            Phase::Meta => Ok(self.step_meta(now)),
        };
        match step {
            Ok(Step::Job(work)) => match self.admit_job(now, &task) {
                Ok(()) => {
                    let (keys, previous) = (self.keys.pair.clone(), self.previous_pair());
                    self.jobs.push(Job { id: task.id, work, keys, previous }, !task.phase.is_unproven());
                    self.tasks.insert(task.id, task);
                }
                Err(refusal) => self.finish(now, task, Some(refusal.into_response())),
            },
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
                if let (Refusal::NotOpened, Some(origin)) = (&refusal, &task.origin) {
                    self.limiter.take(now, origin.peer, Kind::Guess, origin.proven);
                }
                self.finish(now, task, Some(refusal.into_response()));
            }
        }
    }

    /// Whether a task may have its public-key work done. What a session asks for was counted before.
    fn admit_job(&mut self, now: Now, task: &Task) -> Result<(), Refusal> {
        let Some(origin) = task.origin.as_ref().filter(|_| task.phase.is_unproven()) else { return Ok(()) };
        if let Some(wait) = self.limiter.wait(now, origin.peer, Kind::Work, origin.proven) {
            return Err(Refusal::TooMany(wait));
        }
        if !self.jobs.has_room() {
            return Err(Refusal::Busy);
        }
        self.limiter.take(now, origin.peer, Kind::Work, origin.proven);
        Ok(())
    }

    pub(crate) fn load(&mut self, mut task: Task, wants: Vec<Want>) {
        self.unverified_loads += usize::from(task.is_unverified());
        self.loads.push_back(Load { id: task.id, wants: wants.clone() });
        task.wants = wants;
        self.tasks.insert(task.id, task);
    }

    /// Puts what a load found where it belongs: records and mailboxes into memory, the rest to the task.
    pub(crate) fn take_found(
        &mut self,
        task: &mut Task,
        wants: Vec<Want>,
        found: Vec<Found>,
    ) -> Result<(), StoreError> {
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
                (Want::Aged { .. }, Found::Aged { mailbox, next }) => task.scratch.aged = Some((mailbox, next)),
                (Want::Keys { .. }, Found::Keys { keys, more }) => task.scratch.keys = Some((keys, more)),
                (want, _) => return Err(StoreError::Failed(format!("an answer that does not fit {want:?}"))),
            }
        }
        Ok(())
    }

    /// A commit is done: only now do its changes show.
    pub(crate) fn apply(&mut self, now: Now, task: Task, plan: Plan) {
        for (key, record) in plan.cache {
            self.count_invitation(key, record.as_ref());
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
        if let Some(phase) = plan.again {
            self.start(now, phase, None);
        }
    }

    fn count_invitation(&mut self, key: Key, record: Option<&Record>) {
        let Key::Session(handle) = key else { return };
        match record {
            Some(Record::Session(session)) if matches!(session.stage, Stage::Invited { .. }) => {
                self.invitations.add(handle, session.end(Role::Initiator).index);
            }
            _ => self.invitations.remove(handle),
        }
    }

    pub(crate) fn fail(&mut self, now: Now, task: Task, error: StoreError) {
        // The store itself says once that it is full.
        let level = if error == StoreError::Full { log::Level::Debug } else { log::Level::Error };
        log::log!(level, "{:?}: {error}", task.phase);
        self.finish(now, task, Some(Refusal::Store(error).into_response()));
    }

    pub(crate) fn finish(&mut self, now: Now, mut task: Task, response: Option<Response>) {
        self.ready.extend(self.locks.release(&mut task));
        self.unproven_tasks -= usize::from(task.phase.is_unproven());
        self.upkeep.ended(task.phase);
        if let Phase::Notify(device) = task.phase {
            self.attachments.set_building(device, false);
        }
        if let (Some(origin), Some(response)) = (task.origin, response) {
            self.endpoint.respond(now, origin.id, response);
        }
        // The items of the answer were read before the observer was there to be told of others. Where there was no room for
        // all, the device acknowledges first.
        if let Some(device) = task.shows
            && self.attachments.get(device).is_some_and(|attachment| !attachment.full)
        {
            self.wake(now, device);
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
        let Some(meta) = self.mailboxes.reserve(mailbox, kind, &body, messages_max, freed)? else {
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
