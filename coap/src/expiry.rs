//! A bounded table whose entries expire and whose oldest can be found.

use std::collections::{BTreeMap, BTreeSet};

use crate::Now;
use crate::limits::MAX_EXPIRED_AT_ONCE;

/// A map with a time for each entry and an index by that time. Ordered throughout, so that runs repeat exactly.
#[derive(Debug)]
pub(crate) struct ExpiryMap<K, V> {
    entries: BTreeMap<K, (Now, V)>,
    order: BTreeSet<(Now, K)>,
}

impl<K: Ord + Clone, V> ExpiryMap<K, V> {
    pub(crate) fn new() -> Self {
        ExpiryMap { entries: BTreeMap::new(), order: BTreeSet::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// The value, unless it has expired by `now` (and only waits to be collected).
    pub(crate) fn get_live(&self, now: Now, key: &K) -> Option<&V> {
        self.entries.get(key).filter(|(expires, _)| *expires > now).map(|(_, value)| value)
    }

    /// Inserts or replaces.
    pub(crate) fn insert(&mut self, key: K, expires: Now, value: V) -> Option<V> {
        let old = self.remove(&key);
        self.order.insert((expires, key.clone()));
        self.entries.insert(key, (expires, value));
        old
    }

    /// Moves the time of an entry.
    pub(crate) fn touch(&mut self, key: &K, expires: Now) {
        if let Some((time, _)) = self.entries.get_mut(key) {
            self.order.remove(&(*time, key.clone()));
            *time = expires;
            self.order.insert((expires, key.clone()));
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (expires, value) = self.entries.remove(key)?;
        self.order.remove(&(expires, key.clone()));
        Some(value)
    }

    /// The entry that expires first, out.
    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        let (_, key) = self.order.pop_first()?;
        self.entries.remove(&key).map(|(_, value)| (key, value))
    }

    /// The entry that expires first, out, when its time has come.
    pub(crate) fn pop_expired(&mut self, now: Now) -> Option<(K, V)> {
        if self.next_expiry()? > now {
            return None;
        }
        self.pop_oldest()
    }

    /// Takes out what has expired, as much as one call may.
    pub(crate) fn drop_expired(&mut self, now: Now, mut dropped: impl FnMut(K, V)) {
        for _ in 0..MAX_EXPIRED_AT_ONCE {
            let Some((key, value)) = self.pop_expired(now) else { return };
            dropped(key, value);
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Now> {
        self.order.first().map(|(expires, _)| *expires)
    }

    /// All entries, in key order, each with its time.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, Now)> {
        self.entries.iter().map(|(key, (expires, _))| (key, *expires))
    }

    /// Entries from `first` on, in key order, each with its time.
    pub(crate) fn range_from(&self, first: &K) -> impl Iterator<Item = (&K, Now)> {
        self.entries.range(first..).map(|(key, (expires, _))| (key, *expires))
    }
}
