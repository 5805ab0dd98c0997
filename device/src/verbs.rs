//! What the application asks for.

use sga_crypto::{Secret, sha256};
use sga_schema::{Accept, DeviceId, Suite};
use subtle::ConstantTimeEq;

use crate::device::Device;
use crate::error::DeviceError;
use crate::gateway_side::Enrolment;
use crate::limits::{ALLOWED_MAX, SEQUENCES_PER_RUN_MAX};
use crate::request::{Flight, InFlight};
use crate::session::{Negotiation, Slot};
use crate::traffic::Sealed;

impl<const PEERS: usize> Device<PEERS> {
    /// The gateway's pin; another package is refused then. `None` forgets it: the next package seen is kept.
    pub fn set_pin(&mut self, pin: Option<[u8; 16]>) {
        if self.identity.pin != pin {
            self.identity.pin = pin;
            self.unsaved = true;
        }
    }

    /// The secret that proves that this device may register; kept in memory only.
    ///
    /// # Errors
    /// [`DeviceError::TooLong`] above [`crate::ENROLMENT_LEN_MAX`] bytes.
    pub fn set_enrolment(&mut self, secret: &[u8]) -> Result<(), DeviceError> {
        self.identity.enrolment = Some(Enrolment::new(secret).ok_or(DeviceError::TooLong)?);
        Ok(())
    }

    /// Whose invitations are taken; the gateway is told with the next attach.
    pub fn set_accept(&mut self, accept: Accept) {
        if self.identity.accept != accept {
            self.identity.accept = accept;
            self.unsaved = true;
        }
    }

    /// Only these may invite, as long as this device runs; an empty list lets [`Accept`] decide alone.
    ///
    /// # Errors
    /// [`DeviceError::TooLong`] above [`ALLOWED_MAX`] ids.
    pub fn set_allowed(&mut self, peers: &[DeviceId]) -> Result<(), DeviceError> {
        if peers.len() > ALLOWED_MAX {
            return Err(DeviceError::TooLong);
        }
        self.identity.allowed = core::array::from_fn(|at| peers.get(at).copied());
        Ok(())
    }

    /// Whether what this device sends is padded, so that its lengths say nothing of the device (`docs/protocol.md` §10, which says what it
    /// costs); the gateway is asked for the same with the next attach. Kept in memory only.
    pub fn set_pad(&mut self, pad: bool) {
        self.pad = pad;
    }

    /// Takes up a registration whose request left by another way, before a restart perhaps: the next answer is to these bytes.
    /// The package that it was made for must have been taken before ([`Self::register`] and its answer).
    pub fn resume_registration(&mut self, request: &[u8]) {
        let what = InFlight::Register { request_hash: sha256(request) };
        self.flight = Some(Flight { sent_len: request.len(), what });
    }

    /// A secret shared with a peer out of band: 32 uniform bytes. It goes into the keys of all runs that are made from now on; the peer
    /// needs the same. If there is a session, its next run is opened, and once a secret is set no text is sealed under older ones.
    /// `None` forgets it. Setting what is set already does nothing.
    ///
    /// # Errors
    /// [`DeviceError::OwnId`], [`DeviceError::TooManyPeers`]; [`DeviceError::NumbersUsedUp`] if there can be no further run.
    pub fn set_pair_secret(&mut self, peer: DeviceId, secret: Option<Secret<32>>) -> Result<(), DeviceError> {
        if peer == self.identity.id {
            return Err(DeviceError::OwnId);
        }
        let held = self.slot(peer).and_then(|slot| slot.pair_secret.as_ref());
        let same = match (held, &secret) {
            (Some(held), Some(secret)) => bool::from(held.expose().ct_eq(secret.expose())),
            (None, None) => true,
            _ => false,
        };
        if same {
            return Ok(());
        }
        let slot = self.slot_for(peer).ok_or(DeviceError::TooManyPeers)?;
        if secret.is_some() {
            slot.runs.supersede();
        }
        slot.pair_secret = secret;
        let in_session = slot.agreement.is_some();
        self.unsaved = true;
        if in_session { self.rekey(peer) } else { Ok(()) }
    }

    /// Makes GET and POST `/register` due, and an attach after them.
    pub fn register(&mut self) {
        self.home.due.package = true;
        self.home.due.register = true;
        self.home.strikes = 0;
    }

    /// Takes another k_d: 32 uniform bytes of this device's own choice. Sessions, mailbox and numbers stay. The new one is stored
    /// before it is sent, and the old one goes when the gateway has proven that it has the new one; [`crate::Event::KeyRotated`]
    /// says so. One that was begun before is finished first, with its own key.
    ///
    /// # Errors
    /// [`DeviceError::NotRegistered`].
    pub fn rotate(&mut self, new_key: Secret<32>) -> Result<(), DeviceError> {
        if self.home.ticket.is_none() {
            return Err(DeviceError::NotRegistered);
        }
        self.identity.next_key.get_or_insert(new_key);
        self.unsaved = true;
        self.register();
        Ok(())
    }

    /// Makes an attach due: the first after a start, or a refresh.
    pub fn attach(&mut self, observe: bool) {
        self.home.observe = observe;
        self.home.due.attach = self.home.ticket.is_some();
        self.home.strikes = 0;
    }

