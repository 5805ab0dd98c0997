//! Mailboxes: what waits for each device, without the bodies.
//!
//! A number is reserved when a commit that appends is handed to the store, and shows only when the commit is done. Commits are
//! done in order, so numbers show in order. One that failed leaves a gap, which harms nobody.

use std::collections::{HashMap, VecDeque};

use sga_schema::kind;

use crate::limits::{INVITATIONS_MAX, MAILBOX_BYTES_MAX, MAILBOX_ITEMS_MAX, MAILBOX_MESSAGE_BYTES_MAX, MAILBOXES_MAX};
use crate::storage::{DeviceIndex, ItemMeta};
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
}

pub(crate) struct Mailbox {
    /// Committed, oldest first.
    items: VecDeque<ItemMeta>,
    next_number: u32,
    /// Committed and reserved together.
    count: Count,
    /// Reserved and not yet committed.
    reserved: usize,
    used: u64,
}

impl Mailbox {
    fn new(acknowledged: u32, items: Vec<ItemMeta>) -> Self {
        let mut count = Count::default();
        items.iter().for_each(|meta| count.add(meta));
        let last = items.last().map_or(0, |meta| meta.number).max(acknowledged);
        Self { items: items.into(), next_number: last.saturating_add(1), count, reserved: 0, used: 0 }
    }

    /// The highest number that was committed or acknowledged.
    pub(crate) fn highest(&self) -> u32 {
        self.items.back().map_or(self.next_number - 1, |meta| meta.number)
    }

    /// Whether nothing is there, and nothing is coming.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.reserved == 0
    }

    /// Whether something is there above a number.
    pub(crate) fn has_above(&self, number: u32) -> bool {
        self.items.back().is_some_and(|meta| meta.number > number)
    }

    /// The items that are void.
    pub(crate) fn void_numbers(&self) -> Vec<u32> {
        self.items.iter().filter(|meta| meta.kind == kind::VOID).map(|meta| meta.number).collect()
    }

    fn has_room(&self, kind_: u32, len: usize, messages_max: usize, freed: usize) -> bool {
        match kind_ {
            kind::MESSAGE => self.count.messages < messages_max && self.count.bytes + len <= MAILBOX_MESSAGE_BYTES_MAX,
            kind::INVITATION if self.count.invitations >= INVITATIONS_MAX + freed => false,
            _ => self.count.items < MAILBOX_ITEMS_MAX && self.count.bytes + len <= MAILBOX_BYTES_MAX,
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
        self.boxes.retain(|_, mailbox| mailbox.reserved > 0 || mailbox.used >= oldest_kept);
    }

    /// Reserves a number for an item, if there is room; `freed` invitations go with the same commit.
    pub(crate) fn reserve(
        &mut self,
        device: DeviceIndex,
        kind_: u32,
        len: usize,
        messages_max: usize,
        freed: usize,
    ) -> Result<Option<ItemMeta>, Stop> {
        let mailbox = self.get(device)?;
        if !mailbox.has_room(kind_, len, messages_max, freed) || mailbox.next_number == u32::MAX {
            return Ok(None);
        }
        let meta = ItemMeta { number: mailbox.next_number, kind: kind_, len: u32::try_from(len).unwrap_or(u32::MAX) };
        mailbox.next_number += 1;
        mailbox.count.add(&meta);
        mailbox.reserved += 1;
        Ok(Some(meta))
    }

    /// The commit of a reserved item is done, or failed.
    pub(crate) fn settle(&mut self, device: DeviceIndex, meta: ItemMeta, stored: bool) {
        let Some(mailbox) = self.boxes.get_mut(&device) else { return };
        mailbox.reserved -= 1;
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
        *meta = ItemMeta { number, kind: kind::VOID, len: 1 };
        mailbox.count.add(meta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(boxes: &mut Mailboxes, kind_: u32, len: usize, max: usize) -> usize {
        let mut stored = 0;
        while let Ok(Some(meta)) = boxes.reserve(1, kind_, len, max, 0) {
            boxes.settle(1, meta, true);
            stored += 1;
        }
        stored
    }

    #[test]
    fn messages_leave_room_for_the_protocols_own_items() {
        let mut boxes = Mailboxes::new();
        boxes.fill(1, 0, Vec::new());
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 10, 256), 256);
        assert_eq!(fill(&mut boxes, kind::INVITATION, 60, 256), INVITATIONS_MAX);
        assert_eq!(fill(&mut boxes, kind::KEY, 80, 256), MAILBOX_ITEMS_MAX - 256 - INVITATIONS_MAX);
        boxes.acknowledge(1, 1);
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 10, 256), 1, "an acknowledged item makes room");
    }

    #[test]
    fn bytes_are_bounded() {
        let mut boxes = Mailboxes::new();
        boxes.fill(1, 0, Vec::new());
        assert_eq!(fill(&mut boxes, kind::MESSAGE, 8_192, 256), MAILBOX_MESSAGE_BYTES_MAX / 8_192);
        assert!(fill(&mut boxes, kind::KEY, 8_000, 256) >= 1);
    }

    #[test]
    fn a_failed_commit_gives_its_room_back_and_leaves_a_gap() {
        let mut boxes = Mailboxes::new();
        boxes.fill(1, 41, Vec::new());
        let first = boxes.reserve(1, kind::MESSAGE, 10, 1, 0).ok().flatten().expect("room");
        assert_eq!(first.number, 42);
        assert_eq!(boxes.reserve(1, kind::MESSAGE, 10, 1, 0).ok(), Some(None));
        boxes.settle(1, first, false);
        let second = boxes.reserve(1, kind::MESSAGE, 10, 1, 0).ok().flatten().expect("room again");
        assert_eq!(second.number, 43);
        boxes.settle(1, second, true);
        assert!(boxes.get(1).expect("there").has_above(42));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_reservations() {
        let mut boxes = Mailboxes { boxes: HashMap::new(), capacity: 64, turn: 0 };
        boxes.fill(0, 0, Vec::new());
        let held = boxes.reserve(0, kind::KEY, 1, 1, 0).ok().flatten().expect("room");
        for device in 1..1_000 {
            boxes.fill(device, 0, Vec::new());
            let _ = boxes.get(device);
            assert!(boxes.boxes.len() <= 64);
        }
        boxes.settle(0, held, true);
        assert!(boxes.get(0).expect("kept").has_above(0));
    }
}
