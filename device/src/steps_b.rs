//! Key exchange (4.4): a Half leaves (B1, B3), B2 and B6 arrive, B7 makes the keys of a run.

use rand_core::CryptoRng;
use sga_crypto::{sha256, steps};
use sga_schema::{BReason, BRefusal, DeviceId, Half, Handle, KeyItem, Role, Sealed, Tag8, Wanted, WantedItem};

use crate::answer::{Answer, code};
use crate::device::{Device, post};
use crate::error::DeviceError;
use crate::event::{Event, Failure, Refusal, Step};
use crate::half::{BODY_SCRATCH_LEN, Made, make_keys, write_body};
use crate::inbox::Dealt;
use crate::limits::{RUN_SKIP_MAX, STRIKES_MAX};
use crate::request::{Flight, Handled, InFlight, Outgoing, RequestKind};
use crate::seal::{aead, encode, open, tags_equal};
use crate::session::{Ephemeral, Negotiation, Slot};
use crate::status::count;
use crate::traffic::drop_parked_text;

impl<const PEERS: usize> Device<PEERS> {
    /// B1 or B3: the same bytes each time for one run.
    pub(crate) fn send_half(
        &mut self,
        index: usize,
        rng: &mut impl CryptoRng,
        buf: &mut [u8],
    ) -> Result<Outgoing, DeviceError> {
        let package = self.home.package.as_ref().ok_or(DeviceError::NotRegistered)?;
        let slot = self.slots.get_mut(index).and_then(Option::as_mut).ok_or(DeviceError::Internal)?;
        let peer = slot.peer;
        let (Some(agreement), Some(opening)) = (&slot.agreement, &mut slot.opening) else {
            return Err(DeviceError::Internal);
        };
        let half = opening.half.get_or_insert_with(|| Ephemeral::draw(package, rng));
        let (handle, run) = (agreement.handle, opening.run);
        let mut body = [0; BODY_SCRATCH_LEN];
        let body = write_body(&self.identity, package, agreement, run, half, &mut body)?;
        let len = encode(&Half { handle, run, body, salt: agreement.life }, buf)?;
        let request_hash = sha256(buf.get(..len).ok_or(DeviceError::Internal)?);
        self.flight = Some(Flight { sent_len: len, what: InFlight::Half { peer, handle, run, request_hash } });
        Ok(post(RequestKind::Half, "kex", len, Some(peer)))
    }

    pub(crate) fn on_half_answer(
        &mut self,
        answer: &Answer<'_>,
        peer: DeviceId,
        handle: Handle,
        run: u32,
        request_hash: &[u8; 32],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        let Some(package) = &self.home.package else { return Handled::Done };
        let Some(slot) = self.slots.iter_mut().flatten().find(|slot| slot.peer == peer) else { return Handled::Done };
        // B6 may have come as an item meanwhile, or a higher run have been opened.
        if !slot.is_opening(handle, run) {
            return Handled::Done;
        }
        let Some(agreement) = &slot.agreement else { return Handled::Done };
        match answer.code {
            code::CREATED => {
                let expected = steps::b_answer(&agreement.temporary_key, request_hash);
                if !sga_schema::decode(answer.payload).is_ok_and(|Tag8(tag)| tags_equal(&tag, &expected)) {
                    return self.not_opened();
                }
                if let Some(opening) = &mut slot.opening {
                    opening.waiting = true;
                }
                slot.strikes = 0;
                self.unsaved |= slot.shown(handle, self.home.generation);
                sink(answer.step(Step::B1, peer));
                Handled::Done
            }
            code::CHANGED => {
                let Ok(Sealed(sealed)) = sga_schema::decode(answer.payload) else { return self.not_opened() };
                let made = make_keys(package, slot, run, sealed, self.pad);
                if !matches!(made, Made::NotOpened) {
                    sink(answer.step(Step::B3, peer));
                }
                let received_len = answer.payload.len();
                if self.on_made(made, peer, run, answer.code, received_len, sink) == Dealt::NotOpened {
                    return self.not_opened();
                }
                Handled::Done
            }
            _ => self.on_half_refused(answer, peer, handle, run, request_hash, sink),
        }
    }

