//! Elements of the groups, and which group.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{CryptoError, Seed};

/// Bytes of an element in the largest group.
pub const ELEMENT_LEN_MAX: usize = 384;

/// An element that was checked, or that came out of an exponentiation of one that was.
///
/// It remembers its group. It may be a secret (K, Z), so it is wiped when dropped and not printed; `==` is for public ones.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    bytes: [u8; ELEMENT_LEN_MAX],
    group: GroupId,
}

impl Drop for Element {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl ZeroizeOnDrop for Element {}

impl Element {
    /// Checks what arrived (`docs/protocol.md` §1).
    ///
    /// # Errors
    /// `BadElement`.
    pub fn parse(group: GroupId, bytes: &[u8]) -> Result<Self, CryptoError> {
        match group {
            #[cfg(feature = "classic")]
            GroupId::Ffdhe2048 => crate::Ffdhe2048::parse(bytes),
            #[cfg(feature = "classic")]
            GroupId::Ffdhe3072 => crate::Ffdhe3072::parse(bytes),
            #[cfg(feature = "compact")]
            GroupId::Ristretto255 => crate::Ristretto255::parse(bytes),
        }
    }

    /// Takes over an encoding that is known to be one of this group's.
    pub(crate) fn from_valid(group: GroupId, from: &[u8]) -> Self {
        let mut bytes = [0; ELEMENT_LEN_MAX];
        bytes[..group.element_len()].copy_from_slice(from);
        Self { bytes, group }
    }

    /// Its group.
    #[must_use]
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// Its encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.group.element_len()]
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({:?}, {} bytes)", self.group, self.group.element_len())
    }
}

/// A group: what the equations need of it.
pub trait Group {
    /// Which one.
    const ID: GroupId;

    /// g^x.
    fn exp_base(exponent: &Seed) -> Element;

    /// e^x, in a time that does not depend on the exponent.
    ///
    /// # Panics
    /// If the element is of another group: only a mix-up of profiles inside the program brings that about.
    fn exp(element: &Element, exponent: &Seed) -> Element;

    /// Checks what arrived (`docs/protocol.md` §1).
    ///
    /// # Errors
    /// `BadElement`.
    fn parse(bytes: &[u8]) -> Result<Element, CryptoError>;
}

/// A group that this build has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupId {
    /// Profile classic.
    #[cfg(feature = "classic")]
    Ffdhe2048,
    /// Profile classic3072.
    #[cfg(feature = "classic")]
    Ffdhe3072,
    /// Profile compact.
    #[cfg(feature = "compact")]
    Ristretto255,
}

impl GroupId {
    /// The group of a profile.
    #[must_use]
    pub const fn from_profile(profile: u8) -> Option<Self> {
        match profile {
            #[cfg(feature = "classic")]
            1 => Some(Self::Ffdhe2048),
            #[cfg(feature = "compact")]
            2 => Some(Self::Ristretto255),
            #[cfg(feature = "classic")]
            3 => Some(Self::Ffdhe3072),
            _ => None,
        }
    }

    /// Bytes of an element.
    #[must_use]
    pub const fn element_len(self) -> usize {
        match self {
            #[cfg(feature = "classic")]
            Self::Ffdhe2048 => 256,
            #[cfg(feature = "classic")]
            Self::Ffdhe3072 => 384,
            #[cfg(feature = "compact")]
            Self::Ristretto255 => 32,
        }
    }

    /// Bytes of F_G(r) on the wire: none in the compact profile.
    #[must_use]
    pub const fn trapdoor_len(self) -> usize {
        if self.is_compact() { 0 } else { self.element_len() + 32 }
    }

    /// Whether N itself is the encapsulation of r.
    #[must_use]
    pub const fn is_compact(self) -> bool {
        match self {
            #[cfg(feature = "compact")]
            Self::Ristretto255 => true,
            #[cfg(feature = "classic")]
            _ => false,
        }
    }

    /// g^x.
    #[must_use]
    pub fn exp_base(self, exponent: &Seed) -> Element {
        match self {
            #[cfg(feature = "classic")]
            Self::Ffdhe2048 => crate::Ffdhe2048::exp_base(exponent),
            #[cfg(feature = "classic")]
            Self::Ffdhe3072 => crate::Ffdhe3072::exp_base(exponent),
            #[cfg(feature = "compact")]
            Self::Ristretto255 => crate::Ristretto255::exp_base(exponent),
        }
    }

    /// e^x, in a time that does not depend on the exponent.
    ///
    /// # Panics
    /// If the element is of another group, see [`Group::exp`].
    #[must_use]
    pub fn exp(self, element: &Element, exponent: &Seed) -> Element {
        match self {
            #[cfg(feature = "classic")]
            Self::Ffdhe2048 => crate::Ffdhe2048::exp(element, exponent),
            #[cfg(feature = "classic")]
            Self::Ffdhe3072 => crate::Ffdhe3072::exp(element, exponent),
            #[cfg(feature = "compact")]
            Self::Ristretto255 => crate::Ristretto255::exp(element, exponent),
        }
    }
}
