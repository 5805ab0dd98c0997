//! Negotiation (4.3) as d_j: A2 arrives as an item, A3 leaves.

use rand_core::CryptoRng;
use sga_crypto::{Secret, sha256, steps};
use sga_schema::{A3, Accept, DeviceId, Handle, InvitationItem, NegotiateSecret, Role, Suite, Tag8};

use crate::answer::{Answer, code};
use crate::device::{Device, post};
use crate::error::DeviceError;
use crate::event::{Event, Failure, Refusal, Step};
use crate::gateway_side::{Identity, Package};
use crate::inbox::Dealt;
use crate::request::{Flight, Handled, InFlight, Outgoing, RequestKind};
use crate::seal::tags_equal;
use crate::session::{Agreement, Negotiation, Reply};
use crate::steps_a::{draw, transcript, write_negotiate};

impl<const PEERS: usize> Device<PEERS> {
    /// A2.
    pub(crate) fn on_invitation(&mut self, body: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        let Ok(item) = sga_schema::decode::<InvitationItem>(body) else { return Dealt::Malformed };
        let (own, peer) = (self.identity.id, item.id_i);
        if peer == own {
            return Dealt::Malformed;
        }
        if self.answered_before(&item, sink) {
            return Dealt::Stale;
        }
        let slot = self.slot(peer);
        let pending = slot
            .is_some_and(|slot| matches!(slot.negotiation, Negotiation::Wanted { .. } | Negotiation::Invited { .. }));
        if pending && own < peer {
            // The gateway withdraws it for ours.
            return Dealt::Stale;
        }
        let known = slot.is_some_and(|slot| slot.agreement.is_some() || slot.runs.newest().is_some());
        let listed = self.identity.allowed;
        let welcome = match self.identity.accept {
            Accept::All => listed.iter().all(Option::is_none) || listed.contains(&Some(peer)),
            Accept::Known => known,
            Accept::None => false,
        };
        let mut reply = Reply {
            peer,
            handle: item.handle,
            nonce_i: item.nonce_i,
            nonce_g: item.nonce_g,
            peer_key: Secret::new(item.peer_key),
            suite: Some(item.suite),
            drawn: None,
            life: None,
        };
        let suits = self.identity.suites.contains(item.suite);
        let step = Event::StepDone { step: Step::A2, peer, code: 0, sent_len: 0, received_len: body.len() };
        if welcome
            && suits
            && let Some(slot) = self.slot_for(peer)
        {
            slot.negotiation = Negotiation::Replying(reply);
            slot.wake();
            self.unsaved = true;
            sink(step);
            sink(Event::Invited { peer });
            return Dealt::Done;
        }
        if self.declined.is_some() && !self.declined_parked {
            return Dealt::Blocked;
        }
        reply.suite = None;
        self.declined = Some(reply);
        self.declined_parked = false;
        self.unsaved = true;
        sink(step);
        sink(Event::Refused { peer, why: Refusal::ByThisDevice });
        Dealt::Done
    }

