//! The device: its state, and the order in which what is due leaves.

use rand_core::CryptoRng;
use sga_crypto::Secret;
use sga_schema::{Accept, DeviceId, Suite, SuiteSet};

use crate::error::DeviceError;
use crate::gateway_side::{Home, Identity};
use crate::request::{Flight, InFlight, Method, Outgoing, RequestKind};
use crate::session::{Negotiation, Reply, Slot};
use crate::status::Counters;

/// One end. `PEERS` bounds its sessions.
///
/// The shell's round: while [`Self::needs_save`], write [`Self::snapshot`] and what was collected from events to disk and
/// call [`Self::saved`]; then [`Self::poll_request`]; if that is `None` and nothing needs saving, wait for the network or
/// the application. One request is in flight at a time; each ends with [`Self::handle_response`] or
/// [`Self::handle_failure`].
pub struct Device<const PEERS: usize> {
    pub(crate) identity: Identity,
    pub(crate) home: Home,
    pub(crate) slots: [Option<Slot>; PEERS],
    /// An invitation that is being refused.
    pub(crate) declined: Option<Reply>,
    /// The gateway does not take that refusal; it rests until a restart or another takes its place. In memory only.
    pub(crate) declined_parked: bool,
    pub(crate) flight: Option<Flight>,
    pub(crate) unsaved: bool,
    /// A text went before an acknowledgement, which goes before the next one. In memory only.
    pub(crate) owes_ack: bool,
    pub(crate) counters: Counters,
    /// What is sealed is padded to sizes that say nothing. In memory only.
    pub(crate) pad: bool,
    /// Where the search for due requests starts, so that no peer starves another.
    pub(crate) turn: usize,
}

impl<const PEERS: usize> core::fmt::Debug for Device<PEERS> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Device")
            .field("id", &self.identity.id)
            .field("cursor", &self.home.cursor)
            .field("in_flight", &self.flight.is_some())
            .field("needs_save", &self.unsaved)
            .finish_non_exhaustive()
    }
}

impl<const PEERS: usize> Device<PEERS> {
    /// A device that has never met a gateway. `registered_key` is k_d: 32 uniform bytes of this device's own choice;
    /// `suite` is x, one of `suites`.
    ///
    /// # Errors
    /// [`DeviceError::SuiteNotOwn`] if `suite` is not in `suites`.
    pub fn new(
        id: DeviceId,
        registered_key: Secret<32>,
        suite: Suite,
        suites: SuiteSet,
        accept: Accept,
    ) -> Result<Self, DeviceError> {
        if !suites.contains(suite) {
            return Err(DeviceError::SuiteNotOwn);
        }
        let allowed = [None; crate::limits::ALLOWED_MAX];
        let identity =
            Identity { id, registered_key, suite, suites, accept, allowed, pin: None, enrolment: None, next_key: None };
        Ok(Self::from_parts(identity, Home::new()))
    }

    pub(crate) fn from_parts(identity: Identity, home: Home) -> Self {
        Self {
            identity,
            home,
            slots: [const { None }; PEERS],
            declined: None,
            declined_parked: false,
            flight: None,
            unsaved: true,
            owes_ack: false,
            counters: Counters::default(),
            pad: false,
            turn: 0,
        }
    }

    /// Whether stored state has changed: save before anything is sent and before a text is handed up.
    #[must_use]
    pub fn needs_save(&self) -> bool {
        self.unsaved
    }

    /// The snapshot is on disk.
    pub fn saved(&mut self) {
        self.unsaved = false;
    }

    /// Whether a request waits for its answer.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Writes the next request that is due into `buf`; [`crate::REQUEST_LEN_MAX`] bytes are enough for all of them.
    /// `None` while a snapshot has to be saved (it may be this call that needs it: look again), while a request is in
    /// flight, or if nothing is due.
    ///
    /// # Errors
    /// The request stays due; [`DeviceError::BufferTooSmall`] is the caller's.
    pub fn poll_request(&mut self, rng: &mut impl CryptoRng, buf: &mut [u8]) -> Result<Option<Outgoing>, DeviceError> {
        if self.unsaved || self.flight.is_some() {
            return Ok(None);
        }
        if self.home.due.package {
            return self.send_package_request().map(Some);
        }
        if self.home.due.register {
            return self.send_register(rng, buf).map(Some);
        }
        if self.home.due.attach {
            return self.send_attach(rng, buf);
        }
        if self.home.attachment.is_none() {
            return Ok(None);
        }
        if core::mem::take(&mut self.owes_ack) && self.home.due.ack {
            return self.send_ack(buf).map(Some);
        }
        if self.declined.is_some() && !self.declined_parked {
            return self.send_decline(rng, buf);
        }
        for step in 0..PEERS {
            let index = (self.turn + step) % PEERS;
            if let Some(outgoing) = self.poll_slot(index, rng, buf)? {
                self.turn = (index + 1) % PEERS;
                return Ok(Some(outgoing));
            }
            if self.unsaved {
                return Ok(None);
            }
        }
        if self.home.due.ack {
            return self.send_ack(buf).map(Some);
        }
        Ok(None)
    }

