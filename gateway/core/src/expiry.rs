//! Invitations that nobody answered.

use rand_core::CryptoRng;
use sga_coap::Now;
use sga_schema::{A4Reason, Handle};

use crate::cache::pair_key;
use crate::gateway::Gateway;
use crate::limits::EXPIRY_BATCH_MAX;
use crate::negotiate::drop_session;
use crate::record::{PairRecord, Record, Stage};
use crate::storage::{Change, Key, Want};
use crate::task::{Lock, Phase, Plan, Step, Stop, Task};

impl<R: CryptoRng> Gateway<R> {
    pub(crate) fn step_expire(&mut self, now: Now, task: &mut Task) -> Result<Step, Stop> {
        let Some(pending) = task.scratch.pending.take() else {
            let want = Want::Pending { up_to_s: self.uptime_s(now), max: EXPIRY_BATCH_MAX };
            return Ok(Step::Load(vec![want]));
        };
        for (due_s, session) in pending {
            self.start(now, Phase::Withdraw { due_s, session }, None);
        }
        Ok(Step::Done)
    }

    pub(crate) fn step_withdraw(
        &mut self,
        now: Now,
        due_s: u64,
        handle: Handle,
        task: &mut Task,
    ) -> Result<Step, Stop> {
        let mut plan = Plan::default();
        plan.changes.push(Change::Delete(Key::Pending { due_s, session: handle }));
        let Some(session) = self.cache.session(handle)? else { return Ok(Step::Commit(plan)) };
        let (i, j) = (session.ends[0].index, session.ends[1].index);
        self.locks.take(task, &[Lock::Session(handle), Lock::pair(i, j)])?;
        let Some(session) = self.cache.session(handle)? else { return Ok(Step::Commit(plan)) };
        let Stage::Invited { item, .. } = session.stage else { return Ok(Step::Commit(plan)) };
        let pair = self.cache.pair(i, j)?;
        self.mailboxes.get(j)?;
        plan.void_item(j, item);
        drop_session(&mut plan, &session);
        if pair.pending == Some(handle) {
            plan.put(pair_key(i, j), Record::Pair(PairRecord { pending: None, ..pair }));
        }
        // A full mailbox loses only the news: the device has a time-out of its own.
        self.append_not_agreed(now, &mut plan, &session, A4Reason::TimedOut)?;
        Ok(Step::Commit(plan))
    }
}
