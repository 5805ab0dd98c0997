//! Messages (4.5): the keys of a run, sealing, opening, confirmation.

use minicbor::Encoder;
use minicbor::encode::write::Cursor;
use sga_crypto::{Secret, TrafficKey, steps};
use sga_schema::{Confirmation, DeviceId, Handle, MessageItem, MessagePost, Suite, Tag8, padding};

use crate::answer::{Answer, code};
use crate::device::{Device, post};
use crate::error::DeviceError;
use crate::event::{Event, Failure};
use crate::inbox::Dealt;
use crate::limits::{FAILED_OPENINGS_MAX, STRIKES_MAX, TEXT_LEN_MAX, UNCONFIRMED_MAX};
use crate::request::{Flight, Handled, InFlight, Outgoing, RequestKind, StoredText};
use crate::seal::{encode, tags_equal};
use crate::session::{Life, Slot};

/// Bytes of an encoded hop tag.
const HOP_LEN: usize = 9;
/// Bytes of an encoded salt.
const SALT_LEN: usize = sga_schema::limits::SALT_LEN;

/// A run with keys.
pub(crate) struct Run {
    pub(crate) handle: Handle,
    pub(crate) run: u32,
    pub(crate) suite: Suite,
    pub(crate) send_key: TrafficKey,
    /// Given up after too many failed openings.
    pub(crate) receive_key: Option<TrafficKey>,
    /// Of this device's way to the gateway.
    pub(crate) hop_key: Secret<32>,
    pub(crate) next_send: u32,
    pub(crate) next_receive: u32,
    /// The highest own sequence that the gateway has; `None` before message 0 is there.
    pub(crate) confirmed: Option<u32>,
    /// What message 0 says of the run before. It never changes: message 0 is the same bytes in every life.
    pub(crate) last: u32,
    /// The peer's message 0 was opened.
    pub(crate) established: bool,
    pub(crate) failed_openings: u32,
    pub(crate) comparison_code: [u8; 32],
    /// Its keys were made before the pair secret was set: no text is sealed under it.
    pub(crate) superseded: bool,
    /// Message 0 is padded. It never changes, either.
    pub(crate) pads_confirmation: bool,
    pub(crate) life: Life,
    /// Bare refusals of message 0; it rests when there are too many. In memory only.
    pub(crate) strikes: u8,
    pub(crate) parked: bool,
}

/// A sealed text that the gateway has not confirmed. The bytes are the caller's.
pub(crate) struct Outbox {
    pub(crate) handle: Handle,
    pub(crate) run: u32,
    pub(crate) sequence: u32,
    pub(crate) hop_key: Secret<32>,
    /// The salt that it was sealed with. Stored: the bytes do not change.
    pub(crate) salt: Life,
    /// In memory only.
    pub(crate) strikes: u8,
    pub(crate) parked: bool,
}

/// What [`Device::send`] has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The run it is sealed under.
    pub run: u32,
    /// Its sequence.
    pub sequence: u32,
    /// Bytes in the buffer.
    pub len: usize,
}

impl Run {
    /// Texts may be sealed under it, as far as this run is concerned.
    pub(crate) fn takes_text(&self) -> bool {
        self.established && self.confirmed.is_some() && !self.superseded
    }

    /// Seals the next text. The sequence is used up with it.
    pub(crate) fn seal_text(
        &mut self,
        text: &[u8],
        pad: bool,
        buf: &mut [u8],
    ) -> Result<(Sealed, Outbox), DeviceError> {
        let plain_len = if pad { padding::text_len(text.len()) } else { Some(text.len()) };
        let plain_len = plain_len.filter(|len| *len <= TEXT_LEN_MAX).ok_or(DeviceError::TooLong)?;
        let sequence = self.next_send;
        let len = self.seal_message(sequence, text, plain_len, self.life.as_ref(), buf)?;
        self.next_send += 1;
        let outbox = Outbox {
            handle: self.handle,
            run: self.run,
            sequence,
            hop_key: self.hop_key.duplicate(),
            salt: self.life,
            strikes: 0,
            parked: false,
        };
        Ok((Sealed { run: self.run, sequence, len }, outbox))
    }

