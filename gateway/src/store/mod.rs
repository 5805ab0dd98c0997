//! Where records live: a narrow trait, the engine behind it, and the threads that wait for the disk.
//!
//! Guarantees: a commit that was reported done is on the medium, as far as the medium keeps what a sync has confirmed; commits
//! become durable in the order in which they were handed over, whole or not at all. A store that cannot be opened is set aside
//! under a dated name, never deleted, and a new one is started.

mod engine;
mod seal;
#[cfg(test)]
mod tests;
mod threads;

pub(crate) use engine::open;
pub(crate) use seal::Sealer;
pub(crate) use threads::{Completion, Store};

use sga_gateway_core::{Commit, Found, StoreError, Want};

/// What writes: one call, one sync.
pub(crate) trait Engine: Send {
    /// Makes all of the commits durable, in their order, or none of them.
    fn apply(&mut self, group: &[Commit]) -> Result<(), StoreError>;
}

/// What reads, beside the writer.
pub(crate) trait Reader: Send {
    /// Answers from one view that has all commits that were reported done.
    fn read(&self, wants: &[Want]) -> Result<Vec<Found>, StoreError>;
}
