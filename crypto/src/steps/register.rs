//! Registration (4.1, §3) and the inbox (§4).

use crate::context::{
    Buffer,
    Part::{Bytes, Uint},
    array, ctx,
};
use crate::hash::keyed_hash;
use crate::{Aead, SealKey, Secret};

/// §3: proof of enrolment.
#[must_use]
pub fn enrol_proof(
    secret: &[u8],
    package_hash: &[u8; 32],
    registered_key: &Secret<32>,
    suite: u8,
    suites: u32,
    id: &[u8],
) -> [u8; 16] {
    proof("enrol", secret, package_hash, registered_key, suite, suites, id)
}

/// §3: proof of the key that is to be replaced.
#[must_use]
pub fn rotation_proof(
    old_key: &Secret<32>,
    package_hash: &[u8; 32],
    registered_key: &Secret<32>,
    suite: u8,
    suites: u32,
    id: &[u8],
) -> [u8; 16] {
    proof("rotate", old_key.expose(), package_hash, registered_key, suite, suites, id)
}

fn proof(
    label: &'static str,
    secret: &[u8],
    package_hash: &[u8; 32],
    registered_key: &Secret<32>,
    suite: u8,
    suites: u32,
    id: &[u8],
) -> [u8; 16] {
    let parts = [Bytes(package_hash), Bytes(registered_key.expose()), Uint(suite.into()), Uint(suites), Bytes(id)];
    keyed_hash(secret, ctx(label, &parts))
}

/// §3: seals B of Register; the salt is the hash of A.
#[must_use]
pub fn register_id(aead: Aead, registered_key: &Secret<32>, a_hash: &[u8; 32]) -> SealKey {
    SealKey::derive(aead, &[registered_key.expose()], a_hash, ctx("register id", &[]))
}

/// §3: seals G of Registered.
#[must_use]
pub fn registered(aead: Aead, registered_key: &Secret<32>, request_hash: &[u8; 32], nonce: &[u8; 8]) -> SealKey {
    let salt = Buffer::of(array(&[Bytes(request_hash), Bytes(nonce)]));
    SealKey::derive(aead, &[registered_key.expose()], salt.as_bytes(), ctx("registered", &[]))
}

/// §4: seals an Attach.
#[must_use]
pub fn attach(aead: Aead, registered_key: &Secret<32>, nonce: &[u8; 8]) -> SealKey {
    SealKey::derive(aead, &[registered_key.expose()], nonce, ctx("attach", &[]))
}

/// §4: seals an Inbox; `counter` is its nonce.
#[must_use]
pub fn inbox(aead: Aead, registered_key: &Secret<32>, nonce: &[u8; 8], counter: u32) -> SealKey {
    SealKey::derive_with_nonce(aead, &[registered_key.expose()], nonce, ctx("inbox", &[]), counter)
}

/// §4: seals an Ack.
#[must_use]
pub fn ack(aead: Aead, registered_key: &Secret<32>, nonce: &[u8; 8], counter: u32) -> SealKey {
    let salt = Buffer::of(array(&[Bytes(nonce), Uint(counter)]));
    SealKey::derive(aead, &[registered_key.expose()], salt.as_bytes(), ctx("ack", &[]))
}
