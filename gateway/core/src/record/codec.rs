//! What all records share: the format number, the error, and small fields.

use core::fmt;

use minicbor::{Decoder, Encoder, data::Type, decode};
use sga_crypto::Secret;
use sga_schema::{DeviceId, Handle, Role, Suite};

/// The format that this version writes.
pub(super) const FORMAT: u32 = 1;

/// A stored record does not decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError(String);

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stored record does not decode: {}", self.0)
    }
}

impl core::error::Error for RecordError {}

impl From<decode::Error> for RecordError {
    fn from(error: decode::Error) -> Self {
        Self(error.to_string())
    }
}

pub(super) type Sink = Encoder<Vec<u8>>;

pub(super) fn bad(why: &str) -> RecordError {
    RecordError(why.to_owned())
}

/// Writing to a `Vec` cannot fail; this says so once.
pub(super) fn write(
    put: impl FnOnce(&mut Sink) -> Result<(), minicbor::encode::Error<core::convert::Infallible>>,
) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(128));
    put(&mut encoder).expect("encoding into a Vec cannot fail");
    encoder.into_writer()
}

pub(super) fn open<'a>(bytes: &'a [u8], fields: u64) -> Result<Decoder<'a>, RecordError> {
    let mut d = Decoder::new(bytes);
    if d.array()? != Some(fields + 1) {
        return Err(bad("field count"));
    }
    if d.u32()? != FORMAT {
        return Err(bad("unknown format"));
    }
    Ok(d)
}

pub(super) fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], RecordError> {
    d.bytes()?.try_into().map_err(|_| bad("length"))
}

pub(super) fn secret<const N: usize>(d: &mut Decoder<'_>) -> Result<Secret<N>, RecordError> {
    Ok(Secret::new(fixed(d)?))
}

pub(super) fn handle(d: &mut Decoder<'_>) -> Result<Handle, RecordError> {
    Ok(Handle(fixed(d)?))
}

pub(super) fn id(d: &mut Decoder<'_>) -> Result<DeviceId, RecordError> {
    DeviceId::new(d.bytes()?).map_err(|_| bad("id"))
}

pub(super) fn suite(d: &mut Decoder<'_>) -> Result<Suite, RecordError> {
    Suite::from_id(d.u8()?).ok_or_else(|| bad("suite"))
}

pub(super) fn role(d: &mut Decoder<'_>) -> Result<Role, RecordError> {
    match d.u8()? {
        0 => Ok(Role::Initiator),
        1 => Ok(Role::Responder),
        _ => Err(bad("role")),
    }
}

pub(super) fn optional<T>(
    d: &mut Decoder<'_>,
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    if d.datatype()? == Type::Null {
        d.null()?;
        return Ok(None);
    }
    read(d).map(Some)
}
