//! The keys of the two directions (B7) and what they seal (4.5).

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::aead::{KEY_LEN_MAX, NONCE_LEN_MAX};
use crate::context::{Buffer, Part, array, ctx};
use crate::hash::{kdf, keyed_hash8};
use crate::{Aead, CryptoError, Secret};

/// Key and IV of one direction of one run.
pub struct TrafficKey {
    aead: Aead,
    /// Key ‖ IV.
    okm: [u8; KEY_LEN_MAX + NONCE_LEN_MAX],
}

impl Drop for TrafficKey {
    fn drop(&mut self) {
        self.okm.zeroize();
    }
}

impl ZeroizeOnDrop for TrafficKey {}

impl core::fmt::Debug for TrafficKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TrafficKey({:?}, redacted)", self.aead)
    }
}

impl TrafficKey {
    /// For what the end with this role sends.
    pub(crate) fn derive(root: &Secret<32>, aead: Aead, role: u8) -> Self {
        let mut okm = [0; KEY_LEN_MAX + NONCE_LEN_MAX];
        let len = aead.key_len() + aead.nonce_len();
        kdf(&[root.expose()], &[], ctx("traffic", &[Part::Uint(role.into())]), &mut okm[..len]);
        Self { aead, okm }
    }

    /// Its suite.
    #[must_use]
    pub const fn aead(&self) -> Aead {
        self.aead
    }

    /// Key ‖ IV, for the device's state.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.okm[..self.aead.key_len() + self.aead.nonce_len()]
    }

    /// From key ‖ IV.
    ///
    /// # Errors
    /// `BadLength`.
    pub fn from_bytes(aead: Aead, bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.len() != aead.key_len() + aead.nonce_len() {
            return Err(CryptoError::BadLength);
        }
        let mut okm = [0; KEY_LEN_MAX + NONCE_LEN_MAX];
        okm[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { aead, okm })
    }

    /// What it becomes in a later life of the device: `KDF(key ‖ IV, salt, ctx("life"), same length)`. Both ends make it of what
    /// they have stored.
    #[must_use]
    pub fn in_life(&self, salt: &[u8; 8]) -> Self {
        let mut okm = [0; KEY_LEN_MAX + NONCE_LEN_MAX];
        let len = self.aead.key_len() + self.aead.nonce_len();
        kdf(&[self.expose()], salt, ctx("life", &[]), &mut okm[..len]);
        Self { aead: self.aead, okm }
    }

    /// A second copy, said aloud.
    #[must_use]
    pub const fn duplicate(&self) -> Self {
        Self { aead: self.aead, okm: self.okm }
    }

    /// What a padded text ends with, so that the receiver knows it for one: `f8(key ‖ IV, ctx("padded", run, sequence))`. Nobody else
    /// can make a text that ends like that.
    #[must_use]
    pub fn padding_mark(&self, run: u32, sequence: u32) -> [u8; 8] {
        keyed_hash8(self.expose(), ctx("padded", &[Part::Uint(run), Part::Uint(sequence)]))
    }

    /// IV ⊕ sequence, right-aligned.
    fn nonce(&self, sequence: u32) -> [u8; NONCE_LEN_MAX] {
        let (from, len) = (self.aead.key_len(), self.aead.nonce_len());
        let mut nonce = [0; NONCE_LEN_MAX];
        nonce[..len].copy_from_slice(&self.okm[from..from + len]);
        for (byte, with) in nonce[len - 4..len].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= with;
        }
        nonce
    }

    /// Seals the first `len` bytes of `buf` in place as this sequence number; returns the length with the tag. A number is used
    /// once: the caller has stored that it is used, and takes [`Self::in_life`] if that could have been set back.
    ///
    /// # Errors
    /// `BufferTooSmall`.
    pub fn seal(&self, run: u32, sequence: u32, buf: &mut [u8], len: usize) -> Result<usize, CryptoError> {
        let nonce = self.nonce(sequence);
        let aad = Buffer::of(array(&[Part::Uint(run), Part::Uint(sequence)]));
        let key = &self.okm[..self.aead.key_len()];
        self.aead.seal(key, &nonce[..self.aead.nonce_len()], aad.as_bytes(), buf, len)
    }

    /// Opens in place; returns the length of the text. What does not open is wiped.
    ///
    /// # Errors
    /// `NotOpened`, whatever the cause.
    pub fn open(&self, run: u32, sequence: u32, buf: &mut [u8]) -> Result<usize, CryptoError> {
        let nonce = self.nonce(sequence);
        let aad = Buffer::of(array(&[Part::Uint(run), Part::Uint(sequence)]));
        let key = &self.okm[..self.aead.key_len()];
        self.aead.open(key, &nonce[..self.aead.nonce_len()], aad.as_bytes(), buf)
    }
}
