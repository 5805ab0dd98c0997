//! The four suites (the paper's C^G).

use aes::Aes128;
use ascon_aead::AsconAead128;
use ccm::Ccm;
use ccm::aead::consts::{U8, U13, U16};
use ccm::aead::inout::InOutBuf;
use ccm::aead::{AeadCore, AeadInOut, KeyInit, Nonce, Tag};
use chacha20poly1305::ChaCha20Poly1305;

use crate::CryptoError;

/// Bytes of the longest tag.
pub const TAG_LEN_MAX: usize = 16;
/// Bytes of the longest key.
pub(crate) const KEY_LEN_MAX: usize = 32;
/// Bytes of the longest nonce.
pub(crate) const NONCE_LEN_MAX: usize = 16;

/// An AEAD of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aead {
    /// Suite 1, AES-CCM-16-64-128.
    AesCcm8,
    /// Suite 2, AES-CCM-16-128-128.
    AesCcm16,
    /// Suite 3.
    ChaCha20Poly1305,
    /// Suite 4, SP 800-232.
    Ascon128,
}

type AesCcm8 = Ccm<Aes128, U8, U13>;
type AesCcm16 = Ccm<Aes128, U16, U13>;

impl Aead {
    /// From a suite's number.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::AesCcm8),
            2 => Some(Self::AesCcm16),
            3 => Some(Self::ChaCha20Poly1305),
            4 => Some(Self::Ascon128),
            _ => None,
        }
    }

    /// Bytes of a key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        if matches!(self, Self::ChaCha20Poly1305) { 32 } else { 16 }
    }

    /// Bytes of a nonce.
    #[must_use]
    pub const fn nonce_len(self) -> usize {
        match self {
            Self::AesCcm8 | Self::AesCcm16 => 13,
            Self::ChaCha20Poly1305 => 12,
            Self::Ascon128 => 16,
        }
    }

    /// Bytes of a tag.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        if matches!(self, Self::AesCcm8) { 8 } else { 16 }
    }

    /// Seals the first `len` bytes of `buf` in place and puts the tag behind them; returns the length of both.
    pub(crate) fn seal(
        self,
        key: &[u8],
        nonce: &[u8],
        aad: &[u8],
        buf: &mut [u8],
        len: usize,
    ) -> Result<usize, CryptoError> {
        let end = len.saturating_add(self.tag_len());
        let Some((text, tag)) = buf.get_mut(..end).and_then(|buf| buf.split_at_mut_checked(len)) else {
            return Err(CryptoError::BufferTooSmall);
        };
        match self {
            Self::AesCcm8 => seal_with::<AesCcm8>(key, nonce, aad, text, tag),
            Self::AesCcm16 => seal_with::<AesCcm16>(key, nonce, aad, text, tag),
            Self::ChaCha20Poly1305 => seal_with::<ChaCha20Poly1305>(key, nonce, aad, text, tag),
            Self::Ascon128 => seal_with::<AsconAead128>(key, nonce, aad, text, tag),
        }?;
        Ok(end)
    }

    /// Opens in place; returns the length of the plaintext. What does not open is wiped.
    pub(crate) fn open(self, key: &[u8], nonce: &[u8], aad: &[u8], buf: &mut [u8]) -> Result<usize, CryptoError> {
        let len = buf.len().checked_sub(self.tag_len()).ok_or(CryptoError::NotOpened)?;
        let (text, tag) = buf.split_at_mut(len);
        let opened = match self {
            Self::AesCcm8 => open_with::<AesCcm8>(key, nonce, aad, text, tag),
            Self::AesCcm16 => open_with::<AesCcm16>(key, nonce, aad, text, tag),
            Self::ChaCha20Poly1305 => open_with::<ChaCha20Poly1305>(key, nonce, aad, text, tag),
            Self::Ascon128 => open_with::<AsconAead128>(key, nonce, aad, text, tag),
        };
        if opened.is_err() {
            text.fill(0);
        }
        opened.map(|()| len)
    }
}

fn seal_with<C: KeyInit + AeadCore + AeadInOut>(
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    text: &mut [u8],
    tag: &mut [u8],
) -> Result<(), CryptoError> {
    let cipher = C::new_from_slice(key).map_err(|_| CryptoError::BadLength)?;
    let nonce = Nonce::<C>::try_from(nonce).map_err(|_| CryptoError::BadLength)?;
    let made = cipher.encrypt_inout_detached(&nonce, aad, InOutBuf::from(text)).map_err(|_| CryptoError::BadLength)?;
    tag.copy_from_slice(&made);
    Ok(())
}

fn open_with<C: KeyInit + AeadCore + AeadInOut>(
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    text: &mut [u8],
    tag: &[u8],
) -> Result<(), CryptoError> {
    let cipher = C::new_from_slice(key).map_err(|_| CryptoError::BadLength)?;
    let nonce = Nonce::<C>::try_from(nonce).map_err(|_| CryptoError::BadLength)?;
    let tag = Tag::<C>::try_from(tag).map_err(|_| CryptoError::BadLength)?;
    cipher.decrypt_inout_detached(&nonce, aad, InOutBuf::from(text), &tag).map_err(|_| CryptoError::NotOpened)
}
