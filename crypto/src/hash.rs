//! SHA-256, HKDF and the keyed hash f.

use hkdf::HkdfExtract;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Secret;
use crate::context::{Buffer, Context};

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// h: SHA-256 cut to 16 bytes.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> [u8; 16] {
    cut(&sha256(bytes))
}

/// Whether two tags are the same, in a time that depends on their lengths only.
#[must_use]
pub fn tags_equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// The first N bytes.
pub(crate) fn cut<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

/// SHA-256 of an array.
pub(crate) fn sha256_of(context: Context<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    context.write(&mut |piece| hash.update(piece));
    hash.finalize().into()
}

/// HKDF-SHA-256 (RFC 5869); the pieces of ikm stand one after the other.
pub(crate) fn hkdf_sha256(ikm: &[&[u8]], salt: &[u8], info: &[u8], out: &mut [u8]) {
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    ikm.iter().for_each(|piece| extract.input_ikm(piece));
    let (_, expander) = extract.finalize();
    expander.expand(info, out).expect("no output of this protocol is longer than 255 blocks");
}

/// HMAC-SHA-256 of what `write` hands to its sink.
pub(crate) fn hmac_sha256(key: &[u8], write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    write(&mut |piece| mac.update(piece));
    mac.finalize().into_bytes().into()
}

/// `KDF(ikm, salt, context, out.len())`.
pub(crate) fn kdf(ikm: &[&[u8]], salt: &[u8], context: Context<'_>, out: &mut [u8]) {
    hkdf_sha256(ikm, salt, Buffer::of(context).as_bytes(), out);
}

/// A key of N bytes by [`kdf`].
pub(crate) fn derive<const N: usize>(ikm: &[&[u8]], salt: &[u8], context: Context<'_>) -> Secret<N> {
    let mut key = Secret::new([0; N]);
    kdf(ikm, salt, context, key.expose_mut());
    key
}

/// `f(key, context)`: the paper's f_k.
pub(crate) fn keyed_hash(key: &[u8], context: Context<'_>) -> [u8; 16] {
    keyed_hash_cut(key, context)
}

/// `f8(key, context)`.
pub(crate) fn keyed_hash8(key: &[u8], context: Context<'_>) -> [u8; 8] {
    keyed_hash_cut(key, context)
}

/// Each label has a key of its own, so that a tag made for one purpose means nothing elsewhere.
fn keyed_hash_cut<const N: usize>(key: &[u8], context: Context<'_>) -> [u8; N] {
    let key = derive::<32>(&[key], &[], Context { parts: &[], ..context });
    cut(&hmac_sha256(key.expose(), |sink| context.write(sink)))
}
