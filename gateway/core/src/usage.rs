//! How full everything bounded is, for metrics and for tests that try to fill it.

use rand_core::CryptoRng;

use crate::gateway::Gateway;

/// Entries in use. The bounds are in [`crate::limits`]; the endpoint's own are in `sga_coap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Requests and orders of the gateway's own in work; [`crate::limits::TASKS_MAX`] and a few of its own.
    pub tasks: usize,
    /// Things that a task changes and others wait for; a task takes a few.
    pub locks: usize,
    /// The longest queue for one of them; [`crate::limits::WAITERS_MAX`].
    pub waiters: usize,
    /// Records in memory; [`crate::limits::CACHE_RECORDS_MAX`].
    pub records: usize,
    /// Mailboxes whose index is in memory; [`crate::limits::MAILBOXES_MAX`] and those with an item on its way to the store.
    pub mailboxes: usize,
    /// Items that have a number and room in a mailbox and are on their way to the store; none when nothing is in work.
    pub reserved: usize,
    /// Attached devices; [`crate::limits::ATTACHMENTS_MAX`].
    pub attachments: usize,
    /// Those among them that observe.
    pub observers: usize,
    /// The endpoint's tables.
    pub coap: sga_coap::Usage,
}

impl<R: CryptoRng> Gateway<R> {
    /// How full everything is now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (locks, waiters) = self.locks.usage();
        Usage {
            tasks: self.tasks.len(),
            locks,
            waiters,
            records: self.cache.len(),
            mailboxes: self.mailboxes.len(),
            reserved: self.mailboxes.reserved(),
            attachments: self.attachments.by_device.len(),
            observers: self.attachments.by_observer.len(),
            coap: self.endpoint.usage(),
        }
    }
}
