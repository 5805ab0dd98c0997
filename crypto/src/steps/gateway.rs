//! The gateway's key: pin (§2), E_PK, F_G (§1).

use crate::context::{
    Part::{Bytes, Uint},
    array,
};
use crate::hash::{cut, sha256_of};
use crate::pk::{self, PkPurpose};
use crate::trapdoor::{self, Trapdoor};
use crate::{CryptoError, Element, GroupId, Seed};

/// §2: the pin of a package.
#[must_use]
pub fn pin(version: u32, profile: u8, public_key: &[u8]) -> [u8; 16] {
    cut(&sha256_of(array(&[Uint(version), Uint(profile.into()), Bytes(public_key)])))
}

/// §1: E_PK. Writes enc ‖ ct into `out`, returns its length.
///
/// # Errors
/// `BufferTooSmall`: it needs the plaintext and [`pk_overhead`].
pub fn pk_seal(
    group: GroupId,
    public: &Element,
    e: &Seed,
    purpose: PkPurpose,
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<usize, CryptoError> {
    pk::seal(group, public, e, purpose, plaintext, out)
}

/// §1: bytes that E_PK adds.
#[must_use]
pub const fn pk_overhead(group: GroupId) -> usize {
    pk::overhead(group)
}

/// §1: D_PR. Writes the plaintext into `out` (as long as the ciphertext at least), returns its length.
///
/// # Errors
/// `NotOpened`, `BufferTooSmall`.
pub fn pk_open(
    group: GroupId,
    secret: &Seed,
    public: &Element,
    purpose: PkPurpose,
    bytes: &[u8],
    out: &mut [u8],
) -> Result<usize, CryptoError> {
    pk::open(group, secret, public, purpose, bytes, out)
}

/// §1: F_G(r); empty in the compact profile.
#[must_use]
pub fn trapdoor(group: GroupId, public: &Element, r: &Seed) -> Trapdoor {
    trapdoor::close(group, public, r)
}

/// §1: r from F_G(r).
///
/// # Errors
/// `NotOpened` unless it is F_G of the r inside.
pub fn trapdoor_open(group: GroupId, secret: &Seed, public: &Element, bytes: &[u8]) -> Result<Seed, CryptoError> {
    trapdoor::open(group, secret, public, bytes)
}

/// §1, compact: r at the device.
#[must_use]
pub fn encapsulated_r(group: GroupId, public: &Element, big_r: &Seed, n: &Element) -> Seed {
    trapdoor::encapsulated(group, public, big_r, n)
}

/// §1, compact: r at the gateway.
#[must_use]
pub fn decapsulated_r(group: GroupId, secret: &Seed, public: &Element, n: &Element) -> Seed {
    trapdoor::decapsulated(group, secret, public, n)
}
