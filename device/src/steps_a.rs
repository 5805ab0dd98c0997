//! Negotiation (4.3) as d_i: A1 leaves, A4 arrives as an item, A5 makes the session. What both ends share is here too.

use rand_core::CryptoRng;
use sga_crypto::{PkPurpose, Secret, Seed, sha256, steps};
use sga_schema::{
    A1, A1Reason, A1Refusal, A4Reason, A4Secret, AgreedItem, DeviceId, Handle, HandlePlain, NegotiateSecret,
    NotAgreedItem, Role, Sealed, Suite, SuiteSet, VERSION, padding,
};

use crate::answer::{Answer, code};
use crate::device::{Device, post};
use crate::error::DeviceError;
use crate::event::{Event, Failure, Refusal, Step};
use crate::gateway_side::Package;
use crate::inbox::Dealt;
use crate::request::{Flight, Handled, InFlight, Outgoing, RequestKind};
use crate::seal::{ELEMENT_SCRATCH_LEN, aead, encode, open, seal_pk};
use crate::session::{Agreement, Negotiation};
use crate::status::count;

/// An A1 in flight.
pub(crate) struct SentInvite {
    pub(crate) peer: DeviceId,
    pub(crate) suite: Suite,
    pub(crate) nonce_i: [u8; 8],
    pub(crate) key: Secret<16>,
    pub(crate) request_hash: [u8; 32],
}

impl<const PEERS: usize> Device<PEERS> {
    /// A1. The request number is stored before it is used: the first call reserves it, the next one sends.
    pub(crate) fn send_invite(
        &mut self,
        index: usize,
        rng: &mut impl CryptoRng,
        buf: &mut [u8],
    ) -> Result<Option<Outgoing>, DeviceError> {
        if !self.home.request_reserved {
            self.home.request_number = self.home.request_number.checked_add(1).ok_or(DeviceError::NumbersUsedUp)?;
            self.home.request_reserved = true;
            self.unsaved = true;
            return Ok(None);
        }
        let slot = self.slots.get(index).and_then(Option::as_ref).ok_or(DeviceError::Internal)?;
        let Negotiation::Wanted { suite, .. } = slot.negotiation else { return Err(DeviceError::Internal) };
        let package = self.home.package.as_ref().ok_or(DeviceError::NotRegistered)?;
        let (id_i, id_j) = (self.identity.id, slot.peer);
        let (nonce_i, key) = draw(rng);
        let k_d = &self.identity.registered_key;
        let masked = steps::a1_mask(k_d, &nonce_i, key.expose());
        let request_number = self.home.request_number;
        let tag = steps::a1_tag(
            k_d,
            request_number,
            self.home.attach_number,
            &nonce_i,
            &masked,
            id_i.as_bytes(),
            id_j.as_bytes(),
            suite.id(),
            package.gateway_id.as_bytes(),
        );
        let a1 = A1 { request_number, nonce_i, masked, id_i, id_j, suite, tag };
        let len = write_negotiate(package, &NegotiateSecret::Invite(a1), self.pad, rng, buf)?;
        let request_hash = sha256(buf.get(..len).ok_or(DeviceError::Internal)?);
        self.home.request_reserved = false;
        let what = InFlight::Invite { peer: id_j, suite, nonce_i, key, request_hash };
        self.flight = Some(Flight { sent_len: len, what });
        Ok(Some(post(RequestKind::Invite, "negotiate", len, Some(id_j))))
    }

    pub(crate) fn on_invite_answer(
        &mut self,
        answer: &Answer<'_>,
        sent: SentInvite,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        let opened = match sga_schema::decode(answer.payload) {
            Ok(Sealed(sealed)) if answer.code == code::CREATED => {
                let mut scratch = [0; 32];
                let key = steps::a1_answer(aead(sent.suite), &sent.key, &sent.request_hash);
                open(key, sealed, &mut scratch).map(|HandlePlain(handle)| Ok(handle))
            }
            Ok(Sealed(sealed)) => {
                let mut scratch = [0; 32];
                let key = steps::a1_refusal(aead(sent.suite), &sent.key, &sent.request_hash);
                open::<A1Refusal>(key, sealed, &mut scratch).map(Err)
            }
            Err(_) => None,
        };
        let peer = sent.peer;
        match opened {
            None => self.on_invite_not_opened(answer, peer, sink),
            Some(Err(refusal)) => self.on_invite_refused(answer, peer, &refusal, sink),
            Some(Ok(handle)) => {
                let Some(slot) = self.slot_mut(peer) else { return Handled::Done };
                // If the peer's own A2 was taken meanwhile, that one goes on.
                if matches!(slot.negotiation, Negotiation::Wanted { .. }) {
                    let SentInvite { suite, nonce_i, key, .. } = sent;
                    slot.negotiation = Negotiation::Invited { suite, handle, nonce_i, key, life: None };
                    slot.wake();
                    self.unsaved = true;
                    sink(answer.step(Step::A1, peer));
                }
                Handled::Done
            }
        }
    }

