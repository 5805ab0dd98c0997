//! Who observes what (RFC 7641, server side). What a change is, and when to tell, is the application's business.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::Now;
use crate::config::Config;
use crate::event::NotificationId;
use crate::snapshot::Resource;
use crate::token::Token;
use crate::wire::Message;

pub(crate) type Key = (SocketAddr, Token);

#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) resource: Resource,
    /// Block size asked for at registration.
    pub(crate) szx: Option<u8>,
    /// Bytes that may still go there while the address has not shown that it receives. What is acknowledged is given back.
    pub(crate) allowance: usize,
    /// What the outstanding notification may cost of it.
    pub(crate) lent: usize,
    /// Message ID of the notification that is not acknowledged yet.
    pub(crate) outstanding: Option<u16>,
    /// A state that waits: it takes the place of the outstanding one when that is due again, or follows when the peer has
    /// acknowledged what it was sent.
    pub(crate) newer: Option<(NotificationId, Message)>,
    /// Message ID of the last notification that went non-confirmable: a Reset may answer it.
    pub(crate) last_non: Option<u16>,
    /// Notifications that went non-confirmable since the last acknowledgement.
    pub(crate) unproven: u32,
    /// When it will not have proved for too long that it is there.
    idle_at: Now,
}

impl Observer {
    pub(crate) fn new(resource: Resource, szx: Option<u8>, allowance: usize) -> Observer {
        Observer {
            resource,
            szx,
            allowance,
            lent: 0,
            outstanding: None,
            newer: None,
            last_non: None,
            unproven: 0,
            idle_at: Now::ZERO,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Observers {
    table: BTreeMap<Key, Observer>,
    idle: BTreeSet<(Now, Key)>,
    /// One for all observers, so that it also rises across a renewed registration.
    sequence: u32,
}

impl Observers {
    pub(crate) fn new() -> Observers {
        Observers { table: BTreeMap::new(), idle: BTreeSet::new(), sequence: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The next sequence number, 24 bits.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = (self.sequence + 1) & 0x00ff_ffff;
        self.sequence
    }

    pub(crate) fn has_room(&self, peer: SocketAddr, config: &Config) -> bool {
        self.table.len() < config.observers_max && self.of_peer(peer).count() < config.observers_max_per_peer
    }

    /// There has to be room.
    pub(crate) fn insert(&mut self, now: Now, key: Key, observer: Observer, config: &Config) {
        self.remove(&key);
        self.table.insert(key, observer);
        self.heard(now, &key, config);
    }

    /// An observer has shown that it is there.
    pub(crate) fn heard(&mut self, now: Now, key: &Key, config: &Config) {
        if let Some(observer) = self.table.get_mut(key) {
            self.idle.remove(&(observer.idle_at, *key));
            observer.idle_at = now + config.observer_idle;
            observer.unproven = 0;
            self.idle.insert((observer.idle_at, *key));
        }
    }

    /// The next observer that has been silent for too long; asked for again only after as long again.
    pub(crate) fn pop_idle(&mut self, now: Now, config: &Config) -> Option<Key> {
        let &(at, key) = self.idle.first()?;
        if at > now {
            return None;
        }
        self.heard(now, &key, config);
        Some(key)
    }

    pub(crate) fn next_idle(&self) -> Option<Now> {
        self.idle.first().map(|(at, _)| *at)
    }

    fn of_peer(&self, peer: SocketAddr) -> impl Iterator<Item = (&Key, &Observer)> {
        self.table.range((peer, Token::default())..).take_while(move |(key, _)| key.0 == peer)
    }

    /// Whether a notification to this peer is not acknowledged yet: NSTART is 1 (RFC 7252 §4.7).
    pub(crate) fn is_waiting(&self, peer: SocketAddr) -> bool {
        self.of_peer(peer).any(|(_, observer)| observer.outstanding.is_some())
    }

    /// The notification to this peer that has waited longest for its turn.
    pub(crate) fn take_newer(&mut self, peer: SocketAddr) -> Option<(NotificationId, Message)> {
        let waiting = self.of_peer(peer).filter_map(|(key, observer)| Some((observer.newer.as_ref()?.0, *key)));
        let (_, key) = waiting.min()?;
        self.table.get_mut(&key)?.newer.take()
    }

    /// The observer whose non-confirmable notification had this message ID.
    pub(crate) fn by_non(&self, peer: SocketAddr, mid: u16) -> Option<Token> {
        self.of_peer(peer).find(|(_, observer)| observer.last_non == Some(mid)).map(|(key, _)| key.1)
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut Observer> {
        self.table.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<Observer> {
        let observer = self.table.remove(key)?;
        self.idle.remove(&(observer.idle_at, *key));
        Some(observer)
    }
}
