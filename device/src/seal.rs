//! Sealing and opening of whole messages in fixed buffers.

use sga_crypto::{Aead, PkPurpose, SealKey, Seed, steps};
use sga_schema::{Message, Suite, padding};
use subtle::ConstantTimeEq;

use crate::error::DeviceError;
use crate::gateway_side::Package;

/// Holds one element of any profile and what travels with it.
pub(crate) const ELEMENT_SCRATCH_LEN: usize = 576;

/// The mathematics' name of a suite.
pub(crate) fn aead(suite: Suite) -> Aead {
    Aead::from_id(suite.id()).expect("both crates know the same suites: a test says so")
}

/// Whether two tags are the same, in constant time.
pub(crate) fn tags_equal(one: &[u8; 8], other: &[u8; 8]) -> bool {
    one.ct_eq(other).into()
}

/// Encodes into a buffer.
pub(crate) fn encode<'a, M: Message<'a>>(message: &M, buf: &mut [u8]) -> Result<usize, DeviceError> {
    sga_schema::encode(message, buf).map_err(|_| DeviceError::BufferTooSmall)
}

/// Seals a message; what it is sealed into.
pub(crate) fn seal<'a, 'b, M: Message<'a>>(
    key: SealKey,
    message: &M,
    buf: &'b mut [u8],
) -> Result<&'b [u8], DeviceError> {
    let len = encode(message, buf)?;
    let sealed = key.seal(buf, len).map_err(|_| DeviceError::BufferTooSmall)?;
    buf.get(..sealed).ok_or(DeviceError::Internal)
}

/// The same, padded to so many bytes of what is sealed, if any.
pub(crate) fn seal_padded<'a, 'b, M: Message<'a>>(
    key: SealKey,
    suite: Suite,
    message: &M,
    sealed_len: Option<usize>,
    buf: &'b mut [u8],
) -> Result<&'b [u8], DeviceError> {
    let mut len = encode(message, buf)?;
    if let Some(sealed_len) = sealed_len {
        let to = sealed_len.saturating_sub(suite.tag_len());
        padding::pad(buf, len, to).map_err(|_| DeviceError::BufferTooSmall)?;
        len = to;
    }
    let sealed = key.seal(buf, len).map_err(|_| DeviceError::BufferTooSmall)?;
    buf.get(..sealed).ok_or(DeviceError::Internal)
}

/// Opens a copy of what was sealed and decodes it; `None` if any of this fails.
pub(crate) fn open<'b, M: Message<'b>>(key: SealKey, sealed: &[u8], scratch: &'b mut [u8]) -> Option<M> {
    let copy = scratch.get_mut(..sealed.len())?;
    copy.copy_from_slice(sealed);
    let len = key.open(copy).ok()?;
    sga_schema::decode(scratch.get(..len)?).ok()
}

/// `pk(…)` for the gateway.
pub(crate) fn seal_pk<'b>(
    package: &Package,
    purpose: PkPurpose,
    seed: &Seed,
    plain: &[u8],
    buf: &'b mut [u8],
) -> Result<&'b [u8], DeviceError> {
    let len = steps::pk_seal(package.group, &package.public, seed, purpose, plain, buf)
        .map_err(|_| DeviceError::BufferTooSmall)?;
    buf.get(..len).ok_or(DeviceError::Internal)
}
