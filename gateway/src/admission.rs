//! How many datagrams of strangers are dealt with when more come than can be.
//!
//! While the loop keeps up, all are. Once it has been behind for some milliseconds without a pause, those past a rate are thrown
//! away, until a second has gone by in which none was: to throw one away costs a twentieth of answering it, so that a flood
//! leaves time for those who are known.

use std::time::Duration;

use sga_gateway_core::Now;

use crate::limits::{BEHIND, CALM, STRANGERS_PER_S};

/// What one stranger's datagram costs of the time that strangers have.
const COST: Duration = Duration::from_nanos(1_000_000_000 / STRANGERS_PER_S as u64);

/// How much of it may be used at once.
const BURST: Duration = Duration::from_millis(100);

/// How often it is said that datagrams are thrown away.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Who is let through.
pub(crate) struct Admission {
    /// Since when no turn of the loop has emptied the sockets.
    behind_since: Option<Now>,
    /// Until then the rates hold.
    pressed_until: Now,
    /// When strangers will have used none of their time.
    rested: Now,
    /// Thrown away since it was last said.
    shed: u64,
    said: Now,
}

impl Admission {
    pub(crate) fn new() -> Self {
        Self { behind_since: None, pressed_until: Now::ZERO, rested: Now::ZERO, shed: 0, said: Now::ZERO }
    }

    /// A turn of the loop is over; `more`: it left datagrams that are not dealt with.
    pub(crate) fn turn(&mut self, now: Now, more: bool) {
        if !more {
            self.behind_since = None;
        } else if now - *self.behind_since.get_or_insert(now) >= BEHIND {
            self.press(now);
        }
    }

    fn press(&mut self, now: Now) {
        self.pressed_until = now + CALM;
    }

    /// Whether the loop was behind not long ago.
    pub(crate) fn is_pressed(&self, now: Now) -> bool {
        now < self.pressed_until
    }

    /// Whether a datagram is dealt with; `known`: its address has shown that it receives.
    pub(crate) fn admits(&mut self, now: Now, known: bool) -> bool {
        if known || !self.is_pressed(now) {
            return true;
        }
        let used = self.rested.max(now) + COST;
        let in_time = used <= now + BURST;
        if in_time {
            self.rested = used;
        }
        in_time
    }

    /// A datagram was thrown away: the flood goes on.
    pub(crate) fn shed(&mut self, now: Now) {
        self.shed += 1;
        self.press(now);
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

    fn s(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    /// Behind for so long that the rates hold at this time.
    fn pressed(now: Now) -> Admission {
        let mut admission = Admission::new();
        admission.turn(now - BEHIND, true);
        admission.turn(now, true);
        admission
    }

    /// How many of so many strangers' datagrams are let in; the others are thrown away.
    fn let_in(admission: &mut Admission, now: Now, count: u32) -> u32 {
        let mut let_in = 0;
        for _ in 0..count {
            match admission.admits(now, false) {
                true => let_in += 1,
                false => admission.shed(now),
            }
        }
        let_in
    }

    #[test]
    fn who_keeps_up_throws_nothing_away() {
        let mut admission = Admission::new();
        for turn in 0..10_000 {
            let now = s(1) + BEHIND * turn / 3;
            // Behind for less than BEHIND at a time.
            admission.turn(now, turn % 4 != 3);
            assert_eq!(let_in(&mut admission, now, 100), 100);
        }
        assert_eq!(admission.take_shed(s(100)), None);
    }

    #[test]
    fn who_is_behind_throws_away_until_it_is_calm() {
        let mut admission = pressed(s(1));
        let mut all_let_in = |now| let_in(&mut admission, now, 20_000) == 20_000;
        assert!(!all_let_in(s(1)));
        // To throw away is quick: the loop keeps up with that, and would not with the rest.
        assert!(!all_let_in(s(1) + CALM / 2));
        assert!(!all_let_in(s(1) + CALM * 5 / 4));
        assert!(all_let_in(s(1) + CALM * 9 / 4), "nothing for a second");
    }

    #[test]
    fn strangers_share_a_rate_and_known_addresses_do_not_feel_it() {
        let mut admission = pressed(s(1));
        assert_eq!(let_in(&mut admission, s(1), 1_000_000), STRANGERS_PER_S / 10, "what may come at once");
        assert!(admission.admits(s(1), true));
        let later = s(1) + BURST / 2;
        assert_eq!(let_in(&mut admission, later, 1_000_000), STRANGERS_PER_S / 20, "and what comes back with time");
        assert!(admission.take_shed(s(2)) > Some(1_900_000) && admission.take_shed(s(3)).is_none());
    }
}
