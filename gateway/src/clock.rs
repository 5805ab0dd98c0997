//! The one place that reads the clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sga_gateway_core::Now;

/// Monotonic time since it was made.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is clock.rs")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(&self) -> Now {
        self.0.elapsed()
    }
}

/// Seconds since 1970, as far as this machine knows; for names of files only.
#[expect(clippy::disallowed_methods, reason = "this is clock.rs")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
