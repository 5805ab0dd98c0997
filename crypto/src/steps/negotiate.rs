//! Negotiation (4.3, §5): A1–A5.

use crate::context::{
    Buffer,
    Part::{Bytes, Uint},
    array, ctx,
};
use crate::hash::{derive, keyed_hash8, sha256_of};
use crate::{Aead, SealKey, Secret};

fn mask16(key: &Secret<32>, nonce: &[u8; 8], label: &'static str, value: &[u8; 16]) -> [u8; 16] {
    let pad = derive::<16>(&[key.expose()], nonce, ctx(label, &[]));
    core::array::from_fn(|at| value[at] ^ pad.expose()[at])
}

/// A1: k_t^i ⊕ its pad, both ways.
#[must_use]
pub fn a1_mask(registered_key: &Secret<32>, nonce_i: &[u8; 8], value: &[u8; 16]) -> [u8; 16] {
    mask16(registered_key, nonce_i, "A1 pad", value)
}

/// A1: f8 under k_di (`docs/security.md`, row 1). The number of the attach under which it is sent does not travel: both know it.
#[must_use]
#[expect(clippy::too_many_arguments, reason = "all fields of A1, the attach number and ID_G")]
pub fn a1_tag(
    registered_key: &Secret<32>,
    request_number: u32,
    attach_number: u32,
    nonce_i: &[u8; 8],
    masked: &[u8; 16],
    id_i: &[u8],
    id_j: &[u8],
    cid: u8,
    id_g: &[u8],
) -> [u8; 8] {
    let parts = [
        Uint(request_number),
        Uint(attach_number),
        Bytes(nonce_i),
        Bytes(masked),
        Bytes(id_i),
        Bytes(id_j),
        Uint(cid.into()),
        Bytes(id_g),
    ];
    keyed_hash8(registered_key.expose(), ctx("A1", &parts))
}

/// A1's 2.01: seals handle_i.
#[must_use]
pub fn a1_answer(aead: Aead, temporary_key: &Secret<16>, request_hash: &[u8; 32]) -> SealKey {
    SealKey::derive(aead, &[temporary_key.expose()], request_hash, ctx("A1 answer", &[]))
}

/// A1's refusal.
#[must_use]
pub fn a1_refusal(aead: Aead, temporary_key: &Secret<16>, request_hash: &[u8; 32]) -> SealKey {
    SealKey::derive(aead, &[temporary_key.expose()], request_hash, ctx("A1 refusal", &[]))
}

/// A3: k_t^j ⊕ its pad, both ways.
#[must_use]
pub fn a3_mask(registered_key: &Secret<32>, nonce_j: &[u8; 8], value: &[u8; 16]) -> [u8; 16] {
    mask16(registered_key, nonce_j, "A3 pad", value)
}

/// A3: f8 under k_dj (`docs/security.md`, row 2).
#[must_use]
#[expect(clippy::too_many_arguments, reason = "all fields of A3 and the three ids")]
pub fn a3_tag(
    registered_key: &Secret<32>,
    handle: &[u8; 4],
    nonce_g: &[u8; 8],
    nonce_j: &[u8; 8],
    masked: &[u8; 16],
    cid: u8,
    id_i: &[u8],
    id_j: &[u8],
    id_g: &[u8],
) -> [u8; 8] {
    let parts = [
        Bytes(handle),
        Bytes(nonce_g),
        Bytes(nonce_j),
        Bytes(masked),
        Uint(cid.into()),
        Bytes(id_i),
        Bytes(id_j),
        Bytes(id_g),
    ];
    keyed_hash8(registered_key.expose(), ctx("A3", &parts))
}

/// A3's 2.04.
#[must_use]
pub fn a3_answer(temporary_key: &Secret<16>, request_hash: &[u8; 32]) -> [u8; 8] {
    keyed_hash8(temporary_key.expose(), ctx("A3 answer", &[Bytes(request_hash)]))
}

/// A4: seals n_j and peer(k_t^j).
#[must_use]
pub fn a4(aead: Aead, temporary_key: &Secret<16>, nonce_i: &[u8; 8], nonce_g: &[u8; 8]) -> SealKey {
    let salt = Buffer::of(array(&[Bytes(nonce_i), Bytes(nonce_g)]));
    SealKey::derive(aead, &[temporary_key.expose()], salt.as_bytes(), ctx("A4", &[]))
}

/// A4 without agreement: seals the reason.
#[must_use]
pub fn a4_refusal(aead: Aead, temporary_key: &Secret<16>, nonce_i: &[u8; 8]) -> SealKey {
    SealKey::derive(aead, &[temporary_key.expose()], nonce_i, ctx("A4 refusal", &[]))
}

/// §5: what a peer gets of k_t.
#[must_use]
pub fn peer_key(temporary_key: &Secret<16>) -> Secret<16> {
    derive(&[temporary_key.expose()], &[], ctx("peer", &[]))
}

/// A5: th_A.
#[must_use]
#[expect(clippy::too_many_arguments, reason = "the transcript of the negotiation")]
pub fn th_a(
    version: u32,
    profile: u8,
    cid: u8,
    id_i: &[u8],
    id_j: &[u8],
    id_g: &[u8],
    nonce_i: &[u8; 8],
    nonce_g: &[u8; 8],
    nonce_j: &[u8; 8],
) -> [u8; 32] {
    sha256_of(array(&[
        Uint(version),
        Uint(profile.into()),
        Uint(cid.into()),
        Bytes(id_i),
        Bytes(id_j),
        Bytes(id_g),
        Bytes(nonce_i),
        Bytes(nonce_g),
        Bytes(nonce_j),
    ]))
}
