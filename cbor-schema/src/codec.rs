//! Encoding and strict decoding, in one place.
//!
//! minicbor takes longer heads than needed, and leaves bytes after a value alone. So what was decoded is encoded again into a
//! writer that compares with the input: only the deterministic encoding (RFC 8949 §4.2.1, as `docs/protocol.md` §1 asks) of
//! exactly one message passes. Nothing is copied or allocated.

use core::convert::Infallible;
use core::fmt;

use minicbor::encode::{self, Write};
use minicbor::{Decoder, Encoder};

/// Why bytes are not a message (the sender's fault), or a message has no room (the caller's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// Not CBOR, or other types, counts or fixed lengths than the message has.
    Malformed,
    /// The right values in another encoding than the shortest.
    NotDeterministic,
    /// Bytes after the message.
    Trailing,
    /// A number that means nothing here, or a string of variable length that is too long or too short.
    OutOfRange,
    /// A version other than [`crate::VERSION`].
    UnknownVersion(u32),
    /// The caller's buffer is too small.
    BufferTooSmall,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not the message that belongs here"),
            Self::NotDeterministic => f.write_str("not in deterministic encoding"),
            Self::Trailing => f.write_str("bytes after the message"),
            Self::OutOfRange => f.write_str("a value out of its range"),
            Self::UnknownVersion(version) => write!(f, "unknown version {version}"),
            Self::BufferTooSmall => f.write_str("the buffer is too small"),
        }
    }
}

impl core::error::Error for SchemaError {}

impl From<minicbor::decode::Error> for SchemaError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Malformed
    }
}

/// The error of an encoding into a writer that may be full.
pub type EncodeError<E> = encode::Error<E>;

/// A message of SGA/1, or what is sealed inside one.
///
/// A value that came from [`decode`] is valid. One that was put together by hand is encoded as it is: its fields of variable
/// length are the caller's to keep within [`crate::limits`].
pub trait Message<'a>: Sized {
    /// Writes its deterministic encoding.
    ///
    /// # Errors
    /// The writer's.
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>>;

    /// Reads one; does not look at what follows, nor at how long the heads are. [`decode`] does both.
    ///
    /// # Errors
    /// `Malformed`, `OutOfRange`, `UnknownVersion`.
    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError>;
}

/// Decodes exactly one message in deterministic encoding; the message borrows from `bytes`.
///
/// # Errors
/// All of [`SchemaError`] but `BufferTooSmall`.
pub fn decode<'a, T: Message<'a>>(bytes: &'a [u8]) -> Result<T, SchemaError> {
    let mut decoder = Decoder::new(bytes);
    let message = T::decode_from(&mut decoder)?;
    if decoder.position() != bytes.len() {
        return Err(SchemaError::Trailing);
    }
    let mut encoder = Encoder::new(Comparing(bytes));
    match message.encode_to(&mut encoder) {
        Ok(()) if encoder.writer().0.is_empty() => Ok(message),
        _ => Err(SchemaError::NotDeterministic),
    }
}

/// Encodes to the start of a caller's buffer; returns how many bytes. [`encoded_len`] says how many it will be.
///
/// # Errors
/// `BufferTooSmall`; the buffer then holds a part.
pub fn encode<'a, T: Message<'a>>(message: &T, buf: &mut [u8]) -> Result<usize, SchemaError> {
    let room = buf.len();
    let mut encoder = Encoder::new(buf);
    message.encode_to(&mut encoder).map_err(|_| SchemaError::BufferTooSmall)?;
    Ok(room - encoder.into_writer().len())
}

/// Bytes of a message's encoding.
pub fn encoded_len<'a, T: Message<'a>>(message: &T) -> usize {
    let mut encoder = Encoder::new(Counting(0));
    match message.encode_to(&mut encoder) {
        Ok(()) => encoder.writer().0,
        Err(_) => 0,
    }
}

/// Takes only what it expects.
struct Comparing<'a>(&'a [u8]);

/// The bytes are not the expected ones.
#[derive(Debug)]
struct Differs;

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("differs")
    }
}

impl core::error::Error for Differs {}

impl Write for Comparing<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(bytes).ok_or(Differs)?;
        Ok(())
    }
}

struct Counting(usize);

impl Write for Counting {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0 += bytes.len();
        Ok(())
    }
}
