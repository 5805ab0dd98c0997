//! The paper's cryptographic accelerator: threads for public-key work, so that the loop never waits for it.

use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex};

use mio::Waker;
use sga_gateway_core::{Job, Outcome};

use crate::error::Error;
use crate::limits::QUEUE_MAX;

/// A bounded pool.
pub(crate) struct Accelerator {
    jobs: SyncSender<Job>,
    done: Receiver<(u64, Outcome)>,
}

impl Accelerator {
    pub(crate) fn start(threads: usize, waker: &Arc<Waker>) -> Result<Self, Error> {
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let (results, done) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads.max(1) {
            let (queue, results, waker) = (queue.clone(), results.clone(), waker.clone());
            std::thread::Builder::new()
                .name(format!("accelerator-{number}"))
                .spawn(move || work(&queue, &results, &waker))
                .map_err(|error| Error::new(format!("cannot start a thread: {error}")))?;
        }
        Ok(Self { jobs, done })
    }

    pub(crate) fn submit(&self, job: Job) -> Result<(), Error> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::new("the accelerator's queue is longer than the core has tasks"),
            TrySendError::Disconnected(_) => Error::new("the accelerator has stopped"),
        })
    }

    pub(crate) fn poll_done(&self) -> Option<(u64, Outcome)> {
        self.done.try_recv().ok()
    }
}

fn work(queue: &Mutex<Receiver<Job>>, results: &Sender<(u64, Outcome)>, waker: &Waker) {
    loop {
        // The lock is held while waiting: the next job goes to whoever has it, the others wait for the lock.
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        if results.send(job.run()).is_err() || waker.wake().is_err() {
            return;
        }
    }
}
