//! Ways to bend a message.

use std::collections::BTreeSet;

use minicbor::{Decoder, Encoder};

/// The encoded elements of an array.
pub(crate) fn fields(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(bytes);
    let count = decoder.array().expect("an array").expect("of definite length");
    (0..count)
        .map(|_| {
            let from = decoder.position();
            decoder.skip().expect("an element");
            bytes[from..decoder.position()].to_vec()
        })
        .collect()
}

/// An array of encoded elements.
pub(crate) fn array(fields: &[Vec<u8>]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.array(fields.len() as u64).expect("a vector has room");
    let mut bytes = encoder.into_writer();
    fields.iter().for_each(|field| bytes.extend(field));
    bytes
}

/// All messages of which some parts are from one and the others from the other: every choice that gives neither of the two.
pub(crate) fn mixed(one: &[Vec<u8>], other: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    if one.len() != other.len() {
        return Vec::new();
    }
    let pick = |chosen: u32| -> Vec<Vec<u8>> {
        let from = |at: usize| if chosen >> at & 1 == 1 { &other[at] } else { &one[at] };
        (0..one.len()).map(|at| from(at).clone()).collect()
    };
    let all: BTreeSet<_> = (0..1 << one.len()).map(pick).collect();
    all.into_iter().filter(|mix| mix != one && mix != other).collect()
}

/// The same of two encoded arrays.
pub(crate) fn spliced(one: &[u8], other: &[u8]) -> Vec<Vec<u8>> {
    mixed(&fields(one), &fields(other)).iter().map(|fields| array(fields)).collect()
}

/// With one field from the other, and with all but one.
pub(crate) fn exchanged(one: &[u8], other: &[u8]) -> Vec<Vec<u8>> {
    let (one, other) = (fields(one), fields(other));
    if one.len() != other.len() {
        return Vec::new();
    }
    let with = |into: &[Vec<u8>], at: usize, from: &[Vec<u8>]| {
        let mut fields = into.to_vec();
        fields[at].clone_from(&from[at]);
        fields
    };
    let both = (0..one.len()).flat_map(|at| [with(&one, at, &other), with(&other, at, &one)]);
    let all: BTreeSet<_> = both.filter(|mix| *mix != one && *mix != other).collect();
    all.iter().map(|fields| array(fields)).collect()
}

/// Every shorter message that this one begins with.
pub(crate) fn truncated(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).map(|len| bytes[..len].to_vec())
}

/// One bit changed, at every place.
pub(crate) fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut bent = bytes.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        bent
    })
}

/// One bit changed in every byte, each time another.
pub(crate) fn flipped_once(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    flipped(bytes).enumerate().filter(|(bit, _)| bit % 8 == bit / 8 % 8).map(|(_, bent)| bent)
}