    /// The inbox shows an invitation that was answered. If that is because the gateway's store was replaced by one that does not have
    /// the answer, then it does not have the session either, and the invitation is answered once more.
    fn answered_before(&mut self, item: &InvitationItem, sink: &mut impl FnMut(Event<'_>)) -> bool {
        let generation = self.home.generation;
        let Some(slot) = self.slot_mut(item.id_i) else { return false };
        if matches!(&slot.negotiation, Negotiation::Replying(reply) if reply.handle == item.handle) {
            // The same values go out again.
            return true;
        }
        if slot.agreement.as_ref().is_none_or(|agreement| agreement.handle != item.handle) {
            return false;
        }
        if !slot.is_from_before(item.handle, generation) {
            return true;
        }
        let free = matches!(slot.negotiation, Negotiation::None);
        slot.end_session(sink);
        if free {
            // This invitation is the way to the next one.
            slot.negotiation = Negotiation::None;
        }
        self.unsaved = true;
        false
    }

    /// A3. Its values are drawn and stored by the first call and sent by the next, the same each time.
    pub(crate) fn send_reply(
        &mut self,
        index: usize,
        rng: &mut impl CryptoRng,
        buf: &mut [u8],
    ) -> Result<Option<Outgoing>, DeviceError> {
        let slot = self.slots.get_mut(index).and_then(Option::as_mut).ok_or(DeviceError::Internal)?;
        let Negotiation::Replying(reply) = &mut slot.negotiation else { return Err(DeviceError::Internal) };
        if reply.drawn.is_none() {
            reply.drawn = Some(draw(rng));
            self.unsaved = true;
            return Ok(None);
        }
        let package = self.home.package.as_ref().ok_or(DeviceError::NotRegistered)?;
        let (flight, outgoing) = write_reply(&self.identity, package, reply, rng, buf)?;
        self.flight = Some(flight);
        Ok(Some(outgoing))
    }

    /// A3 that refuses.
    pub(crate) fn send_decline(
        &mut self,
        rng: &mut impl CryptoRng,
        buf: &mut [u8],
    ) -> Result<Option<Outgoing>, DeviceError> {
        let reply = self.declined.as_mut().ok_or(DeviceError::Internal)?;
        if reply.drawn.is_none() {
            reply.drawn = Some(draw(rng));
            self.unsaved = true;
            return Ok(None);
        }
        let package = self.home.package.as_ref().ok_or(DeviceError::NotRegistered)?;
        let (flight, outgoing) = write_reply(&self.identity, package, reply, rng, buf)?;
        self.flight = Some(flight);
        Ok(Some(outgoing))
    }

    pub(crate) fn on_reply_answer(
        &mut self,
        answer: &Answer<'_>,
        peer: DeviceId,
        handle: Handle,
        request_hash: &[u8; 32],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        let proves = |reply: &Reply| {
            let Some((_, key)) = &reply.drawn else { return false };
            let Ok(Tag8(tag)) = sga_schema::decode(answer.payload) else { return false };
            answer.code == code::CHANGED && tags_equal(&steps::a3_answer(key, request_hash), &tag)
        };
        if let Some(reply) = self.declined.as_ref().filter(|reply| reply.handle == handle) {
            let proven = proves(reply);
            if answer.is_later() {
                return Handled::Retry;
            }
            if proven {
                self.declined = None;
                self.unsaved = true;
                sink(answer.step(Step::A3, peer));
            } else {
                // Not worth another try now: the invitation times out at the gateway.
                self.declined_parked = true;
            }
            return Handled::Done;
        }
        let Some(slot) = self.slot(peer) else { return Handled::Done };
        let Negotiation::Replying(reply) = &slot.negotiation else { return Handled::Done };
        if reply.handle != handle {
            return Handled::Done;
        }
        if !proves(reply) {
            let code = answer.code;
            return self.on_bare_code(answer, peer, |slot| Failure::Negotiation { peer: slot.peer, code }, sink);
        }
        sink(answer.step(Step::A3, peer));
        self.adopt_reply(peer, sink);
        Handled::Done
    }

    /// The gateway has this device's A3: the new session takes the place of the old one.
    pub(crate) fn adopt_reply(&mut self, peer: DeviceId, sink: &mut impl FnMut(Event<'_>)) {
        let own = self.identity.id;
        let Some(package) = &self.home.package else { return };
        let Some(slot) = self.slots.iter_mut().flatten().find(|slot| slot.peer == peer) else { return };
        let Negotiation::Replying(reply) = core::mem::replace(&mut slot.negotiation, Negotiation::None) else { return };
        let Reply { handle, nonce_i, nonce_g, peer_key, life, suite: Some(suite), drawn: Some((nonce_j, key)), .. } =
            reply
        else {
            return;
        };
        let th_a = transcript(package, suite, [&peer, &own], [&nonce_i, &nonce_g, &nonce_j]);
        let agreement = Agreement {
            role: Role::Responder,
            suite,
            handle,
            th_a,
            temporary_key: key,
            peer_key,
            highest_run: 0,
            generation: self.home.generation,
            life,
        };
        slot.adopt(agreement, sink);
        self.unsaved = true;
        sink(Event::Agreed { peer });
    }
}

fn write_reply(
    identity: &Identity,
    package: &Package,
    reply: &Reply,
    rng: &mut impl CryptoRng,
    buf: &mut [u8],
) -> Result<(Flight, Outgoing), DeviceError> {
    let (nonce_j, key) = reply.drawn.as_ref().ok_or(DeviceError::Internal)?;
    let k_d = &identity.registered_key;
    let masked = steps::a3_mask(k_d, nonce_j, key.expose());
    let tag = steps::a3_tag(
        k_d,
        &reply.handle.0,
        &reply.nonce_g,
        nonce_j,
        &masked,
        reply.suite.map_or(0, Suite::id),
        reply.peer.as_bytes(),
        identity.id.as_bytes(),
        package.gateway_id.as_bytes(),
    );
    let (handle, peer) = (reply.handle, reply.peer);
    let a3 = A3 { handle, nonce_g: reply.nonce_g, nonce_j: *nonce_j, masked, suite: reply.suite, tag };
    let len = write_negotiate(package, &NegotiateSecret::Reply(a3), false, rng, buf)?;
    let request_hash = sha256(buf.get(..len).ok_or(DeviceError::Internal)?);
    let flight = Flight { sent_len: len, what: InFlight::Reply { peer, handle, request_hash } };
    Ok((flight, post(RequestKind::Reply, "negotiate", len, Some(peer))))
}
