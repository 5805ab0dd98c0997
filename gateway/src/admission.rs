//! Which datagrams are dealt with when more come than can be: those of known addresses, and so many of strangers'.
//!
//! To throw one away costs a twentieth of answering it, so that a flood leaves time for those who are known.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sga_gateway_core::Now;

use crate::limits::{KNOWN_PER_WINDOW, KNOWN_WINDOW, STRANGERS_PER_S};

/// What one stranger's datagram costs of the time that strangers have.
const COST: Duration = Duration::from_nanos(1_000_000_000 / STRANGERS_PER_S as u64);

/// How much of it may be used at once.
const BURST: Duration = Duration::from_millis(100);

/// Who is let through.
pub(crate) struct Admission {
    /// When strangers will have used none of their time.
    rested: Now,
    window_ends: Now,
    of_known: HashMap<IpAddr, u32>,
    /// Thrown away since it was last said.
    shed: u64,
    said: Now,
}

/// How often it is said that datagrams are thrown away.
const SAY_EVERY: Duration = Duration::from_secs(60);

impl Admission {
    pub(crate) fn new() -> Self {
        Self { rested: Now::ZERO, window_ends: Now::ZERO, of_known: HashMap::new(), shed: 0, said: Now::ZERO }
    }

    /// Whether a datagram is dealt with; `known`: its address has shown that it receives.
    pub(crate) fn admits(&mut self, now: Now, peer: SocketAddr, known: bool) -> bool {
        if now >= self.window_ends {
            self.window_ends = now + KNOWN_WINDOW;
            self.of_known.clear();
        }
        if known {
            let count = self.of_known.entry(peer.ip().to_canonical()).or_default();
            if *count < KNOWN_PER_WINDOW {
                *count += 1;
                return true;
            }
        }
        let used = self.rested.max(now) + COST;
        if used > now + BURST {
            self.shed += 1;
            return false;
        }
        self.rested = used;
        true
    }

    /// How many were thrown away, if it is time to say so.
    pub(crate) fn take_shed(&mut self, now: Now) -> Option<u64> {
        if self.shed == 0 || self.said > now {
            return None;
        }
        self.said = now + SAY_EVERY;
        Some(std::mem::take(&mut self.shed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> SocketAddr {
        SocketAddr::from((n.to_be_bytes(), 5_683))
    }

    fn s(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    #[test]
    fn strangers_share_a_rate_and_known_addresses_do_not_feel_it() {
        let mut admission = Admission::new();
        let let_in = (0..1_000_000).filter(|&n| admission.admits(s(1), peer(n), false)).count();
        assert_eq!(let_in as u32, STRANGERS_PER_S / 10, "what may come at once");
        assert!(admission.admits(s(1), peer(7), true));
        let let_in = (0..1_000_000).filter(|&n| admission.admits(s(1) + BURST / 2, peer(n), false)).count();
        assert_eq!(let_in as u32, STRANGERS_PER_S / 20, "and what comes back with time");
        assert!(admission.take_shed(s(2)) > Some(1_900_000) && admission.take_shed(s(3)).is_none());
    }

    #[test]
    fn one_known_address_does_not_drive_out_another() {
        let mut admission = Admission::new();
        (0..1_000_000).for_each(|n| _ = admission.admits(s(1), peer(n), false));
        let let_in = (0..100_000).filter(|_| admission.admits(s(1), peer(7), true)).count();
        assert_eq!(let_in as u32, KNOWN_PER_WINDOW);
        assert!(admission.admits(s(1), peer(8), true));
        assert!(admission.admits(s(1) + KNOWN_WINDOW, peer(7), true), "for a hundredth of a second");
        assert_eq!(admission.of_known.len(), 1, "what is remembered goes with it");
    }
}
