use std::vec::Vec;

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{Limb, NonZero, U2048, U3072, U4096};

use crate::ffdhe::{P2048, P3072};
use crate::{CryptoError, Element, Ffdhe2048, Ffdhe3072, Group, GroupId, Seed};

/// ⌊2^bits · e⌋ from the series Σ 1/n!, with 128 bits more to round in.
fn scaled_e(bits: u32) -> U4096 {
    let mut term = U4096::ONE.shl_vartime(bits + 128);
    let mut sum = U4096::ZERO;
    for n in 1u32.. {
        sum = sum.wrapping_add(&term);
        term /= NonZero::new(Limb::from(n)).expect("counts from 1");
        if term == U4096::ZERO {
            break;
        }
    }
    sum.shr_vartime(128)
}

/// RFC 7919, Appendix A: 2^b − 2^(b−64) + (⌊2^(b−130)·e⌋ + X)·2^64 − 1.
fn by_formula(bits: u32, x: u64) -> Vec<u8> {
    let power = |exponent| U4096::ONE.shl_vartime(exponent);
    let middle = scaled_e(bits - 130).wrapping_add(&U4096::from_u64(x)).shl_vartime(64);
    let p = power(bits).wrapping_sub(&power(bits - 64)).wrapping_add(&middle).wrapping_sub(&U4096::ONE);
    let bytes = p.to_be_bytes();
    bytes.as_ref()[512 - bits as usize / 8..].to_vec()
}

#[test]
fn primes_follow_the_formula() {
    assert_eq!(P2048::PARAMS.modulus().get().to_be_bytes().as_ref(), by_formula(2048, 560_316));
    assert_eq!(P3072::PARAMS.modulus().get().to_be_bytes().as_ref(), by_formula(3072, 2_625_351));
}

/// Miller and Rabin's test for n ≡ 3 mod 4, where n − 1 is divisible by 2 once: a^((n−1)/2) = ±1 for 24 bases.
macro_rules! looks_prime {
    ($n:expr, $uint:ident) => {{
        let n: $uint = $n;
        assert_eq!(n.to_be_bytes().as_ref().last().map(|byte| byte & 3), Some(3));
        let params = crypto_bigint::modular::FixedMontyParams::new_vartime(crypto_bigint::Odd::new(n).expect("odd"));
        let half = n.shr_vartime(1);
        let minus_one = n.wrapping_sub(&$uint::ONE);
        (2u64..26).all(|small| {
            // Small bases and ones spread over the whole range.
            let base = $uint::from_u64(small).wrapping_add(&half.shr_vartime(small as u32 * 7));
            let form = crypto_bigint::modular::FixedMontyForm::new(&base, &params);
            let power = form.pow_vartime(&half).retrieve();
            power == $uint::ONE || power == minus_one
        })
    }};
}

#[test]
fn primes_are_safe() {
    let p = P2048::PARAMS.modulus().get();
    assert!(looks_prime!(p, U2048) && looks_prime!(p.shr_vartime(1), U2048));
    let p = P3072::PARAMS.modulus().get();
    assert!(looks_prime!(p, U3072) && looks_prime!(p.shr_vartime(1), U3072));
    assert!(!looks_prime!(p.wrapping_sub(&U3072::from_u8(64)), U3072));
}

macro_rules! element_tests {
    ($name:ident, $group:ident, $params:ident, $uint:ident) => {
        mod $name {
            use super::*;

            fn parse(value: &$uint) -> Result<Element, CryptoError> {
                $group::parse(value.to_be_bytes().as_ref())
            }

            #[test]
            fn refuses_what_may_not_be_used() {
                let p = $params::PARAMS.modulus().get();
                let two = $uint::from_u8(2);
                for bad in [
                    $uint::ZERO,
                    $uint::ONE,
                    // p ≡ 7 mod 8, so −1 is no residue, and neither is the negative of one.
                    p.wrapping_sub(&$uint::ONE),
                    p.wrapping_sub(&two),
                    p.wrapping_sub(&$uint::from_u8(4)),
                    // Not reduced.
                    p,
                    p.wrapping_add(&$uint::ONE),
                    p.wrapping_add(&two),
                    $uint::MAX,
                ] {
                    assert_eq!(parse(&bad).err(), Some(CryptoError::BadElement), "{bad}");
                }
                assert!(parse(&two).is_ok() && parse(&$uint::from_u8(4)).is_ok());
                let bytes = two.to_be_bytes();
                let bytes: &[u8] = bytes.as_ref();
                assert!($group::parse(&bytes[1..]).is_err() && $group::parse(&[]).is_err());
                assert!($group::parse(&[&[0], bytes].concat()).is_err());
            }

            /// q is prime and 2 ≠ 1, so 2^q = 1 makes its order q.
            #[test]
            fn generator_has_order_q() {
                let q = $params::PARAMS.modulus().get().shr_vartime(1);
                let two = ConstMontyForm::<$params, { $uint::LIMBS }>::new(&$uint::from_u8(2));
                assert_eq!(two.pow_vartime(&q).retrieve(), $uint::ONE);
            }

            #[test]
            fn residues_by_jacobi_are_those_by_euler() {
                let p = $params::PARAMS.modulus().get();
                let half = p.shr_vartime(1);
                let mut seen = [0; 2];
                for small in 2u8..40 {
                    let value = half.shr_vartime(u32::from(small)).wrapping_add(&$uint::from_u8(small));
                    let euler = ConstMontyForm::<$params, { $uint::LIMBS }>::new(&value).pow_vartime(&half).retrieve();
                    assert_eq!(parse(&value).is_ok(), euler == $uint::ONE);
                    seen[usize::from(euler == $uint::ONE)] += 1;
                }
                assert!(seen.iter().all(|count| *count > 5));
            }

            #[test]
            fn powers_commute_and_stay_in_the_group() {
                let (x, y) = (Seed::from_bytes([1; 32]), Seed::from_bytes([2; 32]));
                let (gx, gy) = ($group::exp_base(&x), $group::exp_base(&y));
                let shared = $group::exp(&gx, &y);
                assert!(shared == $group::exp(&gy, &x) && gx != gy);
                for element in [&gx, &gy, &shared] {
                    assert!($group::parse(element.as_bytes()).is_ok());
                }
                let g = parse(&$uint::from_u8(2)).expect("g");
                assert!($group::exp(&g, &x) == gx);
                assert_eq!(gx.as_bytes().len(), GroupId::$group.element_len());
            }
        }
    };
}

element_tests!(ffdhe2048, Ffdhe2048, P2048, U2048);
element_tests!(ffdhe3072, Ffdhe3072, P3072, U3072);

#[test]
#[should_panic(expected = "another group")]
fn groups_are_not_mixed() {
    let seed = Seed::from_bytes([1; 32]);
    let _ = Ffdhe3072::exp(&Ffdhe2048::exp_base(&seed), &seed);
}
