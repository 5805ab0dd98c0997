//! Negotiation (4.3), the invitation: A1 comes from d_i, A2 goes to d_j.

use std::sync::Arc;

use rand_core::CryptoRng;
use sga_coap::{Code, Now};
use sga_crypto::{Secret, steps};
use sga_schema::{
    A1, A1Reason, A1Refusal, A4Reason, Accept, Handle, HandlePlain, InvitationItem, NegotiateSecret, Role, SchemaError,
    Sealed, kind, padding,
};
use subtle::{Choice, ConstantTimeEq};

use crate::answer::{Refusal, answer, encoded};
use crate::cache::pair_key;
use crate::decoy;
use crate::gateway::Gateway;
use crate::job::{Opened, Outcome, Purpose, Work};
use crate::limits::{FULL_RETRY_S, HANDLE_TRIES_MAX, INVITATION_LIFETIME};
use crate::record::{DeviceRecord, End, LegRecord, PairRecord, Record, SessionRecord, Stage, StoredAnswer};
use crate::storage::{DeviceIndex, Key};
use crate::suite::{aead, seal};
use crate::task::{Lock, Plan, Step, Stop, Task};

/// An A1 that verifies: only [`Gateway::verify_invite`] makes one.
struct Invite {
    a1: A1,
    initiator: (DeviceIndex, Arc<DeviceRecord>),
    /// k_t^i.
    temporary_key: Secret<16>,
}

impl<R: CryptoRng> Gateway<R> {
    pub(crate) fn step_negotiate(&mut self, now: Now, task: &mut Task) -> Result<Step, Stop> {
        let request = task.origin().payload.clone();
        let Sealed(sealed) = sga_schema::decode(&request)?;
        match task.scratch.outcome.take() {
            Some(Outcome::Opened(Some(opened))) => task.scratch.opened = Some(opened),
            Some(_) => return Err(Refusal::NotOpened.into()),
            None => {}
        }
        let Some(Opened { plaintext, .. }) = &task.scratch.opened else {
            return Ok(Step::Job(Work::Open { bytes: sealed.to_vec(), purpose: Purpose::Negotiate }));
        };
        let (secret, padded) = padding::decode_padded(plaintext, plaintext.len() == padding::A1_LEN)?;
        match secret {
            NegotiateSecret::Invite(a1) => {
                let invite = self.verify_invite(a1)?;
                self.handle_invite(now, task, &invite)
            }
            // An A3 is always equally long.
            NegotiateSecret::Reply(_) if padded => Err(Refusal::Malformed(SchemaError::Trailing).into()),
            NegotiateSecret::Reply(a3) => {
                let reply = self.verify_reply(a3)?;
                self.handle_reply(now, task, &reply)
            }
        }
    }

    fn verify_invite(&mut self, a1: A1) -> Result<Invite, Stop> {
        let (index, device, exists) = self.cache.named_or(a1.id_i, &self.decoys.device)?;
        let expected = steps::a1_tag(
            &device.registered_key,
            a1.request_number,
            device.attach_number,
            &a1.nonce_i,
            &a1.masked,
            a1.id_i.as_bytes(),
            a1.id_j.as_bytes(),
            a1.suite.id(),
            self.settings.gateway_id.as_bytes(),
        );
        if !bool::from(expected.ct_eq(&a1.tag) & Choice::from(u8::from(exists))) {
            return Err(Refusal::NotOpened.into());
        }
        self.check_revoked(a1.id_i)?;
        let temporary_key = Secret::new(steps::a1_mask(&device.registered_key, &a1.nonce_i, &a1.masked));
        Ok(Invite { a1, initiator: (index, device), temporary_key })
    }

