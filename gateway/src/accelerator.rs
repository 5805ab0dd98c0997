//! The paper's cryptographic accelerator: threads for public-key work, so that the loop never waits for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use mio::Waker;
use sga_gateway_core::{Job, Outcome};

use crate::error::Error;
use crate::limits::QUEUE_MAX;
use crate::queue::{Queue, queue};

/// A bounded pool.
pub(crate) struct Accelerator {
    jobs: Queue<Job>,
    done: Receiver<(u64, Outcome)>,
}

impl Accelerator {
    pub(crate) fn start(threads: usize, waker: &Arc<Waker>) -> Result<Self, Error> {
        let (jobs, from) = queue(QUEUE_MAX);
        let (results, done) = channel();
        let queue = Arc::new(Mutex::new(from));
        for number in 0..threads.max(1) {
            let (queue, results, waker) = (queue.clone(), results.clone(), waker.clone());
            std::thread::Builder::new()
                .name(format!("accelerator-{number}"))
                .spawn(move || work(&queue, &results, &waker))
                .map_err(|error| Error::new(format!("cannot start a thread: {error}")))?;
        }
        Ok(Self { jobs, done })
    }

    /// Where jobs go.
    pub(crate) fn jobs(&mut self) -> &mut Queue<Job> {
        &mut self.jobs
    }

    pub(crate) fn poll_done(&mut self) -> Option<(u64, Outcome)> {
        let done = self.done.try_recv().ok()?;
        self.jobs.taken();
        Some(done)
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
