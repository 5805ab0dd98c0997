//! The one place of the timing test that reads the clock.

use std::time::{Duration, Instant};

/// How long this took.
#[expect(clippy::disallowed_methods, reason = "this is clock.rs")]
pub(crate) fn time(act: impl FnOnce()) -> Duration {
    let began = Instant::now();
    act();
    began.elapsed()
}
