//! The threads that wait for the disk: one writes the journal, one fills the tables, one reads.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use mio::Waker;
use sga_gateway_core::{Commit, Found, Load, StoreError, Want};
use sga_gateway_store::{Opened, Reader, Writer, commit_len, limits::GROUP_BYTES_MAX};

use super::Held;
use crate::error::Error;
use crate::limits::{GROUP_MAX, QUEUE_MAX};
use crate::queue::{Queue, queue};

/// What writes: one call, one sync.
pub(crate) trait Engine: Send {
    /// Whether there is room for a commit.
    fn admit(&mut self, commit: &Commit) -> Result<(), StoreError>;
    /// Makes all of the commits durable, in their order, or none of them.
    fn apply(&mut self, group: &[Commit]) -> Result<(), StoreError>;
}

impl Engine for Writer {
    fn admit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        Self::admit(self, commit)
    }

    fn apply(&mut self, group: &[Commit]) -> Result<(), StoreError> {
        Self::apply(self, group)
    }
}

/// What reads, beside the writer.
pub(crate) trait Answers: Send {
    /// Answers from one state that has all commits that were reported done.
    fn read(&self, wants: &[Want]) -> Result<Vec<Found>, StoreError>;
}

impl Answers for Reader {
    fn read(&self, wants: &[Want]) -> Result<Vec<Found>, StoreError> {
        Self::read(self, wants)
    }
}

/// Something that was asked of the store is done, or could not be.
#[derive(Debug)]
pub(crate) enum Completion {
    Commit(u64, Result<(), StoreError>),
    Load(u64, Result<Vec<Found>, StoreError>),
}

/// The store, as the loop sees it.
pub(crate) struct Store {
    commits: Queue<Commit>,
    loads: Queue<Load>,
    done: Receiver<Completion>,
    threads: Vec<JoinHandle<()>>,
    _lock: Option<File>,
}

impl Store {
    /// Starts the threads of an open store.
    pub(crate) fn start(held: Held, waker: &Arc<Waker>) -> Result<Self, Error> {
        let Held { opened: Opened { mut writer, reader, .. }, lock } = held;
        let checkpointer = writer.take_checkpointer();
        let mut store = Self::with(writer, reader, waker, QUEUE_MAX)?;
        store._lock = Some(lock);
        if let Some(checkpointer) = checkpointer {
            store.threads.push(spawn("store-tables", move || checkpointer.run())?);
        }
        Ok(store)
    }

    pub(crate) fn with(
        engine: impl Engine + 'static,
        reader: impl Answers + 'static,
        waker: &Arc<Waker>,
        queue_max: usize,
    ) -> Result<Self, Error> {
        let (commits, commit_queue) = queue(queue_max);
        let (loads, load_queue) = queue(queue_max);
        let (results, done) = channel();
        let (writer_results, writer_waker) = (results.clone(), waker.clone());
        let reader_waker = waker.clone();
        let threads = vec![
            spawn("store-writer", move || write(engine, &commit_queue, &writer_results, &writer_waker))?,
            spawn("store-reader", move || answer(&reader, &load_queue, &results, &reader_waker))?,
        ];
        Ok(Self { commits, loads, done, threads, _lock: None })
    }

    /// Where commits go, and stay in order.
    pub(crate) fn commits(&mut self) -> &mut Queue<Commit> {
        &mut self.commits
    }

    /// Where loads go.
    pub(crate) fn loads(&mut self) -> &mut Queue<Load> {
        &mut self.loads
    }

    pub(crate) fn poll_done(&mut self) -> Option<Completion> {
        let done = self.done.try_recv().ok()?;
        match done {
            Completion::Commit(..) => self.commits.taken(),
            Completion::Load(..) => self.loads.taken(),
        }
        Some(done)
    }

    /// Lets the threads finish what they have and waits for them.
    pub(crate) fn stop(mut self) {
        self.commits.close();
        self.loads.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread of the store has panicked");
            }
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Error::new(format!("cannot start a thread: {error}")))
}

/// Group commit: all that has come while the last sync ran goes into the next, up to a bound. Nothing waits for company.
fn write(mut engine: impl Engine, queue: &Receiver<Commit>, results: &Sender<Completion>, waker: &Waker) {
    let mut next = None;
    while let Some(first) = next.take().or_else(|| queue.recv().ok()) {
        let (mut group, mut bytes) = (Vec::new(), 0);
        let mut coming = Some(first);
        while let Some(commit) = coming {
            let len = commit_len(&commit);
            if !group.is_empty() && bytes + len > GROUP_BYTES_MAX {
                next = Some(commit);
                break;
            }
            match engine.admit(&commit) {
                Ok(()) => {
                    bytes += len;
                    group.push(commit);
                }
                Err(error) => {
                    if results.send(Completion::Commit(commit.id, Err(error))).is_err() {
                        return;
                    }
                }
            }
            coming = if group.len() < GROUP_MAX { queue.try_recv().ok() } else { None };
        }
        let result = engine.apply(&group);
        for commit in group {
            if results.send(Completion::Commit(commit.id, result.clone())).is_err() {
                return;
            }
        }
        let _ = waker.wake();
    }
}

fn answer(reader: &impl Answers, queue: &Receiver<Load>, results: &Sender<Completion>, waker: &Waker) {
    while let Ok(load) = queue.recv() {
        if results.send(Completion::Load(load.id, reader.read(&load.wants))).is_err() {
            return;
        }
        let _ = waker.wake();
    }
}
