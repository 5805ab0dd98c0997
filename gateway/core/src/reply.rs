//! Negotiation (4.3), the answer: A3 comes from d_j, A4 goes to d_i.

use std::sync::Arc;

use rand_core::CryptoRng;
use sga_coap::{Code, Now};
use sga_crypto::{Secret, steps};
use sga_schema::{A3, A4Reason, A4Secret, AgreedItem, Handle, NotAgreedItem, Role, Suite, Tag8, VERSION, kind};
use subtle::ConstantTimeEq;

use crate::answer::{Refusal, answer, encoded};
use crate::cache::pair_key;
use crate::gateway::Gateway;
use crate::negotiate::drop_session;
use crate::record::{PairRecord, Record, SessionRecord, Stage};
use crate::storage::Key;
use crate::suite::{aead, seal};
use crate::task::{Lock, Plan, Step, Stop, Task};

/// An A3 that verifies: only [`Gateway::verify_reply`] makes one.
pub(crate) struct Reply {
    a3: A3,
    session: Arc<SessionRecord>,
    /// k_t^j.
    temporary_key: Secret<16>,
}

impl<R: CryptoRng> Gateway<R> {
    pub(crate) fn verify_reply(&mut self, a3: A3) -> Result<Reply, Stop> {
        let (leg, session, exists) = self.cache.session_of_leg_or(a3.handle, &self.decoys.session)?;
        let [initiator, responder] = &session.ends;
        let (_, device, has_device) = self.cache.device_or(Some(responder.index), &self.decoys.device)?;
        let exists = exists & has_device & (leg.role == Role::Responder);
        let expected = steps::a3_tag(
            &device.registered_key,
            &a3.handle.0,
            &a3.nonce_g,
            &a3.nonce_j,
            &a3.masked,
            a3.suite.map_or(0, Suite::id),
            initiator.id.as_bytes(),
            responder.id.as_bytes(),
            self.settings.gateway_id.as_bytes(),
        );
        let same_suite = a3.suite.is_none_or(|suite| suite == session.suite);
        let fits = exists & (a3.nonce_g == session.nonce_g) & same_suite;
        if !bool::from(expected.ct_eq(&a3.tag)) || !fits {
            return Err(Refusal::NotOpened.into());
        }
        self.check_revoked(responder.id)?;
        let temporary_key = Secret::new(steps::a3_mask(&device.registered_key, &a3.nonce_j, &a3.masked));
        Ok(Reply { a3, session, temporary_key })
    }

    pub(crate) fn handle_reply(&mut self, now: Now, task: &mut Task, reply: &Reply) -> Result<Step, Stop> {
        let [initiator, responder] = &reply.session.ends;
        let (i, j, id) = (initiator.index, responder.index, initiator.handle);
        self.locks.take(task, &[Lock::Session(id), Lock::pair(i, j)])?;
        let session = self.cache.session(id)?.ok_or(Refusal::NotOpened)?;
        let tag = steps::a3_answer(&reply.temporary_key, &task.origin().hash);
        let response = answer(Code::CHANGED, encoded(&Tag8(tag)));
        let accepted = reply.a3.suite.is_some();
        let due_s = match session.stage {
            Stage::Invited { due_s, .. } if due_s > self.uptime_s(now) => due_s,
            Stage::Invited { .. } => return Err(Refusal::NotOpened.into()),
            Stage::Agreed { .. } | Stage::Refused => {
                let same = accepted == matches!(session.stage, Stage::Agreed { .. })
                    && session.end(Role::Responder).nonce == reply.a3.nonce_j
                    && session
                        .end(Role::Responder)
                        .temporary_key
                        .as_ref()
                        .is_some_and(|key| bool::from(key.expose().ct_eq(reply.temporary_key.expose())));
                return if same { Ok(Step::Reply(response)) } else { Err(Refusal::NotOpened.into()) };
            }
        };
        let pair = self.cache.pair(i, j)?;
        let mut plan = Plan::default();
        plan.changes.push(crate::storage::Change::Delete(Key::Pending { due_s, session: id }));
        let mut changed = session.duplicate();
        changed.ends[1].nonce = reply.a3.nonce_j;
        changed.ends[1].temporary_key = Some(reply.temporary_key.duplicate());
        let mut pair = PairRecord { pending: pair.pending.filter(|&pending| pending != id), ..pair };
        if accepted {
            changed.stage = Stage::Agreed { th_a: self.th_a(&changed) };
            self.retire(&mut plan, pair.previous)?;
            pair.previous = pair.current.replace(id);
        } else {
            changed.stage = Stage::Refused;
            self.retire(&mut plan, pair.refused)?;
            pair.refused = Some(id);
        }
        plan.put(pair_key(i, j), Record::Pair(pair));
        let appended = if accepted {
            self.append_agreed(now, &mut plan, &changed, &reply.temporary_key)?
        } else {
            self.append_not_agreed(now, &mut plan, &changed, A4Reason::Refused)?
        };
        if !appended {
            return Err(Refusal::Full.into());
        }
        plan.put(Key::Session(id), Record::Session(Arc::new(changed)));
        Ok(plan.respond(response))
    }

    /// Forgets a session that newer ones of the pair have made useless.
    pub(crate) fn retire(&mut self, plan: &mut Plan, session: Option<Handle>) -> Result<(), Stop> {
        if let Some(handle) = session
            && let Some(session) = self.cache.session(handle)?
        {
            drop_session(plan, &session);
        }
        Ok(())
    }

    fn th_a(&self, session: &SessionRecord) -> [u8; 32] {
        let [initiator, responder] = &session.ends;
        steps::th_a(
            VERSION,
            self.settings.profile.id(),
            session.suite.id(),
            initiator.id.as_bytes(),
            responder.id.as_bytes(),
            self.settings.gateway_id.as_bytes(),
            &initiator.nonce,
            &session.nonce_g,
            &responder.nonce,
        )
    }

    /// A4 for an A3 that accepts.
    fn append_agreed(
        &mut self,
        now: Now,
        plan: &mut Plan,
        session: &SessionRecord,
        temporary_key_j: &Secret<16>,
    ) -> Result<bool, Stop> {
        let [initiator, responder] = &session.ends;
        let Some(key) = &initiator.temporary_key else { return Err(Refusal::NotOpened.into()) };
        let secret = A4Secret { nonce_j: responder.nonce, peer_key: *steps::peer_key(temporary_key_j).expose() };
        let key = steps::a4(aead(session.suite), key, &initiator.nonce, &session.nonce_g);
        let sealed = seal(key, &secret);
        let item = AgreedItem { handle: initiator.handle, nonce_g: session.nonce_g, sealed: &sealed };
        Ok(self.append(now, plan, initiator.index, kind::AGREED, encoded(&item))?.is_some())
    }

    /// A4 for all other ends of an invitation.
    pub(crate) fn append_not_agreed(
        &mut self,
        now: Now,
        plan: &mut Plan,
        session: &SessionRecord,
        reason: A4Reason,
    ) -> Result<bool, Stop> {
        let initiator = session.end(Role::Initiator);
        let Some(key) = &initiator.temporary_key else { return Err(Refusal::NotOpened.into()) };
        let sealed = seal(steps::a4_refusal(aead(session.suite), key, &initiator.nonce), &reason);
        let item = NotAgreedItem { handle: initiator.handle, sealed: &sealed };
        Ok(self.append(now, plan, initiator.index, kind::NOT_AGREED, encoded(&item))?.is_some())
    }
}