    fn on_half_refused(
        &mut self,
        answer: &Answer<'_>,
        peer: DeviceId,
        handle: Handle,
        run: u32,
        request_hash: &[u8; 32],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        let refusal = self.slot(peer).and_then(|slot| slot.agreement.as_ref()).and_then(|agreement| {
            let Sealed(sealed) = sga_schema::decode(answer.payload).ok()?;
            let role = agreement.role.id();
            let key = steps::b_refusal(aead(agreement.suite), &agreement.temporary_key, request_hash, role);
            open::<BRefusal>(key, sealed, &mut [0; 32])
        });
        let Some(BRefusal { reason, run: current }) = refusal else {
            let code = answer.code;
            let last = self.slot(peer).is_some_and(|slot| slot.strikes.saturating_add(1) >= STRIKES_MAX);
            if last && self.gives_up_session(answer, peer, handle, sink) {
                return Handled::Done;
            }
            return self.on_bare_code(answer, peer, |slot| Failure::KeyExchange { peer: slot.peer, run, code }, sink);
        };
        let generation = self.home.generation;
        let Some(slot) = self.slot_mut(peer) else { return Handled::Done };
        let shown = slot.shown(handle, generation);
        slot.opening = None;
        slot.strikes = 0;
        let why = match reason {
            BReason::Failed => Refusal::HalfFailed { run },
            BReason::Closed => Refusal::RunClosed { run, current },
        };
        sink(Event::Refused { peer, why });
        if reason == BReason::Closed {
            let highest = slot.agreement.as_ref().map_or(0, |agreement| agreement.highest_run);
            let near = current <= highest.saturating_add(RUN_SKIP_MAX);
            // A higher one may wait for this device: its B2 is in the inbox. The same one was closed without it: the next.
            if current > run {
                slot.passed_by = near.then_some(current);
                self.home.due.attach = true;
            } else if near && slot.open_run(current.max(highest).saturating_add(1)) {
                let run = current.max(highest).saturating_add(1);
                sink(Event::RunStarted { peer, run });
            }
            self.unsaved = true;
        }
        self.unsaved |= shown;
        Handled::Done
    }

    /// After an attach: where no B2 of the gateway's higher run has come, this device has dealt with it before it was set back. It
    /// opens the run above.
    pub(crate) fn pass_by(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        for slot in self.slots.iter_mut().flatten() {
            let Some(current) = slot.passed_by.take() else { continue };
            let highest = slot.agreement.as_ref().map_or(u32::MAX, |agreement| agreement.highest_run);
            if current > highest
                && let Some(run) = current.checked_add(1)
                && slot.open_run(run)
            {
                self.unsaved = true;
                sink(Event::RunStarted { peer: slot.peer, run });
            }
        }
    }

    /// B2.
    pub(crate) fn on_wanted(&mut self, body: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        let Ok(item) = sga_schema::decode::<WantedItem<'_>>(body) else { return Dealt::Malformed };
        if let Err(dealt) = self.adopt_if_proven(&item, sink) {
            return dealt;
        }
        let Some(slot) = self.by_handle(item.handle) else { return Dealt::Unknown };
        let Some(agreement) = &slot.agreement else { return Dealt::Unknown };
        let role = agreement.role.id();
        let key = steps::b2(aead(agreement.suite), &agreement.temporary_key, &agreement.th_a, item.run, role);
        if open::<Wanted>(key, item.sealed, &mut [0; 24]).is_none() {
            return Dealt::NotOpened;
        }
        let (peer, run) = (slot.peer, item.run);
        // The same run is being opened by both: each Half is the other's B3.
        if run <= agreement.highest_run || run - agreement.highest_run > RUN_SKIP_MAX {
            return Dealt::Stale;
        }
        slot.wake();
        slot.open_run(run);
        sink(Event::StepDone { step: Step::B2, peer, code: 0, sent_len: 0, received_len: body.len() });
        sink(Event::RunStarted { peer, run });
        Dealt::Done
    }

