//! Confirmable messages of ours that wait for an acknowledgement (RFC 7252 §4.2), and the message IDs we use.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use rand_core::Rng;

use crate::Now;
use crate::config::Config;
use crate::event::{ExchangeId, NotificationId};
use crate::expiry::ExpiryMap;
use crate::limits;
use crate::token::Token;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Separate,
    Notification { token: Token, id: NotificationId },
    Exchange(ExchangeId),
}

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) purpose: Purpose,
    pub(crate) bytes: Vec<u8>,
    pub(crate) due: Now,
    timeout: Duration,
    age: u64,
    /// Retransmissions left.
    pub(crate) left: u32,
}

/// What to do when a message is due.
#[derive(Debug)]
pub(crate) enum Due {
    Again { bytes: Vec<u8>, due: Now },
    GivenUp(Purpose),
}

#[derive(Debug)]
pub(crate) struct Outgoing {
    waiting: BTreeMap<(SocketAddr, u16), Waiting>,
    /// Separate answers among them, by age, in all and of each peer.
    separate: BTreeSet<(u64, SocketAddr, u16)>,
    separate_of: BTreeSet<(SocketAddr, u64, u16)>,
    age: u64,
    /// The last message ID used towards each peer: IDs must not repeat per peer, so that a counter for all would wrap too early.
    mids: ExpiryMap<SocketAddr, u16>,
}

impl Outgoing {
    pub(crate) fn new() -> Outgoing {
        Outgoing {
            waiting: BTreeMap::new(),
            separate: BTreeSet::new(),
            separate_of: BTreeSet::new(),
            age: 0,
            mids: ExpiryMap::new(),
        }
    }

    pub(crate) fn next_mid(&mut self, now: Now, peer: SocketAddr, rng: &mut impl Rng, config: &Config) -> u16 {
        let last = self.mids.get_live(now, &peer).copied();
        let mut mid = last.map_or_else(|| rng.next_u32() as u16, |mid| mid.wrapping_add(1));
        // Ends: fewer than 65,536 messages wait per peer.
        while self.waiting.contains_key(&(peer, mid)) {
            mid = mid.wrapping_add(1);
        }
        while self.mids.len() >= limits::MAX_MID_PEERS && last.is_none() {
            self.mids.pop_oldest();
        }
        self.mids.insert(peer, now + config.exchange_lifetime, mid);
        mid
    }

    /// Keeps a message until it is acknowledged; returns when it is due again.
    pub(crate) fn insert(
        &mut self,
        now: Now,
        key: (SocketAddr, u16),
        message: (Purpose, Vec<u8>),
        retransmissions: u32,
        (rng, config): (&mut impl Rng, &Config),
    ) -> Now {
        let jitter = f64::from(rng.next_u32()) / f64::from(u32::MAX);
        let factor = 1.0 + (config.ack_random_factor - 1.0).clamp(0.0, 10.0) * jitter;
        let timeout = config.ack_timeout.mul_f64(factor);
        let (purpose, bytes) = message;
        let due = now + timeout;
        self.age += 1;
        let age = self.age;
        if purpose == Purpose::Separate {
            self.separate.insert((age, key.0, key.1));
            self.separate_of.insert((key.0, age, key.1));
        }
        self.waiting.insert(key, Waiting { purpose, bytes, due, timeout, age, left: retransmissions });
        due
    }

    pub(crate) fn get(&self, key: &(SocketAddr, u16)) -> Option<&Waiting> {
        self.waiting.get(key)
    }

    pub(crate) fn remove(&mut self, key: &(SocketAddr, u16)) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        if waiting.purpose == Purpose::Separate {
            self.separate.remove(&(waiting.age, key.0, key.1));
            self.separate_of.remove(&(key.0, waiting.age, key.1));
        }
        Some(waiting)
    }

    /// The separate answer that has to go for another to this peer, if there are so many.
    pub(crate) fn oldest_separate(&self, peer: SocketAddr, in_all: usize, of_peer: usize) -> Option<(SocketAddr, u16)> {
        let mut own = self.separate_of.range((peer, 0, 0)..=(peer, u64::MAX, u16::MAX));
        if own.clone().count() >= of_peer {
            return own.next().map(|&(peer, _, mid)| (peer, mid));
        }
        let oldest = self.separate.first().filter(|_| self.separate.len() >= in_all);
        oldest.map(|&(_, peer, mid)| (peer, mid))
    }

    /// Another message goes in place of one whose time has come, on what is left of its attempts. When it is due again.
    pub(crate) fn supersede(
        &mut self,
        now: Now,
        old: (SocketAddr, u16),
        mid: u16,
        (purpose, bytes): (Purpose, Vec<u8>),
    ) -> Option<Now> {
        let Waiting { timeout, left, age, .. } = self.waiting.remove(&old)?;
        let timeout = timeout * 2;
        let due = now + timeout;
        self.waiting.insert((old.0, mid), Waiting { purpose, bytes, due, timeout, age, left: left.saturating_sub(1) });
        Some(due)
    }

    /// The time of a message has come.
    pub(crate) fn due(&mut self, now: Now, key: &(SocketAddr, u16)) -> Option<Due> {
        let waiting = self.waiting.get_mut(key)?;
        if waiting.left == 0 {
            return self.remove(key).map(|waiting| Due::GivenUp(waiting.purpose));
        }
        waiting.left -= 1;
        waiting.timeout *= 2;
        waiting.due = now + waiting.timeout;
        Some(Due::Again { bytes: waiting.bytes.clone(), due: waiting.due })
    }

    pub(crate) fn next_expiry(&self) -> Option<Now> {
        self.mids.next_expiry()
    }

    pub(crate) fn expire(&mut self, now: Now) {
        self.mids.drop_expired(now, |_, _| {});
    }
}