    /// Writes a Message straight into the buffer: the ciphertext is sealed in its place. If the plaintext is to be longer than the text,
    /// it is padded to that.
    fn seal_message(
        &self,
        sequence: u32,
        text: &[u8],
        plain_len: usize,
        salt: Option<&[u8; 8]>,
        buf: &mut [u8],
    ) -> Result<usize, DeviceError> {
        let sealed_len = plain_len + self.suite.tag_len();
        let elements = if salt.is_some() { 6 } else { 5 };
        let start = self.write_head(elements, sequence, sealed_len, buf).ok_or(DeviceError::BufferTooSmall)?;
        let (end, hop_end) = (start + sealed_len, start + sealed_len + HOP_LEN);
        let total = hop_end + salt.map_or(0, |_| SALT_LEN);
        if buf.len() < total {
            return Err(DeviceError::BufferTooSmall);
        }
        let ciphertext = buf.get_mut(start..end).ok_or(DeviceError::BufferTooSmall)?;
        ciphertext.get_mut(..text.len()).ok_or(DeviceError::Internal)?.copy_from_slice(text);
        let key = salt.map_or_else(|| self.send_key.duplicate(), |salt| self.send_key.in_life(salt));
        if plain_len > text.len() {
            // Message 0 is CBOR, which says where it ends; a text does not.
            let mark = if sequence == 0 { None } else { Some(key.padding_mark(self.run, sequence)) };
            let end = plain_len - mark.map_or(0, |mark| mark.len());
            padding::pad(ciphertext, text.len(), end).map_err(|_| DeviceError::Internal)?;
            if let Some(mark) = mark {
                ciphertext.get_mut(end..plain_len).ok_or(DeviceError::Internal)?.copy_from_slice(&mark);
            }
        }
        key.seal(self.run, sequence, ciphertext, plain_len).map_err(|_| DeviceError::Internal)?;
        let hop_tag = steps::hop_tag(&self.hop_key, &self.handle.0, self.run, sequence, ciphertext, salt);
        encode(&Tag8(hop_tag), buf.get_mut(end..hop_end).ok_or(DeviceError::Internal)?)?;
        if let Some(salt) = salt {
            // One string of 8 bytes, as a tag is.
            encode(&Tag8(*salt), buf.get_mut(hop_end..total).ok_or(DeviceError::Internal)?)?;
        }
        Ok(total)
    }

    /// All of a Message before the bytes of its ciphertext.
    fn write_head(&self, elements: u64, sequence: u32, sealed_len: usize, buf: &mut [u8]) -> Option<usize> {
        let mut encoder = Encoder::new(Cursor::new(buf));
        encoder.array(elements).ok()?.bytes(&self.handle.0).ok()?.u32(self.run).ok()?.u32(sequence).ok()?;
        encoder.bytes_len(sealed_len as u64).ok()?;
        Some(encoder.writer().position())
    }

    /// What answers message 0.
    fn confirmed_tag(&self) -> [u8; 8] {
        steps::stored_tag(&self.hop_key, &self.handle.0, self.run, 0, None)
    }
}

impl Outbox {
    /// Whether these bytes are this text's Message.
    pub(crate) fn is_sealed_in(&self, bytes: &[u8]) -> bool {
        let Ok(post) = sga_schema::decode::<MessagePost<'_>>(bytes) else { return false };
        let salt = self.salt.as_ref();
        let expected = steps::hop_tag(&self.hop_key, &self.handle.0, self.run, self.sequence, post.ciphertext, salt);
        (post.handle, post.run, post.sequence, post.salt) == (self.handle, self.run, self.sequence, self.salt)
            && tags_equal(&expected, &post.hop_tag)
    }

    pub(crate) fn lost(&self, peer: DeviceId) -> Event<'static> {
        Event::Failed { what: Failure::TextLost { peer, run: self.run, sequence: self.sequence } }
    }
}

