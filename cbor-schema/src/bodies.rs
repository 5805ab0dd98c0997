//! Bodies of the item kinds (`docs/protocol.md` §4, "Item kinds").

use core::fmt;

use crate::field::array_message;
use crate::limits::{CIPHERTEXT_LEN_MAX, SEQUENCE_MAX};
use crate::{DeviceId, Handle, Suite};

/// Numbers of item kinds (§4). Those above 9 are reserved (§9).
pub mod kind {
    /// Was an invitation and is void; its body is an empty array. The number stays taken.
    pub const VOID: u32 = 0;
    /// A2: an [`InvitationItem`](crate::InvitationItem).
    pub const INVITATION: u32 = 1;
    /// A4: an [`AgreedItem`](crate::AgreedItem).
    pub const AGREED: u32 = 2;
    /// A4 in all other cases: a [`NotAgreedItem`](crate::NotAgreedItem).
    pub const NOT_AGREED: u32 = 3;
    /// B2: a [`WantedItem`](crate::WantedItem).
    pub const WANTED: u32 = 4;
    /// B6: a [`KeyItem`](crate::KeyItem).
    pub const KEY: u32 = 5;
    /// A message of the peer: a [`MessageItem`](crate::MessageItem).
    pub const MESSAGE: u32 = 6;
    /// This device's messages that nobody fetched are gone: an [`ExpiredItem`](crate::ExpiredItem).
    pub const EXPIRED: u32 = 7;
    /// The gateway has another key pair: a [`Package`](crate::Package), as GET `/register` has it now.
    pub const PACKAGE: u32 = 8;
    /// A session is over: an [`EndedItem`](crate::EndedItem).
    pub const ENDED: u32 = 9;
}

array_message! {
    /// Item 1, A2: `[handle_j bstr4, n_i bstr8, n_G bstr8, peer(k_t^i) bstr16, ID_i, cid]` (§4, §5).
    #[derive(Clone, Copy, PartialEq, Eq)]
    InvitationItem {
        /// The receiver's leg.
        handle: Handle,
        /// n_i.
        nonce_i: [u8; 8],
        /// n_G.
        nonce_g: [u8; 8],
        /// peer(k_t^i).
        peer_key: [u8; 16],
        /// Who invites.
        id_i: DeviceId,
        /// cid.
        suite: Suite,
    }
}

impl fmt::Debug for InvitationItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvitationItem {{ redacted, handle: {}, from: {}, suite: {} }}", self.handle, self.id_i, self.suite)
    }
}

array_message! {
    /// Item 2, A4: `[handle_i bstr4, n_G bstr8, S bstr]` (§4, §5).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    AgreedItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// n_G.
        nonce_g: [u8; 8],
        /// S, a sealed [`crate::A4Secret`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// Item 3, A4 in all other cases: `[handle_i bstr4, S bstr]` (§4, §5).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    NotAgreedItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// S, a sealed [`crate::A4Reason`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// Item 4, B2: `[handle bstr4, run, S bstr]` (§4, §6).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    WantedItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// S, a sealed [`crate::Wanted`].
        sealed: &'a [u8],
    } | |item| item.run > 0
}

array_message! {
    /// Item 5, B6: `[handle bstr4, run, S bstr]` (§4, §6).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    KeyItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// S, a sealed [`crate::B6Secret`].
        sealed: &'a [u8],
    } | |item| item.run > 0
}

array_message! {
    /// Item 6, a message of the peer: `[handle bstr4, run, sequence, ciphertext bstr]`, or with the sender's salt behind it,
    /// bstr8; never message 0 (§4, §7; the paper's 4.5).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    MessageItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// From 0.
        sequence: u32,
        /// c_i: the text, sealed by the peer.
        ciphertext: &'a [u8],
    } optional {
        /// Of the sender's life, if the run's keys are from an earlier one of its.
        salt: [u8; 8],
    } | |item| {
        item.run > 0
            && sequence_fits(item.sequence, item.salt.as_ref())
            && item.ciphertext.len() <= CIPHERTEXT_LEN_MAX
    }
}

/// Message 0 is the same bytes in every life: it has no salt.
pub(crate) fn sequence_fits(sequence: u32, salt: Option<&[u8; 8]>) -> bool {
    sequence <= SEQUENCE_MAX && (sequence > 0 || salt.is_none())
}

array_message! {
    /// Item 7: `[handle bstr4, run, sequence]` (§4). This device's messages of that run up to that sequence are gone, as far as
    /// they were not delivered.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    ExpiredItem {
        /// The receiver's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// The last that is gone.
        sequence: u32,
    } | |item| item.run > 0 && item.sequence <= SEQUENCE_MAX
}

array_message! {
    /// Item 9: `[handle bstr4, reason]` (§4). The gateway does not have the session any more.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    EndedItem {
        /// The receiver's leg.
        handle: Handle,
        /// [`EndedItem::REVOKED`] or [`EndedItem::FORGOTTEN`]. Other numbers have no meaning yet, and end the session too.
        reason: u32,
    } | |item| item.reason > 0
}

impl EndedItem {
    /// The operator has revoked an end.
    pub const REVOKED: u32 = 1;
    /// One of its ends was not heard of for too long.
    pub const FORGOTTEN: u32 = 2;
}
