//! What takes long: the work of the paper's cryptographic accelerator at the gateway, and the devices' counterpart.

use crate::steps::{b_tag, k_prime};
use crate::{CryptoError, Element, GroupId, Secret, Seed, Trapdoor, tags_equal, trapdoor};

/// A Half that verified.
#[derive(Debug)]
pub struct VerifiedHalf {
    /// N.
    pub element: Element,
    /// K', the paper's K_is or K_js as a key.
    pub key: Secret<32>,
}

/// B4: checks N, recovers r, recomputes K and checks the tag, 8 or 16 bytes long.
///
/// # Errors
/// `NotOpened`, whatever the cause.
#[expect(clippy::too_many_arguments, reason = "everything that the tag is over")]
pub fn verify_half(
    group: GroupId,
    secret: &Seed,
    public: &Element,
    n: &[u8],
    f: &[u8],
    tag: &[u8],
    role: u8,
    run: u32,
    th_a: &[u8; 32],
) -> Result<VerifiedHalf, CryptoError> {
    let element = Element::parse(group, n).map_err(|_| CryptoError::NotOpened)?;
    let r = if group.is_compact() {
        if !f.is_empty() {
            return Err(CryptoError::NotOpened);
        }
        trapdoor::decapsulated(group, secret, public, &element)
    } else {
        trapdoor::open(group, secret, public, f)?
    };
    let key = k_prime(&group.exp(&element, &r));
    let expected = b_tag(&key, role, run, th_a, n, f);
    if !matches!(tag.len(), 8 | 16) || !tags_equal(&expected[..tag.len()], tag) {
        return Err(CryptoError::NotOpened);
    }
    Ok(VerifiedHalf { element, key })
}

/// B5: Y_i = N_j^Rs, Y_j = N_i^Rs.
#[must_use]
pub fn session_halves(group: GroupId, n_i: &Element, n_j: &Element, r_s: &Seed) -> (Element, Element) {
    (group.exp(n_j, r_s), group.exp(n_i, r_s))
}

/// What a device makes for one run.
#[derive(Debug)]
pub struct OwnHalf {
    /// N.
    pub element: Element,
    /// K'.
    pub key: Secret<32>,
    /// F_G(r); empty in the compact profile.
    pub trapdoor: Trapdoor,
}

/// N = g^R, r, K = N^r, F_G(r). `r` is used in the classic profiles only; compact derives its own.
#[must_use]
pub fn make_half(group: GroupId, public: &Element, big_r: &Seed, r: &Seed) -> OwnHalf {
    let element = group.exp_base(big_r);
    let k = if group.is_compact() {
        group.exp(&element, &trapdoor::encapsulated(group, public, big_r, &element))
    } else {
        group.exp(&element, r)
    };
    OwnHalf { element, key: k_prime(&k), trapdoor: trapdoor::close(group, public, r) }
}

/// B7: checks Y and computes Z = Y^R.
///
/// # Errors
/// `BadElement`.
pub fn session_element(group: GroupId, y: &[u8], big_r: &Seed) -> Result<Element, CryptoError> {
    Ok(group.exp(&Element::parse(group, y)?, big_r))
}
