//! Mailboxes: what waits for each device, without the bodies.
//!
//! A number is reserved when a commit that appends is handed to the store, and shows only when the commit is done. Commits are
//! done in order, so numbers show in order. One that failed leaves a gap, which harms nobody.

use std::collections::{HashMap, VecDeque};

use sga_schema::{Handle, kind};

use crate::limits::{
    INVITATIONS_MAX, ITEM_NUMBERS_MAX, MAILBOX_BYTES_MAX, MAILBOX_MESSAGE_BYTES_MAX, MAILBOX_OWN_MAX, MAILBOX_SHARE,
    MAILBOX_SHARED_BYTES, MAILBOXES_MAX,
};
use crate::storage::{DeviceIndex, ItemMeta, StoredItem, leg_of};
use crate::task::Stop;

#[derive(Debug, Default)]
struct Count {
    items: usize,
    messages: usize,
    invitations: usize,
    bytes: usize,
}

impl Count {
    fn add(&mut self, meta: &ItemMeta) {
        self.items += 1;
        self.messages += usize::from(meta.kind == kind::MESSAGE);
        self.invitations += usize::from(meta.kind == kind::INVITATION);
        self.bytes += meta.len as usize;
    }

    fn remove(&mut self, meta: &ItemMeta) {
        self.items -= 1;
        self.messages -= usize::from(meta.kind == kind::MESSAGE);
        self.invitations -= usize::from(meta.kind == kind::INVITATION);
        self.bytes -= meta.len as usize;
    }

    /// Items that are no messages.
    fn own(&self) -> usize {
        self.items - self.messages
    }
}

pub(crate) struct Mailbox {
    /// Committed, oldest first.
    items: VecDeque<ItemMeta>,
    next_number: u32,
    /// Committed and reserved together.
    count: Count,
    /// Reserved and not yet committed.
    reserved: Vec<ItemMeta>,
    used: u64,
}

impl Mailbox {
    fn new(acknowledged: u32, items: Vec<ItemMeta>) -> Self {
        let mut count = Count::default();
        items.iter().for_each(|meta| count.add(meta));
        let last = items.last().map_or(0, |meta| meta.number).max(acknowledged);
        Self { items: items.into(), next_number: last.saturating_add(1), count, reserved: Vec::new(), used: 0 }
    }

    /// The highest number that was committed or acknowledged.
    pub(crate) fn highest(&self) -> u32 {
        self.items.back().map_or(self.next_number - 1, |meta| meta.number)
    }

    /// Whether nothing is there, and nothing is coming.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.reserved.is_empty()
    }

    /// Whether something is there above a number.
    pub(crate) fn has_above(&self, number: u32) -> bool {
        self.items.back().is_some_and(|meta| meta.number > number)
    }

    /// The items that are void.
    pub(crate) fn void_numbers(&self) -> Vec<u32> {
        self.items.iter().filter(|meta| meta.kind == kind::VOID).map(|meta| meta.number).collect()
    }

    /// What one session has here.
    fn count_of(&self, leg: Handle) -> Count {
        let mut count = Count::default();
        self.items.iter().chain(&self.reserved).filter(|meta| meta.leg == leg).for_each(|meta| count.add(meta));
        count
    }

    fn has_room(&self, new: &ItemMeta, messages_max: usize, freed: usize) -> bool {
        let bytes = self.count.bytes + new.len as usize;
        match new.kind {
            kind::MESSAGE if self.count.messages < messages_max && bytes <= MAILBOX_MESSAGE_BYTES_MAX => true,
            kind::MESSAGE => {
                let messages_left =
                    (messages_max + messages_max.div_ceil(MAILBOX_SHARE)).saturating_sub(self.count.messages);
                let bytes_left = (MAILBOX_MESSAGE_BYTES_MAX + MAILBOX_SHARED_BYTES).saturating_sub(self.count.bytes);
                let session = self.count_of(new.leg);
                session.messages < messages_left && session.bytes + (new.len as usize) <= bytes_left
            }
            kind::INVITATION if self.count.invitations >= INVITATIONS_MAX + freed => false,
            _ => {
                let left = MAILBOX_OWN_MAX.saturating_sub(self.count.own());
                self.count_of(new.leg).own() < left && bytes <= MAILBOX_BYTES_MAX
            }
        }
    }
}

pub(crate) struct Mailboxes {
    boxes: HashMap<DeviceIndex, Mailbox>,
    capacity: usize,
    turn: u64,
}

