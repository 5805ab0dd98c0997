//! Who observes what (RFC 7641, server side). What a change is, and when to tell, is the application's business.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::config::Config;
use crate::snapshot::Resource;
use crate::token::Token;

pub(crate) type Key = (SocketAddr, Token);

#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) resource: Resource,
    /// Block size asked for at registration.
    pub(crate) szx: Option<u8>,
    /// Bytes of the registration: what an unverified address may be sent is measured by it.
    pub(crate) datagram_len: usize,
    /// Message ID of the notification that is not acknowledged yet.
    pub(crate) outstanding: Option<u16>,
}

#[derive(Debug)]
pub(crate) struct Observers {
    table: BTreeMap<Key, Observer>,
    /// One for all observers, so that it also rises across a renewed registration.
    sequence: u32,
}

impl Observers {
    pub(crate) fn new() -> Observers {
        Observers { table: BTreeMap::new(), sequence: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The next sequence number, 24 bits.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = (self.sequence + 1) & 0x00ff_ffff;
        self.sequence
    }

    /// `false` when there is no room.
    #[must_use]
    pub(crate) fn insert(&mut self, key: Key, observer: Observer, config: &Config) -> bool {
        let own = self.table.range((key.0, Token::default())..).take_while(|(other, _)| other.0 == key.0).count();
        if self.table.len() >= config.observers_max || own >= config.observers_max_per_peer {
            return false;
        }
        self.table.insert(key, observer);
        true
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut Observer> {
        self.table.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<Observer> {
        self.table.remove(key)
    }
}