/// Drops a text that the gateway does not take once a newer run is there: its confirmation must not wait forever.
pub(crate) fn drop_parked_text(slot: &mut Slot, sink: &mut impl FnMut(Event<'_>)) {
    let newest = slot.runs.newest().map(|run| (run.handle, run.run));
    let over = slot.outbox.as_ref().is_some_and(|outbox| outbox.parked && newest != Some((outbox.handle, outbox.run)));
    if over && let Some(outbox) = slot.outbox.take() {
        sink(outbox.lost(slot.peer));
    }
}

impl<const PEERS: usize> Device<PEERS> {
    /// Message 0 of the newest run; the same bytes each time.
    pub(crate) fn send_confirmation(&mut self, index: usize, buf: &mut [u8]) -> Result<Outgoing, DeviceError> {
        let slot = self.slots.get(index).and_then(Option::as_ref).ok_or(DeviceError::Internal)?;
        let run = slot.runs.newest().ok_or(DeviceError::Internal)?;
        let mut text = [0; 8];
        let text_len = encode(&Confirmation { last: run.last }, &mut text)?;
        let text = text.get(..text_len).ok_or(DeviceError::Internal)?;
        let plain_len = if run.pads_confirmation { padding::CONFIRMATION_LEN } else { text_len };
        // In every life the same bytes, so without a salt.
        let len = run.seal_message(0, text, plain_len, None, buf)?;
        let what = InFlight::Confirm { peer: slot.peer, handle: run.handle, run: run.run };
        self.flight = Some(Flight { sent_len: len, what });
        Ok(post(RequestKind::Message, "msg", len, Some(slot.peer)))
    }

    pub(crate) fn on_confirmed(
        &mut self,
        answer: &Answer<'_>,
        peer: DeviceId,
        handle: Handle,
        run: u32,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        let generation = self.home.generation;
        let Some(slot) = self.slot_mut(peer) else { return Handled::Done };
        let Some(held) = slot.runs.find_mut(handle, run) else { return Handled::Done };
        if is_stored(answer, &held.confirmed_tag()) {
            held.confirmed = held.confirmed.max(Some(0));
            held.strikes = 0;
            slot.shown(handle, generation);
            self.unsaved = true;
            return Handled::Done;
        }
        if answer.is_later() {
            return Handled::Retry;
        }
        held.strikes = held.strikes.saturating_add(1);
        held.parked = held.strikes >= STRIKES_MAX;
        let parked = held.parked;
        self.home.due.attach |= answer.code == code::UNAUTHORIZED;
        if parked && self.gives_up_session(answer, peer, handle, sink) {
            return Handled::Done;
        }
        if parked {
            sink(Event::Failed { what: Failure::Confirmation { peer, run, code: answer.code } });
            return Handled::Done;
        }
        Handled::Retry
    }

    /// The text in flight; its bytes are the caller's.
    pub(crate) fn send_text(&mut self, index: usize) -> Option<Outgoing> {
        let slot = self.slots.get(index).and_then(Option::as_ref)?;
        let outbox = slot.outbox.as_ref()?;
        let peer = slot.peer;
        let mut outgoing = post(RequestKind::Message, "msg", 0, Some(peer));
        outgoing.stored = Some(StoredText { peer, run: outbox.run, sequence: outbox.sequence });
        self.owes_ack = self.home.due.ack;
        self.flight = Some(Flight { sent_len: 0, what: InFlight::Text { peer } });
        Some(outgoing)
    }

    pub(crate) fn on_text_stored(
        &mut self,
        answer: &Answer<'_>,
        peer: DeviceId,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        let generation = self.home.generation;
        let Some(slot) = self.slot_mut(peer) else { return Handled::Done };
        let Some(outbox) = &mut slot.outbox else { return Handled::Done };
        let (handle, run, sequence) = (outbox.handle, outbox.run, outbox.sequence);
        let expected = steps::stored_tag(&outbox.hop_key, &handle.0, run, sequence, outbox.salt.as_ref());
        if is_stored(answer, &expected) {
            slot.outbox = None;
            confirm(slot, handle, run, sequence);
            slot.shown(handle, generation);
            self.unsaved = true;
            sink(Event::Sent { peer, run, sequence });
            return Handled::Done;
        }
        if answer.is_later() {
            return Handled::Retry;
        }
        outbox.strikes = outbox.strikes.saturating_add(1);
        let definite = matches!(answer.code, code::CONFLICT | code::TOO_LARGE);
        outbox.parked = definite || outbox.strikes >= STRIKES_MAX;
        let parked = outbox.parked;
        if parked && self.gives_up_session(answer, peer, handle, sink) {
            self.home.due.attach = true;
            return Handled::Done;
        }
        let Some(slot) = self.slot_mut(peer) else { return Handled::Done };
        if parked {
            sink(Event::Failed { what: Failure::Text { peer, run, sequence, code: answer.code } });
            drop_parked_text(slot, sink);
            self.unsaved |= slot.outbox.is_none();
        }
        self.home.due.attach |= answer.code == code::UNAUTHORIZED;
        if parked { Handled::Done } else { Handled::Retry }
    }

    /// Item 6. Opened once, in place.
    pub(crate) fn on_message(&mut self, body: &mut [u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        let Ok(item) = sga_schema::decode::<MessageItem<'_>>(body) else { return Dealt::Malformed };
        let (handle, run, sequence, salt) = (item.handle, item.run, item.sequence, item.salt);
        // The ciphertext is the last of the array but for the salt, and nothing follows the array.
        let end = body.len() - salt.map_or(0, |_| SALT_LEN);
        let start = end - item.ciphertext.len();
        let mut slots = self.slots.iter_mut().flatten();
        let Some(slot) = slots.find(|slot| slot.runs.find(handle, run).is_some() || slot.is_opening(handle, run))
        else {
            return Dealt::Unknown;
        };
        let Some(held) = slot.runs.find_mut(handle, run) else { return Dealt::Blocked };
        if sequence < held.next_receive {
            return Dealt::Duplicate;
        }
        let Some(key) = &held.receive_key else { return Dealt::Unknown };
        let key = salt.map_or_else(|| key.duplicate(), |salt| key.in_life(&salt));
        let opened = body.get_mut(start..end).and_then(|sealed| {
            let len = key.open(run, sequence, sealed).ok()?;
            sealed.get(..len)
        });
        let Some(text) = opened else {
            count_failed_opening(slot, handle, run, sink);
            if sequence == 0 {
                self.unsaved |= not_confirmed(slot, handle, run, sink);
            }
            return Dealt::NotOpened;
        };
        if sequence == 0 {
            let fits = text.len() == padding::CONFIRMATION_LEN;
            let Ok((Confirmation { last }, _)) = padding::decode_padded(text, fits) else { return Dealt::Malformed };
            establish(slot, handle, run, last, sink);
            return Dealt::Done;
        }
        let Some(text) = unpadded(&key, run, sequence, text) else { return Dealt::Malformed };
        let peer = slot.peer;
        let from = held.next_receive.max(1);
        held.next_receive = sequence + 1;
        if from < sequence {
            sink(Event::Gap { peer, run, from, to: sequence - 1 });
        }
        sink(Event::Text { peer, run, sequence, text });
        Dealt::Done
    }
}

/// The text in a plaintext, which is padded if it ends with the mark. `None` if the padding is not what it should be.
fn unpadded<'p>(key: &TrafficKey, run: u32, sequence: u32, plain: &'p [u8]) -> Option<&'p [u8]> {
    let len = plain.len();
    if !padding::is_text_len(len) {
        return Some(plain);
    }
    let (padded, mark) = plain.split_last_chunk()?;
    if !tags_equal(mark, &key.padding_mark(run, sequence)) {
        return Some(plain);
    }
    padding::unpad_text(padded, len).ok()
}

