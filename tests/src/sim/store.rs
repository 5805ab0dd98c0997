//! A store in memory, with the same keys and answers as the real one.

use std::collections::BTreeMap;

use sga_gateway_core::{Boot, Change, Commit, Found, Key, Load, StoredItem, Want};
use sga_schema::Handle;

/// What is on the medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimStore {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    items: BTreeMap<(u32, u32), StoredItem>,
}

impl SimStore {
    /// A store as the shell makes it at the first start.
    pub fn fresh(boot: &Boot) -> Self {
        let mut store = Self::default();
        store.change(&boot.to_change());
        store
    }

    /// What the gateway starts from.
    ///
    /// # Panics
    /// The store has no counters: it was not made by [`Self::fresh`].
    pub fn boot(&self) -> Boot {
        Boot::from_meta(&self.records[&Key::Meta.to_bytes()]).expect("written by the core")
    }

    /// What an operator does with a store that is not the one the gateway had last.
    pub(crate) fn set_generation(&mut self, generation: [u8; 4]) {
        let boot = self.boot().renewed(generation, None);
        self.change(&boot.to_change());
    }

    /// A commit reaches the medium.
    pub fn apply(&mut self, commit: &Commit) {
        commit.changes.iter().for_each(|change| self.change(change));
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Put { key, value } => {
                self.records.insert(key.to_bytes(), value.clone());
            }
            Change::Void { mailbox, number } => {
                if let Some(item) = self.items.get_mut(&(*mailbox, *number)) {
                    *item = StoredItem::void(*number);
                }
            }
            Change::Delete(key) => {
                self.records.remove(&key.to_bytes());
            }
            Change::Append { mailbox, item } => {
                let old = self.items.insert((*mailbox, item.number), item.clone());
                assert!(old.is_none(), "item {} of mailbox {mailbox} was appended twice", item.number);
            }
            Change::Acknowledge { mailbox, up_to } => {
                self.items.retain(|&(owner, number), _| owner != *mailbox || number > *up_to);
            }
        }
    }

    /// Answers a load.
    pub fn read(&self, load: &Load) -> Vec<Found> {
        load.wants.iter().map(|want| self.answer(want)).collect()
    }

    fn answer(&self, want: &Want) -> Found {
        match want {
            Want::Get(key) => Found::Value(self.records.get(&key.to_bytes()).cloned()),
            Want::Items { mailbox, from, items_max, bytes_max } => {
                let mut bytes = 0;
                let mut found = Vec::new();
                for (_, item) in self.items.range((*mailbox, *from)..=(*mailbox, u32::MAX)).take(*items_max) {
                    bytes += item.body.len();
                    if bytes > *bytes_max && !found.is_empty() {
                        break;
                    }
                    found.push(item.clone());
                }
                Found::Items(found)
            }
            Want::ItemIndex { mailbox } => Found::Index(
                self.items.range((*mailbox, 0)..=(*mailbox, u32::MAX)).map(|(_, item)| item.meta()).collect(),
            ),
            Want::Pending { up_to_s, max } => {
                let first = Key::Pending { due_s: 0, session: Handle([0; 4]) }.to_bytes();
                let last = Key::Pending { due_s: *up_to_s, session: Handle([0xff; 4]) }.to_bytes();
                let due = self.records.range(first..=last).take(*max).map(|(key, _)| {
                    let due_s = key[1..9].try_into().expect("8 bytes");
                    (u64::from_be_bytes(due_s), Handle(key[9..13].try_into().expect("4 bytes")))
                });
                Found::Pending(due.collect())
            }
            Want::Aged { from, before_s } => {
                let old = |(_, item): &(&(u32, u32), &StoredItem)| item.stored_s < *before_s;
                let mailbox = self.items.range((*from, 0)..).find(old).map(|((mailbox, _), _)| *mailbox);
                Found::Aged { mailbox, next: mailbox.and_then(|mailbox| mailbox.checked_add(1)) }
            }
            Want::Keys { from, to, max } => {
                let all = self.records.range(from.to_bytes()..=to.to_bytes());
                let mut keys: Vec<Key> = all.filter_map(|(key, _)| Key::from_bytes(key)).collect();
                let more = keys.len() > *max;
                keys.truncate(*max);
                Found::Keys { keys, more }
            }
        }
    }

    /// All items, with whose mailbox they lie in.
    pub fn items(&self) -> impl Iterator<Item = (u32, &StoredItem)> {
        self.items.iter().map(|((mailbox, _), item)| (*mailbox, item))
    }

    /// How many items lie in all mailboxes.
    pub fn items_len(&self) -> usize {
        self.items.len()
    }

    /// What another store has to be given to hold the same.
    pub fn changes(&self) -> Vec<Change> {
        let key = |bytes: &Vec<u8>| Key::from_bytes(bytes).expect("written from a key");
        let records = self.records.iter().map(|(bytes, value)| Change::Put { key: key(bytes), value: value.clone() });
        let items = self.items.iter();
        let items = items.map(|((mailbox, _), item)| Change::Append { mailbox: *mailbox, item: item.clone() });
        records.chain(items).collect()
    }

    /// All bytes of all values, to look for what must not be there.
    pub fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        let records = self.records.values().map(Vec::as_slice);
        records.chain(self.items.values().map(|item| item.body.as_slice()))
    }
}
