//! The inbox and its items (`docs/protocol.md` §4).

use core::fmt;

use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use crate::codec::{EncodeError, Field, array, array_message, skip};
use crate::limits::{CIPHERTEXT_LEN_MAX, DEPTH_MAX, SEQUENCE_MAX};
use crate::{Accept, DeviceId, Handle, Message, SchemaError, Suite};

/// Numbers of item kinds.
pub mod kind {
    /// A2.
    pub const INVITATION: u32 = 1;
    /// A4.
    pub const AGREED: u32 = 2;
    /// A4 in all other cases.
    pub const NOT_AGREED: u32 = 3;
    /// B2.
    pub const WANTED: u32 = 4;
    /// B6.
    pub const KEY: u32 = 5;
    /// A message.
    pub const MESSAGE: u32 = 6;
    /// Messages that nobody fetched are gone.
    pub const EXPIRED: u32 = 7;
}

array_message! {
    /// FETCH: `[ticket, n_a, S]`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Attach<'a> {
        /// Locates the device.
        ticket: [u8; 16],
        /// n_a.
        nonce: [u8; 8],
        /// A sealed [`AttachSecret`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// Inside an Attach.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    AttachSecret {
        /// Rises.
        attach_number: u32,
        /// The last item that the device has dealt with.
        cursor: u32,
        /// Under which the cursor was kept.
        generation: [u8; 4],
        /// Whose invitations it takes.
        accept: Accept,
    }
}

array_message! {
    /// The answer to an Attach, and each notification: `[c, S]`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Inbox<'a> {
        /// c, the nonce.
        counter: u32,
        /// A sealed [`InboxSecret`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// POST: `[ticket, counter, S]`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Ack<'a> {
        /// Locates the device.
        ticket: [u8; 16],
        /// Rises under one n_a.
        counter: u32,
        /// A sealed [`AckSecret`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// Inside an Ack.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    AckSecret {
        /// The last item that the device has dealt with.
        cursor: u32,
    }
}

/// What only the answer to an Attach has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAttach {
    /// For the next attach.
    pub ticket: [u8; 16],
    /// Of the gateway's store.
    pub generation: [u8; 4],
}

/// Inside an Inbox: `[items]` or `[items, next ticket, generation]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxSecret<'a> {
    /// Oldest first.
    pub items: Items<'a>,
    /// In answers to an Attach.
    pub next: Option<NextAttach>,
}

impl<'a> Message<'a> for InboxSecret<'a> {
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.array(if self.next.is_some() { 3 } else { 1 })?.array(self.items.count)?;
        for item in self.items.iter() {
            e.array(3)?.u32(item.number)?.u32(item.kind)?;
            let mut body = Decoder::new(item.body);
            // What an Items holds was looked through when it was made.
            copy(&mut body, e)?;
        }
        if let Some(next) = &self.next {
            e.bytes(&next.ticket)?.bytes(&next.generation)?;
        }
        Ok(())
    }

    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        let fields = d.array()?;
        let items = Items::get(d)?;
        let next = match fields {
            Some(1) => None,
            Some(3) => Some(NextAttach { ticket: Field::get(d)?, generation: Field::get(d)? }),
            _ => return Err(SchemaError::Malformed),
        };
        Ok(Self { items, next })
    }
}

/// Writes one item again, in deterministic encoding.
fn copy<W: Write>(d: &mut Decoder<'_>, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
    if let Ok(value) = d.u64() {
        return e.u64(value)?.ok();
    }
    if let Ok(bytes) = d.bytes() {
        return e.bytes(bytes)?.ok();
    }
    if let Ok(text) = d.str() {
        return e.str(text)?.ok();
    }
    if let Ok(Some(count)) = d.array() {
        e.array(count)?;
        for _ in 0..count {
            copy(d, e)?;
        }
    }
    Ok(())
}

/// The items of an Inbox, well-formed, with rising numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Items<'a> {
    count: u64,
    bytes: &'a [u8],
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Rising in each mailbox.
    pub number: u32,
    /// One of [`kind`], or one that is not known.
    pub kind: u32,
    /// One CBOR item.
    pub body: &'a [u8],
}

fn item<'a>(d: &mut Decoder<'a>) -> Result<Item<'a>, SchemaError> {
    array(d, 3)?;
    let (number, kind) = (u32::get(d)?, u32::get(d)?);
    let from = d.position();
    skip(d, DEPTH_MAX)?;
    let body = d.input().get(from..d.position()).ok_or(SchemaError::Malformed)?;
    Ok(Item { number, kind, body })
}

