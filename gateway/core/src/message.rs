//! Message delivery (4.5): stored, then said to be stored, then handed to the other end.

use std::sync::Arc;

use rand_core::CryptoRng;
use sga_coap::{Code, Now};
use sga_crypto::steps;
use sga_schema::{MessageItem, MessagePost, Role, Tag8, kind};
use subtle::{Choice, ConstantTimeEq};

use crate::answer::{Refusal, answer, encoded};
use crate::cache::pair_key;
use crate::gateway::Gateway;
use crate::record::{PairRecord, Record, Seen, SessionRecord};
use crate::storage::Key;
use crate::task::{Lock, Plan, Step, Stop, Task};

impl<R: CryptoRng> Gateway<R> {
    pub(crate) fn step_message(&mut self, now: Now, task: &mut Task) -> Result<Step, Stop> {
        let request = task.origin().payload.clone();
        let post: MessagePost<'_> = sga_schema::decode(&request)?;
        let (leg, session, exists) = self.cache.session_of_leg_or(post.handle, &self.decoys.session)?;
        let keys = session.hop_keys(post.run);
        let exists = exists & keys.is_some();
        let key = &keys.unwrap_or(&self.decoys.hop_keys)[leg.role as usize];
        let life = post.salt.as_ref();
        let expected = steps::hop_tag(key, &post.handle.0, post.run, post.sequence, post.ciphertext, life);
        if !bool::from(expected.ct_eq(&post.hop_tag) & Choice::from(u8::from(exists))) {
            return Err(Refusal::NotOpened.into());
        }
        self.check_revoked(session.end(leg.role).id)?;
        let (own, other) = (session.end(leg.role).index, session.end(leg.role.other()).index);
        // Message 0 may end the session before this one.
        let locks = [Lock::Leg(post.handle), Lock::pair(own, other)];
        self.locks.take(task, if post.sequence == 0 { &locks } else { &locks[..1] })?;
        let stored = answer(
            Code::CHANGED,
            encoded(&Tag8(steps::stored_tag(key, &post.handle.0, post.run, post.sequence, life))),
        );
        let window = self.cache.window(post.handle)?;
        match window.look(post.run, post.sequence, &post.hop_tag) {
            Seen::Same => return Ok(Step::Reply(stored)),
            Seen::Other => return Err(Refusal::Conflict.into()),
            Seen::New => {}
        }
        let receiver = session.end(leg.role.other());
        if self.cache.device(receiver.index)?.is_none() || self.settings.revoked.contains(&receiver.id) {
            return Err(Refusal::NoPeer.into());
        }
        let item = MessageItem {
            handle: receiver.handle,
            run: post.run,
            sequence: post.sequence,
            ciphertext: post.ciphertext,
            salt: post.salt,
        };
        let mut changed = (*window).clone();
        changed.note(post.run, post.sequence, post.hop_tag);
        let mut plan = Plan::default();
        plan.put(Key::Window(post.handle), Record::Window(Arc::new(changed)));
        // All that may stop this handler comes before the reservation.
        if post.sequence == 0 {
            self.retire_previous(&mut plan, &session, leg.role)?;
        }
        if self.append(now, &mut plan, receiver.index, kind::MESSAGE, encoded(&item))?.is_none() {
            return Err(Refusal::Full.into());
        }
        Ok(plan.respond(stored))
    }

    /// Both ends have sent message 0 under a run of this session: neither sends under the session before it any more, and neither has
    /// keys for it. What comes under that one is from a device that was set back, which learns it by being refused.
    fn retire_previous(&mut self, plan: &mut Plan, session: &SessionRecord, sender: Role) -> Result<(), Stop> {
        let [initiator, responder] = &session.ends;
        let pair = self.cache.pair(initiator.index, responder.index)?;
        let other = session.end(sender.other()).handle;
        if pair.current != Some(initiator.handle)
            || pair.previous.is_none()
            || self.cache.window(other)?.newest_run() == 0
        {
            return Ok(());
        }
        self.retire(plan, pair.previous)?;
        plan.put(pair_key(initiator.index, responder.index), Record::Pair(PairRecord { previous: None, ..pair }));
        Ok(())
    }
}
