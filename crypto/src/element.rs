//! Elements of the groups, and which group.

use core::fmt;

use crate::{CryptoError, Seed};

/// Bytes of an element in the largest group.
pub const ELEMENT_LEN_MAX: usize = 384;

/// An element that was checked, or that came out of an exponentiation of one that was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Element {
    bytes: [u8; ELEMENT_LEN_MAX],
    len: u16,
}

impl Element {
    /// Checks what arrived (`docs/protocol.md` §1).
    ///
    /// # Errors
    /// `BadElement`.
    pub fn parse(group: GroupId, bytes: &[u8]) -> Result<Self, CryptoError> {
        match group {
            #[cfg(feature = "classic")]
            GroupId::Ffdhe2048 => crate::ffdhe::ffdhe2048::parse(bytes),
            #[cfg(feature = "classic")]
            GroupId::Ffdhe3072 => crate::ffdhe::ffdhe3072::parse(bytes),
            #[cfg(feature = "compact")]
            GroupId::Ristretto255 => crate::ristretto::parse(bytes),
        }
    }

    pub(crate) fn from_valid(from: &[u8]) -> Self {
        let mut bytes = [0; ELEMENT_LEN_MAX];
        bytes[..from.len()].copy_from_slice(from);
        Self { bytes, len: from.len() as u16 }
    }

    /// Its encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// An element may be a secret (K, Z), so none is printed.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({} bytes)", self.len)
    }
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
            Self::Ffdhe2048 => crate::ffdhe::ffdhe2048::exp_base(exponent),
            #[cfg(feature = "classic")]
            Self::Ffdhe3072 => crate::ffdhe::ffdhe3072::exp_base(exponent),
            #[cfg(feature = "compact")]
            Self::Ristretto255 => crate::ristretto::exp_base(exponent),
        }
    }

    /// e^x.
    #[must_use]
    pub fn exp(self, element: &Element, exponent: &Seed) -> Element {
        match self {
            #[cfg(feature = "classic")]
            Self::Ffdhe2048 => crate::ffdhe::ffdhe2048::exp(element, exponent),
            #[cfg(feature = "classic")]
            Self::Ffdhe3072 => crate::ffdhe::ffdhe3072::exp(element, exponent),
            #[cfg(feature = "compact")]
            Self::Ristretto255 => crate::ristretto::exp(element, exponent),
        }
    }
}
