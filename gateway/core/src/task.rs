//! One request, or one duty of the gateway's own, on its way through loads, jobs and its commit.
//!
//! A handler looks at what is in memory. If something is missing it stops and is run again from its start when that has come:
//! until its commit it changes nothing, so running it twice does no harm. What must not be made twice (a plaintext from the
//! accelerator, a handle that was drawn) is kept in its [`Scratch`].

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use sga_coap::{RequestId, Response, Token};
use sga_schema::{DeviceId, Handle};

use crate::answer::Refusal;
use crate::inbox::NewAttachment;
use crate::job::{Opened, Outcome, Work};
use crate::limits::WAITERS_MAX;
use crate::record::Record;
use crate::storage::{Change, DeviceIndex, ItemMeta, Key, StoredItem, Want};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Register,
    Attach,
    Acknowledge,
    Negotiate,
    Half,
    Message,
    /// Tell an observer what is new.
    Notify(DeviceIndex),
    /// Look for invitations that ran out.
    Expire,
    /// Take one back.
    Withdraw {
        due_s: u64,
        session: Handle,
    },
    /// Look for mailboxes with items that are too old, from this one on.
    Aged(DeviceIndex),
    /// Drop what is too old in one.
    DropItems(DeviceIndex),
    /// Look at a few devices or sessions, from this one on.
    Census(Census),
    /// Forget a device, if it was not seen for too long.
    Forget(DeviceIndex),
    /// Drop a session, if an end is forgotten or revoked.
    DropSession(Handle),
    /// Write the gateway's counters down.
    Meta,
}

impl Phase {
    /// Whether it is for somebody who may be anyone, and costs public-key work at once.
    pub(crate) fn is_unproven(self) -> bool {
        matches!(self, Self::Register | Self::Negotiate)
    }
}

/// Where the census goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Census {
    Devices(DeviceIndex),
    Sessions(Handle),
}

impl Census {
    /// At the end of the one it begins with the other.
    pub(crate) fn turn(self) -> Self {
        match self {
            Self::Devices(_) => Self::Sessions(Handle([0; 4])),
            Self::Sessions(_) => Self::Devices(0),
        }
    }
}

/// A request, as far as the phases need it.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) id: RequestId,
    pub(crate) peer: SocketAddr,
    pub(crate) token: Token,
    /// Its address has shown that it receives.
    pub(crate) verified: bool,
    /// This request has shown it.
    pub(crate) proven: bool,
    pub(crate) observe: bool,
    /// Bytes of a representation that fit the block size asked for.
    pub(crate) block_bytes: usize,
    pub(crate) payload: Vec<u8>,
    /// SHA-256 of the payload.
    pub(crate) hash: [u8; 32],
}

/// What one run of a handler leaves for the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// From the accelerator; taken when used up.
    pub(crate) outcome: Option<Outcome>,
    /// What `Outcome::Opened` held.
    pub(crate) opened: Option<Opened>,
    pub(crate) handles: Vec<Handle>,
    /// From a load of the task's own.
    pub(crate) items: Option<Vec<StoredItem>>,
    pub(crate) pending: Option<Vec<(u64, Handle)>>,
    pub(crate) aged: Option<(Option<DeviceIndex>, Option<DeviceIndex>)>,
    pub(crate) keys: Option<(Vec<Key>, bool)>,
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: u64,
    pub(crate) phase: Phase,
    pub(crate) origin: Option<Origin>,
    pub(crate) scratch: Scratch,
    pub(crate) locks: Vec<Lock>,
    /// Handed to the store.
    pub(crate) plan: Option<Plan>,
    /// What the outstanding load asked, to know its answers.
    pub(crate) wants: Vec<Want>,
    /// Whose inbox it shows: what came after its items were read is told once the answer is out.
    pub(crate) shows: Option<DeviceIndex>,
}

impl Task {
    pub(crate) fn new(id: u64, phase: Phase, origin: Option<Origin>) -> Self {
        let (scratch, locks, wants) = (Scratch::default(), Vec::new(), Vec::new());
        Self { id, phase, origin, scratch, locks, plan: None, wants, shows: None }
    }

    /// Whether it is for an address that has not shown that it receives.
    pub(crate) fn is_unverified(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| !origin.verified)
    }

    /// The request behind a phase that only requests have.
    pub(crate) fn origin(&self) -> &Origin {
        self.origin.as_ref().expect("this phase is started by requests only")
    }
}

/// How far a handler came.
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
pub(crate) enum Step {
    Job(Work),
    Load(Vec<Want>),
    Commit(Plan),
    Reply(Response),
    /// Nothing to do or to say any more.
    Done,
}

