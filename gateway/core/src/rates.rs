//! How much anyone may ask: public-key work, and guesses, of each source and in all.
//!
//! A **source** is an IPv4 address, or an IPv6 prefix of 64 bits. Each has two allowances of each kind: one for requests that may
//! come from anywhere, and one for requests that bring an Echo value of their own. When the first is used up, requests from
//! there are asked for Echo; when the second is used up as well, they get 4.29. So whoever forges a source's address can cost
//! its devices a round trip, and cannot shut them out.
//!
//! The table has a fixed size and nothing is ever evicted: a source has a cell in each of two rows, chosen with a secret key,
//! and is over its limit when both cells are. Filling the table with other sources therefore never gives anyone a new
//! allowance; what it can do is to use up both cells of somebody else by chance.

use std::net::SocketAddr;
use std::time::Duration;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use sga_coap::{Demand, Now, source};
use sga_schema::Profile;

use crate::limits::{self, RATE_CELLS};

/// So many a minute; a minute's worth may come at once. Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u32);

const MINUTE_US: u64 = 60_000_000;

/// How much of its minute a source has to have back before it counts as within its limits.
const OVER_US: u64 = 5_000_000;

impl Rate {
    const fn interval_us(self) -> u64 {
        MINUTE_US / (if self.0 == 0 { 1 } else { self.0 } as u64)
    }
}

/// What an operator may set of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Register, A1 and A3 of one source: public-key work for who has proven nothing yet.
    pub work_per_source: Rate,
    /// The same in all.
    pub work_total: Rate,
    /// Requests of one source that did not open or verify (4.01).
    pub guesses_per_source: Rate,
    /// Jobs for them that the accelerator holds at a time; others wait here, behind those of established sessions.
    pub jobs_in_hand: usize,
}

impl Rates {
    /// The defaults of a profile: its group decides what work costs.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let compact = profile == Profile::Compact;
        Self {
            work_per_source: Rate(limits::WORK_PER_SOURCE),
            work_total: Rate(if compact { limits::WORK_TOTAL_COMPACT } else { limits::WORK_TOTAL_CLASSIC }),
            guesses_per_source: Rate(limits::GUESSES_PER_SOURCE),
            jobs_in_hand: limits::JOBS_IN_HAND,
        }
    }
}

/// A token bucket as the one time at which it will be full again (the generic cell rate algorithm): 8 bytes, and none of them
/// has to be kept once that time has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_us: u64,
}

impl Bucket {
    /// How long until there is a token; zero if there is one.
    pub(crate) fn wait_us(self, now_us: u64, rate: Rate) -> u64 {
        if rate.0 == 0 {
            return 0;
        }
        let burst = MINUTE_US - rate.interval_us();
        self.full_us.saturating_sub(now_us + burst)
    }

    pub(crate) fn take(&mut self, now_us: u64, rate: Rate) {
        if rate.0 != 0 {
            // Never more than one minute and the requests in work behind: what fails late is not owed for long.
            self.full_us = (self.full_us.max(now_us) + rate.interval_us()).min(now_us + 2 * MINUTE_US);
        }
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Work,
    Guess,
}

/// By kind, and within it: from anywhere, proven.
type Cell = [[Bucket; 2]; 2];

pub(crate) struct Limiter {
    rates: Rates,
    cipher: Aes128,
    rows: [Vec<Cell>; 2],
    total: Bucket,
}

pub(crate) fn micros(now: Now) -> u64 {
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX / 2)
}

/// The cell in each of two rows of a table, chosen with a secret key.
pub(crate) fn places(cipher: &Aes128, block: [u8; 16], cells: usize) -> [usize; 2] {
    let mut block = block.into();
    cipher.encrypt_block(&mut block);
    let block: [u8; 16] = block.into();
    let at = |bytes: &[u8]| bytes.iter().fold(0_usize, |sum, &byte| sum << 8 | usize::from(byte)) % cells;
    [at(&block[..4]), at(&block[4..8])]
}

impl Limiter {
    pub(crate) fn new(rates: Rates, key: &[u8; 16]) -> Self {
        let row = || vec![Cell::default(); RATE_CELLS];
        Self { rates, cipher: Aes128::new(key.into()), rows: [row(), row()], total: Bucket::default() }
    }

    fn rate(&self, kind: Kind) -> Rate {
        match kind {
            Kind::Work => self.rates.work_per_source,
            Kind::Guess => self.rates.guesses_per_source,
        }
    }

    fn places(&self, peer: SocketAddr) -> [usize; 2] {
        places(&self.cipher, source(peer), RATE_CELLS)
    }

    fn wait_us(&self, now_us: u64, places: [usize; 2], kind: Kind, proven: bool) -> u64 {
        let rate = self.rate(kind);
        let row = |row: usize| self.rows[row][places[row]][kind as usize][usize::from(proven)].wait_us(now_us, rate);
        row(0).min(row(1))
    }

    /// What the next request from there has to show.
    pub(crate) fn demand(&self, now: Now, peer: SocketAddr) -> Demand {
        let (now_us, places) = (micros(now), self.places(peer));
        let used_up = |kind| self.wait_us(now_us, places, kind, false) > 0;
        if used_up(Kind::Guess) || used_up(Kind::Work) { Demand::Proven } else { Demand::Usual }
    }

