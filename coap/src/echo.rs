//! Proof that an address receives what is sent to it (RFC 9175 §2).
//!
//! The Echo value is self-contained: seconds ‖ HMAC-SHA-256(key, address, port, seconds) cut to 8 bytes. Nothing is kept for
//! an address until it has brought one back.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::Now;
use crate::config::Config;
use crate::expiry::ExpiryMap;
use crate::limits;
use crate::source::{Shares, Source, source};

const TIME_LEN: usize = 4;
const TAG_LEN: usize = 8;
/// Length of an Echo value of ours, in bytes.
pub(crate) const VALUE_LEN: usize = TIME_LEN + TAG_LEN;

pub(crate) struct Echo {
    /// Keyed once; cloned for each value.
    mac: Hmac<Sha256>,
    verified: ExpiryMap<SocketAddr, Verified>,
    /// The same addresses, the oldest of a source first.
    by_source: BTreeSet<(Source, Now, SocketAddr)>,
    shares: Shares,
}

/// An address that has shown that it receives.
struct Verified {
    until: Now,
    /// The request that brought the Echo value: its message ID and time.
    proof: Option<(u16, Now)>,
}

impl Echo {
    pub(crate) fn new(key: &[u8; 32]) -> Echo {
        // HMAC takes keys of any length; the fixed-size constructor wants a whole block.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        Echo {
            mac: Hmac::new(&block.into()),
            verified: ExpiryMap::new(),
            by_source: BTreeSet::new(),
            shares: Shares::default(),
        }
    }

    /// A fresh value for this address.
    pub(crate) fn value(&self, now: Now, peer: SocketAddr) -> [u8; VALUE_LEN] {
        let seconds = (now.as_secs() as u32).to_be_bytes();
        let mut value = [0; VALUE_LEN];
        value[..TIME_LEN].copy_from_slice(&seconds);
        value[TIME_LEN..].copy_from_slice(&self.tag(peer, seconds));
        value
    }

    /// Whether `value` was made for this address not longer ago than its lifetime.
    pub(crate) fn check(&self, now: Now, peer: SocketAddr, value: &[u8]) -> bool {
        let Some((&seconds, tag)) = value.split_first_chunk::<TIME_LEN>() else {
            return false;
        };
        let age = (now.as_secs() as u32).wrapping_sub(u32::from_be_bytes(seconds));
        let authentic = bool::from(self.tag(peer, seconds).as_slice().ct_eq(tag));
        authentic && u64::from(age) <= limits::ECHO_LIFETIME.as_secs()
    }

    fn tag(&self, peer: SocketAddr, seconds: [u8; TIME_LEN]) -> [u8; TAG_LEN] {
        let mut mac = self.mac.clone();
        match peer.ip() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&peer.port().to_be_bytes());
        mac.update(&seconds);
        let full = mac.finalize().into_bytes();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&full[..TAG_LEN]);
        tag
    }

    pub(crate) fn is_verified(&self, now: Now, peer: SocketAddr) -> bool {
        self.verified.get_live(now, &peer).is_some()
    }

    /// Remembers the address, or renews it. The oldest of the source with most makes room, so that one host with many ports or
    /// addresses in its prefix drives out none but its own.
    pub(crate) fn mark_verified(&mut self, now: Now, peer: SocketAddr, mid: Option<u16>, config: &Config) {
        self.expire(now);
        let before = self.forget(peer).and_then(|verified| verified.proof);
        let proof = mid.map(|mid| (mid, now)).or(before);
        while self.verified.len() >= config.verified_max.max(1) {
            let Some(oldest) = self.shares.largest().and_then(|source| self.oldest_of(source)) else { break };
            self.forget(oldest);
        }
        let (source, until) = (source(peer), now + config.verified_lifetime);
        self.verified.insert(peer, until, Verified { until, proof });
        self.by_source.insert((source, until, peer));
        self.shares.add(source, 1);
    }

    fn oldest_of(&self, source: Source) -> Option<SocketAddr> {
        let first = (source, Now::ZERO, SocketAddr::from(([0, 0, 0, 0], 0)));
        let oldest = self.by_source.range(first..).next().filter(|(of, ..)| *of == source);
        oldest.map(|(_, _, peer)| *peer)
    }

    fn forget(&mut self, peer: SocketAddr) -> Option<Verified> {
        let verified = self.verified.remove(&peer)?;
        let source = source(peer);
        self.by_source.remove(&(source, verified.until, peer));
        self.shares.take(source, 1);
        Some(verified)
    }

    /// Whether a message was numbered shortly before the one that brought the Echo value. It may be a late duplicate of
    /// one that was refused without being remembered, and must not run beside the one that took its place.
    pub(crate) fn predates(&self, now: Now, peer: SocketAddr, mid: u16) -> bool {
        let Some((proof, at)) = self.verified.get_live(now, &peer).and_then(|verified| verified.proof) else {
            return false;
        };
        (1..=limits::ECHO_MID_WINDOW).contains(&proof.wrapping_sub(mid)) && now < at + limits::DEDUP_PROTECTED
    }

    pub(crate) fn verified_count(&self) -> usize {
        self.verified.len()
    }

    pub(crate) fn next_expiry(&self) -> Option<Now> {
        self.verified.next_expiry()
    }

    pub(crate) fn expire(&mut self, now: Now) {
        let Self { verified, by_source, shares, .. } = self;
        verified.drop_expired(now, |peer, Verified { until, .. }| {
            let source = source(peer);
            by_source.remove(&(source, until, peer));
            shares.take(source, 1);
        });
    }
}
