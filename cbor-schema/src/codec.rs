//! Encoding and strict decoding, in one place.
//!
//! minicbor takes longer heads than needed, and leaves bytes after a value alone. So what was decoded is encoded again into a
//! writer that compares with the input: only the deterministic encoding (RFC 8949 §4.2.1) of exactly one message passes.

use core::convert::Infallible;
use core::fmt;

use minicbor::data::Type;
use minicbor::encode::{self, Write};
use minicbor::{Decoder, Encoder};

/// Why bytes are not a message, or a message has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// Not CBOR, or other types, counts or fixed lengths than the message has.
    Malformed,
    /// A longer encoding than needed.
    NotDeterministic,
    /// Bytes after the message.
    Trailing,
    /// A number, name or length that means nothing here.
    OutOfRange,
    /// A version that is not served.
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

/// A message of SGA/1: to have one means that it was valid.
pub trait Message<'a>: Sized {
    /// Writes its deterministic encoding.
    ///
    /// # Errors
    /// The writer's.
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>>;

    /// Reads one; does not look at what follows.
    ///
    /// # Errors
    /// See [`SchemaError`].
    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError>;
}

/// Decodes exactly one message in deterministic encoding.
///
/// # Errors
/// See [`SchemaError`].
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

/// Encodes into a caller's buffer; returns how many bytes.
///
/// # Errors
/// `BufferTooSmall`.
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

/// Reads the head of an array of a known length.
pub(crate) fn array(d: &mut Decoder<'_>, len: u64) -> Result<(), SchemaError> {
    if d.array()? == Some(len) { Ok(()) } else { Err(SchemaError::Malformed) }
}

/// Moves over one item of the kinds that SGA/1 uses: uint, bstr, text, array; all of definite length.
pub(crate) fn skip(d: &mut Decoder<'_>, depth_left: usize) -> Result<(), SchemaError> {
    match d.datatype()? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
            d.u64()?;
        }
        Type::Bytes => {
            d.bytes()?;
        }
        Type::String => {
            d.str()?;
        }
        Type::Array if depth_left > 0 => {
            let count = d.array()?.ok_or(SchemaError::Malformed)?;
            for _ in 0..count {
                skip(d, depth_left - 1)?;
            }
        }
        _ => return Err(SchemaError::Malformed),
    }
    Ok(())
}

/// One element of a message's array.
pub(crate) trait Field<'a>: Sized {
    fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>>;
    fn get(d: &mut Decoder<'a>) -> Result<Self, SchemaError>;
}

impl Field<'_> for u32 {
    fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.u32(*self)?.ok()
    }

    fn get(d: &mut Decoder<'_>) -> Result<Self, SchemaError> {
        let value = d.u64()?;
        Self::try_from(value).map_err(|_| SchemaError::OutOfRange)
    }
}

impl<const N: usize> Field<'_> for [u8; N] {
    fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.bytes(self)?.ok()
    }

    fn get(d: &mut Decoder<'_>) -> Result<Self, SchemaError> {
        d.bytes()?.try_into().map_err(|_| SchemaError::Malformed)
    }
}

impl Field<'_> for crate::DeviceId {
    fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.bytes(self.as_bytes())?.ok()
    }

    fn get(d: &mut Decoder<'_>) -> Result<Self, SchemaError> {
        Self::new(d.bytes()?)
    }
}

impl Field<'_> for crate::Handle {
    fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&self.0)?.ok()
    }

    fn get(d: &mut Decoder<'_>) -> Result<Self, SchemaError> {
        <[u8; 4]>::get(d).map(Self)
    }
}

impl Field<'_> for crate::SuiteSet {
    fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.u32(self.bits())?.ok()
    }

    fn get(d: &mut Decoder<'_>) -> Result<Self, SchemaError> {
        Self::from_bits(u32::get(d)?).ok_or(SchemaError::OutOfRange)
    }
}

/// 0 stands for none.
impl Field<'_> for Option<crate::Suite> {
    fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.u8(self.map_or(0, crate::Suite::id))?.ok()
    }

    fn get(d: &mut Decoder<'_>) -> Result<Self, SchemaError> {
        match u32::get(d)? {
            0 => Ok(None),
            id => u8::try_from(id).ok().and_then(crate::Suite::from_id).map(Some).ok_or(SchemaError::OutOfRange),
        }
    }
}