/// The gateway has a text.
fn confirm(slot: &mut Slot, handle: Handle, run: u32, sequence: u32) {
    if let Some(held) = slot.runs.find_mut(handle, run) {
        held.confirmed = held.confirmed.max(Some(sequence));
    }
}

/// The peer's message 0 opened: the run is established, and what came before is accounted for.
fn establish(slot: &mut Slot, handle: Handle, run: u32, last: u32, sink: &mut impl FnMut(Event<'_>)) {
    let peer = slot.peer;
    let older = slot.runs.iter().take_while(|held| (held.handle, held.run) != (handle, run));
    if let Some(before) = older.filter(|held| held.established).last()
        && last >= before.next_receive
    {
        sink(Event::Gap { peer, run: before.run, from: before.next_receive.max(1), to: last });
    }
    slot.runs.drop_before(handle, run);
    if let Some(held) = slot.runs.find_mut(handle, run) {
        held.established = true;
        held.next_receive = held.next_receive.max(1);
    }
    slot.wake();
    slot.unconfirmed = 0;
    if slot.runs.find(handle, run).is_some_and(|held| !held.superseded) {
        sink(Event::Established { peer, run });
    }
}

/// The peer's message 0 did not open, though this end has keys of its run: the two ends have made different ones of it. One more run
/// is tried, since a gateway whose store was set back can have closed this one twice. True if that changed something to be stored.
fn not_confirmed(slot: &mut Slot, handle: Handle, run: u32, sink: &mut impl FnMut(Event<'_>)) -> bool {
    let current = slot.agreement.as_ref().is_some_and(|agreement| agreement.handle == handle);
    let newest = slot.runs.newest().is_some_and(|held| held.run == run && held.handle == handle && !held.established);
    if !current || !newest {
        return false;
    }
    let (peer, paired) = (slot.peer, slot.pair_secret.is_some());
    slot.unconfirmed = slot.unconfirmed.saturating_add(1);
    let under_way = slot.opening.is_some();
    let opened = if under_way || slot.unconfirmed >= UNCONFIRMED_MAX { None } else { slot.open_next_run() };
    sink(Event::NotConfirmed { peer, run, paired, again: under_way || opened.is_some() });
    if let Some(run) = opened {
        sink(Event::RunStarted { peer, run });
    }
    opened.is_some()
}

fn count_failed_opening(slot: &mut Slot, handle: Handle, run: u32, sink: &mut impl FnMut(Event<'_>)) {
    let peer = slot.peer;
    let Some(held) = slot.runs.find_mut(handle, run) else { return };
    held.failed_openings = held.failed_openings.saturating_add(1);
    if held.failed_openings < FAILED_OPENINGS_MAX {
        return;
    }
    held.receive_key = None;
    sink(Event::Failed { what: Failure::TooManyFailedOpenings { peer, run } });
    if slot.opening.is_none()
        && let Some(run) = slot.open_next_run()
    {
        sink(Event::RunStarted { peer, run });
    }
}

fn is_stored(answer: &Answer<'_>, expected: &[u8; 8]) -> bool {
    let Ok(Tag8(tag)) = sga_schema::decode(answer.payload) else { return false };
    answer.code == code::CHANGED && tags_equal(&tag, expected)
}
