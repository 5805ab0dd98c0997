//! What a store should hold, kept as simply as can be.

use std::collections::{BTreeMap, BTreeSet};

use sga_gateway_core::{Change, Found, Key, StoreError, StoredItem, Want};
use sga_gateway_store::Reader;
use sga_schema::Handle;

/// Mailboxes and devices that a model knows of.
pub const MAILBOXES: u32 = 4;
/// See [`MAILBOXES`].
pub const DEVICES: u32 = 6;

/// How the error begins that a model has, not a reader.
pub const UNFIT: &str = "does not fit";

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// By the bytes of their keys.
    pub records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// By mailbox and number.
    pub items: BTreeMap<(u32, u32), StoredItem>,
}

impl Model {
    /// A change takes place.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { key, value } => {
                self.records.insert(key.to_bytes(), value.clone());
            }
            Change::Delete(Key::Item { mailbox, number }) => {
                self.items.remove(&(*mailbox, *number));
            }
            Change::Delete(key) => {
                self.records.remove(&key.to_bytes());
            }
            Change::Append { mailbox, item } => {
                self.items.insert((*mailbox, item.number), item.clone());
            }
            Change::Void { mailbox, number } => {
                if let Some(item) = self.items.get_mut(&(*mailbox, *number)) {
                    *item = StoredItem::void(*number);
                }
            }
            Change::Acknowledge { mailbox, up_to } => {
                self.items.retain(|(owner, number), _| owner != mailbox || number > up_to);
            }
        }
    }

    /// What one has and the other does not, by key.
    #[must_use]
    pub fn differences(&self, found: &Self) -> String {
        let records = self.records.keys().chain(found.records.keys());
        let records: BTreeSet<_> = records.filter(|key| self.records.get(*key) != found.records.get(*key)).collect();
        let items = self.items.keys().chain(found.items.keys());
        let items: BTreeSet<_> = items.filter(|key| self.items.get(key) != found.items.get(key)).collect();
        format!("records {records:02x?}, items {items:?}")
    }

    /// All that a reader shows.
    ///
    /// # Errors
    /// The reader's, or [`UNFIT`] and why what it shows does not fit together.
    ///
    /// # Panics
    /// An answer is of another kind than its question.
    pub fn read(reader: &Reader) -> Result<Self, StoreError> {
        let mut model = Self::default();
        let keys = (0..DEVICES).map(Key::Device).chain((0..DEVICES).map(|n| Key::Leg(Handle(n.to_be_bytes()))));
        for key in keys.chain([Key::Meta]) {
            let found = reader.read(&[Want::Get(key)])?;
            if let [Found::Value(Some(value))] = found.as_slice() {
                model.records.insert(key.to_bytes(), value.clone());
            }
        }
        for mailbox in 0..MAILBOXES {
            let all = Want::Items { mailbox, from: 0, items_max: usize::MAX, bytes_max: usize::MAX };
            let found = reader.read(&[all, Want::ItemIndex { mailbox }])?;
            let [Found::Items(items), Found::Index(index)] = found.as_slice() else { panic!("{found:?}") };
            if !items.is_sorted_by(|a, b| a.number < b.number) {
                return Err(StoreError::Failed(format!("{UNFIT}: items of mailbox {mailbox} out of order")));
            }
            if !items.iter().map(|item| item.number).eq(index.iter().map(|meta| meta.number)) {
                return Err(StoreError::Failed(format!("{UNFIT}: mailbox {mailbox} and its index")));
            }
            model.items.extend(items.iter().map(|item| ((mailbox, item.number), item.clone())));
        }
        model.check_others(reader)?;
        Ok(model)
    }

    /// There is nothing that a model does not know of.
    fn check_others(&self, reader: &Reader) -> Result<(), StoreError> {
        let families = [
            (Key::Device(0), Key::Device(u32::MAX)),
            (Key::Leg(Handle([0; 4])), Key::Leg(Handle([0xff; 4]))),
            (Key::Item { mailbox: 0, number: 0 }, Key::Item { mailbox: u32::MAX, number: u32::MAX }),
        ];
        for (from, to) in families {
            let found = reader.read(&[Want::Keys { from, to, max: usize::MAX }])?;
            let [Found::Keys { keys, more: false }] = found.as_slice() else { panic!("{found:?}") };
            for key in keys {
                let known = match key {
                    Key::Item { mailbox, number } => self.items.contains_key(&(*mailbox, *number)),
                    key => self.records.contains_key(&key.to_bytes()),
                };
                if !known {
                    return Err(StoreError::Failed(format!("{UNFIT}: {key:?} is in a scan and nowhere else")));
                }
            }
        }
        Ok(())
    }
}
