//! What has grown old: items that nobody fetched, and devices that nobody has heard of.
//!
//! Ages are counted in persisted uptime: while the gateway is off nobody could fetch anything, and a Pi's clock jumps.

use core::time::Duration;

use rand_core::CryptoRng;
use sga_coap::Now;
use sga_schema::{DeviceId, ExpiredItem, Handle, MessageItem, kind};

use crate::answer::encoded;
use crate::gateway::Gateway;
use crate::limits::{AGED_BUSY_INTERVAL, AGED_BYTES_MAX, AGED_ITEMS_MAX, AGED_TASKS_MAX, CENSUS_BATCH_MAX};
use crate::record::Record;
use crate::storage::{DeviceIndex, Key, StoredItem, Want};
use crate::task::{Census, Lock, Phase, Plan, Step, Stop, Task};
use crate::upkeep::Round;

/// Messages that go together: of one sender, under one run.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Source {
    /// The sender and its own handle.
    sender: DeviceIndex,
    handle: Handle,
    run: u32,
}

impl<R: CryptoRng> Gateway<R> {
    /// Before this second an item is too old; `None` while none can be.
    fn too_old(&self, now: Now, age: Duration) -> Option<u64> {
        self.uptime_s(now).checked_sub(age.as_secs()).filter(|&before_s| before_s > 0)
    }

    /// Looks for mailboxes with items that are too old, from one on.
    pub(crate) fn step_aged(&mut self, now: Now, from: DeviceIndex, task: &mut Task) -> Result<Step, Stop> {
        let Some(before_s) = self.too_old(now, self.settings.mailbox_age) else { return Ok(Step::Done) };
        let Some((mailbox, next)) = task.scratch.aged.take() else {
            return Ok(Step::Load(vec![Want::Aged { from, before_s }]));
        };
        if let Some(mailbox) = mailbox {
            self.start(now, Phase::DropItems(mailbox), None);
        }
        self.aged_from = 0;
        if let Some(next) = next {
            // This look is one of them.
            if self.upkeep.in_work(Round::Aged) <= AGED_TASKS_MAX {
                self.start(now, Phase::Aged(next), None);
            } else {
                // The store is behind with what was found.
                self.aged_from = next;
                self.next_aged = now + AGED_BUSY_INTERVAL;
            }
        }
        Ok(Step::Done)
    }

    /// Drops the oldest items of a mailbox, as far as they are too old and of one sender; the sender is told with the same commit.
    /// The rest has its turn after that.
    pub(crate) fn step_drop_items(&mut self, now: Now, mailbox: DeviceIndex, task: &mut Task) -> Result<Step, Stop> {
        let Some(before_s) = self.too_old(now, self.settings.mailbox_age) else { return Ok(Step::Done) };
        self.locks.take(task, &[Lock::Device(mailbox)])?;
        let device = self.cache.device(mailbox)?;
        self.mailboxes.get(mailbox)?;
        let from = device.as_ref().map_or(0, |device| device.acknowledged) + 1;
        let Some(items) = &task.scratch.items else {
            let (items_max, bytes_max) = (AGED_ITEMS_MAX, AGED_BYTES_MAX);
            return Ok(Step::Load(vec![Want::Items { mailbox, from, items_max, bytes_max }]));
        };
        let mut source = None;
        let mut up_to = None;
        for item in items.iter().take_while(|item| item.stored_s < before_s) {
            if let Some((of, sequence)) = self.source(item)? {
                match &mut source {
                    None => source = Some((of, sequence)),
                    Some((same, highest)) if *same == of => *highest = sequence.max(*highest),
                    Some(_) => break,
                }
            }
            up_to = Some(item.number);
        }
        let Some(up_to) = up_to else { return Ok(Step::Done) };
        let mut plan = Plan::default();
        if let Some(device) = device {
            let mut changed = device.duplicate();
            changed.acknowledged = up_to;
            plan.put(Key::Device(mailbox), Record::Device(changed.into()));
        }
        plan.acknowledge(mailbox, up_to);
        plan.again = Some(Phase::DropItems(mailbox));
        if let Some((Source { sender, handle, run }, sequence)) = source {
            self.mailboxes.get(sender)?;
            let told = encoded(&ExpiredItem { handle, run, sequence });
            if self.append(now, &mut plan, sender, kind::EXPIRED, told)?.is_none() {
                // Nothing goes without its sender being told. The sender's own items grow old as well, so this ends.
                log::debug!("no room to tell device {sender} of what has expired");
                return Ok(Step::Done);
            }
        }
        log::info!("items of mailbox {mailbox} up to {up_to} were not fetched in time and are dropped");
        Ok(Step::Commit(plan))
    }

