//! Everything at rest is sealed: a disk that was copied tells nothing without `gateway.key`, and a byte that has flipped is never
//! taken for what was stored.

use chacha20poly1305::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// Bytes of nonce before, and of tag behind, what is sealed.
pub(crate) const NONCE_LEN: usize = 24;
pub(crate) const TAG_LEN: usize = 16;

/// The bytes are not what this store has sealed under this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOpened;

/// Seals and opens. What is sealed is bound to a name, so that nothing can take another's place.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
    rng: ChaCha12Rng,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer { redacted }")
    }
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32], seed: [u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()), rng: ChaCha12Rng::from_seed(seed) }
    }

    /// Another one for another thread.
    pub(crate) fn split(&mut self) -> Self {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        Self { cipher: self.cipher.clone(), rng: ChaCha12Rng::from_seed(seed) }
    }

    /// `nonce ‖ ciphertext ‖ tag`. Nonces are random and long enough for that.
    pub(crate) fn seal(&mut self, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(NONCE_LEN + value.len() + TAG_LEN);
        let mut nonce = [0; NONCE_LEN];
        self.rng.fill_bytes(&mut nonce);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(value);
        let body = InOutBuf::from(&mut out[NONCE_LEN..]);
        let tag = self
            .cipher
            .encrypt_inout_detached(&XNonce::from(nonce), name, body)
            .expect("what is sealed is far shorter than the cipher's limit");
        out.extend_from_slice(&tag);
        out
    }

    pub(crate) fn open(&self, name: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotOpened> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(NotOpened)?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(NotOpened)?;
        let mut out = body.to_vec();
        self.cipher
            .decrypt_inout_detached(&XNonce::from(*nonce), name, InOutBuf::from(&mut out[..]), &Tag::from(*tag))
            .map_err(|_| NotOpened)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_own_key_and_name_only() {
        let mut one = Sealer::new(&[1; 32], [1; 32]);
        let two = Sealer::new(&[2; 32], [1; 32]);
        let sealed = one.seal(b"name", b"k_d");
        assert_eq!(one.open(b"name", &sealed).as_deref(), Ok(&b"k_d"[..]));
        assert!(!sealed.windows(3).any(|window| window == b"k_d"));
        assert!(one.open(b"nam", &sealed).is_err() && two.open(b"name", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(one.open(b"name", &bent).is_err(), "byte {at}");
            assert!(one.open(b"name", &sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
