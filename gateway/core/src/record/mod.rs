//! What the store keeps, and its encoding: one CBOR array per record, led by a format number.
//!
//! A record that does not decode is a damaged store, never a peer's fault.

mod codec;
mod device;
mod links;
mod session;
mod window;

use std::sync::Arc;

use crate::storage::{DeviceIndex, Key};
use codec::*;

pub use codec::RecordError;
pub(crate) use device::{DeviceRecord, StoredAnswer};
pub(crate) use links::{LegRecord, PairRecord};
pub(crate) use session::{ClosedRun, End, HopKeys, OpenHalf, SessionRecord, Stage};
pub(crate) use window::{Seen, WindowRecord};

/// The gateway's own counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// New after a restore, so that devices reset their cursors.
    pub generation: [u8; 4],
    /// The index that the next new device gets.
    pub next_device: DeviceIndex,
    /// Seconds that the gateway has been up, over all its starts.
    pub uptime_s: u64,
}

impl Meta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        write(|e| {
            e.array(4)?.u32(FORMAT)?.bytes(&self.generation)?.u32(self.next_device)?.u64(self.uptime_s)?;
            Ok(())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut d = open(bytes, 3)?;
        Ok(Self { generation: fixed(&mut d)?, next_device: d.u32()?, uptime_s: d.u64()? })
    }
}

/// A record as the cache holds it.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Name(DeviceIndex),
    Device(Arc<DeviceRecord>),
    Session(Arc<SessionRecord>),
    Leg(LegRecord),
    Window(Arc<WindowRecord>),
    Pair(PairRecord),
    /// A key without a value: that it is there says all.
    Mark,
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Name(index) => index.to_be_bytes().to_vec(),
            Self::Device(record) => record.encode(),
            Self::Session(record) => record.encode(),
            Self::Leg(record) => record.encode(),
            Self::Window(record) => record.encode(),
            Self::Pair(record) => record.encode(),
            Self::Mark => Vec::new(),
        }
    }

    pub(crate) fn decode(key: Key, bytes: &[u8]) -> Result<Self, RecordError> {
        Ok(match key {
            Key::Name(_) => Self::Name(u32::from_be_bytes(bytes.try_into().map_err(|_| bad("index"))?)),
            Key::Device(_) => Self::Device(Arc::new(DeviceRecord::decode(bytes)?)),
            Key::Session(_) => Self::Session(Arc::new(SessionRecord::decode(bytes)?)),
            Key::Leg(_) => Self::Leg(LegRecord::decode(bytes)?),
            Key::Window(_) => Self::Window(Arc::new(WindowRecord::decode(bytes)?)),
            Key::Pair(..) => Self::Pair(PairRecord::decode(bytes)?),
            Key::Retired(_) | Key::Pending { .. } => Self::Mark,
            Key::Meta | Key::Item { .. } => return Err(bad("not a cached record")),
        })
    }
}
