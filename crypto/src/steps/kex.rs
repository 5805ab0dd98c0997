//! Key exchange (4.4, §6): B1–B6.

use crate::context::{
    Buffer, Context,
    Part::{Bytes, Uint},
    array, ctx,
};
use crate::hash::{derive, kdf, keyed_hash, keyed_hash8, sha256, sha256_of, short_hash};
use crate::{Aead, Element, SealKey, Secret};

/// B5: th_B from both elements.
#[must_use]
pub fn th_b(th_a: &[u8; 32], run: u32, n_i: &[u8], n_j: &[u8]) -> [u8; 32] {
    th_b_of_hashes(th_a, run, &short_hash(n_i), &short_hash(n_j))
}

/// B7: th_B from h(N_i), h(N_j); a device has the peer's hash only.
#[must_use]
pub fn th_b_of_hashes(th_a: &[u8; 32], run: u32, h_i: &[u8; 16], h_j: &[u8; 16]) -> [u8; 32] {
    sha256_of(array(&[Bytes(th_a), Uint(run), Bytes(h_i), Bytes(h_j)]))
}

/// §6: K' from K = N^r.
#[must_use]
pub fn k_prime(k: &Element) -> Secret<32> {
    derive(&[k.as_bytes()], &[], ctx("K", &[]))
}

/// B1, B3: the tag under K' (`docs/security.md`, row 5).
#[must_use]
pub fn b_tag(key: &Secret<32>, role: u8, run: u32, th_a: &[u8; 32], n: &[u8], f: &[u8]) -> [u8; 16] {
    keyed_hash(key.expose(), ctx("B", &[Uint(role.into()), Uint(run), Bytes(th_a), Bytes(n), Bytes(f)]))
}

/// B1, B3, compact: seals the body.
#[must_use]
pub fn b_body_compact(
    aead: Aead,
    temporary_key: &Secret<16>,
    registered_key: &Secret<32>,
    th_a: &[u8; 32],
    role: u8,
    run: u32,
    life: Option<&[u8; 8]>,
) -> SealKey {
    let ikm = [&temporary_key.expose()[..], &registered_key.expose()[..]];
    let parts = [Uint(role.into()), Uint(run)];
    let context = ctx("B body", &parts);
    match life {
        None => SealKey::derive(aead, &ikm, th_a, context),
        Some(_) => SealKey::derive(aead, &ikm, salt_b(th_a, run, life).as_bytes(), context),
    }
}

/// `[th_A, run]`, or `[th_A, run, life]`: two arrays that are never equal.
fn salt_b(th_a: &[u8; 32], run: u32, life: Option<&[u8; 8]>) -> Buffer {
    match life {
        None => Buffer::of(array(&[Bytes(th_a), Uint(run)])),
        Some(life) => Buffer::of(array(&[Bytes(th_a), Uint(run), Bytes(life)])),
    }
}

fn seal_b(aead: Aead, key: &[u8], th_a: &[u8; 32], run: u32, life: Option<&[u8; 8]>, context: Context<'_>) -> SealKey {
    SealKey::derive(aead, &[key], salt_b(th_a, run, life).as_bytes(), context)
}

/// B1, B3, classic: seals the body under k_t.
#[must_use]
pub fn b_outer(
    aead: Aead,
    temporary_key: &Secret<16>,
    th_a: &[u8; 32],
    run: u32,
    role: u8,
    life: Option<&[u8; 8]>,
) -> SealKey {
    seal_b(aead, temporary_key.expose(), th_a, run, life, ctx("B outer", &[Uint(role.into())]))
}

/// B1, B3, classic: seals E, the masked N, under k_d; bound to F_G(r).
#[must_use]
pub fn b_inner(
    aead: Aead,
    registered_key: &Secret<32>,
    th_a: &[u8; 32],
    run: u32,
    role: u8,
    f: &[u8],
    life: Option<&[u8; 8]>,
) -> SealKey {
    let hash = sha256(f);
    seal_b(aead, registered_key.expose(), th_a, run, life, ctx("B inner", &[Uint(role.into()), Bytes(&hash)]))
}

/// B1, B3, classic: the pad of N, as long as `out`.
///
/// # Panics
/// If `out` is longer than 8,160 bytes, HKDF's limit: a Half has room for a tenth of that.
pub fn b_pad(registered_key: &Secret<32>, th_a: &[u8; 32], run: u32, role: u8, life: Option<&[u8; 8]>, out: &mut [u8]) {
    let salt = salt_b(th_a, run, life);
    kdf(&[registered_key.expose()], salt.as_bytes(), ctx("B pad", &[Uint(role.into())]), out);
}

/// B2: seals `1`; role is the receiver's.
#[must_use]
pub fn b2(aead: Aead, temporary_key: &Secret<16>, th_a: &[u8; 32], run: u32, role: u8) -> SealKey {
    seal_b(aead, temporary_key.expose(), th_a, run, None, ctx("B2", &[Uint(role.into())]))
}

/// B6: seals Y, h(N) and the tag; role is the receiver's.
#[must_use]
pub fn b6(aead: Aead, temporary_key: &Secret<16>, th_a: &[u8; 32], run: u32, role: u8) -> SealKey {
    seal_b(aead, temporary_key.expose(), th_a, run, None, ctx("B6", &[Uint(role.into())]))
}

/// B6: the tag under the receiver's K' (`docs/security.md`, row 7).
#[must_use]
pub fn b6_tag(key: &Secret<32>, role: u8, run: u32, th_b: &[u8; 32], y: &[u8]) -> [u8; 8] {
    keyed_hash8(key.expose(), ctx("B6", &[Uint(role.into()), Uint(run), Bytes(th_b), Bytes(y)]))
}

/// B1's 2.01: the run waits for the other end.
#[must_use]
pub fn b_answer(temporary_key: &Secret<16>, request_hash: &[u8; 32]) -> [u8; 8] {
    keyed_hash8(temporary_key.expose(), ctx("B answer", &[Bytes(request_hash)]))
}

/// A refused Half.
#[must_use]
pub fn b_refusal(aead: Aead, temporary_key: &Secret<16>, request_hash: &[u8; 32], role: u8) -> SealKey {
    SealKey::derive(aead, &[temporary_key.expose()], request_hash, ctx("B refusal", &[Uint(role.into())]))
}