/// Why a handler stopped before it came to a step.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A record is not in memory.
    Need(Key),
    /// A mailbox is not in memory.
    NeedMailbox(DeviceIndex),
    /// Somebody else is changing it.
    Locked(Lock),
    Refuse(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<sga_schema::SchemaError> for Stop {
    fn from(error: sga_schema::SchemaError) -> Self {
        Self::Refuse(error.into())
    }
}

/// Changes to make durable, and what they make of the memory when they are.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) changes: Vec<Change>,
    pub(crate) cache: Vec<(Key, Option<Record>)>,
    pub(crate) appended: Vec<(DeviceIndex, ItemMeta)>,
    pub(crate) voided: Vec<(DeviceIndex, u32)>,
    /// Void items that an appended one makes superfluous.
    pub(crate) removed: Vec<(DeviceIndex, u32)>,
    pub(crate) acknowledged: Option<(DeviceIndex, u32)>,
    /// Whose attachment ends.
    pub(crate) detached: Option<DeviceIndex>,
    /// What is started when the commit is done.
    pub(crate) again: Option<Phase>,
    pub(crate) then: Then,
}

/// What follows a commit.
#[derive(Debug, Default)]
pub(crate) enum Then {
    #[default]
    Nothing,
    Respond(Response),
    Attach(Box<NewAttachment>),
}

impl Plan {
    pub(crate) fn put(&mut self, key: Key, record: Record) {
        self.changes.push(Change::Put { key, value: record.encode() });
        self.cache.push((key, Some(record)));
    }

    /// Writes a key that stands for itself and is looked up in the store, never in memory.
    pub(crate) fn mark(&mut self, key: Key) {
        self.changes.push(Change::Put { key, value: Vec::new() });
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.changes.push(Change::Delete(key));
        self.cache.push((key, None));
    }

    pub(crate) fn remove_item(&mut self, mailbox: DeviceIndex, number: u32) {
        self.changes.push(Change::Delete(Key::Item { mailbox, number }));
        self.removed.push((mailbox, number));
    }

    pub(crate) fn void_item(&mut self, mailbox: DeviceIndex, number: u32) {
        self.changes.push(Change::Void { mailbox, number });
        self.voided.push((mailbox, number));
    }

    pub(crate) fn acknowledge(&mut self, mailbox: DeviceIndex, up_to: u32) {
        self.changes.push(Change::Acknowledge { mailbox, up_to });
        self.acknowledged = Some((mailbox, up_to));
    }

    pub(crate) fn respond(mut self, response: Response) -> Step {
        self.then = Then::Respond(response);
        Step::Commit(self)
    }
}

/// What at most one task changes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lock {
    Name(DeviceId),
    Device(DeviceIndex),
    Pair(DeviceIndex, DeviceIndex),
    Session(Handle),
    Leg(Handle),
}

impl Lock {
    pub(crate) fn pair(a: DeviceIndex, b: DeviceIndex) -> Self {
        Self::Pair(a.min(b), a.max(b))
    }
}

struct Held {
    owner: u64,
    waiters: VecDeque<u64>,
}

/// Who changes what.
#[derive(Default)]
pub(crate) struct Locks {
    held: HashMap<Lock, Held>,
}

impl Locks {
    /// All of them, or none: a task never waits while it holds what it has just taken.
    pub(crate) fn take(&mut self, task: &mut Task, wanted: &[Lock]) -> Result<(), Stop> {
        for lock in wanted {
            if self.held.get(lock).is_some_and(|held| held.owner != task.id) {
                return Err(Stop::Locked(*lock));
            }
        }
        for &lock in wanted {
            if !task.locks.contains(&lock) {
                self.held.insert(lock, Held { owner: task.id, waiters: VecDeque::new() });
                task.locks.push(lock);
            }
        }
        Ok(())
    }

    /// Puts a task in the queue for a lock; false if the queue is full.
    pub(crate) fn wait(&mut self, lock: Lock, task: u64) -> bool {
        let Some(held) = self.held.get_mut(&lock) else { return false };
        if held.waiters.len() >= WAITERS_MAX {
            return false;
        }
        held.waiters.push_back(task);
        true
    }

    /// How many are taken, and the longest queue for one.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.held.len(), self.held.values().map(|held| held.waiters.len()).max().unwrap_or(0))
    }

    /// Gives up what a task holds; returns who may try again.
    pub(crate) fn release(&mut self, task: &mut Task) -> Vec<u64> {
        let mut woken = Vec::new();
        for lock in task.locks.drain(..) {
            if let Some(held) = self.held.remove(&lock) {
                woken.extend(held.waiters);
            }
        }
        woken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_owner_and_a_bounded_queue() {
        let mut locks = Locks::default();
        let mut first = Task::new(1, Phase::Meta, None);
        let mut second = Task::new(2, Phase::Meta, None);
        assert!(locks.take(&mut first, &[Lock::Device(1), Lock::pair(2, 1)]).is_ok());
        assert!(locks.take(&mut first, &[Lock::Device(1)]).is_ok(), "its own");
        assert!(matches!(
            locks.take(&mut second, &[Lock::Device(9), Lock::pair(1, 2)]),
            Err(Stop::Locked(Lock::Pair(1, 2)))
        ));
        assert!(second.locks.is_empty(), "all or none");
        for waiter in 0..WAITERS_MAX {
            assert!(locks.wait(Lock::Device(1), 10 + waiter as u64));
        }
        assert!(!locks.wait(Lock::Device(1), 99), "the queue is bounded");
        assert_eq!(locks.release(&mut first).len(), WAITERS_MAX);
        assert!(locks.take(&mut second, &[Lock::Device(1), Lock::pair(1, 2)]).is_ok());
    }
}
