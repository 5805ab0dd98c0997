//! Confirmable messages of ours that wait for an acknowledgement (RFC 7252 §4.2), and the message IDs we use.

use core::time::Duration;
use std::collections::BTreeMap;
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
    /// The last message ID used towards each peer: IDs must not repeat per peer, so that a counter for all would wrap too early.
    mids: ExpiryMap<SocketAddr, u16>,
}

impl Outgoing {
    pub(crate) fn new() -> Outgoing {
        Outgoing { waiting: BTreeMap::new(), mids: ExpiryMap::new() }
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
        self.waiting.insert(key, Waiting { purpose, bytes, due, timeout, left: retransmissions });
        due
    }

    pub(crate) fn get(&self, key: &(SocketAddr, u16)) -> Option<&Waiting> {
        self.waiting.get(key)
    }

    pub(crate) fn remove(&mut self, key: &(SocketAddr, u16)) -> Option<Waiting> {
        self.waiting.remove(key)
    }

    /// Another message goes in place of one whose time has come, on what is left of its attempts. When it is due again.
    pub(crate) fn supersede(
        &mut self,
        now: Now,
        old: (SocketAddr, u16),
        mid: u16,
        (purpose, bytes): (Purpose, Vec<u8>),
    ) -> Option<Now> {
        let Waiting { timeout, left, .. } = self.waiting.remove(&old)?;
        let timeout = timeout * 2;
        let due = now + timeout;
        self.waiting.insert((old.0, mid), Waiting { purpose, bytes, due, timeout, left: left.saturating_sub(1) });
        Some(due)
    }

    /// The time of a message has come.
    pub(crate) fn due(&mut self, now: Now, key: &(SocketAddr, u16)) -> Option<Due> {
        let waiting = self.waiting.get_mut(key)?;
        if waiting.left == 0 {
            return self.waiting.remove(key).map(|waiting| Due::GivenUp(waiting.purpose));
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
        while self.mids.pop_expired(now).is_some() {}
    }
}
