//! Values that hold devices' keys are sealed: a disk that was copied tells nothing without `gateway.key`.

use chacha20poly1305::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use sga_gateway_core::{Key, StoreError};

use crate::entropy;

const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;

/// Seals and opens under the at-rest key; a value is bound to its key in the store, so none can take another's place.
#[derive(Clone)]
pub(crate) struct Sealer(XChaCha20Poly1305);

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    pub(crate) fn seal(&self, key: Key, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        if !key.is_secret() {
            return Ok(value.to_vec());
        }
        let failed = |_| StoreError::Failed("cannot seal a record".into());
        let nonce: [u8; NONCE_LEN] = entropy::bytes().map_err(|error| StoreError::Failed(error.to_string()))?;
        let mut out = Vec::with_capacity(NONCE_LEN + value.len() + TAG_LEN);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(value);
        let body = InOutBuf::from(&mut out[NONCE_LEN..]);
        let tag = self.0.encrypt_inout_detached(&XNonce::from(nonce), &key.to_bytes(), body).map_err(failed)?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    pub(crate) fn open(&self, key: Key, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        if !key.is_secret() {
            return Ok(value.to_vec());
        }
        let damaged =
            || StoreError::Failed(format!("record {key:?} does not open: damaged, or under another gateway.key"));
        let (nonce, rest) = value.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or_else(damaged)?;
        let mut out = body.to_vec();
        self.0
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                &key.to_bytes(),
                InOutBuf::from(&mut out[..]),
                &Tag::from(*tag),
            )
            .map_err(|_| damaged())?;
        Ok(out)
    }
}
