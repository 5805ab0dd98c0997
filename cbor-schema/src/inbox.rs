//! The inbox: how a device fetches and acknowledges what the gateway has for it (`docs/protocol.md` §4).

use core::fmt;

use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use crate::field::{Field, array_message};
use crate::{Accept, EncodeError, Items, Message, SchemaError};

array_message! {
    /// FETCH `/msg`: `[ticket bstr16, n_a bstr8, S bstr]` (§4).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Attach<'a> {
        /// Locates the device.
        ticket: [u8; 16],
        /// n_a: fresh and random for each attach.
        nonce: [u8; 8],
        /// S, a sealed [`AttachSecret`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// Inside an Attach: `[attach number, cursor, generation bstr4, accept]` (§4).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    AttachSecret {
        /// Rises with each attach.
        attach_number: u32,
        /// The number of the last item that the device has dealt with.
        cursor: u32,
        /// Under which the cursor was kept.
        generation: [u8; 4],
        /// Whose invitations the device takes.
        accept: Accept,
    }
}

array_message! {
    /// The answer to an Attach, and each notification: `[c, S bstr]` (§4).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Inbox<'a> {
        /// c, the nonce: differs for each payload under one n_a.
        counter: u32,
        /// S, a sealed [`InboxSecret`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// POST `/msg`: `[ticket bstr16, counter, S bstr]` (§4).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Ack<'a> {
        /// Locates the device.
        ticket: [u8; 16],
        /// From 1; rises under one n_a.
        counter: u32,
        /// S, a sealed [`AckSecret`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// Inside an Ack: `[cursor]` (§4).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    AckSecret {
        /// The number of the last item that the device has dealt with.
        cursor: u32,
    }
}

/// What only the answer to an Attach has (§4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAttach {
    /// For the next attach.
    pub ticket: [u8; 16],
    /// New when the gateway's store was restored or replaced.
    pub generation: [u8; 4],
}

impl NextAttach {
    pub(crate) fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        self.ticket.put(e)?;
        self.generation.put(e)
    }
}

/// Inside an Inbox: `[items]`, or `[items, next ticket bstr16, generation bstr4]` (§4).
///
/// [`crate::ItemsWriter`] makes one without an `Items` to begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InboxSecret<'a> {
    /// Oldest first.
    pub items: Items<'a>,
    /// In answers to an Attach; none in notifications.
    pub next: Option<NextAttach>,
}

impl fmt::Debug for InboxSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxSecret").field("items", &self.items).field("answers_attach", &self.next.is_some()).finish()
    }
}

/// Elements of the array with and without a [`NextAttach`].
pub(crate) const fn fields(next: Option<&NextAttach>) -> u64 {
    if next.is_some() { 3 } else { 1 }
}

impl<'a> Message<'a> for InboxSecret<'a> {
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.array(fields(self.next.as_ref()))?;
        self.items.put(e)?;
        self.next.as_ref().map_or(Ok(()), |next| next.put(e))
    }

    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        let has_next = match d.array()? {
            Some(1) => false,
            Some(3) => true,
            _ => return Err(SchemaError::Malformed),
        };
        let items = Items::get(d)?;
        let next =
            if has_next { Some(NextAttach { ticket: Field::get(d)?, generation: Field::get(d)? }) } else { None };
        Ok(Self { items, next })
    }
}