    fn on_invite_not_opened(
        &mut self,
        answer: &Answer<'_>,
        peer: DeviceId,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        // It may have been kept back on its way and arrive again; after another attach it means nothing any more.
        self.home.due.attach = true;
        // Perhaps the request number is behind; registering again tells.
        let struck = self.slot(peer).is_some_and(|slot| slot.strikes > 0);
        if struck && answer.code == code::UNAUTHORIZED {
            self.home.due.package = true;
            self.home.due.register = true;
        }
        let code = answer.code;
        self.on_bare_code(answer, peer, |slot| Failure::Negotiation { peer: slot.peer, code }, sink)
    }

    fn on_invite_refused(
        &mut self,
        answer: &Answer<'_>,
        peer: DeviceId,
        refusal: &A1Refusal,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        let own = self.identity.suites;
        let Some(slot) = self.slot_mut(peer) else { return Handled::Done };
        let Negotiation::Wanted { automatic, .. } = slot.negotiation else { return Handled::Done };
        sink(answer.step(Step::A1, peer));
        slot.negotiation = Negotiation::None;
        slot.wake();
        let why = match refusal.reason {
            A1Reason::NoCommonSuite => {
                let common = SuiteSet::from_bits(refusal.detail).unwrap_or(SuiteSet::EMPTY).intersect(own);
                let other = Suite::ALL.into_iter().find(|&suite| common.contains(suite));
                if let (true, Some(suite)) = (automatic, other) {
                    slot.negotiation = Negotiation::Wanted { suite, automatic: false };
                    self.unsaved = true;
                    return Handled::Done;
                }
                Refusal::NoCommonSuite { common }
            }
            A1Reason::NoSuchPeer => Refusal::NoSuchPeer,
            A1Reason::PeerRefuses => Refusal::PeerRefuses,
            A1Reason::Crossing => Refusal::Crossing,
            A1Reason::MailboxFull => Refusal::MailboxFull { retry_s: refusal.detail },
            A1Reason::Yourself => Refusal::Yourself,
        };
        self.unsaved = true;
        sink(Event::Refused { peer, why });
        Handled::Done
    }

    /// A4 and A5.
    pub(crate) fn on_agreed(&mut self, body: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        let Ok(item) = sga_schema::decode::<AgreedItem<'_>>(body) else { return Dealt::Malformed };
        let own = self.identity.id;
        if self.agreed_before(item.handle, sink) {
            return Dealt::Done;
        }
        let Some(peer) = self.invited_by_handle(item.handle) else { return self.unknown_invite() };
        let Some(package) = &self.home.package else { return Dealt::Stale };
        let Some(slot) = self.slots.iter_mut().flatten().find(|slot| slot.peer == peer) else { return Dealt::Stale };
        let Negotiation::Invited { suite, handle, nonce_i, key, life } = &slot.negotiation else { return Dealt::Stale };
        let mut scratch = [0; 64];
        let seal_key = steps::a4(aead(*suite), key, nonce_i, &item.nonce_g);
        let Some(secret) = open::<A4Secret>(seal_key, item.sealed, &mut scratch) else { return Dealt::NotOpened };
        let th_a = transcript(package, *suite, [&own, &peer], [nonce_i, &item.nonce_g, &secret.nonce_j]);
        let agreement = Agreement {
            role: Role::Initiator,
            suite: *suite,
            handle: *handle,
            th_a,
            temporary_key: key.duplicate(),
            peer_key: Secret::new(secret.peer_key),
            highest_run: 0,
            generation: self.home.generation,
            life: *life,
        };
        slot.adopt(agreement, sink);
        self.unsaved = true;
        for (step, received_len) in [(Step::A4, body.len()), (Step::A5, 0)] {
            sink(Event::StepDone { step, peer, code: 0, sent_len: 0, received_len });
        }
        sink(Event::Agreed { peer });
        if let Some(run) = slot.open_next_run() {
            sink(Event::RunStarted { peer, run });
        }
        Dealt::Done
    }

