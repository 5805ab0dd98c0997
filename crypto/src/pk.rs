//! E_PK: encryption to the gateway (DHIES). It says nothing about the sender; the keyed hashes inside do.

use sha2::{Digest, Sha256};

use crate::context::{Buffer, Context, Part, ctx};
use crate::hash::derive;
use crate::{Aead, CryptoError, Element, GroupId, Seed};

/// What a `pk(…)` is for; its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkPurpose {
    /// Registration under the package with this hash.
    Register {
        /// SHA-256 of the package.
        package_hash: [u8; 32],
    },
    /// A1 and A3.
    Negotiate,
}

/// Whatever the suites of the two are.
const SUITE: Aead = Aead::AesCcm8;
/// One key per message, so the nonce may stay the same.
const NONCE: [u8; 13] = [0; 13];

fn with_context<T>(purpose: PkPurpose, then: impl FnOnce(Context<'_>) -> T) -> T {
    match purpose {
        PkPurpose::Register { package_hash } => then(ctx("pk register", &[Part::Bytes(&package_hash)])),
        PkPurpose::Negotiate => then(ctx("pk negotiate", &[])),
    }
}

/// SHA(enc ‖ PK).
fn salt(enc: &[u8], public: &Element) -> [u8; 32] {
    Sha256::new().chain_update(enc).chain_update(public.as_bytes()).finalize().into()
}

/// Bytes that `pk(…)` adds to its plaintext.
pub(crate) const fn overhead(group: GroupId) -> usize {
    group.element_len() + SUITE.tag_len()
}

/// Writes enc ‖ ct into `out`; returns its length.
pub(crate) fn seal(
    group: GroupId,
    public: &Element,
    e: &Seed,
    purpose: PkPurpose,
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<usize, CryptoError> {
    let all = plaintext.len() + overhead(group);
    let out = out.get_mut(..all).ok_or(CryptoError::BufferTooSmall)?;
    let enc = group.exp_base(e);
    let shared = group.exp(public, e);
    let (head, body) = out.split_at_mut(group.element_len());
    head.copy_from_slice(enc.as_bytes());
    body[..plaintext.len()].copy_from_slice(plaintext);
    with_context(purpose, |context| {
        let key = derive::<16>(&[shared.as_bytes()], &salt(head, public), context);
        let aad = Buffer::of(context);
        SUITE.seal(key.expose(), &NONCE, aad.as_bytes(), body, plaintext.len())
    })?;
    Ok(all)
}

/// Opens enc ‖ ct into `out`; returns the length of the plaintext.
pub(crate) fn open(
    group: GroupId,
    secret: &Seed,
    public: &Element,
    purpose: PkPurpose,
    bytes: &[u8],
    out: &mut [u8],
) -> Result<usize, CryptoError> {
    let (head, body) = bytes.split_at_checked(group.element_len()).ok_or(CryptoError::NotOpened)?;
    let out = out.get_mut(..body.len()).ok_or(CryptoError::BufferTooSmall)?;
    let enc = Element::parse(group, head).map_err(|_| CryptoError::NotOpened)?;
    let shared = group.exp(&enc, secret);
    out.copy_from_slice(body);
    with_context(purpose, |context| {
        let key = derive::<16>(&[shared.as_bytes()], &salt(head, public), context);
        let aad = Buffer::of(context);
        SUITE.open(key.expose(), &NONCE, aad.as_bytes(), out)
    })
}
