//! The one place of the command line that reads the clock and asks for randomness.

use std::time::Instant;

use sga_coap::Now;

use super::Stop;

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

/// 32 bytes from the operating system.
pub(crate) fn entropy() -> Result<[u8; 32], Stop> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Stop::failed(format!("no randomness from the system: {error}")))?;
    Ok(bytes)
}
