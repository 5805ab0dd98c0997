//! The image of an agent's durable state: one CBOR array, written and read as a whole.

use std::fmt;

use minicbor::{Decoder, Encoder};
use rand_core::CryptoRng;

use super::PEERS;
use crate::request::StoredText;
use crate::{Device, DeviceId, snapshot_len_max};

/// The format that this version writes.
const FORMAT: u32 = 1;

/// A sealed text that the gateway has not confirmed.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptText {
    /// To whom.
    pub peer: DeviceId,
    /// Under which run.
    pub run: u32,
    /// Its sequence.
    pub sequence: u32,
    /// The payload of its POST.
    pub bytes: Vec<u8>,
}

impl KeptText {
    pub(super) fn is(&self, stored: &StoredText) -> bool {
        (self.peer, self.run, self.sequence) == (stored.peer, stored.run, stored.sequence)
    }
}

/// A text that was opened and not handed up yet. Peer, run and sequence name it for ever.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedText {
    /// From whom.
    pub peer: DeviceId,
    /// Under which run.
    pub run: u32,
    /// Its sequence.
    pub sequence: u32,
    /// The text.
    pub text: Vec<u8>,
}

/// All that has to survive.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// [`Device::snapshot`].
    pub snapshot: Vec<u8>,
    /// Sealed texts in flight.
    pub kept: Vec<KeptText>,
    /// Texts to hand up.
    pub received: Vec<ReceivedText>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image {{ redacted, kept: {}, received: {} }}", self.kept.len(), self.received.len())
    }
}

/// An image that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageError(String);

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ImageError {}

impl From<minicbor::decode::Error> for ImageError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self(error.to_string())
    }
}

impl Image {
    /// Of a device and the texts that go with it.
    pub fn of(device: &Device<PEERS>, kept: Vec<KeptText>, received: Vec<ReceivedText>) -> Self {
        let mut snapshot = vec![0; snapshot_len_max(PEERS)];
        let len = device.snapshot(&mut snapshot).expect("snapshot_len_max is enough");
        snapshot.truncate(len);
        Self { snapshot, kept, received }
    }

    /// The device in it; `rng` gives its life a salt ([`Device::restore`]).
    ///
    /// # Errors
    /// The snapshot is damaged or of another version.
    pub fn device(&self, rng: &mut impl CryptoRng) -> Result<Device<PEERS>, ImageError> {
        Device::restore(&self.snapshot, rng).map_err(|error| ImageError(error.to_string()))
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        self.write(&mut e).expect("encoding into a Vec cannot fail");
        e.into_writer()
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
        e.array(4)?.u32(FORMAT)?.bytes(&self.snapshot)?;
        e.array(self.kept.len() as u64)?;
        for text in &self.kept {
            e.array(4)?.bytes(text.peer.as_bytes())?.u32(text.run)?.u32(text.sequence)?.bytes(&text.bytes)?;
        }
        e.array(self.received.len() as u64)?;
        for text in &self.received {
            e.array(4)?.bytes(text.peer.as_bytes())?.u32(text.run)?.u32(text.sequence)?.bytes(&text.text)?;
        }
        Ok(())
    }

    /// From bytes.
    ///
    /// # Errors
    /// Not an image, or one of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut d = Decoder::new(bytes);
        if d.array()? != Some(4) || d.u32()? != FORMAT {
            return Err(ImageError("not a state of this version".into()));
        }
        let snapshot = d.bytes()?.to_vec();
        let kept = texts(&mut d, |peer, run, sequence, bytes| KeptText { peer, run, sequence, bytes })?;
        let received = texts(&mut d, |peer, run, sequence, text| ReceivedText { peer, run, sequence, text })?;
        Ok(Self { snapshot, kept, received })
    }
}

fn texts<T>(d: &mut Decoder<'_>, make: impl Fn(DeviceId, u32, u32, Vec<u8>) -> T) -> Result<Vec<T>, ImageError> {
    let count = d.array()?.unwrap_or(0);
    let mut out = Vec::new();
    for _ in 0..count {
        d.array()?;
        let peer = DeviceId::new(d.bytes()?).map_err(|error| ImageError(error.to_string()))?;
        let (run, sequence) = (d.u32()?, d.u32()?);
        out.push(make(peer, run, sequence, d.bytes()?.to_vec()));
    }
    Ok(out)
}
