//! What a run gives (B7) and messages (4.5, §7).

use crate::context::{
    Part::{self, Bytes, Uint},
    ctx,
};
use crate::hash::{derive, keyed_hash8};
use crate::{Aead, Element, Secret, TrafficKey};

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

/// The comparison code as 60 ASCII digits: twelve groups of five, each the next 21 bits of the code modulo 100,000.
#[must_use]
pub fn comparison_digits(code: &[u8; 32]) -> [u8; 60] {
    let mut digits = [0; 60];
    for (group, digits) in digits.chunks_mut(5).enumerate() {
        // 252 of the 256 bits.
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
pub fn hop_tag(
    hop_key: &Secret<32>,
    handle: &[u8; 4],
    run: u32,
    sequence: u32,
    ciphertext: &[u8],
    life: Option<&[u8; 8]>,
) -> [u8; 8] {
    let parts = [Bytes(handle), Uint(run), Uint(sequence), Bytes(ciphertext)];
    with_life("hop", hop_key, parts, life)
}

/// §7: what shows the device that the gateway has stored it.
#[must_use]
pub fn stored_tag(hop_key: &Secret<32>, handle: &[u8; 4], run: u32, sequence: u32, life: Option<&[u8; 8]>) -> [u8; 8] {
    with_life("stored", hop_key, [Bytes(handle), Uint(run), Uint(sequence)], life)
}

/// f8 over these parts, and over the salt behind them if there is one.
fn with_life<const N: usize>(
    label: &'static str,
    key: &Secret<32>,
    parts: [Part<'_>; N],
    life: Option<&[u8; 8]>,
) -> [u8; 8] {
    let Some(life) = life else { return keyed_hash8(key.expose(), ctx(label, &parts)) };
    let mut longer = [Bytes(life); PARTS_MAX];
    longer[..N].copy_from_slice(&parts);
    keyed_hash8(key.expose(), ctx(label, &longer[..=N]))
}

/// Elements of the longest context with a salt.
const PARTS_MAX: usize = 5;
