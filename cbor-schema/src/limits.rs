//! How large anything on the wire may be. `docs/limits.md` lists them.

/// Bytes of an id.
pub const ID_LEN_MAX: usize = 16;
/// Bytes of an element, in the largest group.
pub const ELEMENT_LEN_MAX: usize = 384;
/// Bytes of an AEAD's tag.
pub const TAG_LEN_MAX: usize = 16;
/// Bytes of F_G(r), in the largest group.
pub const TRAPDOOR_LEN_MAX: usize = ELEMENT_LEN_MAX + 32;
/// Bytes of one text.
pub const TEXT_LEN_MAX: usize = 8_192;
/// Bytes of a text's ciphertext.
pub const CIPHERTEXT_LEN_MAX: usize = TEXT_LEN_MAX + TAG_LEN_MAX;
/// The highest sequence number under one run.
pub const SEQUENCE_MAX: u32 = (1 << 20) - 1;
/// How far above the current run a new one may be.
pub const RUN_SKIP_MAX: u32 = 1_024;
/// Bytes of the body of a Half: a sealed element, F_G(r), a tag, CBOR heads and the outer tag.
pub const HALF_BODY_LEN_MAX: usize = ELEMENT_LEN_MAX + TAG_LEN_MAX + TRAPDOOR_LEN_MAX + 16 + 16 + TAG_LEN_MAX;
/// Bytes of an encoded Message: ciphertext, handle, run, sequence, hop tag and heads.
pub const MESSAGE_LEN_MAX: usize = CIPHERTEXT_LEN_MAX + 32;
/// Bytes of a whole request.
pub const REQUEST_LEN_MAX: usize = MESSAGE_LEN_MAX;
/// Bytes of one item's body.
pub const ITEM_LEN_MAX: usize = MESSAGE_LEN_MAX;
/// Invitations that may wait in one mailbox.
pub const INVITATIONS_MAX: usize = 4;
/// Depth of arrays in the body of an item of unknown kind.
pub const DEPTH_MAX: usize = 3;

const _: () = assert!(HALF_BODY_LEN_MAX < REQUEST_LEN_MAX);
const _: () = assert!(RUN_SKIP_MAX < SEQUENCE_MAX);
