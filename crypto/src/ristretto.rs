//! ristretto255 (RFC 9496): a group of prime order, so that an element that decodes is an element that may be used.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use zeroize::Zeroize;

use crate::context::ctx;
use crate::hash::derive;
use crate::{CryptoError, Element, Seed};

fn scalar(seed: &Seed) -> Scalar {
    let wide = derive::<64>(&[seed.expose()], &[], ctx("scalar", &[]));
    Scalar::from_bytes_mod_order_wide(wide.expose())
}

/// g^x.
pub(crate) fn exp_base(seed: &Seed) -> Element {
    let mut scalar = scalar(seed);
    let point = RistrettoPoint::mul_base(&scalar);
    scalar.zeroize();
    Element::from_valid(point.compress().as_bytes())
}

/// e^x.
pub(crate) fn exp(element: &Element, seed: &Seed) -> Element {
    let point = decode(element.as_bytes()).unwrap_or_else(RistrettoPoint::identity);
    let mut scalar = scalar(seed);
    let result = point * scalar;
    scalar.zeroize();
    Element::from_valid(result.compress().as_bytes())
}

/// A canonical encoding, not the identity.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element, CryptoError> {
    if bytes == [0; 32] {
        return Err(CryptoError::BadElement);
    }
    decode(bytes).map(|_| Element::from_valid(bytes)).ok_or(CryptoError::BadElement)
}

fn decode(bytes: &[u8]) -> Option<RistrettoPoint> {
    CompressedRistretto::from_slice(bytes).ok()?.decompress()
}
