//! Records in memory: bounded, filled by loads, changed only by commits that are done.
//!
//! Absence is cached too, or a request about something unknown would load for ever.

use std::collections::HashMap;
use std::sync::Arc;

use sga_schema::{DeviceId, Handle};

use crate::limits::CACHE_RECORDS_MAX;
use crate::record::{DeviceRecord, LegRecord, PairRecord, Record, SessionRecord, WindowRecord};
use crate::storage::{DeviceIndex, Key};
use crate::task::Stop;

struct Entry {
    /// `None`: the store does not have it.
    record: Option<Record>,
    used: u64,
}

pub(crate) struct Cache {
    entries: HashMap<Key, Entry>,
    capacity: usize,
    /// Rises with each use.
    turn: u64,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self::with_capacity(CACHE_RECORDS_MAX)
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, turn: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What a load found. A record that is here already is as new or newer: a commit may have finished since the load was asked.
    pub(crate) fn fill(&mut self, key: Key, record: Option<Record>) {
        if !self.entries.contains_key(&key) {
            self.set(key, record);
        }
    }

    /// What a commit has made of a record.
    pub(crate) fn set(&mut self, key: Key, record: Option<Record>) {
        self.turn += 1;
        let used = self.turn;
        self.entries.insert(key, Entry { record, used });
        if self.entries.len() > self.capacity {
            self.evict();
        }
    }

    /// Drops the eighth that was unused for longest, so that the search for it is paid rarely.
    fn evict(&mut self) {
        let mut used: Vec<u64> = self.entries.values().map(|entry| entry.used).collect();
        let at = used.len() / 8;
        let (_, &mut oldest_kept, _) = used.select_nth_unstable(at);
        self.entries.retain(|_, entry| entry.used >= oldest_kept);
    }

    fn get(&mut self, key: Key) -> Result<Option<&Record>, Stop> {
        self.turn += 1;
        let turn = self.turn;
        match self.entries.get_mut(&key) {
            None => Err(Stop::Need(key)),
            Some(entry) => {
                entry.used = turn;
                Ok(entry.record.as_ref())
            }
        }
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

pub(crate) fn pair_key(a: DeviceIndex, b: DeviceIndex) -> Key {
    Key::Pair(a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_and_keeps_what_is_used() {
        let mut cache = Cache::with_capacity(64);
        let hot = Key::Device(0);
        cache.set(hot, None);
        for index in 1..10_000 {
            cache.set(Key::Device(index), None);
            assert!(cache.device(0).is_ok(), "the record in use was dropped");
            assert!(cache.len() <= 64);
        }
    }

    #[test]
    fn a_load_does_not_overwrite_what_a_commit_has_set() {
        let mut cache = Cache::with_capacity(8);
        let id = DeviceId::new(b"a").expect("valid");
        cache.set(Key::Name(id), Some(Record::Name(7)));
        cache.fill(Key::Name(id), None);
        assert_eq!(cache.index_of(id).ok().flatten(), Some(7));
    }
}
