//! Records in memory: bounded, filled by loads, changed only by commits that are done.
//!
//! Absence is cached too, or a request about something unknown would load for ever.

use std::collections::HashMap;
use std::sync::Arc;

use sga_schema::{DeviceId, Handle, Role};

use crate::decoy;
use crate::limits::{ABSENT_MAX, CACHE_RECORDS_MAX};
use crate::record::{DeviceRecord, LegRecord, PairRecord, Record, SessionRecord, WindowRecord};
use crate::storage::{DeviceIndex, Key};
use crate::task::Stop;

struct Entry {
    record: Record,
    used: u64,
}

pub(crate) struct Cache {
    entries: HashMap<Key, Entry>,
    capacity: usize,
    /// What the store does not have, apart: whoever asks for what does not exist drives out nothing that does.
    absent: HashMap<Key, u64>,
    absent_capacity: usize,
    /// Rises with each use.
    turn: u64,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self::with_capacity(CACHE_RECORDS_MAX, ABSENT_MAX)
    }

    pub(crate) fn with_capacity(capacity: usize, absent_capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, absent: HashMap::new(), absent_capacity, turn: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.absent.len()
    }

    /// What a load found. A record that is here already is as new or newer: a commit may have finished since the load was asked.
    pub(crate) fn fill(&mut self, key: Key, record: Option<Record>) {
        if !self.entries.contains_key(&key) && !self.absent.contains_key(&key) {
            self.set(key, record);
        }
    }

    /// What a commit has made of a record.
    pub(crate) fn set(&mut self, key: Key, record: Option<Record>) {
        self.turn += 1;
        let used = self.turn;
        match record {
            Some(record) => {
                self.absent.remove(&key);
                self.entries.insert(key, Entry { record, used });
                if self.entries.len() > self.capacity {
                    self.evict();
                }
            }
            None => {
                self.entries.remove(&key);
                self.absent.insert(key, used);
                if self.absent.len() > self.absent_capacity {
                    let oldest_kept = oldest_kept(self.absent.values().copied());
                    self.absent.retain(|_, used| *used >= oldest_kept);
                }
            }
        }
    }

    /// Drops the eighth that was unused for longest, so that the search for it is paid rarely.
    fn evict(&mut self) {
        let oldest_kept = oldest_kept(self.entries.values().map(|entry| entry.used));
        self.entries.retain(|_, entry| entry.used >= oldest_kept);
    }

    fn get(&mut self, key: Key) -> Result<Option<&Record>, Stop> {
        self.turn += 1;
        let turn = self.turn;
        // Both are looked at, whatever the first says: what exists takes no less time than what does not.
        let absent = self.absent.get_mut(&key).map(|used| *used = turn);
        match (self.entries.get_mut(&key), absent) {
            (Some(entry), _) => {
                entry.used = turn;
                Ok(Some(&entry.record))
            }
            (None, Some(())) => Ok(None),
            (None, None) => Err(Stop::Need(key)),
        }
    }

    /// The device of this name; or a decoy, which is found in the same way, and `false`.
    pub(crate) fn named_or(
        &mut self,
        id: DeviceId,
        decoy: &Arc<DeviceRecord>,
    ) -> Result<(DeviceIndex, Arc<DeviceRecord>, bool), Stop> {
        let index = self.index_of(id)?;
        self.device_or(index, decoy)
    }

    /// The same by index.
    pub(crate) fn device_or(
        &mut self,
        index: Option<DeviceIndex>,
        decoy: &Arc<DeviceRecord>,
    ) -> Result<(DeviceIndex, Arc<DeviceRecord>, bool), Stop> {
        let at = index.unwrap_or(decoy::INDEX);
        let device = self.device(at)?;
        let exists = index.is_some() && device.is_some();
        Ok((at, device.unwrap_or_else(|| decoy.clone()), exists))
    }

    /// The session of a leg, and the role that the leg has in it; or a decoy and `false`.
    pub(crate) fn session_of_leg_or(
        &mut self,
        handle: Handle,
        decoy: &Arc<SessionRecord>,
    ) -> Result<(LegRecord, Arc<SessionRecord>, bool), Stop> {
        let leg = self.leg(handle)?;
        let exists = leg.is_some();
        let leg = leg.unwrap_or(LegRecord { session: decoy::HANDLE, role: Role::Initiator });
        let session = self.session(leg.session)?;
        let exists = exists && session.is_some();
        Ok((leg, session.unwrap_or_else(|| decoy.clone()), exists))
    }

    pub(crate) fn device(&mut self, index: DeviceIndex) -> Result<Option<Arc<DeviceRecord>>, Stop> {
        Ok(match self.get(Key::Device(index))? {
            Some(Record::Device(record)) => Some(record.clone()),
            _ => None,
        })
    }

    pub(crate) fn index_of(&mut self, id: DeviceId) -> Result<Option<DeviceIndex>, Stop> {
        Ok(match self.get(Key::Name(id))? {
            Some(Record::Name(index)) => Some(*index),
            _ => None,
        })
    }

    pub(crate) fn named(&mut self, id: DeviceId) -> Result<Option<(DeviceIndex, Arc<DeviceRecord>)>, Stop> {
        let Some(index) = self.index_of(id)? else { return Ok(None) };
        Ok(self.device(index)?.map(|record| (index, record)))
    }

    pub(crate) fn session(&mut self, handle: Handle) -> Result<Option<Arc<SessionRecord>>, Stop> {
        Ok(match self.get(Key::Session(handle))? {
            Some(Record::Session(record)) => Some(record.clone()),
            _ => None,
        })
    }

    pub(crate) fn leg(&mut self, handle: Handle) -> Result<Option<LegRecord>, Stop> {
        Ok(match self.get(Key::Leg(handle))? {
            Some(Record::Leg(record)) => Some(*record),
            _ => None,
        })
    }

    pub(crate) fn window(&mut self, handle: Handle) -> Result<Arc<WindowRecord>, Stop> {
        Ok(match self.get(Key::Window(handle))? {
            Some(Record::Window(record)) => record.clone(),
            _ => Arc::default(),
        })
    }

    pub(crate) fn pair(&mut self, a: DeviceIndex, b: DeviceIndex) -> Result<PairRecord, Stop> {
        Ok(match self.get(pair_key(a, b))? {
            Some(Record::Pair(record)) => *record,
            _ => PairRecord::default(),
        })
    }

    pub(crate) fn is_marked(&mut self, key: Key) -> Result<bool, Stop> {
        Ok(self.get(key)?.is_some())
    }
}

