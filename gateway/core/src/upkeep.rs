//! What the gateway does of its own accord and at intervals: of each kind one round at a time.
//!
//! A round that takes longer than its interval, since the store is slow, would otherwise be joined by the next, and by one after
//! that. With one at a time the work of all is bounded: [`ROUND_TASKS_MAX`] each.

use crate::limits::{AGED_TASKS_MAX, CENSUS_BATCH_MAX, EXPIRY_BATCH_MAX};
use crate::task::Phase;

/// Kinds of rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Invitations that ran out.
    Expiry,
    /// Items that are too old.
    Aged,
    /// Devices and sessions, a few at a time.
    Census,
    /// The gateway's counters.
    Meta,
}

const ROUNDS: usize = Round::Meta as usize + 1;

/// Tasks of one round in work: what it looks at, and the look itself.
const ROUND_TASKS_MAX: usize = 65;

const _: () = assert!(EXPIRY_BATCH_MAX < ROUND_TASKS_MAX && CENSUS_BATCH_MAX < ROUND_TASKS_MAX);
const _: () = assert!(AGED_TASKS_MAX < ROUND_TASKS_MAX);

fn round(phase: Phase) -> Option<Round> {
    match phase {
        Phase::Expire | Phase::Withdraw { .. } => Some(Round::Expiry),
        Phase::Aged(_) | Phase::DropItems(_) => Some(Round::Aged),
        Phase::Census(_) | Phase::Forget(_) | Phase::DropSession(_) => Some(Round::Census),
        Phase::Meta => Some(Round::Meta),
        Phase::Register
        | Phase::Attach
        | Phase::Acknowledge
        | Phase::Negotiate
        | Phase::Half
        | Phase::Message
        | Phase::Notify(_) => None,
    }
}

/// How many tasks of each round are in work.
#[derive(Debug, Default)]
pub(crate) struct Upkeep([usize; ROUNDS]);

impl Upkeep {
    pub(crate) fn began(&mut self, phase: Phase) {
        if let Some(round) = round(phase) {
            self.0[round as usize] += 1;
        }
    }

    pub(crate) fn ended(&mut self, phase: Phase) {
        if let Some(round) = round(phase) {
            self.0[round as usize] -= 1;
        }
    }

    pub(crate) fn in_work(&self, round: Round) -> usize {
        self.0[round as usize]
    }

    /// Whether the last round is over.
    pub(crate) fn is_over(&self, round: Round) -> bool {
        self.in_work(round) == 0
    }
}
