//! The one place of the load command that reads the clock.

use std::time::Instant;

use sga_coap::Now;

/// Monotonic time since it was made.
#[derive(Clone, Copy, Debug)]
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
