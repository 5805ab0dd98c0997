//! What messages are made of: how one field travels, and the macros that make a message of fields.

use minicbor::data::Type;
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use crate::SchemaError;
use crate::codec::EncodeError;

/// Reads the head of an array of a known length.
pub(crate) fn array(d: &mut Decoder<'_>, len: u64) -> Result<(), SchemaError> {
    if d.array()? == Some(len) { Ok(()) } else { Err(SchemaError::Malformed) }
}

/// Reads the head of an array of a known length, or of one more if that may be: whether it is the longer one.
pub(crate) fn array_or_longer(d: &mut Decoder<'_>, len: u64, may_be_longer: bool) -> Result<bool, SchemaError> {
    match d.array()? {
        Some(found) if found == len => Ok(false),
        Some(found) if may_be_longer && found == len + 1 => Ok(true),
        _ => Err(SchemaError::Malformed),
    }
}

/// Moves over one item of the kinds that SGA/1 uses: uint, bstr, text, array; all definite and with the shortest heads.
///
/// This is for bodies of items whose kind is not known: those of known kinds are messages of their own.
pub(crate) fn well_formed(d: &mut Decoder<'_>, depth_left: usize) -> Result<(), SchemaError> {
    let from = d.position();
    let (argument, content_len) = match d.datatype()? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => (d.u64()?, 0),
        Type::Bytes => d.bytes().map(|bytes| (bytes.len() as u64, bytes.len()))?,
        Type::String => d.str().map(|text| (text.len() as u64, text.len()))?,
        Type::Array if depth_left > 0 => (d.array()?.ok_or(SchemaError::Malformed)?, 0),
        _ => return Err(SchemaError::Malformed),
    };
    let is_array = d.input().get(from).is_some_and(|head| head >> 5 == 4);
    if d.position() - from != head_len(argument) + content_len {
        return Err(SchemaError::NotDeterministic);
    }
    // The input ends long before a large count does.
    for _ in 0..if is_array { argument } else { 0 } {
        well_formed(d, depth_left - 1)?;
    }
    Ok(())
}

/// Bytes of the shortest head with this argument (RFC 8949 §3).
const fn head_len(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
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
        impl $crate::field::Field<'_> for $type {
            fn put<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
            ) -> Result<(), $crate::EncodeError<W::Error>> {
                e.u8(self.id())?.ok()
            }

            fn get(d: &mut minicbor::Decoder<'_>) -> Result<Self, $crate::SchemaError> {
                let id = <u32 as $crate::field::Field<'_>>::get(d)?;
                u8::try_from(id).ok().and_then(Self::from_id).ok_or($crate::SchemaError::OutOfRange)
            }
        }
    )*};
}
pub(crate) use number_field;

/// A message that is an array of its fields. `= N` puts the number N first; `optional { field: type }` is a last element that
/// may be absent; `| check` refuses what `check` finds fault with.
macro_rules! array_message {
    ($(#[$doc:meta])* $name:ident <$lt:lifetime> $(= $lead:literal)? {
        $($(#[$fdoc:meta])* $field:ident : $type:ty,)*
    } $(optional { $(#[$odoc:meta])* $opt:ident : $otype:ty, })? $(| $check:expr)?) => {
        $(#[$doc])*
        pub struct $name<$lt> {
            $($(#[$fdoc])* pub $field: $type,)*
            $($(#[$odoc])* pub $opt: Option<$otype>,)?
        }

        impl<$lt> $crate::Message<$lt> for $name<$lt> {
            $crate::field::array_message!(
                @body $lt, [$($lead)?], [$($field : $type,)*], [$($opt : $otype)?], [$($check)?]
            );
        }
    };
    ($(#[$doc:meta])* $name:ident $(= $lead:literal)? {
        $($(#[$fdoc:meta])* $field:ident : $type:ty,)*
    } $(| $check:expr)?) => {
        $(#[$doc])*
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        impl<'m> $crate::Message<'m> for $name {
            $crate::field::array_message!(@body 'm, [$($lead)?], [$($field : $type,)*], [], [$($check)?]);
        }
    };
    (
        @body $lt:lifetime, [$($lead:literal)?], [$($field:ident : $type:ty,)*], [$($opt:ident : $otype:ty)?],
        [$($check:expr)?]
    ) => {
        fn encode_to<W: minicbor::encode::Write>(
            &self,
            e: &mut minicbor::Encoder<W>,
        ) -> Result<(), $crate::EncodeError<W::Error>> {
            const LEN: u64 = [$(stringify!($lead),)? $(stringify!($field)),*].len() as u64;
            e.array(LEN $(+ u64::from(self.$opt.is_some()))?)?;
            $(e.u32($lead)?;)?
            $($crate::field::Field::put(&self.$field, e)?;)*
            $(if let Some($opt) = &self.$opt {
                $crate::field::Field::put($opt, e)?;
            })?
            Ok(())
        }

        fn decode_from(d: &mut minicbor::Decoder<$lt>) -> Result<Self, $crate::SchemaError> {
            const LEN: u64 = [$(stringify!($lead),)? $(stringify!($field)),*].len() as u64;
            const OPTIONAL: &[&str] = &[$(stringify!($opt))?];
            let _longer = $crate::field::array_or_longer(d, LEN, !OPTIONAL.is_empty())?;
            $(if <u32 as $crate::field::Field<'_>>::get(d)? != $lead {
                return Err($crate::SchemaError::Malformed);
            })?
            $(let $field = <$type as $crate::field::Field<$lt>>::get(d)?;)*
            $(let $opt = if _longer { Some(<$otype as $crate::field::Field<$lt>>::get(d)?) } else { None };)?
            let message = Self { $($field,)* $($opt,)? };
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
            ) -> Result<(), $crate::EncodeError<W::Error>> {
                let put: fn(&Self) -> $type = $put;
                $crate::field::Field::put(&put(self), e)
            }

            fn decode_from(d: &mut minicbor::Decoder<'a>) -> Result<Self, $crate::SchemaError> {
                let get: fn($type) -> Option<Self> = $get;
                get(<$type as $crate::field::Field<'a>>::get(d)?).ok_or($crate::SchemaError::OutOfRange)
            }
        }
    )*};
}
pub(crate) use bare_message;
