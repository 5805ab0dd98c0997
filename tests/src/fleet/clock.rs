//! The one place here that reads the clock.

use std::time::Instant;

use sga_coap::Now;

/// Monotonic time since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is clock.rs")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Now {
        self.0.elapsed()
    }
}
