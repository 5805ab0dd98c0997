//! Comparisons, tags and exponentiations.

use std::hint::black_box;

use curve25519_dalek::scalar::Scalar;
use hkdf::Hkdf;
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use sga_crypto::{GroupId, Secret, Seed, steps, tags_equal};
use sha2::Sha256;

use super::clock::time;
use super::{Sampler, Samples};

/// Comparisons in one sample: one alone is shorter than the clock's step.
const REPEATED: usize = 64;

/// Seeds of which those with the lightest and the heaviest exponents are taken, and how many of each.
const DRAWN: usize = 4_096;
const TAKEN: usize = 32;

fn tag(rng: &mut ChaCha12Rng) -> [u8; 16] {
    let mut tag = [0; 16];
    rng.fill_bytes(&mut tag);
    tag
}

/// What must be found: a comparison that stops at the first difference.
fn leaky_equal(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).all(|(a, b)| black_box(a) == black_box(b))
}

/// A tag and one that differs in its first byte, or in its last.
fn compared(rng: &mut ChaCha12Rng, sampler: &mut Sampler, equal: fn(&[u8], &[u8]) -> bool) -> Samples {
    sampler.run(|class| {
        let right = tag(rng);
        let mut wrong = right;
        wrong[if class == 0 { 0 } else { 15 }] ^= 1;
        time(|| {
            for _ in 0..REPEATED {
                black_box(equal(black_box(&right), black_box(&wrong)));
            }
        })
    })
}

pub(crate) fn leaky(rng: &mut ChaCha12Rng, sampler: &mut Sampler) -> Samples {
    compared(rng, sampler, leaky_equal)
}

pub(crate) fn tags(rng: &mut ChaCha12Rng, sampler: &mut Sampler) -> Samples {
    compared(rng, sampler, tags_equal)
}

/// An f8 made and compared, as the gateway does with A1; wrong in its first byte, or in its last.
pub(crate) fn f8(rng: &mut ChaCha12Rng, sampler: &mut Sampler) -> Samples {
    let key = Secret::random(rng);
    let (nonce, masked) = ([3; 8], [4; 16]);
    let make = |number| steps::a1_tag(&key, number, 1, &nonce, &masked, b"alice", b"bob", 1, b"gate");
    sampler.run(|class| {
        let number = rng.next_u32() | 1 << 31;
        let mut wrong = make(number);
        wrong[if class == 0 { 0 } else { 7 }] ^= 1;
        time(|| {
            black_box(tags_equal(&make(black_box(number)), black_box(&wrong)));
        })
    })
}

/// Bits that are set in a seed's exponent (`docs/protocol.md` §1).
fn weight(group: GroupId, seed: &[u8; 32]) -> u32 {
    let expander = Hkdf::<Sha256>::new(None, seed);
    let mut wide = [0; 64];
    let wide = &mut wide[..if group.is_compact() { 64 } else { 32 }];
    expander.expand(b"\x81\x6bSGA1 scalar", wide).expect("two blocks");
    let ones = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum();
    match <&[u8; 64]>::try_from(&*wide) {
        Ok(wide) => ones(Scalar::from_bytes_mod_order_wide(wide).as_bytes()),
        Err(_) => ones(wide),
    }
}

/// g^a raised to exponents with few bits set, or with many.
pub(crate) fn exponents(group: GroupId, rng: &mut ChaCha12Rng, sampler: &mut Sampler) -> Samples {
    let mut seeds: Vec<[u8; 32]> = (0..DRAWN)
        .map(|_| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            seed
        })
        .collect();
    seeds.sort_by_cached_key(|seed| weight(group, seed));
    let element = group.exp_base(&Seed::new(rng));
    sampler.run(|class| {
        let at = rng.next_u32() as usize % TAKEN;
        let seed = Seed::from_bytes(seeds[if class == 0 { at } else { DRAWN - 1 - at }]);
        time(|| {
            black_box(group.exp(black_box(&element), black_box(&seed)));
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_exponents() {
        let seed = [7; 32];
        assert!((80..180).contains(&weight(GroupId::Ffdhe2048, &seed)));
        assert!((80..180).contains(&weight(GroupId::Ristretto255, &seed)));
        assert_ne!(weight(GroupId::Ffdhe2048, &[1; 32]), weight(GroupId::Ffdhe2048, &[3; 32]));
        assert!(leaky_equal(&[1, 2], &[1, 2]) && !leaky_equal(&[1, 2], &[1, 3]));
    }
}
