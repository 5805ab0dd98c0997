//! ffdhe2048 and ffdhe3072 (RFC 7919): the subgroup of quadratic residues, g = 2.
//!
//! p = 2q + 1 with q prime and p ≡ 7 mod 8, so 2 is a residue and generates the subgroup of order q, and an element is in it
//! exactly if its Jacobi symbol is 1.

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{JacobiSymbol, U256, U320, U2048, U3072, const_monty_params};
use zeroize::Zeroize;

use crate::context::ctx;
use crate::hash::derive;
use crate::{CryptoError, Element, Group, GroupId, Seed};

const_monty_params!(
    P2048,
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
    P3072,
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
    ($(#[$doc:meta])* $name:ident, $params:ident, $uint:ident, $exponent:ident, $exponent_len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl $name {
            fn power(base: &$uint, seed: &Seed) -> Element {
                let mut base = ConstMontyForm::<$params, { $uint::LIMBS }>::new(base);
                let mut bytes = exponent::<$exponent_len>(seed);
                let mut exponent = $exponent::from_be_slice(&bytes);
                let mut power = base.pow_bounded_exp(&exponent, $exponent::BITS);
                let mut result = power.retrieve();
                let mut encoded = result.to_be_bytes();
                let element = Element::from_valid(GroupId::$name, encoded.as_ref());
                bytes.zeroize();
                exponent.zeroize();
                base.zeroize();
                power.zeroize();
                result.zeroize();
                encoded.as_mut().zeroize();
                element
            }
        }

        impl Group for $name {
            const ID: GroupId = GroupId::$name;

            fn exp_base(exponent: &Seed) -> Element {
                Self::power(&$uint::from_u8(2), exponent)
            }

            fn exp(element: &Element, exponent: &Seed) -> Element {
                assert!(element.group() == Self::ID, "an element of another group");
                Self::power(&$uint::from_be_slice(element.as_bytes()), exponent)
            }

            /// 1 < x < p − 1 and a quadratic residue.
            fn parse(bytes: &[u8]) -> Result<Element, CryptoError> {
                if bytes.len() != $uint::BYTES {
                    return Err(CryptoError::BadElement);
                }
                let value = $uint::from_be_slice(bytes);
                let largest = $params::PARAMS.modulus().get().wrapping_sub(&$uint::ONE);
                if value <= $uint::ONE || value >= largest {
                    return Err(CryptoError::BadElement);
                }
                // What arrived is public, so the time that this takes tells nothing.
                match value.jacobi_symbol_vartime($params::PARAMS.modulus()) {
                    JacobiSymbol::One => Ok(Element::from_valid(Self::ID, bytes)),
                    _ => Err(CryptoError::BadElement),
                }
            }
        }
    };
}

group!(
    /// The group of profile classic: 256-bit exponents.
    Ffdhe2048, P2048, U2048, U256, 32
);
group!(
    /// The group of profile classic3072: 320-bit exponents.
    Ffdhe3072, P3072, U3072, U320, 40
);