    /// Who is to be told of a message, and its sequence; `None` for other items, and where the session is gone.
    fn source(&mut self, item: &StoredItem) -> Result<Option<(Source, u32)>, Stop> {
        if item.kind != kind::MESSAGE {
            return Ok(None);
        }
        let Ok(message) = sga_schema::decode::<MessageItem<'_>>(&item.body) else { return Ok(None) };
        let Some(leg) = self.cache.leg(message.handle)? else { return Ok(None) };
        let Some(session) = self.cache.session(leg.session)? else { return Ok(None) };
        let sender = session.end(leg.role.other());
        if self.cache.device(sender.index)?.is_none() {
            return Ok(None);
        }
        let source = Source { sender: sender.index, handle: sender.handle, run: message.run };
        Ok(Some((source, message.sequence)))
    }

    /// Goes through a few devices, or sessions, and starts over at the end.
    pub(crate) fn step_census(&mut self, now: Now, from: Census, task: &mut Task) -> Result<Step, Stop> {
        let Some((keys, more)) = task.scratch.keys.take() else {
            let (from, to) = match from {
                Census::Devices(from) => (Key::Device(from), Key::Device(DeviceIndex::MAX)),
                Census::Sessions(from) => (Key::Session(from), Key::Session(Handle([u8::MAX; 4]))),
            };
            return Ok(Step::Load(vec![Want::Keys { from, to, max: CENSUS_BATCH_MAX }]));
        };
        // It may have been sent back to the first session meanwhile.
        if self.census == from {
            self.census = match keys.last() {
                Some(Key::Device(last)) if more => Census::Devices(last.saturating_add(1)),
                Some(Key::Session(last)) if more => {
                    Census::Sessions(Handle(u32::from_be_bytes(last.0).saturating_add(1).to_be_bytes()))
                }
                _ => from.turn(),
            };
            self.hurried &= matches!(self.census, Census::Sessions(_));
        }
        for key in keys {
            match key {
                Key::Device(index) => self.start(now, Phase::Forget(index), None),
                Key::Session(handle) => self.start(now, Phase::DropSession(handle), None),
                _ => {}
            }
        }
        Ok(Step::Done)
    }

    /// Forgets a device that has not attached for too long. What waits for it has expired before.
    pub(crate) fn step_forget(&mut self, now: Now, index: DeviceIndex, task: &mut Task) -> Result<Step, Stop> {
        let Some(before_s) = self.settings.forget_after.and_then(|age| self.too_old(now, age)) else {
            return Ok(Step::Done);
        };
        let old = |seen_s: Option<u64>| seen_s.is_some_and(|seen_s| seen_s < before_s);
        let Some(device) = self.cache.device(index)?.filter(|device| old(device.seen_s)) else { return Ok(Step::Done) };
        let id: DeviceId = device.id;
        self.locks.take(task, &[Lock::Device(index), Lock::Name(id)])?;
        let Some(device) = self.cache.device(index)?.filter(|device| old(device.seen_s)) else { return Ok(Step::Done) };
        if !self.mailboxes.get(index)?.is_empty() {
            return Ok(Step::Done);
        }
        let mut plan = Plan::default();
        plan.delete(Key::Device(index));
        if self.cache.index_of(device.id)? == Some(index) {
            plan.delete(Key::Name(device.id));
        }
        plan.detached = Some(index);
        log::info!("device {} has not been seen for too long and is forgotten", device.id);
        Ok(Step::Commit(plan))
    }

    /// Ends a session of which an end is forgotten or revoked. Who is left cannot use it, and records that only the other end could
    /// have used would stay for good.
    pub(crate) fn step_drop_session(&mut self, now: Now, handle: Handle, task: &mut Task) -> Result<Step, Stop> {
        let Some(session) = self.cache.session(handle)? else { return Ok(Step::Done) };
        for end in &session.ends {
            if self.is_revoked(end.id) || self.cache.device(end.index)?.is_none() {
                return self.end_session(now, &session, task);
            }
        }
        Ok(Step::Done)
    }
}
