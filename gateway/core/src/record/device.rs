//! A device.

use sga_crypto::Secret;
use sga_schema::{Accept, DeviceId, Suite, SuiteSet};

use super::codec::*;
use crate::limits::NUMBER_SHIFT_MAX;

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
    /// What is added to the numbers of its items on their way to the device, and taken from its cursors: not zero once it has shown
    /// that it has dealt with numbers that this store knows nothing of.
    pub(crate) shift: u32,
}

impl DeviceRecord {
    /// A copy to change and commit; the one in the cache stays as it is until then.
    pub(crate) fn duplicate(&self) -> Self {
        Self { registered_key: self.registered_key.duplicate(), last_invite: self.last_invite.clone(), ..*self }
    }

    /// The device has dealt with items under numbers that this store has never given out: it would take what comes under them for seen,
    /// and an accepted message would be lost. So all that is there, and all that comes, gets numbers above its cursor. It knows
    /// repeats by their sequences, as under another generation. The cursor is the device's word, and moves nobody else's numbers.
    pub(crate) fn go_on_above(&mut self, cursor: u32) {
        let shift = cursor.saturating_sub(self.acknowledged);
        if shift > NUMBER_SHIFT_MAX {
            log::warn!(
                "device {} shows a cursor of {cursor}, which no gateway has reached; it is passed over",
                self.id
            );
            return;
        }
        log::warn!(
            "device {} has dealt with items up to {cursor}, which this store does not know: unless it was forgotten meanwhile, the store \
             has lost what it had confirmed, and others may have lost messages with it; this device's items go on above that number",
            self.id
        );
        self.shift = shift;
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        write(|e| {
            e.array(13)?.u32(FORMAT)?.bytes(self.id.as_bytes())?.bytes(self.registered_key.expose())?;
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
            e.u32(self.told)?.u32(self.shift)?;
            Ok(())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        // The last three fields came later, one after the other.
        let known = [12, 11, 10, 9].into_iter().find_map(|fields| Some((open(bytes, fields).ok()?, fields)));
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
            shift: match if fields >= 12 { d.u32()? } else { 0 } {
                shift if shift <= NUMBER_SHIFT_MAX => shift,
                _ => return Err(bad("shift")),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(shift: u32) -> DeviceRecord {
        DeviceRecord {
            id: DeviceId::new(b"d").expect("an id"),
            registered_key: Secret::new([7; 32]),
            suite: Suite::AesCcm8,
            suites: SuiteSet::ALL,
            accept: Accept::All,
            attach_number: 1,
            request_number: 2,
            last_invite: None,
            acknowledged: 3,
            seen_s: Some(4),
            told: 5,
            shift,
        }
    }

    #[test]
    fn what_is_added_to_numbers_is_kept_and_bounded() {
        for shift in [0, 1, NUMBER_SHIFT_MAX] {
            assert_eq!(DeviceRecord::decode(&record(shift).encode()).expect("whole").shift, shift);
        }
        assert!(DeviceRecord::decode(&record(NUMBER_SHIFT_MAX + 1).encode()).is_err());
    }

    #[test]
    fn a_record_from_before_a_field_was_added_is_read() {
        let mut bytes = record(0).encode();
        // Each of the last three fields is one byte here, as is the head of the array.
        for (fields, told, seen_s) in [(12, 5, Some(4)), (11, 0, Some(4)), (10, 0, None)] {
            bytes.pop();
            bytes[0] = 0x80 | fields;
            let old = DeviceRecord::decode(&bytes).expect("whole");
            assert_eq!((old.shift, old.told, old.seen_s, old.acknowledged), (0, told, seen_s, 3));
        }
    }
}
