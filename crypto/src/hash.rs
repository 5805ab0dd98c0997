//! SHA-256, HKDF and the keyed hash f.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::Secret;
use crate::context::{Buffer, Context, ctx};

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

/// `KDF(ikm…, salt, context, out.len())`; the pieces of ikm stand one after the other.
pub(crate) fn kdf(ikm: &[&[u8]], salt: &[u8], context: Context<'_>, out: &mut [u8]) {
    let mut extract = hkdf::HkdfExtract::<Sha256>::new(Some(salt));
    for piece in ikm {
        extract.input_ikm(piece);
    }
    let (_, expander): (_, Hkdf<Sha256>) = extract.finalize();
    let info = Buffer::of(context);
    expander.expand(info.as_bytes(), out).expect("no output of this protocol is longer than 255 blocks");
}

/// A key of N bytes by [`kdf`].
pub(crate) fn derive<const N: usize>(ikm: &[&[u8]], salt: &[u8], context: Context<'_>) -> Secret<N> {
    let mut key = Secret::new([0; N]);
    kdf(ikm, salt, context, key.expose_mut());
    key
}

/// `f(key, context)`: the paper's f_k.
pub(crate) fn keyed_hash(key: &[u8], context: Context<'_>) -> [u8; 16] {
    let label = context.label.unwrap_or_default();
    let key = derive::<32>(&[key], &[], ctx(label, &[]));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes keys of any length");
    context.write(&mut |piece| mac.update(piece));
    let all: [u8; 32] = mac.finalize().into_bytes().into();
    cut(&all)
}

/// `f8(key, context)`.
pub(crate) fn keyed_hash8(key: &[u8], context: Context<'_>) -> [u8; 8] {
    let all = keyed_hash(key, context);
    let mut out = [0; 8];
    out.copy_from_slice(&all[..8]);
    out
}
