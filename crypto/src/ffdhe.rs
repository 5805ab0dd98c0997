//! ffdhe2048 and ffdhe3072 (RFC 7919): the subgroup of quadratic residues, g = 2.
//!
//! p = 2q + 1 with q prime and p ≡ 7 mod 8, so 2 is a residue and generates the subgroup of order q, and an element is in it
//! exactly if its Jacobi symbol is 1.

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{JacobiSymbol, U256, U320, U2048, U3072, const_monty_params};
use zeroize::Zeroize;

use crate::context::ctx;
use crate::hash::derive;
use crate::{CryptoError, Element, Seed};

const_monty_params!(
    Ffdhe2048,
    U2048,
    "FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF9\
     7D2FE363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935\
     984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FB\
     B96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61\
     9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EFFA\
     886B423861285C97FFFFFFFFFFFFFFFF",
    "p of ffdhe2048"
);

const_monty_params!(
    Ffdhe3072,
    U3072,
    "FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF9\
     7D2FE363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935\
     984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FB\
     B96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61\
     9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EFFA\
     886B4238611FCFDCDE355B3B6519035BBC34F4DEF99C023861B46FC9D6E6C9077AD91D2691F7F7EE598CB0FAC186D91C\
     AEFE130985139270B4130C93BC437944F4FD4452E2D74DD364F2E21E71F54BFF5CAE82AB9C9DF69EE86D2BC522363A0D\
     ABC521979B0DEADA1DBF9A42D5C4484E0ABCD06BFA53DDEF3C1B20EE3FD59D7C25E41D2B66C62E37FFFFFFFFFFFFFFFF",
    "p of ffdhe3072"
);

/// A seed's exponent: its highest bit is set, so that all take equally long and none is small.
fn exponent<const N: usize>(seed: &Seed) -> [u8; N] {
    let wide = derive::<N>(&[seed.expose()], &[], ctx("scalar", &[]));
    let mut bytes = *wide.expose();
    bytes[0] |= 0x80;
    bytes
}

macro_rules! group {
    ($name:ident, $params:ident, $uint:ident, $bytes:literal, $exponent:ident, $exponent_bytes:literal) => {
        pub(crate) mod $name {
            use super::*;

            type Form = ConstMontyForm<$params, { $uint::LIMBS }>;

            fn form(bytes: &[u8]) -> Form {
                Form::new(&$uint::from_be_slice(bytes))
            }

            fn power(base: &Form, seed: &Seed) -> Element {
                let mut bytes = exponent::<$exponent_bytes>(seed);
                let mut exponent = $exponent::from_be_slice(&bytes);
                let result = base.pow_bounded_exp(&exponent, $exponent_bytes * 8).retrieve();
                bytes.zeroize();
                exponent.zeroize();
                Element::from_valid(result.to_be_bytes().as_ref())
            }

            /// g^x.
            pub(crate) fn exp_base(seed: &Seed) -> Element {
                power(&Form::new(&$uint::from_u8(2)), seed)
            }

            /// e^x.
            pub(crate) fn exp(element: &Element, seed: &Seed) -> Element {
                power(&form(element.as_bytes()), seed)
            }

            /// 1 < x < p − 1 and a quadratic residue.
            pub(crate) fn parse(bytes: &[u8]) -> Result<Element, CryptoError> {
                if bytes.len() != $bytes {
                    return Err(CryptoError::BadElement);
                }
                let value = $uint::from_be_slice(bytes);
                let modulus = <$params as ConstMontyParams<{ $uint::LIMBS }>>::PARAMS.modulus().get();
                let below = modulus.wrapping_sub(&$uint::ONE);
                if value <= $uint::ONE || value >= below {
                    return Err(CryptoError::BadElement);
                }
                // The element is public, so the time that this takes tells nothing.
                match form(bytes).jacobi_symbol_vartime() {
                    JacobiSymbol::One => Ok(Element::from_valid(bytes)),
                    _ => Err(CryptoError::BadElement),
                }
            }
        }
    };
}

group!(ffdhe2048, Ffdhe2048, U2048, 256, U256, 32);
group!(ffdhe3072, Ffdhe3072, U3072, 384, U320, 40);