impl Mailboxes {
    pub(crate) fn new() -> Self {
        Self { boxes: HashMap::new(), capacity: MAILBOXES_MAX, turn: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.boxes.len()
    }

    /// Items on their way to the store.
    pub(crate) fn reserved(&self) -> usize {
        self.boxes.values().map(|mailbox| mailbox.reserved.len()).sum()
    }

    pub(crate) fn get(&mut self, device: DeviceIndex) -> Result<&mut Mailbox, Stop> {
        self.turn += 1;
        let turn = self.turn;
        match self.boxes.get_mut(&device) {
            None => Err(Stop::NeedMailbox(device)),
            Some(mailbox) => {
                mailbox.used = turn;
                Ok(mailbox)
            }
        }
    }

    /// What a load found; ignored if the mailbox is here already.
    pub(crate) fn fill(&mut self, device: DeviceIndex, acknowledged: u32, items: Vec<ItemMeta>) {
        if self.boxes.len() >= self.capacity {
            self.evict();
        }
        self.boxes.entry(device).or_insert_with(|| Mailbox::new(acknowledged, items));
    }

    fn evict(&mut self) {
        let mut used: Vec<u64> = self.boxes.values().map(|mailbox| mailbox.used).collect();
        let at = used.len() / 8;
        let (_, &mut oldest_kept, _) = used.select_nth_unstable(at);
        // A reservation exists only here: such a mailbox stays.
        self.boxes.retain(|_, mailbox| !mailbox.reserved.is_empty() || mailbox.used >= oldest_kept);
    }

    /// Whether there would be room for an item of the protocol's own: asked before the work that makes it.
    pub(crate) fn has_room_for_own(
        &mut self,
        device: DeviceIndex,
        kind: u32,
        leg: Handle,
        len: usize,
    ) -> Result<bool, Stop> {
        let mailbox = self.get(device)?;
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let meta = ItemMeta { number: mailbox.next_number, kind, len, leg };
        Ok(mailbox.has_room(&meta, 0, 0) && mailbox.next_number <= ITEM_NUMBERS_MAX)
    }

    /// Reserves a number for an item, if there is room; `freed` invitations go with the same commit.
    pub(crate) fn reserve(
        &mut self,
        device: DeviceIndex,
        kind_: u32,
        body: &[u8],
        messages_max: usize,
        freed: usize,
    ) -> Result<Option<ItemMeta>, Stop> {
        let mailbox = self.get(device)?;
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let meta = ItemMeta { number: mailbox.next_number, kind: kind_, len, leg: leg_of(body) };
        if !mailbox.has_room(&meta, messages_max, freed) || mailbox.next_number > ITEM_NUMBERS_MAX {
            return Ok(None);
        }
        mailbox.next_number += 1;
        mailbox.count.add(&meta);
        mailbox.reserved.push(meta);
        Ok(Some(meta))
    }

    /// The commit of a reserved item is done, or failed.
    pub(crate) fn settle(&mut self, device: DeviceIndex, meta: ItemMeta, stored: bool) {
        let Some(mailbox) = self.boxes.get_mut(&device) else { return };
        mailbox.reserved.retain(|reserved| reserved.number != meta.number);
        if stored {
            let at = mailbox.items.partition_point(|item| item.number < meta.number);
            mailbox.items.insert(at, meta);
        } else {
            mailbox.count.remove(&meta);
        }
    }

    /// Items up to a number are gone.
    pub(crate) fn acknowledge(&mut self, device: DeviceIndex, up_to: u32) {
        let Some(mailbox) = self.boxes.get_mut(&device) else { return };
        while let Some(meta) = mailbox.items.pop_front_if(|meta| meta.number <= up_to) {
            mailbox.count.remove(&meta);
        }
    }

    /// One item is gone.
    pub(crate) fn remove(&mut self, device: DeviceIndex, number: u32) {
        let Some(mailbox) = self.boxes.get_mut(&device) else { return };
        if let Ok(at) = mailbox.items.binary_search_by_key(&number, |meta| meta.number)
            && let Some(meta) = mailbox.items.remove(at)
        {
            mailbox.count.remove(&meta);
        }
    }

    /// One item is void; its number stays taken.
    pub(crate) fn void(&mut self, device: DeviceIndex, number: u32) {
        let Some(mailbox) = self.boxes.get_mut(&device) else { return };
        let Ok(at) = mailbox.items.binary_search_by_key(&number, |meta| meta.number) else { return };
        let Some(meta) = mailbox.items.get_mut(at) else { return };
        mailbox.count.remove(meta);
        *meta = StoredItem::void(number).meta();
        mailbox.count.add(meta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::limits::MAILBOX_ITEMS_MAX;

    /// The body of an item of this leg.
    fn body(leg: u8, len: usize) -> Vec<u8> {
        let mut body = vec![0x82, 0x44, leg, leg, leg, leg];
        body.resize(len, 0);
        body
    }

    /// Stores items of one leg until there is no room; how many.
    fn fill(boxes: &mut Mailboxes, kind_: u32, leg: u8, len: usize, max: usize) -> usize {
        let mut stored = 0;
        while let Ok(Some(meta)) = boxes.reserve(1, kind_, &body(leg, len), max, 0) {
            boxes.settle(1, meta, true);
            stored += 1;
        }
        stored
    }

    #[test]
    fn messages_leave_room_for_the_protocols_own_items() {
        let mut boxes = Mailboxes::new();
        boxes.fill(1, 0, Vec::new());
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 1, 10, 256), 256);
        assert_eq!(fill(&mut boxes, kind::INVITATION, 2, 60, 256), INVITATIONS_MAX);
        assert_eq!(fill(&mut boxes, kind::KEY, 1, 80, 256), (MAILBOX_OWN_MAX - INVITATIONS_MAX) / 2);
        boxes.acknowledge(1, 1);
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 1, 10, 256), 1, "an acknowledged item makes room");
    }

    /// Each session that comes gets half of what those before it have left, and all together no more than there is.
    #[test]
    fn who_fills_a_mailbox_leaves_room_for_others() {
        for (kind_, all) in [(kind::MESSAGE, 256 + 256 / MAILBOX_SHARE), (kind::WANTED, MAILBOX_OWN_MAX)] {
            let mut boxes = Mailboxes::new();
            boxes.fill(1, 0, Vec::new());
            let stored: Vec<usize> = (1..=200).map(|leg| fill(&mut boxes, kind_, leg, 10, 256)).collect();
            assert!(stored[..6].iter().all(|stored| *stored > 0), "{stored:?}");
            assert_eq!(stored.iter().sum::<usize>(), all, "{stored:?}");
            if kind_ == kind::MESSAGE {
                assert_eq!(stored[..3], [256, 32, 16]);
            }
        }
        assert_eq!(MAILBOX_ITEMS_MAX, 384);
    }

    #[test]
    fn bytes_are_bounded() {
        let mut boxes = Mailboxes::new();
        boxes.fill(1, 0, Vec::new());
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 1, 8_192, 256), MAILBOX_MESSAGE_BYTES_MAX / 8_192);
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 2, 8_192, 256), 4, "half of what is left for others");
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 3, 8_192, 256), 2);
        assert!(fill(&mut boxes, kind::KEY, 1, 8_000, 256) >= 1);
    }

    /// After a restart the sessions are known from what is stored.
    #[test]
    fn an_index_says_whose_items_they_are() {
        let mut boxes = Mailboxes::new();
        let stored = |number| StoredItem { number, kind: kind::MESSAGE, body: body(1, 10), stored_s: 0 }.meta();
        boxes.fill(1, 0, (1..=256).map(stored).collect());
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 1, 10, 256), 0);
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 2, 10, 256), 32);
    }

    #[test]
    fn a_failed_commit_gives_its_room_back_and_leaves_a_gap() {
        let mut boxes = Mailboxes::new();
        boxes.fill(1, 41, Vec::new());
        let first = boxes.reserve(1, kind::MESSAGE, &body(1, 10), 1, 0).ok().flatten().expect("room");
        assert_eq!(first.number, 42);
        assert_eq!(boxes.reserve(1, kind::MESSAGE, &body(1, 10), 1, 0).ok(), Some(None));
        boxes.settle(1, first, false);
        let second = boxes.reserve(1, kind::MESSAGE, &body(1, 10), 1, 0).ok().flatten().expect("room again");
        assert_eq!(second.number, 43);
        boxes.settle(1, second, true);
        assert!(boxes.get(1).expect("there").has_above(42));
    }

    #[test]
    fn numbers_end_before_they_could_come_again() {
        let mut boxes = Mailboxes::new();
        boxes.fill(1, ITEM_NUMBERS_MAX - 1, Vec::new());
        assert!(boxes.has_room_for_own(1, kind::KEY, Handle([1; 4]), 6).expect("there"));
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 1, 10, 256), 1);
        assert!(!boxes.has_room_for_own(1, kind::KEY, Handle([1; 4]), 6).expect("there"));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_reservations() {
        let mut boxes = Mailboxes { boxes: HashMap::new(), capacity: 64, turn: 0 };
        boxes.fill(0, 0, Vec::new());
        let held = boxes.reserve(0, kind::KEY, &body(1, 6), 1, 0).ok().flatten().expect("room");
        for device in 1..1_000 {
            boxes.fill(device, 0, Vec::new());
            let _ = boxes.get(device);
            assert!(boxes.boxes.len() <= 64);
        }
        boxes.settle(0, held, true);
        assert!(boxes.get(0).expect("kept").has_above(0));
    }
}