    /// Makes a session with a peer due: A1 and what follows. If there is a session, its next run is opened instead, unless the gateway
    /// keeps refusing that session, or the peer has not answered the run that was opened last: it may have lost the session, and to an
    /// A1 it has an answer. `suite`: `None` takes the device's own and, if the peer does not
    /// have that, one that both have.
    ///
    /// # Errors
    /// [`DeviceError::OwnId`], [`DeviceError::SuiteNotOwn`], [`DeviceError::NotRegistered`],
    /// [`DeviceError::TooManyPeers`].
    pub fn connect(&mut self, peer: DeviceId, suite: Option<Suite>) -> Result<(), DeviceError> {
        let (own, default) = (self.identity.id, self.identity.suite);
        if peer == own {
            return Err(DeviceError::OwnId);
        }
        if suite.is_some_and(|suite| !self.identity.suites.contains(suite)) {
            return Err(DeviceError::SuiteNotOwn);
        }
        if self.home.ticket.is_none() {
            return Err(DeviceError::NotRegistered);
        }
        let slot = self.slot_for(peer).ok_or(DeviceError::TooManyPeers)?;
        let agreed = slot.agreement.as_ref().map(|agreement| agreement.suite);
        let same_suite = agreed.is_some_and(|agreed| suite.is_none_or(|suite| suite == agreed));
        let unanswered = slot.has_unanswered_run();
        if same_suite && !slot.parked && !unanswered && matches!(slot.negotiation, Negotiation::None) {
            return self.rekey(peer);
        }
        let rested = slot.parked;
        slot.wake();
        slot.unconfirmed = 0;
        // An invitation of the peer's that is being answered leads to the same session.
        if rested || !matches!(slot.negotiation, Negotiation::Replying(_)) {
            slot.negotiation = Negotiation::Wanted { suite: suite.unwrap_or(default), automatic: suite.is_none() };
            self.unsaved = true;
        }
        Ok(())
    }

    /// Opens the next run of a session, also if the last one still waits for the peer (a run that is not closed within an
    /// hour is over; the device has no clock). Does nothing while a Half is due or in flight.
    ///
    /// # Errors
    /// [`DeviceError::NoSession`], [`DeviceError::NumbersUsedUp`].
    pub fn rekey(&mut self, peer: DeviceId) -> Result<(), DeviceError> {
        let slot = self.slot_mut(peer).ok_or(DeviceError::NoSession)?;
        if slot.agreement.is_none() {
            return Err(DeviceError::NoSession);
        }
        let rested = slot.parked;
        slot.wake();
        slot.unconfirmed = 0;
        // A Half that the gateway has not answered goes first; one that waits for a silent peer may be passed.
        if slot.opening.as_ref().is_some_and(|opening| !opening.waiting) && !rested {
            return Ok(());
        }
        slot.open_next_run().ok_or(DeviceError::NumbersUsedUp)?;
        self.unsaved = true;
        Ok(())
    }

    /// Whether [`Self::send`] would take a text: the newest run is established, this device's message 0 of it is stored
    /// at the gateway, and no text is in flight.
    #[must_use]
    pub fn can_send(&self, peer: DeviceId) -> bool {
        self.slot(peer).is_some_and(Slot::takes_text)
    }

    /// Seals a text into `buf` as the payload of its POST. The caller keeps these bytes with the next snapshot, until
    /// the `Sent` event; [`Self::poll_request`] then asks for them by [`crate::StoredText`], again after a restart.
    /// `buf` needs [`crate::sealed_len_max`] bytes.
    ///
    /// # Errors
    /// See [`DeviceError`] ([`DeviceError::TooLong`] above 8,192 bytes, or 8,183 if they are padded); nothing has changed then, but that [`DeviceError::RunUsedUp`] opens the next run.
    pub fn send(&mut self, peer: DeviceId, text: &[u8], buf: &mut [u8]) -> Result<Sealed, DeviceError> {
        let pad = self.pad;
        let slot = self.slot_mut(peer).ok_or(DeviceError::NoSession)?;
        if slot.agreement.is_none() && matches!(slot.negotiation, Negotiation::None) {
            return Err(DeviceError::NoSession);
        }
        if !slot.takes_text() {
            return Err(DeviceError::NotReady);
        }
        let run = slot.runs.newest_mut().ok_or(DeviceError::NotReady)?;
        if run.next_send >= SEQUENCES_PER_RUN_MAX {
            self.rekey(peer)?;
            return Err(DeviceError::RunUsedUp);
        }
        let (sealed, outbox) = run.seal_text(text, pad, buf)?;
        slot.outbox = Some(outbox);
        self.unsaved = true;
        Ok(sealed)
    }

    /// The text in flight to a peer: run and sequence.
    #[must_use]
    pub fn in_flight_text(&self, peer: DeviceId) -> Option<(u32, u32)> {
        self.slot(peer)?.outbox.as_ref().map(|outbox| (outbox.run, outbox.sequence))
    }

    /// Whether these are the bytes of the text in flight to a peer: what a shell checks after a restart.
    #[must_use]
    pub fn verify_stored(&self, peer: DeviceId, bytes: &[u8]) -> bool {
        self.slot(peer).and_then(|slot| slot.outbox.as_ref()).is_some_and(|outbox| outbox.is_sealed_in(bytes))
    }

    /// Gives up the text in flight to a peer: its bytes were lost, or the gateway does not take them. The peer will see
    /// a gap if they never arrived.
    pub fn abandon(&mut self, peer: DeviceId) {
        let Some(slot) = self.slot_mut(peer) else { return };
        if slot.outbox.take().is_some() {
            slot.wake();
            self.unsaved = true;
        }
    }
}
