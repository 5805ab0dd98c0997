//! One function per equation of `docs/protocol.md`, by section and step of the paper.
//!
//! Ids, elements and hashes are bytes; nonces are 8 bytes; `role` is 0 for d_i and 1 for d_j.

use crate::context::{Buffer, Context, Part, array, ctx};
use crate::hash::{cut, derive, kdf, keyed_hash, keyed_hash8, sha256, sha256_of, short_hash};
use crate::pk::{self, PkPurpose};
use crate::trapdoor::{self, Trapdoor};
use crate::{Aead, CryptoError, Element, GroupId, SealKey, Secret, Seed, TrafficKey};

use Part::{Bytes, Uint};

/// §2: the pin of a package.
#[must_use]
pub fn pin(version: u32, profile: u8, public_key: &[u8]) -> [u8; 16] {
    cut(&sha256_of(array(&[Uint(version), Uint(profile.into()), Bytes(public_key)])))
}

/// §1: E_PK. Writes enc ‖ ct into `out`, returns its length.
///
/// # Errors
/// `BufferTooSmall`: it needs the plaintext and [`pk_overhead`].
pub fn pk_seal(
    group: GroupId,
    public: &Element,
    e: &Seed,
    purpose: PkPurpose,
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<usize, CryptoError> {
    pk::seal(group, public, e, purpose, plaintext, out)
}

/// §1: bytes that E_PK adds.
#[must_use]
pub const fn pk_overhead(group: GroupId) -> usize {
    pk::overhead(group)
}

/// §1: D_PR. Writes the plaintext into `out` (as long as the ciphertext at least), returns its length.
///
/// # Errors
/// `NotOpened`, `BufferTooSmall`.
pub fn pk_open(
    group: GroupId,
    secret: &Seed,
    public: &Element,
    purpose: PkPurpose,
    bytes: &[u8],
    out: &mut [u8],
) -> Result<usize, CryptoError> {
    pk::open(group, secret, public, purpose, bytes, out)
}

/// §1: F_G(r); empty in the compact profile.
#[must_use]
pub fn trapdoor(group: GroupId, public: &Element, r: &Seed) -> Trapdoor {
    trapdoor::close(group, public, r)
}

/// §1: r from F_G(r).
///
/// # Errors
/// `NotOpened` unless it is F_G of the r inside.
pub fn trapdoor_open(group: GroupId, secret: &Seed, public: &Element, bytes: &[u8]) -> Result<Seed, CryptoError> {
    trapdoor::open(group, secret, public, bytes)
}

/// §1, compact: r at the device.
#[must_use]
pub fn encapsulated_r(group: GroupId, public: &Element, big_r: &Seed, n: &Element) -> Seed {
    trapdoor::encapsulated(group, public, big_r, n)
}

/// §1, compact: r at the gateway.
#[must_use]
pub fn decapsulated_r(group: GroupId, secret: &Seed, public: &Element, n: &Element) -> Seed {
    trapdoor::decapsulated(group, secret, public, n)
}

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

fn mask16(key: &Secret<32>, nonce: &[u8; 8], label: &'static str, value: &[u8; 16]) -> [u8; 16] {
    let pad = derive::<16>(&[key.expose()], nonce, ctx(label, &[]));
    core::array::from_fn(|at| value[at] ^ pad.expose()[at])
}

/// A1: k_t^i ⊕ its pad, both ways.
#[must_use]
pub fn a1_mask(registered_key: &Secret<32>, nonce_i: &[u8; 8], value: &[u8; 16]) -> [u8; 16] {
    mask16(registered_key, nonce_i, "A1 pad", value)
}

/// A3: k_t^j ⊕ its pad, both ways.
#[must_use]
pub fn a3_mask(registered_key: &Secret<32>, nonce_j: &[u8; 8], value: &[u8; 16]) -> [u8; 16] {
    mask16(registered_key, nonce_j, "A3 pad", value)
}

/// A1: f8 under k_di (repair 1).
#[must_use]
#[expect(clippy::too_many_arguments, reason = "all fields of A1 and ID_G")]
pub fn a1_tag(
    registered_key: &Secret<32>,
    request_number: u32,
    nonce_i: &[u8; 8],
    masked: &[u8; 16],
    id_i: &[u8],
    id_j: &[u8],
    cid: u8,
    id_g: &[u8],
) -> [u8; 8] {
    let parts =
        [Uint(request_number), Bytes(nonce_i), Bytes(masked), Bytes(id_i), Bytes(id_j), Uint(cid.into()), Bytes(id_g)];
    keyed_hash8(registered_key.expose(), ctx("A1", &parts))
}

/// A3: f8 under k_dj (repair 2).
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

/// B1, B3: the tag under K' (repair 5).
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
) -> SealKey {
    let ikm = [&temporary_key.expose()[..], &registered_key.expose()[..]];
    SealKey::derive(aead, &ikm, th_a, ctx("B body", &[Uint(role.into()), Uint(run)]))
}

