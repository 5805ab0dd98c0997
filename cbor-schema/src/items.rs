//! The items of an inbox: reading them in place, and writing them one by one (`docs/protocol.md` §4).

use core::fmt;

use minicbor::encode::{self, Write};
use minicbor::{Decoder, Encoder};

use crate::field::{Field, array, well_formed};
use crate::inbox::fields;
use crate::limits::DEPTH_MAX;
use crate::{EncodeError, NextAttach, SchemaError};

/// The items of an inbox: `[[number, kind, body], …]`, well-formed, with rising numbers from 1 (§4).
///
/// They stay in the bytes that they were decoded from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Items<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// One item (§4). A device skips one of a kind that it does not know, and counts it as dealt with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Rises within a mailbox, from 1.
    pub number: u32,
    /// One of [`crate::kind`], or one that is not known.
    pub kind: u32,
    /// One CBOR item, for [`crate::decode`] as the type that `kind` names.
    pub body: &'a [u8],
}

/// Without the body: an invitation has a key in it.
impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item {{ number: {}, kind: {}, body: {} bytes }}", self.number, self.kind, self.body.len())
    }
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn item<'a>(d: &mut Decoder<'a>) -> Result<Item<'a>, SchemaError> {
    array(d, 3)?;
    let (number, kind) = (u32::get(d)?, u32::get(d)?);
    let from = d.position();
    well_formed(d, DEPTH_MAX)?;
    let body = d.input().get(from..d.position()).ok_or(SchemaError::Malformed)?;
    Ok(Item { number, kind, body })
}

impl<'a> Items<'a> {
    /// No items.
    pub const EMPTY: Self = Self { count: 0, bytes: &[] };

    pub(crate) fn get(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        let stated = d.array()?.ok_or(SchemaError::Malformed)?;
        let from = d.position();
        let (mut count, mut last) = (0, 0);
        // A stated count that is too high meets the end of the input.
        for _ in 0..stated {
            let number = item(d)?.number;
            if number <= last {
                return Err(SchemaError::OutOfRange);
            }
            last = number;
            count += 1;
        }
        let bytes = d.input().get(from..d.position()).ok_or(SchemaError::Malformed)?;
        Ok(Self { count, bytes })
    }

    /// The heads are written anew, so that they are compared; the bodies were checked when they were decoded.
    pub(crate) fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.array(self.count as u64)?;
        for item in self.iter() {
            e.array(3)?.u32(item.number)?.u32(item.kind)?;
            e.writer_mut().write_all(item.body).map_err(encode::Error::write)?;
        }
        Ok(())
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each in turn, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let mut decoder = Decoder::new(self.bytes);
        (0..self.count).map_while(move |_| item(&mut decoder).ok())
    }
}

/// Writes the plaintext of an Inbox into a caller's buffer, item by item.
///
/// What it has written always decodes as an [`crate::InboxSecret`].
pub struct ItemsWriter<'b> {
    buf: &'b mut [u8],
    limit: usize,
    count: u64,
    used: usize,
    last: u32,
}

/// Room before the items for the two array heads: they are known only at the end.
const HEADS_LEN: usize = 1 + 9;
/// Room behind them for a [`NextAttach`].
const TAIL_LEN: usize = (1 + 16) + (1 + 4);

impl fmt::Debug for ItemsWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ItemsWriter {{ count: {}, used: {}, limit: {} }}", self.count, self.used, self.limit)
    }
}

impl<'b> ItemsWriter<'b> {
    /// What a buffer needs beside `limit`, so that only `limit` bounds the items.
    pub const OVERHEAD_LEN: usize = HEADS_LEN + TAIL_LEN;

    /// Writes items of at most `limit` bytes together, each with its own head (at most 11 bytes beside its body), and no more
    /// than the buffer holds beside [`Self::OVERHEAD_LEN`].
    #[must_use]
    pub fn new(buf: &'b mut [u8], limit: usize) -> Self {
        Self { buf, limit, count: 0, used: 0, last: 0 }
    }

    /// Adds an item. False, and nothing happened, if it does not fit, if its number is not above the last one's, or if `body`
    /// is not one CBOR item as [`crate::decode`] takes it in an inbox.
    #[must_use]
    pub fn push(&mut self, number: u32, kind: u32, body: &[u8]) -> bool {
        if number <= self.last || !is_body(body) {
            return false;
        }
        let room = self.limit.min(self.buf.len().saturating_sub(Self::OVERHEAD_LEN));
        let Some(room) = self.buf.get_mut(HEADS_LEN + self.used..HEADS_LEN + room) else { return false };
        let room_len = room.len();
        let mut head = [0; 11];
        let mut e = Encoder::new(&mut head[..]);
        let put = e.array(3).and_then(|e| e.u32(number)).and_then(|e| e.u32(kind)).is_ok();
        let head_len = 11 - e.into_writer().len();
        if !put || room_len < head_len + body.len() {
            return false;
        }
        room[..head_len].copy_from_slice(&head[..head_len]);
        room[head_len..head_len + body.len()].copy_from_slice(body);
        self.used += head_len + body.len();
        self.count += 1;
        self.last = number;
        true
    }

    /// Puts the heads before and the rest behind. Returns how many bytes at the start of the buffer are the plaintext: 0 only
    /// if the buffer is smaller than [`Self::OVERHEAD_LEN`].
    #[must_use]
    pub fn finish(self, next: Option<NextAttach>) -> usize {
        if self.buf.len() < Self::OVERHEAD_LEN {
            return 0;
        }
        let mut heads = [0; HEADS_LEN];
        let mut e = Encoder::new(&mut heads[..]);
        let put = e.array(fields(next.as_ref())).and_then(|e| e.array(self.count)).is_ok();
        let heads_len = HEADS_LEN - e.into_writer().len();
        debug_assert!(put, "heads are at most HEADS_LEN long");
        self.buf[..heads_len].copy_from_slice(&heads[..heads_len]);
        self.buf.copy_within(HEADS_LEN..HEADS_LEN + self.used, heads_len);
        let end = heads_len + self.used;
        let Some(next) = next else { return end };
        let put = next.put(&mut Encoder::new(&mut self.buf[end..end + TAIL_LEN])).is_ok();
        debug_assert!(put, "a NextAttach is TAIL_LEN long");
        end + TAIL_LEN
    }
}

fn is_body(body: &[u8]) -> bool {
    let mut d = Decoder::new(body);
    well_formed(&mut d, DEPTH_MAX).is_ok() && d.position() == body.len()
}