    /// A B2 under the keys of an A3 whose answer has not come says that the gateway has that A3.
    fn adopt_if_proven(&mut self, item: &WantedItem<'_>, sink: &mut impl FnMut(Event<'_>)) -> Result<(), Dealt> {
        let own = self.identity.id;
        let Some(package) = &self.home.package else { return Err(Dealt::Unknown) };
        let mut slots = self.slots.iter().flatten();
        let found = slots.find_map(|slot| match &slot.negotiation {
            Negotiation::Replying(reply) if reply.handle == item.handle => Some((slot.peer, reply)),
            _ => None,
        });
        let Some((peer, reply)) = found else { return Ok(()) };
        let (Some(suite), Some((nonce_j, key))) = (reply.suite, &reply.drawn) else { return Err(Dealt::NotOpened) };
        let nonces = [&reply.nonce_i, &reply.nonce_g, nonce_j];
        let th_a = crate::steps_a::transcript(package, suite, [&peer, &own], nonces);
        let seal_key = steps::b2(aead(suite), key, &th_a, item.run, Role::Responder.id());
        if open::<Wanted>(seal_key, item.sealed, &mut [0; 24]).is_none() {
            return Err(Dealt::NotOpened);
        }
        self.adopt_reply(peer, sink);
        Ok(())
    }

    /// B6 as an item.
    pub(crate) fn on_key(&mut self, body: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        let Ok(item) = sga_schema::decode::<KeyItem<'_>>(body) else { return Dealt::Malformed };
        let Some(package) = &self.home.package else { return Dealt::Unknown };
        let mut slots = self.slots.iter_mut().flatten();
        let found = slots.find(|slot| slot.agreement.as_ref().is_some_and(|held| held.handle == item.handle));
        let Some(slot) = found else { return Dealt::Unknown };
        if slot.opening.as_ref().is_none_or(|opening| opening.run != item.run) {
            return Dealt::Stale;
        }
        let peer = slot.peer;
        let made = make_keys(package, slot, item.run, item.sealed, self.pad);
        self.on_made(made, peer, item.run, 0, body.len(), sink)
    }

    fn on_made(
        &mut self,
        made: Made,
        peer: DeviceId,
        run: u32,
        code: u8,
        received_len: usize,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Dealt {
        let generation = self.home.generation;
        let Some(slot) = self.slot_mut(peer) else { return Dealt::Stale };
        let handle = slot.agreement.as_ref().map(|agreement| agreement.handle);
        if let (false, Some(handle)) = (matches!(made, Made::NotOpened), handle) {
            // What is made here is stored in any case.
            slot.shown(handle, generation);
        }
        match made {
            Made::NotOpened => Dealt::NotOpened,
            Made::Refused => {
                slot.opening = None;
                self.unsaved = true;
                count(&mut self.counters.failed_openings);
                sink(Event::Failed { what: Failure::KeyRefused { peer, run } });
                Dealt::Done
            }
            Made::Keys(keys) => {
                slot.opening = None;
                slot.runs.push(keys);
                slot.wake();
                drop_parked_text(slot, sink);
                self.unsaved = true;
                for (step, code, received_len) in [(Step::B6, code, received_len), (Step::B7, 0, 0)] {
                    sink(Event::StepDone { step, peer, code, sent_len: 0, received_len });
                }
                Dealt::Done
            }
        }
    }

    fn by_handle(&mut self, handle: Handle) -> Option<&mut Slot> {
        let mut slots = self.slots.iter_mut().flatten();
        slots.find(|slot| slot.agreement.as_ref().is_some_and(|agreement| agreement.handle == handle))
    }
}
