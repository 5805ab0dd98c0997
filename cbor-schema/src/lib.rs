//! What travels: the messages of SGA/1 (`docs/protocol.md`), their limits and their CDDL (`sga.cddl`).
//!
//! A value of a message type was valid when it was decoded: types, counts and lengths fit, numbers are in range, the encoding is
//! the deterministic one and nothing follows it. What the bytes mean is decided elsewhere.
//!
//! No std, no allocator: decoded messages borrow from the bytes they came from.
#![no_std]
#![forbid(unsafe_code)]

mod bodies;
mod codec;
mod exchange;
mod field;
mod inbox;
mod items;
pub mod limits;
mod negotiate;
pub mod padding;
mod register;
mod types;

pub use bodies::{
    AgreedItem, EndedItem, ExpiredItem, InvitationItem, KeyItem, MessageItem, NotAgreedItem, WantedItem, kind,
};
pub use codec::{EncodeError, Message, SchemaError, decode, encode, encoded_len};
pub use exchange::{B6Secret, BRefusal, Confirmation, Half, HalfClassic, HalfCompact, MessagePost, MsgPost, Wanted};
pub use inbox::{Ack, AckSecret, Attach, AttachSecret, Inbox, InboxSecret, NextAttach};
pub use items::{Item, Items, ItemsWriter};
pub use negotiate::{A1, A1Refusal, A3, A4Secret, HandlePlain, NegotiateSecret, Sealed, Tag8};
pub use register::{Grant, Package, PinInput, Proof, Register, RegisterSecret, Registered, SealedId};
pub use types::{A1Reason, A4Reason, Accept, BReason, DeviceId, Handle, Policy, Profile, Role, Suite, SuiteSet};

/// The protocol's version: first in the package, in what the pin is made of, in Register and in th_A.
pub const VERSION: u32 = 1;

field::number_field!(A1Reason, A4Reason, Accept, BReason, Policy, Profile, Suite);
