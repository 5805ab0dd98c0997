//! A device.

use sga_crypto::Secret;
use sga_schema::{Accept, DeviceId, Suite, SuiteSet};

use super::codec::*;

/// The answer to a device's last A1, for its repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredAnswer {
    pub(crate) request_hash: [u8; 32],
    pub(crate) code: u8,
    pub(crate) payload: Vec<u8>,
}

/// A registered device.
#[derive(Debug)]
pub(crate) struct DeviceRecord {
    pub(crate) id: DeviceId,
    /// k_d.
    pub(crate) registered_key: Secret<32>,
    /// x: what seals everything under k_d.
    pub(crate) suite: Suite,
    /// CidSet^i.
    pub(crate) suites: SuiteSet,
    pub(crate) accept: Accept,
    pub(crate) attach_number: u32,
    pub(crate) request_number: u32,
    pub(crate) last_invite: Option<StoredAnswer>,
    /// The device has dealt with all items up to this number.
    pub(crate) acknowledged: u32,
    /// When it last attached or registered, in seconds of persisted uptime; none in a record from before that was noted.
    pub(crate) seen_s: Option<u64>,
    /// The newest of the gateway's key pairs that the device was told of, by their count.
    pub(crate) told: u32,
}

impl DeviceRecord {
    /// A copy to change and commit; the one in the cache stays as it is until then.
    pub(crate) fn duplicate(&self) -> Self {
        Self { registered_key: self.registered_key.duplicate(), last_invite: self.last_invite.clone(), ..*self }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        write(|e| {
            e.array(12)?.u32(FORMAT)?.bytes(self.id.as_bytes())?.bytes(self.registered_key.expose())?;
            e.u8(self.suite.id())?.u32(self.suites.bits())?.u8(self.accept as u8)?;
            e.u32(self.attach_number)?.u32(self.request_number)?;
            match &self.last_invite {
                None => e.null()?,
                Some(last) => e.array(3)?.bytes(&last.request_hash)?.u8(last.code)?.bytes(&last.payload)?,
            };
            e.u32(self.acknowledged)?;
            match self.seen_s {
                None => e.null()?,
                Some(seen_s) => e.u64(seen_s)?,
            };
            e.u32(self.told)?;
            Ok(())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        // The last two fields came later, one after the other.
        let known = [11, 10, 9].into_iter().find_map(|fields| Some((open(bytes, fields).ok()?, fields)));
        let Some((mut d, fields)) = known else { return Err(bad("fields of a device")) };
        Ok(Self {
            id: id(&mut d)?,
            registered_key: secret(&mut d)?,
            suite: suite(&mut d)?,
            suites: SuiteSet::from_bits(d.u32()?).ok_or_else(|| bad("suites"))?,
            accept: match d.u8()? {
                0 => Accept::All,
                1 => Accept::Known,
                2 => Accept::None,
                _ => return Err(bad("accept")),
            },
            attach_number: d.u32()?,
            request_number: d.u32()?,
            last_invite: optional(&mut d, |d| {
                d.array()?;
                Ok(StoredAnswer { request_hash: fixed(d)?, code: d.u8()?, payload: d.bytes()?.to_vec() })
            })?,
            acknowledged: d.u32()?,
            seen_s: if fields >= 10 { optional(&mut d, |d| Ok(d.u64()?))? } else { None },
            told: if fields >= 11 { d.u32()? } else { 0 },
        })
    }
}