    /// Whether a source has used up what nobody else could use up for it, now or a few seconds ago: who goes on asking for more has
    /// something again each moment, and nothing again in the next.
    pub(crate) fn is_over(&self, now: Now, peer: SocketAddr) -> bool {
        let (now_us, places) = (micros(now).saturating_sub(OVER_US), self.places(peer));
        [Kind::Guess, Kind::Work].into_iter().any(|kind| self.wait_us(now_us, places, kind, true) > 0)
    }

    /// How long a request of this kind has to wait, if it has to.
    pub(crate) fn wait(&self, now: Now, peer: SocketAddr, kind: Kind, proven: bool) -> Option<Duration> {
        let now_us = micros(now);
        let own = self.wait_us(now_us, self.places(peer), kind, proven);
        let all = if kind == Kind::Work { self.total.wait_us(now_us, self.rates.work_total) } else { 0 };
        Some(own.max(all)).filter(|&wait| wait > 0).map(Duration::from_micros)
    }

    /// One was done, or has failed.
    pub(crate) fn take(&mut self, now: Now, peer: SocketAddr, kind: Kind, proven: bool) {
        let (now_us, rate, places) = (micros(now), self.rate(kind), self.places(peer));
        for (row, place) in self.rows.iter_mut().zip(places) {
            row[place][kind as usize][usize::from(proven)].take(now_us, rate);
        }
        if kind == Kind::Work {
            self.total.take(now_us, self.rates.work_total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates =
        Rates { work_per_source: Rate(60), work_total: Rate(6_000), guesses_per_source: Rate(600), jobs_in_hand: 4 };

    fn peer(text: &str) -> SocketAddr {
        format!("{text}:1").parse().expect("an address")
    }

    fn limiter(rates: Rates) -> Limiter {
        Limiter::new(rates, &[7; 16])
    }

    fn s(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    /// How many it lets through at one moment.
    fn burst(limiter: &mut Limiter, now: Now, peer: SocketAddr, kind: Kind, proven: bool) -> u32 {
        let mut count = 0;
        while limiter.wait(now, peer, kind, proven).is_none() && count < 100_000 {
            limiter.take(now, peer, kind, proven);
            count += 1;
        }
        count
    }

    #[test]
    fn a_minutes_worth_at_once_and_then_as_it_comes() {
        let mut limiter = limiter(RATES);
        let one = peer("192.0.2.1");
        assert_eq!(burst(&mut limiter, s(100), one, Kind::Work, false), 60);
        assert_eq!(limiter.wait(s(100), one, Kind::Work, false), Some(s(1)));
        assert_eq!(limiter.demand(s(100), one), Demand::Proven);
        assert!(!limiter.is_over(s(100), one), "that may have been anybody");
        assert_eq!(burst(&mut limiter, s(100), one, Kind::Work, true), 60, "another allowance");
        assert!(limiter.is_over(s(100), one) && limiter.is_over(s(105), one), "also while it has a few again");
        assert!(!limiter.is_over(s(106), one));
        assert_eq!(burst(&mut limiter, s(110), one, Kind::Work, false), 10);
        assert_eq!(burst(&mut limiter, s(300), one, Kind::Work, false), 60, "never more");
        assert_eq!(burst(&mut limiter, s(300), one, Kind::Guess, false), 600, "another kind");
        assert_eq!(limiter.demand(s(300), peer("192.0.2.2")), Demand::Usual, "another source");
    }

    #[test]
    fn all_together_have_a_limit() {
        let mut limiter = limiter(RATES);
        let done: u32 = (0..200)
            .map(|n: u32| {
                burst(&mut limiter, s(1), SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 1)), Kind::Work, true)
            })
            .sum();
        assert_eq!(done, 6_000);
    }

    #[test]
    fn zero_is_no_limit() {
        let none = Rate(0);
        let mut limiter = limiter(Rates { work_per_source: none, work_total: none, guesses_per_source: none, ..RATES });
        assert_eq!(burst(&mut limiter, s(1), peer("192.0.2.1"), Kind::Work, true), 100_000);
        assert_eq!(burst(&mut limiter, s(1), peer("192.0.2.1"), Kind::Guess, true), 100_000);
    }

    /// A hundred thousand other sources, each at its limit, give the first no new allowance; few that did nothing are hit.
    #[test]
    fn no_flood_of_sources_resets_a_limit() {
        let mut limiter = limiter(Rates { work_total: Rate(0), ..RATES });
        let one = peer("192.0.2.1");
        burst(&mut limiter, s(1), one, Kind::Guess, true);
        let before: Vec<usize> = limiter.rows.iter().map(Vec::len).collect();
        for n in 0..100_000_u32 {
            let [_, b, c, d] = n.to_be_bytes();
            limiter.take(s(1), SocketAddr::from(([11, b, c, d], 9)), Kind::Guess, true);
        }
        assert_eq!(limiter.rows.iter().map(Vec::len).collect::<Vec<_>>(), before, "the table does not grow");
        assert!(limiter.wait(s(1), one, Kind::Guess, true).is_some());

        let mut limiter = self::limiter(Rates { work_total: Rate(0), ..RATES });
        for n in 0..1_000_u16 {
            let [c, d] = n.to_be_bytes();
            burst(&mut limiter, s(1), SocketAddr::from(([11, 0, c, d], 9)), Kind::Guess, true);
        }
        let hit = (0..10_000_u16)
            .filter(|n| {
                let [c, d] = n.to_be_bytes();
                limiter.wait(s(1), SocketAddr::from(([12, 0, c, d], 9)), Kind::Guess, true).is_some()
            })
            .count();
        assert!(hit < 50, "{hit} of 10,000 sources share both cells with one of 1,000 that are over");
    }
}