fn th_a_and_run(th_a: &[u8; 32], run: u32) -> Buffer {
    Buffer::of(array(&[Bytes(th_a), Uint(run)]))
}

fn seal_b(aead: Aead, key: &[u8], th_a: &[u8; 32], run: u32, context: Context<'_>) -> SealKey {
    SealKey::derive(aead, &[key], th_a_and_run(th_a, run).as_bytes(), context)
}

/// B1, B3, classic: seals the body under k_t.
#[must_use]
pub fn b_outer(aead: Aead, temporary_key: &Secret<16>, th_a: &[u8; 32], run: u32, role: u8) -> SealKey {
    seal_b(aead, temporary_key.expose(), th_a, run, ctx("B outer", &[Uint(role.into())]))
}

/// B1, B3, classic: seals E, the masked N, under k_d; bound to F_G(r).
#[must_use]
pub fn b_inner(aead: Aead, registered_key: &Secret<32>, th_a: &[u8; 32], run: u32, role: u8, f: &[u8]) -> SealKey {
    let hash = sha256(f);
    seal_b(aead, registered_key.expose(), th_a, run, ctx("B inner", &[Uint(role.into()), Bytes(&hash)]))
}

/// B1, B3, classic: the pad of N, as long as `out`.
pub fn b_pad(registered_key: &Secret<32>, th_a: &[u8; 32], run: u32, role: u8, out: &mut [u8]) {
    let salt = th_a_and_run(th_a, run);
    kdf(&[registered_key.expose()], salt.as_bytes(), ctx("B pad", &[Uint(role.into())]), out);
}

/// B2: seals `1`; role is the receiver's.
#[must_use]
pub fn b2(aead: Aead, temporary_key: &Secret<16>, th_a: &[u8; 32], run: u32, role: u8) -> SealKey {
    seal_b(aead, temporary_key.expose(), th_a, run, ctx("B2", &[Uint(role.into())]))
}

/// B6: seals Y, h(N) and the tag; role is the receiver's.
#[must_use]
pub fn b6(aead: Aead, temporary_key: &Secret<16>, th_a: &[u8; 32], run: u32, role: u8) -> SealKey {
    seal_b(aead, temporary_key.expose(), th_a, run, ctx("B6", &[Uint(role.into())]))
}

/// B6: the tag under the receiver's K' (repair 7).
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

/// B7: root, from the session element K_isj and, if the devices share one, a pair secret.
#[must_use]
pub fn root(
    element: &Element,
    peer_i: &Secret<16>,
    peer_j: &Secret<16>,
    pair: Option<&Secret<32>>,
    th_b: &[u8; 32],
) -> Secret<32> {
    let pair_bytes = pair.map_or(&[][..], |secret| &secret.expose()[..]);
    let ikm = [element.as_bytes(), peer_i.expose(), peer_j.expose(), pair_bytes];
    derive(&ikm, th_b, ctx("root", &[Uint(pair.is_some().into())]))
}

/// B7: key and IV for what the end with this role sends.
#[must_use]
pub fn traffic(root: &Secret<32>, aead: Aead, role: u8) -> TrafficKey {
    TrafficKey::derive(root, aead, role)
}

/// B7: what both ends can show and compare.
#[must_use]
pub fn comparison_code(root: &Secret<32>) -> [u8; 32] {
    *derive::<32>(&[root.expose()], &[], ctx("code", &[])).expose()
}

/// The comparison code as 60 decimal digits: twelve groups of five, each from 20 bits or more of the code.
#[must_use]
pub fn comparison_digits(code: &[u8; 32]) -> [u8; 60] {
    let mut digits = [0; 60];
    for (group, digits) in digits.chunks_mut(5).enumerate() {
        // 12 groups of 21 bits: 252 of the 256.
        let from = group * 21;
        let mut value = (from..from + 21)
            .fold(0u32, |value, bit| value << 1 | u32::from(code[bit / 8] >> (7 - bit % 8) & 1))
            % 100_000;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
    digits
}

/// §6: the hop key of the end whose K' it is.
#[must_use]
pub fn hop_key(key: &Secret<32>, th_b: &[u8; 32]) -> Secret<32> {
    derive(&[key.expose()], th_b, ctx("hop", &[]))
}

/// §7: what shows the gateway that the session's device sent this.
#[must_use]
pub fn hop_tag(hop_key: &Secret<32>, handle: &[u8; 4], run: u32, sequence: u32, ciphertext: &[u8]) -> [u8; 8] {
    keyed_hash8(hop_key.expose(), ctx("hop", &[Bytes(handle), Uint(run), Uint(sequence), Bytes(ciphertext)]))
}

/// §7: what shows the device that the gateway has stored it.
#[must_use]
pub fn stored_tag(hop_key: &Secret<32>, handle: &[u8; 4], run: u32, sequence: u32) -> [u8; 8] {
    keyed_hash8(hop_key.expose(), ctx("stored", &[Bytes(handle), Uint(run), Uint(sequence)]))
}