    fn handle_invite(&mut self, now: Now, task: &mut Task, invite: &Invite) -> Result<Step, Stop> {
        let index = invite.initiator.0;
        let peer = self.cache.named(invite.a1.id_j)?.filter(|(_, peer)| !self.settings.revoked.contains(&peer.id));
        match &peer {
            Some((peer, _)) => {
                self.locks.take(task, &[Lock::Device(index), Lock::pair(index, *peer)])?;
            }
            None => self.locks.take(task, &[Lock::Device(index)])?,
        }
        let device = self.cache.device(index)?.ok_or(Refusal::NotOpened)?;
        if invite.a1.request_number <= device.request_number {
            return repeated(task, &device, invite.a1.request_number);
        }
        let Some((peer_index, peer)) = peer else {
            return Ok(self.refuse_invite(task, invite, &device, Code::NOT_FOUND, A1Reason::NoSuchPeer, 0));
        };
        if peer_index == index {
            return Ok(self.refuse_invite(task, invite, &device, Code::FORBIDDEN, A1Reason::Yourself, 0));
        }
        let pair = self.cache.pair(index, peer_index)?;
        let common = device.suites.intersect(peer.suites).intersect(self.settings.suites);
        if !common.contains(invite.a1.suite) {
            let (code, reason) = (Code::UNPROCESSABLE_ENTITY, A1Reason::NoCommonSuite);
            return Ok(self.refuse_invite(task, invite, &device, code, reason, common.bits()));
        }
        let welcome = match peer.accept {
            Accept::All => true,
            Accept::Known => pair.current.is_some(),
            Accept::None => false,
        };
        if !welcome {
            return Ok(self.refuse_invite(task, invite, &device, Code::FORBIDDEN, A1Reason::PeerRefuses, 0));
        }
        if pair.pending.is_none() && !self.invitations.has_room(index) {
            return Err(Refusal::Invitations.into());
        }
        // All that may stop this handler comes before the first reservation.
        let handles = self.draw_handles(task)?;
        self.mailboxes.get(peer_index)?;
        let mut plan = Plan::default();
        if let Some(pending) = pair.pending
            && !self.clear_pending(now, &mut plan, invite, pending)?
        {
            return Ok(self.refuse_invite(task, invite, &device, Code::CONFLICT, A1Reason::Crossing, 0));
        }
        self.invite(now, task, invite, handles, (index, &device), peer_index, pair, plan)
    }

    /// Takes the invitation that waits between two devices out of the way of a new one; false if it goes before it.
    fn clear_pending(&mut self, now: Now, plan: &mut Plan, invite: &Invite, pending: Handle) -> Result<bool, Stop> {
        let Some(session) = self.cache.session(pending)? else { return Ok(true) };
        let Stage::Invited { item, due_s } = session.stage else { return Ok(true) };
        let [initiator, responder] = &session.ends;
        let crossing = initiator.id == invite.a1.id_j;
        let over = due_s <= self.uptime_s(now);
        if crossing && !over && initiator.id < responder.id {
            return Ok(false);
        }
        self.mailboxes.get(initiator.index)?;
        self.mailboxes.get(responder.index)?;
        plan.void_item(responder.index, item);
        drop_session(plan, &session);
        plan.changes.push(crate::storage::Change::Delete(Key::Pending { due_s, session: pending }));
        if crossing {
            self.append_not_agreed(now, plan, &session, if over { A4Reason::TimedOut } else { A4Reason::Withdrawn })?;
        }
        Ok(true)
    }

    #[expect(clippy::too_many_arguments, reason = "everything that an invitation is made from")]
    fn invite(
        &mut self,
        now: Now,
        task: &Task,
        invite: &Invite,
        [handle_i, handle_j]: [Handle; 2],
        (index, device): (DeviceIndex, &DeviceRecord),
        peer: DeviceIndex,
        pair: PairRecord,
        mut plan: Plan,
    ) -> Result<Step, Stop> {
        let a1 = &invite.a1;
        let nonce_g = self.random();
        let item = InvitationItem {
            handle: handle_j,
            nonce_i: a1.nonce_i,
            nonce_g,
            peer_key: *steps::peer_key(&invite.temporary_key).expose(),
            id_i: a1.id_i,
            suite: a1.suite,
        };
        let Some(number) = self.append(now, &mut plan, peer, kind::INVITATION, encoded(&item))? else {
            self.unreserve(&plan);
            let (code, reason) = (Code::SERVICE_UNAVAILABLE, A1Reason::MailboxFull);
            return Ok(self.refuse_invite(task, invite, device, code, reason, FULL_RETRY_S));
        };
        let due_s = self.uptime_s(now) + INVITATION_LIFETIME.as_secs();
        let end = |index, id, handle, nonce, temporary_key| End { index, id, handle, nonce, temporary_key };
        let session = SessionRecord {
            ends: [
                end(index, a1.id_i, handle_i, a1.nonce_i, Some(invite.temporary_key.duplicate())),
                end(peer, a1.id_j, handle_j, [0; 8], None),
            ],
            suite: a1.suite,
            nonce_g,
            stage: Stage::Invited { item: number, due_s },
            run: 0,
            half: None,
            closed: None,
            hops: Vec::new(),
        };
        let hash = task.origin().hash;
        let key = steps::a1_answer(aead(a1.suite), &invite.temporary_key, &hash);
        let payload = encoded(&Sealed(&seal(key, &HandlePlain(handle_i))));
        plan.put(Key::Session(handle_i), Record::Session(Arc::new(session)));
        let leg = |role| Record::Leg(LegRecord { session: handle_i, role });
        plan.put(Key::Leg(handle_i), leg(Role::Initiator));
        plan.put(Key::Leg(handle_j), leg(Role::Responder));
        plan.mark(Key::Pending { due_s, session: handle_i });
        plan.put(pair_key(index, peer), Record::Pair(PairRecord { pending: Some(handle_i), ..pair }));
        put_answer(&mut plan, index, device, a1.request_number, hash, Code::CREATED, payload.clone());
        Ok(plan.respond(answer(Code::CREATED, payload)))
    }