/// When what stays was used last, so that an eighth goes.
fn oldest_kept(used: impl Iterator<Item = u64>) -> u64 {
    let mut used: Vec<u64> = used.collect();
    let at = used.len() / 8;
    *used.select_nth_unstable(at).1
}

pub(crate) fn pair_key(a: DeviceIndex, b: DeviceIndex) -> Key {
    Key::Pair(a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_and_keeps_what_is_used() {
        let mut cache = Cache::with_capacity(64, 16);
        let name = |number: u32| Key::Name(DeviceId::new(&number.to_be_bytes()).expect("valid"));
        let hot = DeviceId::new(&[0; 4]).expect("valid");
        for number in 0..10_000 {
            cache.set(name(number), Some(Record::Name(number)));
            assert!(cache.index_of(hot).is_ok(), "the record in use was dropped");
            assert!(cache.len() <= 64);
        }
        cache.set(Key::Device(0), None);
        for index in 1..10_000 {
            cache.set(Key::Device(index), None);
            assert!(cache.device(0).is_ok(), "what is asked for again and again is remembered");
            assert!(cache.absent.len() <= 16);
        }
        assert!(cache.index_of(hot).is_ok(), "what does not exist drives out nothing");
    }

    #[test]
    fn a_load_does_not_overwrite_what_a_commit_has_set() {
        let mut cache = Cache::with_capacity(8, 8);
        let id = DeviceId::new(b"a").expect("valid");
        cache.set(Key::Name(id), Some(Record::Name(7)));
        cache.fill(Key::Name(id), None);
        assert_eq!(cache.index_of(id).ok().flatten(), Some(7));
    }
}
