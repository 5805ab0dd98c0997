//! Which job goes to the accelerator next: those of sessions first, and few of the others at a time.

use std::collections::VecDeque;

use crate::job::Job;
use crate::limits::JOBS_UNPROVEN_MAX;

pub(crate) struct Jobs {
    /// Of sessions: a symmetric seal was opened before.
    proven: VecDeque<Job>,
    /// Of whoever asked.
    unproven: VecDeque<Job>,
    /// Of these, with the accelerator.
    in_hand: usize,
    in_hand_max: usize,
}

impl Jobs {
    pub(crate) fn new(in_hand_max: usize) -> Self {
        Self { proven: VecDeque::new(), unproven: VecDeque::new(), in_hand: 0, in_hand_max: in_hand_max.max(1) }
    }

    pub(crate) fn push(&mut self, job: Job, proven: bool) {
        if proven { self.proven.push_back(job) } else { self.unproven.push_back(job) }
    }

    /// Whether another job may come from somebody who has proven nothing.
    pub(crate) fn has_room(&self) -> bool {
        self.unproven.len() < JOBS_UNPROVEN_MAX
    }

    pub(crate) fn poll(&mut self) -> Option<Job> {
        if let Some(job) = self.proven.pop_front() {
            return Some(job);
        }
        if self.in_hand >= self.in_hand_max {
            return None;
        }
        let job = self.unproven.pop_front()?;
        self.in_hand += 1;
        Some(job)
    }

    pub(crate) fn done(&mut self, proven: bool) {
        if !proven {
            self.in_hand = self.in_hand.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sga_crypto::{GroupId, Seed};

    use super::*;
    use crate::job::KeyPair;
    use crate::job::{Purpose, Work};

    fn job(id: u64) -> Job {
        let (group, secret) = (GroupId::Ristretto255, Seed::from_bytes([1; 32]));
        let keys = Arc::new(KeyPair { group, public: group.exp_base(&secret), secret });
        Job { id, work: Work::Open { bytes: Vec::new(), purpose: Purpose::Negotiate }, keys, previous: None }
    }

    #[test]
    fn sessions_go_first_and_strangers_wait_here() {
        let mut jobs = Jobs::new(2);
        for id in 0..5 {
            jobs.push(job(id), false);
        }
        jobs.push(job(100), true);
        let polled: Vec<u64> = std::iter::from_fn(|| jobs.poll()).map(|job| job.id).collect();
        assert_eq!(polled, [100, 0, 1], "two in hand, and no more");
        jobs.push(job(101), true);
        assert_eq!(jobs.poll().map(|job| job.id), Some(101), "a session's waits behind two at most");
        jobs.done(true);
        assert!(jobs.poll().is_none());
        jobs.done(false);
        assert_eq!(jobs.poll().map(|job| job.id), Some(2));
    }

    #[test]
    fn the_queue_of_strangers_is_bounded() {
        let mut jobs = Jobs::new(1);
        let mut id = 0;
        while jobs.has_room() {
            jobs.push(job(id), false);
            id += 1;
        }
        assert_eq!(id as usize, JOBS_UNPROVEN_MAX);
    }
}