    /// An A4 for a session that there is: the gateway's store was replaced by one in which the peer had not answered yet, and now it
    /// has, with other values. What A4 is opened with is gone; so is the session.
    fn agreed_before(&mut self, handle: Handle, sink: &mut impl FnMut(Event<'_>)) -> bool {
        let generation = self.home.generation;
        let mut slots = self.slots.iter_mut().flatten();
        let Some(slot) = slots.find(|slot| slot.is_from_before(handle, generation)) else { return false };
        slot.end_session(sink);
        self.unsaved = true;
        true
    }

    /// A4 that says no.
    pub(crate) fn on_not_agreed(&mut self, body: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        let Ok(item) = sga_schema::decode::<NotAgreedItem<'_>>(body) else { return Dealt::Malformed };
        let Some(peer) = self.invited_by_handle(item.handle) else { return self.unknown_invite() };
        let Some(slot) = self.slot_mut(peer) else { return Dealt::Stale };
        let Negotiation::Invited { suite, nonce_i, key, .. } = &slot.negotiation else { return Dealt::Stale };
        let mut scratch = [0; 32];
        let seal_key = steps::a4_refusal(aead(*suite), key, nonce_i);
        let Some(reason) = open::<A4Reason>(seal_key, item.sealed, &mut scratch) else { return Dealt::NotOpened };
        slot.negotiation = Negotiation::None;
        self.unsaved = true;
        let why = match reason {
            A4Reason::Refused => Refusal::Declined,
            A4Reason::TimedOut => Refusal::TimedOut,
            A4Reason::Withdrawn => Refusal::Withdrawn,
        };
        sink(Event::StepDone { step: Step::A4, peer, code: 0, sent_len: 0, received_len: body.len() });
        sink(Event::Refused { peer, why });
        Dealt::Done
    }

    /// The gateway's store was replaced: the new one may not have the invitations that wait for an A4. One that it has is replaced by
    /// the next of the same pair.
    pub(crate) fn invite_again(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            if let Negotiation::Invited { suite, .. } = slot.negotiation {
                slot.negotiation = Negotiation::Wanted { suite, automatic: true };
                self.unsaved = true;
            }
        }
    }

    fn invited_by_handle(&self, wanted: Handle) -> Option<DeviceId> {
        let mut slots = self.slots.iter().flatten();
        let slot =
            slots.find(|slot| matches!(&slot.negotiation, Negotiation::Invited { handle, .. } if *handle == wanted))?;
        Some(slot.peer)
    }

    /// An A4 for a handle that is not known: perhaps the answer to A1 is still on its way.
    fn unknown_invite(&mut self) -> Dealt {
        if self.flight.as_ref().is_some_and(|flight| matches!(flight.what, InFlight::Invite { .. })) {
            return Dealt::Blocked;
        }
        count(&mut self.counters.unknown_handles);
        Dealt::Done
    }
}

pub(crate) fn draw(rng: &mut impl CryptoRng) -> ([u8; 8], Secret<16>) {
    let mut nonce = [0; 8];
    rng.fill_bytes(&mut nonce);
    (nonce, Secret::random(rng))
}

pub(crate) fn write_negotiate(
    package: &Package,
    secret: &NegotiateSecret,
    pad: bool,
    rng: &mut impl CryptoRng,
    buf: &mut [u8],
) -> Result<usize, DeviceError> {
    let mut plain = [0; 128];
    let mut plain_len = encode(secret, &mut plain)?;
    // An A3 is always equally long.
    if pad && matches!(secret, NegotiateSecret::Invite(_)) {
        padding::pad(&mut plain, plain_len, padding::A1_LEN).map_err(|_| DeviceError::Internal)?;
        plain_len = padding::A1_LEN;
    }
    let plain = plain.get(..plain_len).ok_or(DeviceError::Internal)?;
    let mut sealed = [0; ELEMENT_SCRATCH_LEN];
    let sealed = seal_pk(package, PkPurpose::Negotiate, &Seed::new(rng), plain, &mut sealed)?;
    encode(&Sealed(sealed), buf)
}

/// th_A.
pub(crate) fn transcript(
    package: &Package,
    suite: Suite,
    [id_i, id_j]: [&DeviceId; 2],
    [nonce_i, nonce_g, nonce_j]: [&[u8; 8]; 3],
) -> [u8; 32] {
    steps::th_a(
        VERSION,
        package.profile.id(),
        suite.id(),
        id_i.as_bytes(),
        id_j.as_bytes(),
        package.gateway_id.as_bytes(),
        nonce_i,
        nonce_g,
        nonce_j,
    )
}
