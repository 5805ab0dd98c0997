//! Revocation: who the operator has shut out is out at once, and the other ends of its sessions are told; so are those of a device
//! that is forgotten.

use std::collections::HashSet;
use std::sync::Arc;

use rand_core::CryptoRng;
use sga_coap::Now;
use sga_schema::{A4Reason, DeviceId, EndedItem, Handle, Role, kind};

use crate::answer::{Refusal, encoded};
use crate::cache::pair_key;
use crate::gateway::Gateway;
use crate::negotiate::drop_session;
use crate::record::{PairRecord, Record, SessionRecord, Stage};
use crate::storage::{Change, Key};
use crate::task::{Census, Lock, Plan, Step, Stop, Task};

impl<R: CryptoRng> Gateway<R> {
    /// Shuts these devices out, and no others: their observations end, what they send is refused from here on, and so is what is
    /// sent to them. Their sessions are then looked for, a few at a time, and the other ends told.
    pub fn set_revoked(&mut self, now: Now, revoked: HashSet<DeviceId>) {
        self.begin(now);
        self.settings.revoked = revoked;
        let (cache, settings) = (&mut self.cache, &self.settings);
        let ended = self.attachments.remove_if(|device| match cache.device(device) {
            Ok(Some(record)) => settings.revoked.contains(&record.id).then_some(Refusal::Revoked),
            // Not in memory: whoever it is attaches anew, and is looked at then.
            _ => Some(Refusal::NotOpened),
        });
        for ((peer, token), why) in ended {
            // The last notification; an observer that is not told by it is gone anyway.
            if let Err(error) = self.endpoint.notify(now, peer, &token, why.into_response()) {
                log::debug!("{peer}: {error}");
                self.endpoint.forget_observer(peer, &token);
            }
        }
        self.look_for_ended(now);
    }

    pub(crate) fn check_revoked(&self, device: DeviceId) -> Result<(), Refusal> {
        if self.is_revoked(device) { Err(Refusal::Revoked) } else { Ok(()) }
    }

    pub(crate) fn is_revoked(&self, device: DeviceId) -> bool {
        self.settings.revoked.contains(&device)
    }

    /// Has the census go through all sessions, from the first on and without its usual pauses.
    pub(crate) fn look_for_ended(&mut self, now: Now) {
        self.hurried = !self.settings.revoked.is_empty();
        if self.hurried {
            self.census = Census::Sessions(Handle([0; 4]));
            self.next_census = now;
        }
    }

    /// Ends a session with a device that is revoked or forgotten. If the other end has no room to be told, all stays as it is, refused
    /// by every check, until the census comes by again.
    pub(crate) fn end_session(
        &mut self,
        now: Now,
        session: &Arc<SessionRecord>,
        task: &mut Task,
    ) -> Result<Step, Stop> {
        let [initiator, responder] = &session.ends;
        let (i, j, handle) = (initiator.index, responder.index, initiator.handle);
        let legs = [Lock::Leg(initiator.handle), Lock::Leg(responder.handle)];
        self.locks.take(task, &[Lock::Session(handle), Lock::pair(i, j), legs[0], legs[1]])?;
        let Some(session) = self.cache.session(handle)? else { return Ok(Step::Done) };
        let pair = self.cache.pair(i, j)?;
        // All that may stop this handler comes before the first reservation.
        for end in &session.ends {
            self.cache.device(end.index)?;
            self.mailboxes.get(end.index)?;
        }
        let mut plan = Plan::default();
        drop_session(&mut plan, &session);
        let told = match session.stage {
            Stage::Invited { item, due_s } => {
                plan.void_item(j, item);
                plan.changes.push(Change::Delete(Key::Pending { due_s, session: handle }));
                self.is_revoked(session.end(Role::Initiator).id)
                    || self.cache.device(i)?.is_none()
                    || self.append_not_agreed(now, &mut plan, &session, A4Reason::Refused)?
            }
            Stage::Agreed { .. } if pair.current == Some(handle) => self.tell_ended(now, &mut plan, &session)?,
            Stage::Agreed { .. } | Stage::Refused => true,
        };
        if !told {
            log::debug!("no room to tell that a session has ended");
            self.unreserve(&plan);
            return Ok(Step::Done);
        }
        let left = |kept: Option<Handle>| kept.filter(|&kept| kept != handle);
        let PairRecord { pending, current, previous, refused } = pair;
        let pair = PairRecord {
            pending: left(pending),
            current: left(current),
            previous: left(previous),
            refused: left(refused),
        };
        if pair == PairRecord::default() {
            plan.delete(pair_key(i, j));
        } else {
            plan.put(pair_key(i, j), Record::Pair(pair));
        }
        log::info!("the session of {} and {} has ended", session.ends[0].id, session.ends[1].id);
        Ok(Step::Commit(plan))
    }

    /// Appends the item to both mailboxes: one who is released later finds it. False if the one who is to know now has no room.
    fn tell_ended(&mut self, now: Now, plan: &mut Plan, session: &SessionRecord) -> Result<bool, Stop> {
        let mut told = true;
        let revoked = session.ends.iter().any(|end| self.is_revoked(end.id));
        let reason = if revoked { EndedItem::REVOKED } else { EndedItem::FORGOTTEN };
        for end in &session.ends {
            if self.cache.device(end.index)?.is_none() {
                continue;
            }
            let item = encoded(&EndedItem { handle: end.handle, reason });
            let appended = self.append(now, plan, end.index, kind::ENDED, item)?.is_some();
            told &= appended || self.is_revoked(end.id);
        }
        Ok(told)
    }
}
