//! Sizes that plaintexts may be padded to (`docs/protocol.md` §10): what is sealed then says nothing by its length.
//!
//! Padding is the byte 0x80 and zeros behind the plaintext (ISO/IEC 7816-4, padding method 2). Behind one CBOR item it is
//! unambiguous: the item says where it ends. Sizes are of what is sealed, tag included, so that they do not tell the suite either.

use crate::limits::{ID_LEN_MAX, TAG_LEN_MAX, TEXT_LEN_MAX};
use crate::{Message, SchemaError};

/// The first byte of the padding.
const BEGIN: u8 = 0x80;

/// Bytes of the mark at the end of a padded text.
pub const MARK_LEN: usize = 8;
/// Least bytes that padding adds to a text.
pub const TEXT_OVERHEAD_LEN: usize = 1 + MARK_LEN;
/// Longest text that can be padded.
pub const PADDED_TEXT_LEN_MAX: usize = TEXT_LEN_MAX - TEXT_OVERHEAD_LEN;

/// S of a padded Attach.
pub const ATTACH_SEALED_LEN: usize = (1 + UINT + UINT + (1 + 4) + 1) + 1 + TAG_LEN_MAX;
/// S of a padded Ack.
pub const ACK_SEALED_LEN: usize = (1 + UINT) + 1 + TAG_LEN_MAX;
/// B of a padded Register.
pub const ID_SEALED_LEN: usize = (1 + ID_LEN_MAX) + 1 + TAG_LEN_MAX;
/// G of a padded Registered.
pub const GRANT_SEALED_LEN: usize = (1 + (1 + 16) + UINT + UINT + (1 + 4)) + 1 + TAG_LEN_MAX;
/// The plaintext of a padded A1; E_PK has one suite.
pub const A1_LEN: usize = (1 + 1 + UINT + (1 + 8) + (1 + 16) + 2 * (1 + ID_LEN_MAX) + 1 + (1 + 8)) + 1;
/// The plaintext of a padded message 0; the suite of a session shows by its texts.
pub const CONFIRMATION_LEN: usize = (1 + UINT) + 1;

/// Bytes of the longest number.
const UINT: usize = 5;

/// Inboxes fit blocks with their heads: an array, a counter, a length.
const INBOX_HEADS_LEN: usize = 12;
const INBOX_SMALLEST: usize = 64;
const INBOX_LARGEST: usize = 1_024;
const TEXT_SMALLEST: usize = 32;

/// The size of S of a padded Inbox that has at least so many bytes, padding and tag included: 52, 116, 244, 500, 1,012; above that the
/// next n · 1,024 − 12.
#[must_use]
pub const fn inbox_sealed_len(len: usize) -> usize {
    let with_heads = len + INBOX_HEADS_LEN;
    let class = if with_heads > INBOX_LARGEST {
        with_heads.next_multiple_of(INBOX_LARGEST)
    } else if with_heads <= INBOX_SMALLEST {
        INBOX_SMALLEST
    } else {
        with_heads.next_power_of_two()
    };
    class - INBOX_HEADS_LEN
}

/// The size of a padded text's plaintext: 32, 64, 128, … 8,192. `None` for one that is too long.
#[must_use]
pub const fn text_len(len: usize) -> Option<usize> {
    if len > PADDED_TEXT_LEN_MAX {
        return None;
    }
    let class = (len + TEXT_OVERHEAD_LEN).next_power_of_two();
    Some(if class < TEXT_SMALLEST { TEXT_SMALLEST } else { class })
}

/// Whether a plaintext of this length may be a padded text.
#[must_use]
pub const fn is_text_len(len: usize) -> bool {
    len.is_power_of_two() && len >= TEXT_SMALLEST && len <= TEXT_LEN_MAX
}

/// Pads the first `len` bytes of a buffer to its first `to`.
///
/// # Errors
/// `BufferTooSmall` if there is no room for at least one byte of padding.
pub fn pad(buf: &mut [u8], len: usize, to: usize) -> Result<(), SchemaError> {
    let (first, rest) = buf.get_mut(len..to).and_then(<[u8]>::split_first_mut).ok_or(SchemaError::BufferTooSmall)?;
    *first = BEGIN;
    rest.fill(0);
    Ok(())
}

/// Whether these bytes are padding.
fn is_padding(bytes: &[u8]) -> bool {
    bytes.split_first().is_some_and(|(first, rest)| *first == BEGIN && rest.iter().all(|byte| *byte == 0))
}

/// Decodes as [`crate::decode`] does, but there may be padding behind the message; whether there was. `fits` says whether the length is
/// one that it is padded to.
///
/// # Errors
/// As [`crate::decode`]; `Trailing` for what is no padding, `OutOfRange` for padding to another length.
pub fn decode_padded<'a, T: Message<'a>>(bytes: &'a [u8], fits: bool) -> Result<(T, bool), SchemaError> {
    let mut decoder = minicbor::Decoder::new(bytes);
    T::decode_from(&mut decoder)?;
    let (message, padding) = bytes.split_at_checked(decoder.position()).ok_or(SchemaError::Malformed)?;
    let message = crate::decode(message)?;
    if padding.is_empty() {
        return Ok((message, false));
    }
    if !is_padding(padding) {
        return Err(SchemaError::Trailing);
    }
    if fits { Ok((message, true)) } else { Err(SchemaError::OutOfRange) }
}

/// The text in a padded text whose mark was looked at and cut off; `len` is the length with it.
///
/// # Errors
/// `Trailing` for what is no padding, `OutOfRange` for more than was needed.
pub fn unpad_text(padded: &[u8], len: usize) -> Result<&[u8], SchemaError> {
    let end = padded.iter().rposition(|byte| *byte != 0).ok_or(SchemaError::Trailing)?;
    let (text, padding) = padded.split_at_checked(end).ok_or(SchemaError::Trailing)?;
    if !is_padding(padding) {
        return Err(SchemaError::Trailing);
    }
    if text_len(text.len()) == Some(len) { Ok(text) } else { Err(SchemaError::OutOfRange) }
}

const _: () = assert!(ATTACH_SEALED_LEN == 34 && ACK_SEALED_LEN == 23 && ID_SEALED_LEN == 34);
const _: () = assert!(GRANT_SEALED_LEN == 50 && A1_LEN == 78 && CONFIRMATION_LEN == 7);
