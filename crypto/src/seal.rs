//! `seal(s, ikm, salt, c; P)`: a key that seals one plaintext.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::aead::{KEY_LEN_MAX, NONCE_LEN_MAX};
use crate::context::{Buffer, Context};
use crate::hash::kdf;
use crate::{Aead, CryptoError};

/// Key, nonce and associated data of one sealed message.
pub struct SealKey {
    aead: Aead,
    okm: [u8; KEY_LEN_MAX + NONCE_LEN_MAX],
    aad: Buffer,
}

impl Drop for SealKey {
    fn drop(&mut self) {
        self.okm.zeroize();
    }
}

impl ZeroizeOnDrop for SealKey {}

impl core::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SealKey({:?}, redacted)", self.aead)
    }
}

impl SealKey {
    /// `key ‖ nonce = KDF(ikm, salt, c, …)`, associated data `c`.
    pub(crate) fn derive(aead: Aead, ikm: &[&[u8]], salt: &[u8], context: Context<'_>) -> Self {
        let mut okm = [0; KEY_LEN_MAX + NONCE_LEN_MAX];
        kdf(ikm, salt, context, &mut okm[..aead.key_len() + aead.nonce_len()]);
        Self { aead, okm, aad: Buffer::of(context) }
    }

    /// A key for several plaintexts, each with a nonce of its own.
    pub(crate) fn derive_with_nonce(aead: Aead, ikm: &[&[u8]], salt: &[u8], context: Context<'_>, nonce: u32) -> Self {
        let mut okm = [0; KEY_LEN_MAX + NONCE_LEN_MAX];
        let (key_len, end) = (aead.key_len(), aead.key_len() + aead.nonce_len());
        kdf(ikm, salt, context, &mut okm[..key_len]);
        okm[end - 4..end].copy_from_slice(&nonce.to_be_bytes());
        Self { aead, okm, aad: Buffer::of(context) }
    }

    /// Seals the first `plaintext_len` bytes of `buf` in place; returns the length with the tag.
    ///
    /// # Errors
    /// `BufferTooSmall` if there is no room for the tag.
    pub fn seal(self, buf: &mut [u8], plaintext_len: usize) -> Result<usize, CryptoError> {
        let (key, nonce) = self.okm.split_at(self.aead.key_len());
        self.aead.seal(key, &nonce[..self.aead.nonce_len()], self.aad.as_bytes(), buf, plaintext_len)
    }

    /// Opens in place; returns the length of the plaintext. What does not open is wiped.
    ///
    /// # Errors
    /// `NotOpened`, whatever the cause.
    pub fn open(self, buf: &mut [u8]) -> Result<usize, CryptoError> {
        let (key, nonce) = self.okm.split_at(self.aead.key_len());
        self.aead.open(key, &nonce[..self.aead.nonce_len()], self.aad.as_bytes(), buf)
    }
}
