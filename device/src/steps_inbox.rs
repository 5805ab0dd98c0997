//! Attach, acknowledgement, notifications.

use rand_core::CryptoRng;
use sga_crypto::steps;
use sga_schema::{Ack, AckSecret, Attach, AttachSecret, Inbox, InboxSecret, Suite, padding};

use crate::answer::{Answer, code};
use crate::device::{Device, post};
use crate::error::DeviceError;
use crate::event::{Event, Failure};
use crate::gateway_side::Attachment;
use crate::limits::STRIKES_MAX;
use crate::request::{Flight, Handled, InFlight, Method, Outgoing, RequestKind};
use crate::seal::{aead, encode, seal_padded};
use crate::status::count;

impl<const PEERS: usize> Device<PEERS> {
    /// FETCH `/msg`. The attach number is stored before it is used: the first call reserves it, the next one sends.
    pub(crate) fn send_attach(
        &mut self,
        rng: &mut impl CryptoRng,
        buf: &mut [u8],
    ) -> Result<Option<Outgoing>, DeviceError> {
        let Some(ticket) = self.home.ticket else {
            self.home.due.attach = false;
            return Ok(None);
        };
        if !self.home.attach_reserved {
            self.home.attach_number = self.home.attach_number.checked_add(1).ok_or(DeviceError::NumbersUsedUp)?;
            self.home.attach_reserved = true;
            self.unsaved = true;
            return Ok(None);
        }
        let mut nonce = [0; 8];
        rng.fill_bytes(&mut nonce);
        let identity = &self.identity;
        let secret = AttachSecret {
            attach_number: self.home.attach_number,
            cursor: self.home.cursor,
            generation: self.home.generation,
            accept: identity.accept,
        };
        let key = steps::attach(aead(identity.suite), &identity.registered_key, &nonce);
        let mut sealed = [0; 48];
        let sealed_len = self.pad.then_some(padding::ATTACH_SEALED_LEN);
        let sealed = seal_padded(key, identity.suite, &secret, sealed_len, &mut sealed)?;
        let len = encode(&Attach { ticket, nonce, sealed }, buf)?;
        self.home.attach_reserved = false;
        self.flight = Some(Flight { sent_len: len, what: InFlight::Attach { nonce, ticket } });
        let observe = self.home.observe;
        let mut outgoing = post(RequestKind::Attach { observe }, "msg", len, None);
        outgoing.method = Method::Fetch;
        outgoing.observe = observe;
        Ok(Some(outgoing))
    }

    pub(crate) fn on_attached(
        &mut self,
        code: u8,
        payload: &mut [u8],
        nonce: [u8; 8],
        ticket: [u8; 16],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        if code != code::CONTENT {
            return self.on_attach_refused(code, sink);
        }
        let Some(plain) = self.open_inbox(payload, &nonce) else { return self.not_opened() };
        let Some(next) = decode_inbox(plain, self.identity.suite).and_then(|inbox| inbox.next) else {
            return self.not_opened();
        };
        let generation_changed = next.generation != self.home.generation;
        if generation_changed {
            self.home.generation = next.generation;
            self.home.cursor = 0;
        }
        self.home.ticket = Some(next.ticket);
        self.home.attachment = Some(Attachment { nonce, ticket, ack_counter: 0 });
        self.home.due.attach = false;
        self.home.due.ack = false;
        self.home.strikes = 0;
        self.home.inbox_blocked = false;
        self.unsaved = true;
        sink(Event::Attached { generation_changed });
        self.handle_items(plain, sink);
        self.pass_by(sink);
        if generation_changed {
            self.invite_again();
        }
        Handled::Done
    }

    fn on_attach_refused(&mut self, code: u8, sink: &mut impl FnMut(Event<'_>)) -> Handled {
        if matches!(code, code::TOO_MANY | code::UNAVAILABLE) {
            return Handled::Retry;
        }
        self.home.strikes = self.home.strikes.saturating_add(1);
        if self.home.strikes >= STRIKES_MAX || code == code::FORBIDDEN {
            self.home.due.attach = false;
            sink(Event::Failed { what: Failure::Attach { code } });
            return Handled::Done;
        }
        if code == code::UNAUTHORIZED {
            self.home.due.package = true;
            self.home.due.register = true;
        }
        Handled::Retry
    }

    /// Opens an Inbox in place.
    fn open_inbox<'p>(&self, payload: &'p mut [u8], nonce: &[u8; 8]) -> Option<&'p mut [u8]> {
        let inbox: Inbox<'_> = sga_schema::decode(payload).ok()?;
        let identity = &self.identity;
        let key = steps::inbox(aead(identity.suite), &identity.registered_key, nonce, inbox.counter);
        // The sealed part is the last of the array, and nothing may follow the array.
        let start = payload.len().checked_sub(inbox.sealed.len())?;
        let sealed = payload.get_mut(start..)?;
        let len = key.open(sealed).ok()?;
        sealed.get_mut(..len)
    }

    /// A later Observe notification of the current attach; the payload is opened in place.
    pub fn handle_notification(&mut self, payload: &mut [u8], sink: &mut impl FnMut(Event<'_>)) {
        let Some(nonce) = self.home.attachment.as_ref().map(|attachment| attachment.nonce) else { return };
        let Some(plain) = self.open_inbox(payload, &nonce) else {
            count(&mut self.counters.failed_openings);
            return;
        };
        // A replayed answer to the attach opens here too; all its items are below the cursor by then.
        if decode_inbox(plain, self.identity.suite).is_none() {
            count(&mut self.counters.malformed_items);
            return;
        }
        self.handle_items(plain, sink);
    }

    pub(crate) fn send_ack(&mut self, buf: &mut [u8]) -> Result<Outgoing, DeviceError> {
        let identity = &self.identity;
        let cursor = self.home.cursor;
        let attachment = self.home.attachment.as_mut().ok_or(DeviceError::Internal)?;
        let counter = attachment.ack_counter.checked_add(1).ok_or(DeviceError::NumbersUsedUp)?;
        let key = steps::ack(aead(identity.suite), &identity.registered_key, &attachment.nonce, counter);
        let mut sealed = [0; 32];
        let sealed_len = self.pad.then_some(padding::ACK_SEALED_LEN);
        let sealed = seal_padded(key, identity.suite, &AckSecret { cursor }, sealed_len, &mut sealed)?;
        let len = encode(&Ack { ticket: attachment.ticket, counter, sealed }, buf)?;
        attachment.ack_counter = counter;
        self.flight = Some(Flight { sent_len: len, what: InFlight::Ack { cursor } });
        Ok(post(RequestKind::Ack, "msg", len, None))
    }

    pub(crate) fn on_acknowledged(&mut self, answer: &Answer<'_>, cursor: u32) -> Handled {
        match answer.code {
            code::CHANGED => {
                self.home.due.ack = self.home.cursor != cursor;
                Handled::Done
            }
            code::UNAUTHORIZED => {
                // The attach carries the cursor.
                self.home.due.ack = false;
                self.home.due.attach = true;
                Handled::Retry
            }
            _ => Handled::Retry,
        }
    }
}

/// The plaintext of an Inbox; padded, if the attach was.
fn decode_inbox(plain: &[u8], suite: Suite) -> Option<InboxSecret<'_>> {
    let sealed_len = plain.len() + suite.tag_len();
    let fits = padding::inbox_sealed_len(sealed_len) == sealed_len;
    padding::decode_padded(plain, fits).ok().map(|(inbox, _)| inbox)
}