impl<'a> Items<'a> {
    /// No items.
    pub const EMPTY: Self = Self { count: 0, bytes: &[] };

    fn get(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        let count = d.array()?.ok_or(SchemaError::Malformed)?;
        let from = d.position();
        let mut last = 0;
        for _ in 0..count {
            let number = item(d)?.number;
            if number <= last {
                return Err(SchemaError::OutOfRange);
            }
            last = number;
        }
        let bytes = d.input().get(from..d.position()).ok_or(SchemaError::Malformed)?;
        Ok(Self { count, bytes })
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each in turn.
    pub fn iter(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let mut decoder = Decoder::new(self.bytes);
        (0..self.count).map_while(move |_| item(&mut decoder).ok())
    }
}

/// Builds the plaintext of an Inbox in a caller's buffer.
#[derive(Debug)]
pub struct ItemsWriter<'b> {
    buf: &'b mut [u8],
    limit: usize,
    count: u64,
    used: usize,
}

/// Room for the two array heads: they are known only at the end.
const HEADS_LEN: usize = 1 + 9;

impl<'b> ItemsWriter<'b> {
    /// Writes items of at most `limit` bytes together.
    #[must_use]
    pub fn new(buf: &'b mut [u8], limit: usize) -> Self {
        Self { buf, limit, count: 0, used: 0 }
    }

    /// Adds an item whose body is one encoded CBOR item; false, and nothing happened, if it does not fit.
    pub fn push(&mut self, number: u32, kind: u32, body: &[u8]) -> bool {
        let start = HEADS_LEN + self.used;
        let end = (HEADS_LEN + self.limit).min(self.buf.len());
        let Some(room) = self.buf.get_mut(start..end) else { return false };
        let all = room.len();
        let mut e = Encoder::new(room);
        let head = e.array(3).and_then(|e| e.u32(number)).and_then(|e| e.u32(kind)).is_ok();
        let rest = e.into_writer();
        if !head || rest.len() < body.len() {
            return false;
        }
        rest[..body.len()].copy_from_slice(body);
        self.used += all - rest.len() + body.len();
        self.count += 1;
        true
    }

    /// Puts the heads before and the rest behind; returns how many bytes the plaintext has at the start of the buffer, 0 if the
    /// buffer is too small even for that.
    pub fn finish(self, next: Option<NextAttach>) -> usize {
        let mut heads = [0; HEADS_LEN];
        let mut e = Encoder::new(&mut heads[..]);
        let put = e.array(if next.is_some() { 3 } else { 1 }).and_then(|e| e.array(self.count)).is_ok();
        let heads_len = HEADS_LEN - e.into_writer().len();
        let tail_len = if next.is_some() { 17 + 5 } else { 0 };
        if !put || self.buf.len() < heads_len.max(HEADS_LEN) + self.used + tail_len {
            return 0;
        }
        self.buf[..heads_len].copy_from_slice(&heads[..heads_len]);
        self.buf.copy_within(HEADS_LEN..HEADS_LEN + self.used, heads_len);
        let end = heads_len + self.used;
        if let Some(next) = next {
            let mut e = Encoder::new(&mut self.buf[end..end + tail_len]);
            let _ = e.bytes(&next.ticket).and_then(|e| e.bytes(&next.generation));
        }
        end + tail_len
    }
}

array_message! {
    /// Item 1, A2.
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
    /// Item 2, A4.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    AgreedItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// n_G.
        nonce_g: [u8; 8],
        /// A sealed [`crate::A4Secret`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// Item 3, A4 in all other cases.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    NotAgreedItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// A sealed [`crate::A4Reason`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// Item 4, B2.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    WantedItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// A sealed [`crate::Wanted`].
        sealed: &'a [u8],
    } | |item| item.run > 0
}

array_message! {
    /// Item 5, B6.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    KeyItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// A sealed [`crate::B6Secret`].
        sealed: &'a [u8],
    } | |item| item.run > 0
}

array_message! {
    /// Item 6, a message.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    MessageItem<'a> {
        /// The receiver's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// From 0.
        sequence: u32,
        /// The text, sealed by the peer.
        ciphertext: &'a [u8],
    } | |item| item.run > 0 && item.sequence <= SEQUENCE_MAX && item.ciphertext.len() <= CIPHERTEXT_LEN_MAX
}

array_message! {
    /// Item 7: this device's messages of that run up to that sequence are gone, as far as they were not delivered.
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
