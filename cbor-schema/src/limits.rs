//! How large anything on the wire may be. `docs/limits.md` lists them.

/// Bytes of an id.
pub const ID_LEN_MAX: usize = 16;
/// Bytes of an element, in the largest group.
pub const ELEMENT_LEN_MAX: usize = 384;
/// Bytes of a seed, and of what it is masked with in F_G(r).
pub const SEED_LEN: usize = 32;
/// Bytes of an AEAD's tag.
pub const TAG_LEN_MAX: usize = 16;
/// Bytes of F_G(r), in the largest group.
pub const TRAPDOOR_LEN_MAX: usize = ELEMENT_LEN_MAX + SEED_LEN;
/// Bytes of one text.
pub const TEXT_LEN_MAX: usize = 8_192;
/// Bytes of a text's ciphertext.
pub const CIPHERTEXT_LEN_MAX: usize = TEXT_LEN_MAX + TAG_LEN_MAX;
/// The highest sequence number under one run.
pub const SEQUENCE_MAX: u32 = (1 << 20) - 1;
/// How far above the current run a new one may be.
pub const RUN_SKIP_MAX: u32 = 1_024;
/// Invitations that may wait in one mailbox.
pub const INVITATIONS_MAX: usize = 4;
/// Depth of arrays in the body of an item: those of known kinds need 1.
pub const DEPTH_MAX: usize = 3;

/// Bytes of the head of a short array or bstr: one of up to 23.
const SHORT_HEAD_LEN: usize = 1;
/// Bytes of the head of a bstr of up to 65,535.
const BSTR_HEAD_LEN_MAX: usize = 3;
/// Bytes of a number below 2^32.
const UINT_LEN_MAX: usize = 5;

/// Bytes of the body of a Half: in the largest group, an array of a sealed element, F_G(r) and a tag, sealed.
pub const HALF_BODY_LEN_MAX: usize = SHORT_HEAD_LEN
    + (BSTR_HEAD_LEN_MAX + ELEMENT_LEN_MAX + TAG_LEN_MAX)
    + (BSTR_HEAD_LEN_MAX + TRAPDOOR_LEN_MAX)
    + (SHORT_HEAD_LEN + 16)
    + TAG_LEN_MAX;
/// Bytes of an encoded life salt.
pub const SALT_LEN: usize = SHORT_HEAD_LEN + 8;
/// Bytes of an encoded Half: an array of handle, run, body and a salt.
pub const HALF_LEN_MAX: usize =
    SHORT_HEAD_LEN + (SHORT_HEAD_LEN + 4) + UINT_LEN_MAX + (BSTR_HEAD_LEN_MAX + HALF_BODY_LEN_MAX) + SALT_LEN;
/// Bytes of the body of an item, the largest being a message: an array of handle, run, sequence, ciphertext and a salt.
pub const ITEM_LEN_MAX: usize =
    SHORT_HEAD_LEN + (SHORT_HEAD_LEN + 4) + 2 * UINT_LEN_MAX + (BSTR_HEAD_LEN_MAX + CIPHERTEXT_LEN_MAX) + SALT_LEN;
/// Bytes of an encoded Message: the same and the hop tag.
pub const MESSAGE_LEN_MAX: usize = ITEM_LEN_MAX + (SHORT_HEAD_LEN + 8);
/// Bytes of any request: the largest is a Message.
pub const REQUEST_LEN_MAX: usize = MESSAGE_LEN_MAX;

const _: () = assert!(MESSAGE_LEN_MAX <= u16::MAX as usize, "no bstr head is longer than 3 bytes");
const _: () = assert!(HALF_LEN_MAX <= REQUEST_LEN_MAX && MESSAGE_LEN_MAX <= REQUEST_LEN_MAX);
const _: () = assert!(ITEM_LEN_MAX < MESSAGE_LEN_MAX && TEXT_LEN_MAX < CIPHERTEXT_LEN_MAX);
const _: () = assert!(ID_LEN_MAX < 24, "an id has a head of one byte");
const _: () = assert!(RUN_SKIP_MAX < SEQUENCE_MAX);
const _: () = assert!(DEPTH_MAX >= 1);