impl<'a> Field<'a> for &'a [u8] {
    fn put<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.bytes(self)?.ok()
    }

    fn get(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        Ok(d.bytes()?)
    }
}

/// A type that travels as a number.
macro_rules! number_field {
    ($($type:ty),*) => {$(
        impl $crate::codec::Field<'_> for $type {
            fn put<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
            ) -> Result<(), $crate::codec::EncodeError<W::Error>> {
                e.u8(self.id())?.ok()
            }

            fn get(d: &mut minicbor::Decoder<'_>) -> Result<Self, $crate::SchemaError> {
                let id = <u32 as $crate::codec::Field<'_>>::get(d)?;
                u8::try_from(id).ok().and_then(Self::from_id).ok_or($crate::SchemaError::OutOfRange)
            }
        }
    )*};
}
pub(crate) use number_field;

/// A message that is an array of its fields. `= N` puts the number N first; `| check` refuses what `check` finds fault with.
macro_rules! array_message {
    ($(#[$doc:meta])* $name:ident <$lt:lifetime> $(= $lead:literal)? {
        $($(#[$fdoc:meta])* $field:ident : $type:ty,)*
    } $(| $check:expr)?) => {
        $(#[$doc])*
        pub struct $name<$lt> { $($(#[$fdoc])* pub $field: $type,)* }

        impl<$lt> $crate::Message<$lt> for $name<$lt> {
            $crate::codec::array_message!(@body $lt, [$($lead)?], [$($field : $type,)*], [$($check)?]);
        }
    };
    ($(#[$doc:meta])* $name:ident $(= $lead:literal)? {
        $($(#[$fdoc:meta])* $field:ident : $type:ty,)*
    } $(| $check:expr)?) => {
        $(#[$doc])*
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        impl<'m> $crate::Message<'m> for $name {
            $crate::codec::array_message!(@body 'm, [$($lead)?], [$($field : $type,)*], [$($check)?]);
        }
    };
    (@body $lt:lifetime, [$($lead:literal)?], [$($field:ident : $type:ty,)*], [$($check:expr)?]) => {
        fn encode_to<W: minicbor::encode::Write>(
            &self,
            e: &mut minicbor::Encoder<W>,
        ) -> Result<(), $crate::codec::EncodeError<W::Error>> {
            const LEN: u64 = [$(stringify!($lead),)? $(stringify!($field)),*].len() as u64;
            e.array(LEN)?;
            $(e.u32($lead)?;)?
            $($crate::codec::Field::put(&self.$field, e)?;)*
            Ok(())
        }

        fn decode_from(d: &mut minicbor::Decoder<$lt>) -> Result<Self, $crate::SchemaError> {
            const LEN: u64 = [$(stringify!($lead),)? $(stringify!($field)),*].len() as u64;
            $crate::codec::array(d, LEN)?;
            $(if <u32 as $crate::codec::Field<'_>>::get(d)? != $lead {
                return Err($crate::SchemaError::Malformed);
            })?
            $(let $field = <$type as $crate::codec::Field<$lt>>::get(d)?;)*
            let message = Self { $($field,)* };
            $(let check: fn(&Self) -> bool = $check;
            if !check(&message) {
                return Err($crate::SchemaError::OutOfRange);
            })?
            Ok(message)
        }
    };
}
pub(crate) use array_message;

/// A message that is one bare field.
macro_rules! bare_message {
    ($($name:ty, $type:ty, $put:expr, $get:expr;)*) => {$(
        impl<'a> $crate::Message<'a> for $name {
            fn encode_to<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
            ) -> Result<(), $crate::codec::EncodeError<W::Error>> {
                let put: fn(&Self) -> $type = $put;
                $crate::codec::Field::put(&put(self), e)
            }

            fn decode_from(d: &mut minicbor::Decoder<'a>) -> Result<Self, $crate::SchemaError> {
                let get: fn($type) -> Option<Self> = $get;
                get(<$type as $crate::codec::Field<'a>>::get(d)?).ok_or($crate::SchemaError::OutOfRange)
            }
        }
    )*};
}
pub(crate) use bare_message;
