//! F_G, the paper's trapdoor one-way hash: who holds PR gets r back, and sees that it is the one.

use subtle::ConstantTimeEq;

use crate::context::ctx;
use crate::hash::derive;
use crate::{CryptoError, ELEMENT_LEN_MAX, Element, GroupId, Secret, Seed};

/// Bytes of F_G(r) in the largest group.
pub const TRAPDOOR_LEN_MAX: usize = ELEMENT_LEN_MAX + 32;

/// F_G(r); empty in the compact profile.
#[derive(Clone, Copy)]
pub struct Trapdoor {
    bytes: [u8; TRAPDOOR_LEN_MAX],
    len: u16,
}

impl Trapdoor {
    /// As it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl core::fmt::Debug for Trapdoor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Trapdoor({} bytes)", self.len)
    }
}

/// KDF(PK^e, g^e, ctx("H2"), 32): what r is masked with.
fn mask(shared: &Element, encapsulation: &[u8]) -> Secret<32> {
    derive(&[shared.as_bytes()], encapsulation, ctx("H2", &[]))
}

/// F_G(r).
#[must_use]
pub(crate) fn close(group: GroupId, public: &Element, r: &Seed) -> Trapdoor {
    let mut trapdoor = Trapdoor { bytes: [0; TRAPDOOR_LEN_MAX], len: 0 };
    if group.is_compact() {
        return trapdoor;
    }
    let e = Seed::from_secret(derive(&[r.expose()], &[], ctx("H1", &[])));
    let encapsulation = group.exp_base(&e);
    let len = encapsulation.as_bytes().len();
    let mask = mask(&group.exp(public, &e), encapsulation.as_bytes());
    trapdoor.bytes[..len].copy_from_slice(encapsulation.as_bytes());
    for ((out, r), mask) in trapdoor.bytes[len..len + 32].iter_mut().zip(r.expose()).zip(mask.expose()) {
        *out = r ^ mask;
    }
    trapdoor.len = (len + 32) as u16;
    trapdoor
}

/// r from F_G(r), with PR; refused unless F_G(r) comes out the same again.
pub(crate) fn open(group: GroupId, secret: &Seed, public: &Element, bytes: &[u8]) -> Result<Seed, CryptoError> {
    if group.is_compact() || bytes.len() != group.trapdoor_len() {
        return Err(CryptoError::NotOpened);
    }
    let (head, masked) = bytes.split_at(group.element_len());
    let encapsulation = Element::parse(group, head).map_err(|_| CryptoError::NotOpened)?;
    let mask = mask(&group.exp(&encapsulation, secret), head);
    let mut r = Secret::new([0; 32]);
    for ((r, masked), mask) in r.expose_mut().iter_mut().zip(masked).zip(mask.expose()) {
        *r = masked ^ mask;
    }
    let r = Seed::from_secret(r);
    if bool::from(close(group, public, &r).as_bytes().ct_eq(bytes)) { Ok(r) } else { Err(CryptoError::NotOpened) }
}

/// Compact: r = H3(PK^R, N, PK); the device has R.
pub(crate) fn encapsulated(group: GroupId, public: &Element, big_r: &Seed, n: &Element) -> Seed {
    from_shared(&group.exp(public, big_r), n, public)
}

/// Compact: r = H3(N^PR, N, PK); the gateway has PR.
pub(crate) fn decapsulated(group: GroupId, secret: &Seed, public: &Element, n: &Element) -> Seed {
    from_shared(&group.exp(n, secret), n, public)
}

fn from_shared(shared: &Element, n: &Element, public: &Element) -> Seed {
    let mut salt = [0; 2 * ELEMENT_LEN_MAX];
    let (len, all) = (n.as_bytes().len(), n.as_bytes().len() + public.as_bytes().len());
    salt[..len].copy_from_slice(n.as_bytes());
    salt[len..all].copy_from_slice(public.as_bytes());
    Seed::from_secret(derive(&[shared.as_bytes()], &salt[..all], ctx("H3", &[])))
}
