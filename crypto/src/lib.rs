//! The mathematics of SGA/1 (`docs/protocol.md`): groups, suites, trapdoor, keyed hash, key schedule.
//!
//! One function per equation, so that the two ends and the gateway cannot disagree. No std, no allocator, no randomness but what
//! is handed in. Secrets are wiped when dropped, print as `redacted` and are compared in constant time; exponents are secret in
//! every exponentiation. All causes of a failed opening give one error.
#![no_std]
#![forbid(unsafe_code)]

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
mod traffic;
mod trapdoor;

pub use aead::{Aead, TAG_LEN_MAX};
pub use element::{ELEMENT_LEN_MAX, Element, GroupId};
pub use error::CryptoError;
pub use hash::{sha256, short_hash};
pub use pk::PkPurpose;
pub use seal::SealKey;
pub use secret::{Secret, Seed};
pub use traffic::TrafficKey;
pub use trapdoor::{TRAPDOOR_LEN_MAX, Trapdoor};
