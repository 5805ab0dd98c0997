//! Duplicates: what was done about a message ID (RFC 7252 §4.5).
//!
//! An entry is made before a request is passed on and lives for EXCHANGE_LIFETIME. Under pressure the oldest goes
//! first, but never one that is unanswered or whose request must not run twice while its sender may still retransmit:
//! rather than forget those, new requests are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::Now;
use crate::config::Config;
use crate::expiry::ExpiryMap;
use crate::limits::MAX_EXPIRED_AT_ONCE;

/// A message as its sender numbers it.
pub(crate) type Key = (SocketAddr, u16);

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// With the application, or part of an upload; `acked` once an empty ACK has been sent.
    Pending { acked: bool },
    /// Answered with these bytes; empty where nothing was sent.
    Answered(Vec<u8>),
}

#[derive(Debug)]
struct Entry {
    done: Done,
    /// Who put it there: an answer that comes when the message ID is in use again is not this one's.
    owner: u64,
    /// Set once answered: from when the entry may go under pressure.
    evictable: Option<Now>,
}

#[derive(Debug, Default)]
struct PerPeer {
    count: usize,
    evictable: BTreeSet<(Now, u16)>,
}

#[derive(Debug)]
pub(crate) struct Dedup {
    entries: ExpiryMap<Key, Entry>,
    evictable: BTreeSet<(Now, Key)>,
    peers: BTreeMap<SocketAddr, PerPeer>,
    bytes: usize,
}

impl Dedup {
    pub(crate) fn new() -> Dedup {
        Dedup { entries: ExpiryMap::new(), evictable: BTreeSet::new(), peers: BTreeMap::new(), bytes: 0 }
    }

    pub(crate) fn get(&self, now: Now, key: &Key) -> Option<&Done> {
        self.entries.get_live(now, key).map(|entry| &entry.done)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn next_expiry(&self) -> Option<Now> {
        self.entries.next_expiry()
    }

    /// Remembers a new request as pending, or says that there is no room.
    #[must_use]
    pub(crate) fn admit(&mut self, now: Now, key: Key, owner: u64, config: &Config) -> bool {
        self.expire(now);
        let per_peer = self.peers.get(&key.0).map_or(0, |peer| peer.count);
        if per_peer >= config.dedup_max_per_peer && !self.evict_of(now, key.0) {
            return false;
        }
        while self.entries.len() >= config.dedup_max || self.bytes >= config.dedup_max_bytes {
            let Some(&(time, oldest)) = self.evictable.first().filter(|(time, _)| *time <= now) else {
                return false;
            };
            log::debug!("dedup full: forgetting {oldest:?}, answered, evictable since {time:?}");
            self.remove(&oldest);
        }
        // It may have expired and not have been collected.
        self.remove(&key);
        let entry = Entry { done: Done::Pending { acked: false }, owner, evictable: None };
        self.entries.insert(key, now + config.exchange_lifetime, entry);
        self.peers.entry(key.0).or_default().count += 1;
        true
    }

    /// An empty ACK has gone out.
    pub(crate) fn acked(&mut self, key: &Key, owner: u64) {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.owner == owner) {
            entry.done = Done::Pending { acked: true };
        }
    }

    /// Keeps the reply. `evictable` says from when it may be forgotten under pressure. Without an entry of this owner, nothing is kept.
    pub(crate) fn answer(&mut self, key: &Key, owner: u64, reply: Vec<u8>, evictable: Now) {
        let own = |entry: &&mut Entry| entry.owner == owner && entry.evictable.is_none();
        let Some(entry) = self.entries.get_mut(key).filter(own) else {
            return;
        };
        self.bytes += reply.len();
        entry.done = Done::Answered(reply);
        entry.evictable = Some(evictable);
        self.evictable.insert((evictable, *key));
        self.peers.entry(key.0).or_default().evictable.insert((evictable, key.1));
    }

    /// Drops what has outlived EXCHANGE_LIFETIME.
    pub(crate) fn expire(&mut self, now: Now) {
        for _ in 0..MAX_EXPIRED_AT_ONCE {
            let Some((key, entry)) = self.entries.pop_expired(now) else { return };
            self.forget(key, &entry);
        }
    }

    fn evict_of(&mut self, now: Now, peer: SocketAddr) -> bool {
        let oldest = self.peers.get(&peer).and_then(|entry| entry.evictable.first().copied());
        match oldest {
            Some((time, mid)) if time <= now => {
                self.remove(&(peer, mid));
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.forget(*key, &entry);
        }
    }

    /// Takes an entry that is out of the table out of the indexes.
    fn forget(&mut self, key: Key, entry: &Entry) {
        if let Done::Answered(reply) = &entry.done {
            self.bytes -= reply.len();
        }
        if let Some(time) = entry.evictable {
            self.evictable.remove(&(time, key));
        }
        if let Some(peer) = self.peers.get_mut(&key.0) {
            peer.count -= 1;
            if let Some(time) = entry.evictable {
                peer.evictable.remove(&(time, key.1));
            }
            if peer.count == 0 {
                self.peers.remove(&key.0);
            }
        }
    }
}
