//! The threads that wait for the disk: one writes, one reads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use mio::Waker;
use sga_gateway_core::{Commit, Found, Load, StoreError};

use super::{Engine, Reader};
use crate::error::Error;
use crate::limits::{GROUP_MAX, QUEUE_MAX};

/// Something that was asked of the store is done, or could not be.
#[derive(Debug)]
pub(crate) enum Completion {
    Commit(u64, Result<(), StoreError>),
    Load(u64, Result<Vec<Found>, StoreError>),
}

/// The store, as the loop sees it.
pub(crate) struct Store {
    commits: Option<SyncSender<Commit>>,
    loads: Option<SyncSender<Load>>,
    done: Receiver<Completion>,
    threads: Vec<JoinHandle<()>>,
}

impl Store {
    pub(crate) fn start(
        engine: impl Engine + 'static,
        reader: impl Reader + 'static,
        waker: &Arc<Waker>,
    ) -> Result<Self, Error> {
        let (commits, commit_queue) = sync_channel(QUEUE_MAX);
        let (loads, load_queue) = sync_channel(QUEUE_MAX);
        let (results, done) = channel();
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            Builder::new()
                .name(name.to_owned())
                .spawn(body)
                .map_err(|error| Error::new(format!("cannot start a thread: {error}")))
        };
        let (writer_results, writer_waker) = (results.clone(), waker.clone());
        let reader_waker = waker.clone();
        let threads = vec![
            spawn("store-writer", Box::new(move || write(engine, &commit_queue, &writer_results, &writer_waker)))?,
            spawn("store-reader", Box::new(move || answer(&reader, &load_queue, &results, &reader_waker)))?,
        ];
        Ok(Self { commits: Some(commits), loads: Some(loads), done, threads })
    }

    pub(crate) fn submit(&self, commit: Commit) -> Result<(), Error> {
        hand(self.commits.as_ref(), commit)
    }

    pub(crate) fn load(&self, load: Load) -> Result<(), Error> {
        hand(self.loads.as_ref(), load)
    }

    pub(crate) fn poll_done(&self) -> Option<Completion> {
        self.done.try_recv().ok()
    }

    /// Lets both threads finish what they have and waits for them.
    pub(crate) fn stop(mut self) {
        self.commits = None;
        self.loads = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread of the store has panicked");
            }
        }
    }
}

fn hand<T>(queue: Option<&SyncSender<T>>, what: T) -> Result<(), Error> {
    match queue.map(|queue| queue.try_send(what)) {
        Some(Ok(())) => Ok(()),
        _ => Err(Error::new(
            "the store takes no more work: its thread has stopped, or its queue is longer than the core has tasks",
        )),
    }
}

/// Group commit: all that has come while the last sync ran goes into the next.
fn write(mut engine: impl Engine, queue: &Receiver<Commit>, results: &Sender<Completion>, waker: &Waker) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        group.extend(queue.try_iter().take(GROUP_MAX - 1));
        let result = engine.apply(&group);
        for commit in group {
            if results.send(Completion::Commit(commit.id, result.clone())).is_err() {
                return;
            }
        }
        let _ = waker.wake();
    }
}

fn answer(reader: &impl Reader, queue: &Receiver<Load>, results: &Sender<Completion>, waker: &Waker) {
    while let Ok(load) = queue.recv() {
        if results.send(Completion::Load(load.id, reader.read(&load.wants))).is_err() {
            return;
        }
        let _ = waker.wake();
    }
}
