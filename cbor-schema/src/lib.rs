//! What travels: the messages of SGA/1 (`docs/protocol.md`), their limits and their CDDL (`sga.cddl`).
//!
//! A value of a message type was valid when it was decoded: types, counts and lengths fit, numbers are in range, the encoding is
//! the deterministic one and nothing follows it. What the bytes mean is decided elsewhere.
//!
//! No std, no allocator: decoded messages borrow from the bytes they came from.
#![no_std]
#![forbid(unsafe_code)]

mod codec;
mod inbox;
pub mod limits;
mod register;
mod session;
mod types;

pub use codec::{EncodeError, Message, SchemaError, decode, encode, encoded_len};
pub use inbox::{
    Ack, AckSecret, AgreedItem, Attach, AttachSecret, ExpiredItem, Inbox, InboxSecret, InvitationItem, Item, Items,
    ItemsWriter, KeyItem, MessageItem, NextAttach, NotAgreedItem, WantedItem, kind,
};
pub use register::{Grant, Package, PinInput, Proof, Register, RegisterSecret, Registered, SealedId};
pub use session::{
    A1, A1Refusal, A3, A4Secret, B6Secret, BRefusal, Confirmation, Half, HalfClassic, HalfCompact, HandlePlain,
    MessagePost, MsgPost, NegotiateSecret, Sealed, Tag8, Wanted,
};
pub use types::{A1Reason, A4Reason, Accept, BReason, DeviceId, Handle, Policy, Profile, Role, Suite, SuiteSet};

/// The protocol's version.
pub const VERSION: u32 = 1;

codec::number_field!(A1Reason, A4Reason, Accept, BReason, Policy, Profile, Suite);