    /// The acknowledgement of the inbox, if it is due; for a shell that waits because another request was refused with 4.29 or
    /// 5.03. A gateway that has no room gets some by what is acknowledged, and must not wait for it.
    ///
    /// # Errors
    /// As [`Self::poll_request`].
    pub fn poll_acknowledgement(&mut self, buf: &mut [u8]) -> Result<Option<Outgoing>, DeviceError> {
        let may = !self.unsaved && self.flight.is_none() && self.home.attachment.is_some() && !self.home.due.attach;
        if may && self.home.due.ack { self.send_ack(buf).map(Some) } else { Ok(None) }
    }

    fn poll_slot(
        &mut self,
        index: usize,
        rng: &mut impl CryptoRng,
        buf: &mut [u8],
    ) -> Result<Option<Outgoing>, DeviceError> {
        let Some(slot) = self.slots.get(index).and_then(Option::as_ref) else { return Ok(None) };
        // A text in flight goes before anything that leads to newer keys: the gateway takes it under the last two runs only.
        if slot.outbox.as_ref().is_some_and(|outbox| !outbox.parked) {
            return Ok(self.send_text(index));
        }
        if !slot.parked {
            match slot.negotiation {
                Negotiation::Wanted { .. } => return self.send_invite(index, rng, buf),
                Negotiation::Replying(_) => return self.send_reply(index, rng, buf),
                Negotiation::None | Negotiation::Invited { .. } => {}
            }
            if slot.opening.as_ref().is_some_and(|opening| !opening.waiting) {
                return self.send_half(index, rng, buf).map(Some);
            }
        }
        let in_session = slot.agreement.is_some() && slot.outbox.is_none();
        if in_session && slot.runs.newest().is_some_and(|run| run.confirmed.is_none() && !run.parked) {
            return self.send_confirmation(index, buf).map(Some);
        }
        Ok(None)
    }

    /// The request in flight timed out or could not be sent: it is due again, as the protocol wants it.
    pub fn handle_failure(&mut self) {
        // What is due is derived from state that changes only with an answer.
        let flight = self.flight.take();
        if matches!(flight, Some(Flight { what: InFlight::Invite { .. }, .. })) {
            // It may arrive yet. After another attach it means nothing any more.
            self.home.due.attach = true;
        }
    }

    pub(crate) fn slot_index(&self, peer: DeviceId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|slot| slot.peer == peer))
    }

    pub(crate) fn slot(&self, peer: DeviceId) -> Option<&Slot> {
        self.slots.iter().flatten().find(|slot| slot.peer == peer)
    }

    pub(crate) fn slot_mut(&mut self, peer: DeviceId) -> Option<&mut Slot> {
        self.slots.iter_mut().flatten().find(|slot| slot.peer == peer)
    }

    /// The place of a peer; a free one, or one that holds nothing (or next to nothing), if it has none yet.
    pub(crate) fn slot_for(&mut self, peer: DeviceId) -> Option<&mut Slot> {
        let index = self
            .slot_index(peer)
            .or_else(|| self.slots.iter().position(|slot| slot.as_ref().is_none_or(Slot::is_empty)))
            .or_else(|| self.slots.iter().position(|slot| slot.as_ref().is_none_or(Slot::is_spent)))?;
        let place = self.slots.get_mut(index)?;
        if place.as_ref().is_none_or(|slot| slot.peer != peer) {
            *place = Some(Slot::new(peer));
        }
        place.as_mut()
    }

    /// An item that waited may be dealt with now: an attach brings it again.
    pub(crate) fn unblock_inbox(&mut self) {
        if self.home.inbox_blocked {
            self.home.inbox_blocked = false;
            self.home.due.attach = true;
        }
    }
}

/// A request with a payload to one of the paths.
pub(crate) fn post(kind: RequestKind, path: &'static str, len: usize, peer: Option<DeviceId>) -> Outgoing {
    Outgoing { kind, method: Method::Post, path, content_format: Some(60), observe: false, len, peer, stored: None }
}
