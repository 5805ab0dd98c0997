//! Answers: which step they belong to, and what bare codes may lead to. A bare code changes nothing that is stored.

use sga_schema::{DeviceId, Handle};

use crate::device::Device;
use crate::event::{Event, Failure, Step};
use crate::limits::STRIKES_MAX;
use crate::request::{Handled, InFlight};
use crate::session::Slot;
use crate::status::count;

/// CoAP code bytes.
pub(crate) mod code {
    pub(crate) const CREATED: u8 = 0x41;
    pub(crate) const CHANGED: u8 = 0x44;
    pub(crate) const CONTENT: u8 = 0x45;
    pub(crate) const UNAUTHORIZED: u8 = 0x81;
    pub(crate) const FORBIDDEN: u8 = 0x83;
    pub(crate) const CONFLICT: u8 = 0x89;
    pub(crate) const TOO_LARGE: u8 = 0x8d;
    pub(crate) const UNPROCESSABLE: u8 = 0x96;
    pub(crate) const TOO_MANY: u8 = 0x9d;
    pub(crate) const UNAVAILABLE: u8 = 0xa3;
}

/// An answer to the request in flight.
pub(crate) struct Answer<'a> {
    pub(crate) code: u8,
    pub(crate) sent_len: usize,
    pub(crate) payload: &'a [u8],
}

impl Answer<'_> {
    /// The report of a step that this answer ends.
    pub(crate) fn step(&self, step: Step, peer: DeviceId) -> Event<'static> {
        let (code, sent_len, received_len) = (self.code, self.sent_len, self.payload.len());
        Event::StepDone { step, peer, code, sent_len, received_len }
    }

    /// Says "later", not "no".
    pub(crate) fn is_later(&self) -> bool {
        matches!(self.code, code::TOO_MANY | code::UNAVAILABLE)
    }
}

impl<const PEERS: usize> Device<PEERS> {
    /// The answer to the request in flight (of an attach: the first). `code` is the CoAP code byte; the payload is
    /// opened in place. Without a request in flight nothing happens.
    pub fn handle_response(&mut self, code: u8, payload: &mut [u8], sink: &mut impl FnMut(Event<'_>)) -> Handled {
        let Some(flight) = self.flight.take() else { return Handled::Done };
        if let InFlight::Attach { nonce, ticket } = flight.what {
            return self.on_attached(code, payload, nonce, ticket, sink);
        }
        let answer = Answer { code, sent_len: flight.sent_len, payload };
        let handled = match flight.what {
            InFlight::Attach { .. } => Handled::Done,
            InFlight::Package => self.on_package(&answer, sink),
            InFlight::Register { request_hash } => self.on_registered(&answer, &request_hash, sink),
            InFlight::Ack { cursor } => self.on_acknowledged(&answer, cursor),
            InFlight::Invite { peer, suite, nonce_i, key, request_hash } => {
                let invite = crate::steps_a::SentInvite { peer, suite, nonce_i, key, request_hash };
                self.on_invite_answer(&answer, invite, sink)
            }
            InFlight::Reply { peer, handle, request_hash } => {
                self.on_reply_answer(&answer, peer, handle, &request_hash, sink)
            }
            InFlight::Half { peer, handle, run, request_hash } => {
                self.on_half_answer(&answer, peer, handle, run, &request_hash, sink)
            }
            InFlight::Confirm { peer, handle, run } => self.on_confirmed(&answer, peer, handle, run, sink),
            InFlight::Text { peer } => self.on_text_stored(&answer, peer, sink),
        };
        self.unblock_inbox();
        handled
    }

    /// Something did not open: it is as if it had not come.
    pub(crate) fn not_opened(&mut self) -> Handled {
        count(&mut self.counters.failed_openings);
        Handled::Retry
    }

    /// A request of a session was refused by bare codes as often as it may be. If that code is 4.01 and sealed bytes have shown since
    /// that the gateway's store is another than the one that last had the session, or that this device was set back to before another
    /// session, then the session is gone. True if it is.
    pub(crate) fn gives_up_session(
        &mut self,
        answer: &Answer<'_>,
        peer: DeviceId,
        handle: Handle,
        sink: &mut impl FnMut(Event<'_>),
    ) -> bool {
        let generation = self.home.generation;
        let Some(slot) = self.slot_mut(peer) else { return false };
        if answer.code != code::UNAUTHORIZED || !slot.may_be_gone(handle, generation) {
            return false;
        }
        slot.end_session(sink);
        self.unsaved = true;
        true
    }

    /// A bare code instead of an answer. 4.01 leads to an attach; after [`STRIKES_MAX`] of them the peer's requests rest.
    pub(crate) fn on_bare_code(
        &mut self,
        answer: &Answer<'_>,
        peer: DeviceId,
        failure: impl FnOnce(&Slot) -> Failure,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        if answer.is_later() {
            return Handled::Retry;
        }
        if answer.code == code::UNAUTHORIZED {
            self.home.due.attach = true;
        }
        let Some(slot) = self.slot_mut(peer) else { return Handled::Done };
        slot.strikes = slot.strikes.saturating_add(1);
        if slot.strikes < STRIKES_MAX {
            return Handled::Retry;
        }
        slot.parked = true;
        let what = failure(slot);
        sink(Event::Failed { what });
        Handled::Done
    }
}
