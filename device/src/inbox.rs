//! The items of the inbox, in order. An item that has to wait stops the round: the cursor stays before it, and an attach
//! brings it again when something has moved. Everything else is dealt with, whatever came of it.

use core::ops::Range;

use minicbor::Decoder;
use sga_schema::{EndedItem, ExpiredItem, kind};

use crate::device::Device;
use crate::event::Event;
use crate::session::Slot;
use crate::status::count;

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dealt {
    /// Done, or counted where it was looked at.
    Done,
    /// It waits for something else.
    Blocked,
    /// It does not decode, or says what nobody may say.
    Malformed,
    /// It does not open or verify.
    NotOpened,
    /// For a handle or run that this device does not have.
    Unknown,
    /// Opened before.
    Duplicate,
    /// It means nothing any more.
    Stale,
}

/// Where an item stands in the plaintext.
struct Place {
    number: u32,
    kind: u32,
    body: Range<usize>,
}

/// Reads the head of the items: where the first one begins, and how many there are.
fn first_item(plain: &[u8]) -> Option<(usize, u64)> {
    let mut decoder = Decoder::new(plain);
    decoder.array().ok()?;
    let items = decoder.array().ok()??;
    Some((decoder.position(), items))
}

fn item_at(plain: &[u8], position: usize) -> Option<Place> {
    let mut decoder = Decoder::new(plain);
    decoder.set_position(position);
    decoder.array().ok()?;
    let (number, kind) = (decoder.u32().ok()?, decoder.u32().ok()?);
    let start = decoder.position();
    decoder.skip().ok()?;
    Some(Place { number, kind, body: start..decoder.position() })
}

impl<const PEERS: usize> Device<PEERS> {
    /// Deals with the items of a plaintext that the schema has passed. Texts are opened in place.
    pub(crate) fn handle_items(&mut self, plain: &mut [u8], sink: &mut impl FnMut(Event<'_>)) {
        let Some((mut position, items)) = first_item(plain) else { return };
        for _ in 0..items {
            let Some(place) = item_at(plain, position) else { return };
            position = place.body.end;
            let number = place.number;
            if number <= self.home.cursor {
                count(&mut self.counters.duplicates);
                continue;
            }
            let dealt = match plain.get_mut(place.body) {
                Some(body) => self.handle_item(place.kind, body, sink),
                None => Dealt::Malformed,
            };
            let counter = match dealt {
                Dealt::Blocked => {
                    self.home.inbox_blocked = true;
                    return;
                }
                Dealt::Done => None,
                Dealt::Malformed => Some(&mut self.counters.malformed_items),
                Dealt::NotOpened => Some(&mut self.counters.failed_openings),
                Dealt::Unknown => Some(&mut self.counters.unknown_handles),
                Dealt::Duplicate => Some(&mut self.counters.duplicates),
                Dealt::Stale => Some(&mut self.counters.stale),
            };
            if let Some(counter) = counter {
                count(counter);
            }
            // Nothing of these comes before an A4, or the answer to an A3, that this device has stored.
            if dealt == Dealt::Unknown && matches!(place.kind, kind::WANTED | kind::KEY | kind::MESSAGE) {
                for slot in self.slots.iter_mut().flatten() {
                    self.unsaved |= slot.doubt(sink);
                }
            }
            self.home.cursor = number;
            self.home.due.ack = true;
            self.unsaved = true;
        }
    }

    fn handle_item(&mut self, kind: u32, body: &mut [u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        match kind {
            kind::INVITATION => self.on_invitation(body, sink),
            kind::AGREED => self.on_agreed(body, sink),
            kind::NOT_AGREED => self.on_not_agreed(body, sink),
            kind::WANTED => self.on_wanted(body, sink),
            kind::KEY => self.on_key(body, sink),
            kind::MESSAGE => self.on_message(body, sink),
            kind::EXPIRED => self.on_expired(body, sink),
            kind::PACKAGE => self.on_new_package(body, sink),
            kind::ENDED => self.on_ended(body, sink),
            _ => {
                count(&mut self.counters.unknown_kinds);
                Dealt::Done
            }
        }
    }

    /// The gateway does not have the session any more.
    fn on_ended(&mut self, body: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        let Ok(EndedItem { handle, reason }) = sga_schema::decode(body) else { return Dealt::Malformed };
        let is_of = |slot: &&mut Slot| slot.agreement.as_ref().is_some_and(|agreement| agreement.handle == handle);
        let Some(slot) = self.slots.iter_mut().flatten().find(is_of) else { return Dealt::Unknown };
        let peer = slot.peer;
        slot.drop_session(sink);
        sink(Event::SessionEnded { peer, revoked: reason == EndedItem::REVOKED });
        Dealt::Done
    }

    fn on_expired(&mut self, body: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        let Ok(item) = sga_schema::decode::<ExpiredItem>(body) else { return Dealt::Malformed };
        let ExpiredItem { handle, run, sequence } = item;
        let mut slots = self.slots.iter().flatten();
        let known = slots.find(|slot| {
            let current = slot.agreement.as_ref().is_some_and(|agreement| agreement.handle == handle);
            current || slot.runs.find(handle, run).is_some()
        });
        let Some(slot) = known else { return Dealt::Unknown };
        sink(Event::Expired { peer: slot.peer, run, sequence });
        Dealt::Done
    }
}
