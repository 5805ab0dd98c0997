use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;

use super::unhex;
use super::vectors::{RISTRETTO_BAD, RISTRETTO_MULTIPLES};
use crate::context::ctx;
use crate::hash::derive;
use crate::{CryptoError, Group, Ristretto255, Seed};

#[test]
fn rfc9496_multiples_of_the_generator() {
    for (n, encoding) in (0u8..).zip(RISTRETTO_MULTIPLES) {
        let bytes = unhex(encoding);
        assert_eq!(RistrettoPoint::mul_base(&Scalar::from(n)).compress().as_bytes()[..], bytes);
        match Ristretto255::parse(&bytes) {
            Ok(element) => assert_eq!(element.as_bytes(), bytes),
            Err(error) => assert_eq!((n, error), (0, CryptoError::BadElement), "only the identity is refused"),
        }
    }
}

#[test]
fn rfc9496_bad_encodings() {
    for encoding in RISTRETTO_BAD {
        assert_eq!(Ristretto255::parse(&unhex(encoding)).err(), Some(CryptoError::BadElement), "{encoding}");
    }
}

#[test]
fn other_lengths_are_refused() {
    let bytes = unhex(RISTRETTO_MULTIPLES[1]);
    for bad in [&bytes[..31], &[&bytes[..], &[0]].concat(), &[], &[0; 31], &[0; 33]] {
        assert_eq!(Ristretto255::parse(bad).err(), Some(CryptoError::BadElement));
    }
}

#[test]
fn scalars_are_reduced_from_64_bytes() {
    let seed = Seed::from_bytes([7; 32]);
    let wide = derive::<64>(&[seed.expose()], &[], ctx("scalar", &[]));
    let scalar = Scalar::from_bytes_mod_order_wide(wide.expose());
    let expected = RistrettoPoint::mul_base(&scalar);
    let element = Ristretto255::exp_base(&seed);
    assert_eq!(element.as_bytes(), expected.compress().as_bytes());
    let square = Ristretto255::exp(&element, &seed);
    assert_eq!(square.as_bytes(), (expected * scalar).compress().as_bytes());
}
