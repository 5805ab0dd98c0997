//! The one place that asks the operating system for randomness.

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use crate::error::Error;

/// N random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::new(format!("no randomness from the system: {error}")))?;
    Ok(bytes)
}

/// A generator for the core.
pub(crate) fn generator() -> Result<ChaCha12Rng, Error> {
    Ok(ChaCha12Rng::from_seed(bytes()?))
}