    /// Gives back what a plan that is not carried out has reserved.
    pub(crate) fn unreserve(&mut self, plan: &Plan) {
        for &(mailbox, meta) in &plan.appended {
            self.mailboxes.settle(mailbox, meta, false);
        }
    }

    /// Two handles that no leg has.
    fn draw_handles(&mut self, task: &mut Task) -> Result<[Handle; 2], Stop> {
        for _ in 0..HANDLE_TRIES_MAX {
            while task.scratch.handles.len() < 2 {
                let handle = Handle(self.random());
                if !task.scratch.handles.contains(&handle) && handle != decoy::HANDLE {
                    task.scratch.handles.push(handle);
                }
            }
            let (first, second) = (task.scratch.handles[0], task.scratch.handles[1]);
            if self.cache.leg(first)?.is_none() && self.cache.leg(second)?.is_none() {
                return Ok([first, second]);
            }
            task.scratch.handles.clear();
        }
        Err(Refusal::Busy.into())
    }

    /// A refusal that the device can rely on; it uses the request number up.
    fn refuse_invite(
        &mut self,
        task: &Task,
        invite: &Invite,
        device: &DeviceRecord,
        code: Code,
        reason: A1Reason,
        detail: u32,
    ) -> Step {
        let hash = task.origin().hash;
        let key = steps::a1_refusal(aead(invite.a1.suite), &invite.temporary_key, &hash);
        let payload = encoded(&Sealed(&seal(key, &A1Refusal { reason, detail })));
        let mut plan = Plan::default();
        put_answer(&mut plan, invite.initiator.0, device, invite.a1.request_number, hash, code, payload.clone());
        plan.respond(answer(code, payload))
    }
}

/// An A1 whose number was used: the stored answer for the same bytes, nothing for others.
fn repeated(task: &Task, device: &DeviceRecord, number: u32) -> Result<Step, Stop> {
    match &device.last_invite {
        Some(last) if number == device.request_number && last.request_hash == task.origin().hash => {
            Ok(Step::Reply(answer(Code(last.code), last.payload.clone())))
        }
        _ => Err(Refusal::NotOpened.into()),
    }
}

fn put_answer(
    plan: &mut Plan,
    index: DeviceIndex,
    device: &DeviceRecord,
    request_number: u32,
    request_hash: [u8; 32],
    code: Code,
    payload: Vec<u8>,
) {
    let mut changed = device.duplicate();
    changed.request_number = request_number;
    changed.last_invite = Some(StoredAnswer { request_hash, code: code.0, payload });
    plan.put(Key::Device(index), Record::Device(Arc::new(changed)));
}

/// Removes a session with its legs and windows.
pub(crate) fn drop_session(plan: &mut Plan, session: &SessionRecord) {
    for end in &session.ends {
        plan.delete(Key::Leg(end.handle));
        plan.delete(Key::Window(end.handle));
    }
    plan.delete(Key::Session(session.ends[0].handle));
}
