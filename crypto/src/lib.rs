//! The mathematics of SGA/1 (`docs/protocol.md`): groups, suites, trapdoor, keyed hash, key schedule.
//!
//! One function per equation, so that the two ends and the gateway cannot disagree. No std, no allocator, no randomness but what
//! is handed in. Secrets are wiped when dropped, print as `redacted` and are compared in constant time; exponents are secret in
//! every exponentiation. All causes of a failed opening give one error. Nothing that arrives can make it panic; an element of
//! another group than the one asked for, a mix-up inside the program, does.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[cfg(not(any(feature = "classic", feature = "compact")))]
compile_error!("sga-crypto needs a group: feature `classic` or `compact`");

pub mod accelerator;
mod aead;
mod context;
mod element;
mod error;
#[cfg(feature = "classic")]
mod ffdhe;
mod hash;
mod pk;
#[cfg(feature = "compact")]
mod ristretto;
mod seal;
mod secret;
pub mod steps;
#[cfg(test)]
mod tests;
mod traffic;
mod trapdoor;

pub use aead::{Aead, TAG_LEN_MAX};
pub use element::{ELEMENT_LEN_MAX, Element, Group, GroupId};
pub use error::CryptoError;
#[cfg(feature = "classic")]
pub use ffdhe::{Ffdhe2048, Ffdhe3072};
pub use hash::{sha256, short_hash, tags_equal};
pub use pk::PkPurpose;
#[cfg(feature = "compact")]
pub use ristretto::Ristretto255;
pub use seal::SealKey;
pub use secret::{Secret, Seed};
pub use traffic::TrafficKey;
pub use trapdoor::{TRAPDOOR_LEN_MAX, Trapdoor};
