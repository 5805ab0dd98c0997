//! What is committed and not yet in the tables.

use std::collections::BTreeMap;
use std::ops::Bound;

use sga_gateway_core::DeviceIndex;

use crate::codec::{Edit, ITEM_TAG, item_key, item_of, void_value};

/// What a layer says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Is(Vec<u8>),
    /// If anything is below, it is void.
    Void,
    Gone,
}

/// Changes on top of what is below: of another layer, or of the tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Items up to these numbers are gone.
    floors: BTreeMap<DeviceIndex, u32>,
    item_bytes: u64,
}

impl Layer {
    pub(crate) fn apply(&mut self, edit: Edit) {
        match edit {
            Edit::Put { key, value } => self.set(key, Entry::Is(value)),
            Edit::Append { key, value } => {
                self.item_bytes += value.len() as u64;
                self.set(key, Entry::Is(value));
            }
            Edit::Delete { key } => {
                // A number is given to one item only: one that was appended here is nowhere below.
                let here_only = item_of(&key).is_some() && matches!(self.entries.get(&key), Some(Entry::Is(_)));
                if here_only { self.drop_item(&key) } else { self.set(key, Entry::Gone) }
            }
            Edit::Void { key } => self.void(key),
            Edit::Acknowledge { mailbox, up_to } => self.acknowledge(mailbox, up_to),
        }
    }

    fn set(&mut self, key: Vec<u8>, entry: Entry) {
        self.entries.insert(key, entry);
    }

    fn drop_item(&mut self, key: &[u8]) {
        if let Some(Entry::Is(value)) = self.entries.remove(key) {
            self.item_bytes = self.item_bytes.saturating_sub(value.len() as u64);
        }
    }

    fn void(&mut self, key: Vec<u8>) {
        if item_of(&key).is_some_and(|(mailbox, number)| self.floor(mailbox) >= number) {
            return;
        }
        match self.entries.get(&key) {
            Some(Entry::Is(_)) => {
                self.drop_item(&key);
                let value = void_value();
                self.item_bytes += value.len() as u64;
                self.set(key, Entry::Is(value));
            }
            Some(Entry::Gone) => {}
            Some(Entry::Void) | None => self.set(key, Entry::Void),
        }
    }

    fn acknowledge(&mut self, mailbox: DeviceIndex, up_to: u32) {
        let floor = self.floors.entry(mailbox).or_default();
        *floor = up_to.max(*floor);
        let gone: Vec<Vec<u8>> =
            self.entries.range(item_key(mailbox, 0)..=item_key(mailbox, up_to)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.drop_item(&key);
            self.entries.remove(&key);
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Items of this mailbox up to this number are gone.
    pub(crate) fn floor(&self, mailbox: DeviceIndex) -> u32 {
        self.floors.get(&mailbox).copied().unwrap_or(0)
    }

    pub(crate) fn floors(&self) -> impl Iterator<Item = (DeviceIndex, u32)> + '_ {
        self.floors.iter().map(|(&mailbox, &floor)| (mailbox, floor))
    }

    /// Entries from a key on, in order.
    pub(crate) fn range<'l>(
        &'l self,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = (&'l Vec<u8>, &'l Entry)> + use<'l> {
        self.entries.range::<[u8], _>((Bound::Included(from), Bound::Included(to)))
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Vec<u8>, &Entry)> {
        self.entries.iter()
    }

    /// Bytes of items that are here and in no tables yet.
    pub(crate) fn item_bytes(&self) -> u64 {
        self.item_bytes
    }

    /// Whether taking it in makes room in the tables.
    pub(crate) fn frees(&self) -> bool {
        !self.floors.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

const _: () = assert!(ITEM_TAG == b'i');

#[cfg(test)]
mod tests {
    use super::*;

    fn append(number: u32) -> Edit {
        Edit::Append { key: item_key(1, number), value: vec![0; 20] }
    }

    #[test]
    fn what_is_delivered_before_it_reaches_the_tables_leaves_nothing() {
        let mut layer = Layer::default();
        (1..=100).for_each(|number| layer.apply(append(number)));
        layer.apply(Edit::Acknowledge { mailbox: 1, up_to: 99 });
        layer.apply(Edit::Delete { key: item_key(1, 100) });
        assert_eq!((layer.len(), layer.item_bytes(), layer.floor(1)), (0, 0, 99));
    }

    #[test]
    fn an_item_that_may_be_below_is_marked() {
        let mut layer = Layer::default();
        layer.apply(Edit::Void { key: item_key(1, 5) });
        layer.apply(Edit::Delete { key: item_key(1, 6) });
        assert_eq!(layer.get(&item_key(1, 5)), Some(&Entry::Void));
        assert_eq!(layer.get(&item_key(1, 6)), Some(&Entry::Gone));
        layer.apply(append(7));
        layer.apply(Edit::Void { key: item_key(1, 7) });
        assert_eq!(layer.get(&item_key(1, 7)), Some(&Entry::Is(void_value())));
    }
}
