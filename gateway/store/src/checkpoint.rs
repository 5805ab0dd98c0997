//! The thread that takes layers into the tables, and looks for room on a disk that was full.

use std::sync::{Arc, MutexGuard, PoisonError};

use crate::engine::{Shared, Work};
use crate::limits::RETRY;
use crate::seal::Sealer;

/// Takes layers into the tables.
#[derive(Debug)]
pub struct Checkpointer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sealer: Sealer,
}

impl Checkpointer {
    /// Works until the writer is gone. What failed is tried again: a full disk has room again some time.
    pub fn run(mut self) {
        loop {
            let work = self.wait();
            if work.closing {
                return;
            }
            let failed_before = work.failed.is_some();
            drop(work);
            if self.shared.reserve.is_given_up() && self.shared.reserve.restore(self.shared.disk.as_ref()) {
                log::info!("the disk has room again, and the store takes what comes");
            }
            match self.shared.take_in(&mut self.sealer) {
                Ok(_) if failed_before => log::info!("the store writes again"),
                Ok(_) => {}
                Err(error) => {
                    if !failed_before {
                        log::error!("{error}; tried again every {} s", RETRY.as_secs());
                    }
                    let work = self.shared.work();
                    if !work.closing {
                        drop(self.shared.changed.wait_timeout(work, RETRY).unwrap_or_else(PoisonError::into_inner));
                    }
                }
            }
        }
    }

    /// Until there is a layer to take in, or it is time to look for room, or the writer is gone.
    fn wait(&self) -> MutexGuard<'_, Work> {
        let mut work = self.shared.work();
        loop {
            let frozen = self.shared.layers.read().unwrap_or_else(PoisonError::into_inner).frozen.is_some();
            if work.closing || frozen {
                return work;
            }
            if self.shared.reserve.is_given_up() {
                return self.shared.changed.wait_timeout(work, RETRY).unwrap_or_else(PoisonError::into_inner).0;
            }
            work = self.shared.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
