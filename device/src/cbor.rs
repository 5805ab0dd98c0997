//! The snapshot's CBOR: definite lengths and shortest forms only, so that equal states give equal bytes.

use minicbor::decode::Decoder;
use minicbor::encode::Encoder;
use minicbor::encode::write::Cursor;
use sga_crypto::{Secret, TrafficKey};
use sga_schema::{DeviceId, Handle, Suite};

use crate::error::SnapshotError;
use crate::seal::aead;

/// Writes into a caller's buffer.
pub(crate) struct Writer<'b> {
    encoder: Encoder<Cursor<&'b mut [u8]>>,
}

type Written = Result<(), SnapshotError>;

impl<'b> Writer<'b> {
    pub(crate) fn new(buf: &'b mut [u8]) -> Self {
        Self { encoder: Encoder::new(Cursor::new(buf)) }
    }

    pub(crate) fn len(&self) -> usize {
        self.encoder.writer().position()
    }

    pub(crate) fn array(&mut self, len: usize) -> Written {
        self.encoder.array(len as u64).map(drop).map_err(|_| SnapshotError::BufferTooSmall)
    }

    pub(crate) fn uint(&mut self, value: u32) -> Written {
        self.encoder.u32(value).map(drop).map_err(|_| SnapshotError::BufferTooSmall)
    }

    pub(crate) fn flag(&mut self, value: bool) -> Written {
        self.encoder.bool(value).map(drop).map_err(|_| SnapshotError::BufferTooSmall)
    }

    pub(crate) fn null(&mut self) -> Written {
        self.encoder.null().map(drop).map_err(|_| SnapshotError::BufferTooSmall)
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> Written {
        self.encoder.bytes(value).map(drop).map_err(|_| SnapshotError::BufferTooSmall)
    }

    pub(crate) fn secret<const N: usize>(&mut self, value: &Secret<N>) -> Written {
        self.bytes(value.expose())
    }

    pub(crate) fn traffic_key(&mut self, key: &TrafficKey) -> Written {
        self.bytes(key.expose())
    }

    pub(crate) fn suite(&mut self, suite: Suite) -> Written {
        self.uint(u32::from(suite.id()))
    }

    /// `null` or what `write` writes.
    pub(crate) fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T) -> Written) -> Written {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }
}

/// Reads what [`Writer`] wrote; whatever does not fit is [`SnapshotError::Malformed`].
pub(crate) struct Reader<'b> {
    decoder: Decoder<'b>,
}

type Read<T> = Result<T, SnapshotError>;

impl<'b> Reader<'b> {
    pub(crate) fn new(buf: &'b [u8]) -> Self {
        Self { decoder: Decoder::new(buf) }
    }

    pub(crate) fn position(&self) -> usize {
        self.decoder.position()
    }

    pub(crate) fn any_array(&mut self) -> Read<usize> {
        let len = self.decoder.array().map_err(malformed)?.ok_or(SnapshotError::Malformed)?;
        usize::try_from(len).map_err(|_| SnapshotError::Malformed)
    }

    pub(crate) fn array(&mut self, len: usize) -> Read<()> {
        if self.any_array()? == len { Ok(()) } else { Err(SnapshotError::Malformed) }
    }

    pub(crate) fn uint(&mut self) -> Read<u32> {
        self.decoder.u32().map_err(malformed)
    }

    pub(crate) fn byte(&mut self) -> Read<u8> {
        self.decoder.u8().map_err(malformed)
    }

    pub(crate) fn flag(&mut self) -> Read<bool> {
        self.decoder.bool().map_err(malformed)
    }

    pub(crate) fn bytes(&mut self) -> Read<&'b [u8]> {
        self.decoder.bytes().map_err(malformed)
    }

    pub(crate) fn exactly<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.bytes()?.try_into().map_err(|_| SnapshotError::Malformed)
    }

    pub(crate) fn secret<const N: usize>(&mut self) -> Read<Secret<N>> {
        Ok(Secret::new(self.exactly()?))
    }

    pub(crate) fn traffic_key(&mut self, suite: Suite) -> Read<TrafficKey> {
        TrafficKey::from_bytes(aead(suite), self.bytes()?).map_err(|_| SnapshotError::Malformed)
    }

    pub(crate) fn id(&mut self) -> Read<DeviceId> {
        DeviceId::new(self.bytes()?).map_err(|_| SnapshotError::Malformed)
    }

    pub(crate) fn handle(&mut self) -> Read<Handle> {
        Ok(Handle(self.exactly()?))
    }

    pub(crate) fn suite(&mut self) -> Read<Suite> {
        Suite::from_id(self.byte()?).ok_or(SnapshotError::Malformed)
    }

    /// `None` for `null`, else what `read` reads.
    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        if self.decoder.datatype().map_err(malformed)? == minicbor::data::Type::Null {
            self.decoder.null().map_err(malformed)?;
            return Ok(None);
        }
        read(self).map(Some)
    }
}

fn malformed(_: minicbor::decode::Error) -> SnapshotError {
    SnapshotError::Malformed
}
