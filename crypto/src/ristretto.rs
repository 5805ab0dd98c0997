//! ristretto255 (RFC 9496): a group of prime order, so that an element that decodes is an element that may be used.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use zeroize::Zeroize;

use crate::context::ctx;
use crate::hash::derive;
use crate::{CryptoError, Element, Group, GroupId, Seed};

fn scalar(seed: &Seed) -> Scalar {
    let wide = derive::<64>(&[seed.expose()], &[], ctx("scalar", &[]));
    Scalar::from_bytes_mod_order_wide(wide.expose())
}

/// The group of profile compact.
#[derive(Clone, Copy, Debug)]
pub struct Ristretto255;

impl Group for Ristretto255 {
    const ID: GroupId = GroupId::Ristretto255;

    fn exp_base(exponent: &Seed) -> Element {
        let mut scalar = scalar(exponent);
        let point = RistrettoPoint::mul_base(&scalar);
        scalar.zeroize();
        encode(point)
    }

    fn exp(element: &Element, exponent: &Seed) -> Element {
        assert!(element.group() == Self::ID, "an element of another group");
        let point = decode(element.as_bytes()).expect("what is an element decodes");
        let mut scalar = scalar(exponent);
        let result = point * scalar;
        scalar.zeroize();
        encode(result)
    }

    /// A canonical encoding, not the identity.
    fn parse(bytes: &[u8]) -> Result<Element, CryptoError> {
        if bytes == [0; 32] {
            return Err(CryptoError::BadElement);
        }
        decode(bytes).map(|_| Element::from_valid(Self::ID, bytes)).ok_or(CryptoError::BadElement)
    }
}

fn encode(mut point: RistrettoPoint) -> Element {
    let mut bytes = point.compress();
    let element = Element::from_valid(GroupId::Ristretto255, bytes.as_bytes());
    point.zeroize();
    bytes.zeroize();
    element
}

/// `None` for a wrong length or an encoding that is not canonical.
fn decode(bytes: &[u8]) -> Option<RistrettoPoint> {
    CompressedRistretto::from_slice(bytes).ok()?.decompress()
}
