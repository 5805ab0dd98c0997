//! How many runs a session may have verified: who can seal a Half has proven something, and still each new run costs public-key work,
//! which goes before that of strangers.
//!
//! Each leg has two allowances, as a source has in [`crate::rates`]: one for Halves that may come from anywhere, one for Halves that
//! bring an Echo value of their own. When the first is used up a Half without Echo gets 4.29, and its source is asked for Echo from
//! then on; when the second is used up as well, only time helps. So whoever sends a Half again that he has recorded, from forged
//! addresses, can cost its device a wait of a second and a round trip. He can do even that only while the store takes nothing: a Half
//! that has cost work is stored with what came of it, and the same bytes cost none again.
//!
//! The tables have a fixed size, and nothing is ever evicted.

use std::net::SocketAddr;
use std::time::Duration;

use aes::Aes128;
use aes::cipher::KeyInit;
use sga_coap::{Now, source};
use sga_schema::Handle;

use crate::limits::{RUN_CELLS, RUN_ECHO, RUN_ECHO_CELLS};
use crate::rates::{Bucket, Rate, micros, places};

/// From anywhere, and proven.
type Cell = [Bucket; 2];

pub(crate) struct Runs {
    rate: Rate,
    cipher: Aes128,
    rows: [Vec<Cell>; 2],
    /// Until when each source is asked for Echo.
    asked_us: Vec<u64>,
}

impl Runs {
    pub(crate) fn new(rate: Rate, key: &[u8; 16]) -> Self {
        let row = || vec![Cell::default(); RUN_CELLS];
        Self { rate, cipher: Aes128::new(key.into()), rows: [row(), row()], asked_us: vec![0; RUN_ECHO_CELLS] }
    }

    fn places(&self, leg: Handle) -> [usize; 2] {
        let mut block = [0; 16];
        block[..4].copy_from_slice(&leg.0);
        places(&self.cipher, block, RUN_CELLS)
    }

    /// Takes one of what a leg may have; or says how long until there is one.
    pub(crate) fn take(&mut self, now: Now, leg: Handle, proven: bool) -> Result<(), Duration> {
        let (now_us, rate, proven) = (micros(now), self.rate, usize::from(proven));
        let places = self.places(leg);
        let wait_us = |row: usize| self.rows[row][places[row]][proven].wait_us(now_us, rate);
        let wait_us = wait_us(0).min(wait_us(1));
        if wait_us > 0 {
            return Err(Duration::from_micros(wait_us));
        }
        for (row, place) in self.rows.iter_mut().zip(places) {
            row[place][proven].take(now_us, rate);
        }
        Ok(())
    }

    /// Asks a source for Echo for a while.
    pub(crate) fn ask(&mut self, now: Now, peer: SocketAddr) {
        let [place, _] = places(&self.cipher, source(peer), RUN_ECHO_CELLS);
        self.asked_us[place] = micros(now + RUN_ECHO);
    }

    /// Whether a source is asked.
    pub(crate) fn is_asked(&self, now: Now, peer: SocketAddr) -> bool {
        let [place, _] = places(&self.cipher, source(peer), RUN_ECHO_CELLS);
        micros(now) < self.asked_us[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RUNS_PER_LEG;

    const NOW: Now = Duration::from_secs(100);

    fn burst(runs: &mut Runs, now: Now, leg: Handle, proven: bool) -> u32 {
        (0..1_000).take_while(|_| runs.take(now, leg, proven).is_ok()).count() as u32
    }

    #[test]
    fn a_leg_has_two_allowances_and_gets_them_back() {
        let mut runs = Runs::new(Rate(RUNS_PER_LEG), &[7; 16]);
        let leg = Handle([1; 4]);
        assert_eq!(burst(&mut runs, NOW, leg, false), RUNS_PER_LEG);
        assert_eq!(runs.take(NOW, leg, false), Err(Duration::from_secs(2)));
        assert_eq!(burst(&mut runs, NOW, leg, true), RUNS_PER_LEG, "with Echo it has one of its own");
        assert_eq!(burst(&mut runs, NOW, Handle([2; 4]), false), RUNS_PER_LEG, "another leg");
        assert_eq!(burst(&mut runs, NOW + Duration::from_secs(10), leg, false), 5);
        assert_eq!(burst(&mut Runs::new(Rate(0), &[7; 16]), NOW, leg, false), 1_000, "zero is no limit");
    }

    #[test]
    fn a_source_is_asked_for_a_while() {
        let mut runs = Runs::new(Rate(RUNS_PER_LEG), &[7; 16]);
        let peer = |port| SocketAddr::from(([192, 0, 2, 1], port));
        assert!(!runs.is_asked(NOW, peer(1)));
        runs.ask(NOW, peer(1));
        assert!(runs.is_asked(NOW, peer(2)), "another port is the same source");
        assert!(!runs.is_asked(NOW, SocketAddr::from(([192, 0, 2, 9], 1))));
        assert!(!runs.is_asked(NOW + RUN_ECHO, peer(1)));
    }

    #[test]
    fn the_tables_do_not_grow() {
        let mut runs = Runs::new(Rate(1), &[7; 16]);
        for n in 0..100_000_u32 {
            let _ = runs.take(NOW, Handle(n.to_be_bytes()), false);
            runs.ask(NOW, SocketAddr::from((n.to_be_bytes(), 1)));
        }
        assert_eq!(
            [runs.rows[0].len(), runs.rows[1].len(), runs.asked_us.len()],
            [RUN_CELLS, RUN_CELLS, RUN_ECHO_CELLS]
        );
    }
}
