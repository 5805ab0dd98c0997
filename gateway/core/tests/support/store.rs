//! The store: a map, and what the core asks of one.

use std::collections::BTreeMap;

use sga_gateway_core::{Change, Found, Key, Load, StoredItem, Want};
use sga_schema::Handle;

pub(crate) type Store = BTreeMap<Vec<u8>, Vec<u8>>;

fn item_key(mailbox: u32, number: u32) -> Vec<u8> {
    Key::Item { mailbox, number }.to_bytes()
}

fn put_item(store: &mut Store, mailbox: u32, item: &StoredItem) {
    let value = [&item.kind.to_be_bytes()[..], &item.stored_s.to_be_bytes(), &item.body].concat();
    store.insert(item_key(mailbox, item.number), value);
}

pub(crate) fn apply(store: &mut Store, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Put { key, value } => {
                store.insert(key.to_bytes(), value.clone());
            }
            Change::Delete(key) => {
                store.remove(&key.to_bytes());
            }
            Change::Append { mailbox, item } => {
                assert!(!store.contains_key(&item_key(*mailbox, item.number)), "a number was used twice");
                put_item(store, *mailbox, item);
            }
            Change::Void { mailbox, number } => {
                if store.contains_key(&item_key(*mailbox, *number)) {
                    put_item(store, *mailbox, &StoredItem::void(*number));
                }
            }
            Change::Acknowledge { mailbox, up_to } => {
                let range = item_key(*mailbox, 0)..=item_key(*mailbox, *up_to);
                let gone: Vec<_> = store.range(range).map(|(key, _)| key.clone()).collect();
                gone.iter().for_each(|key| {
                    store.remove(key);
                });
            }
        }
    }
}

/// The items of a mailbox from a number on.
pub(crate) fn items_of(store: &Store, mailbox: u32, from: u32) -> Vec<StoredItem> {
    let range = item_key(mailbox, from)..=item_key(mailbox, u32::MAX);
    let item = |(key, value): (&Vec<u8>, &Vec<u8>)| StoredItem {
        number: u32::from_be_bytes(key[5..].try_into().unwrap()),
        kind: u32::from_be_bytes(value[..4].try_into().unwrap()),
        stored_s: u64::from_be_bytes(value[4..12].try_into().unwrap()),
        body: value[12..].to_vec(),
    };
    store.range(range).map(item).collect()
}

pub(crate) fn look(store: &Store, load: &Load) -> Vec<Found> {
    let answer = |want: &Want| match want {
        Want::Get(key) => Found::Value(store.get(&key.to_bytes()).cloned()),
        Want::Items { mailbox, from, items_max, bytes_max } => {
            let mut room = *bytes_max;
            let mut first = true;
            let fits = |item: &StoredItem| {
                let fits = std::mem::take(&mut first) || item.body.len() <= room;
                room = room.saturating_sub(item.body.len());
                fits
            };
            Found::Items(items_of(store, *mailbox, *from).into_iter().take(*items_max).take_while(fits).collect())
        }
        Want::ItemIndex { mailbox } => {
            Found::Index(items_of(store, *mailbox, 0).iter().map(StoredItem::meta).collect())
        }
        Want::Pending { up_to_s, max } => {
            let due = |key: &Vec<u8>| (u64::from_be_bytes(key[1..9].try_into().unwrap()), key[9..].try_into().unwrap());
            let all = store.keys().filter(|key| key[0] == b'q').map(due);
            let due = all.filter(|(due_s, _)| due_s <= up_to_s).take(*max);
            Found::Pending(due.map(|(due_s, session)| (due_s, Handle(session))).collect())
        }
        Want::Aged { from, before_s } => {
            let all = store.range(item_key(*from, 0)..=item_key(u32::MAX, u32::MAX));
            let old = |key: &Vec<u8>| {
                let Some(Key::Item { mailbox, number }) = Key::from_bytes(key) else { return None };
                let oldest = items_of(store, mailbox, number);
                oldest.first().is_some_and(|item| item.stored_s < *before_s).then_some(mailbox)
            };
            let mailbox = all.map(|(key, _)| key).find_map(old);
            Found::Aged { mailbox, next: mailbox.map(|mailbox| mailbox + 1) }
        }
        Want::Keys { from, to, max } => {
            let mut keys: Vec<Key> =
                store.range(from.to_bytes()..=to.to_bytes()).filter_map(|(key, _)| Key::from_bytes(key)).collect();
            let more = keys.len() > *max;
            keys.truncate(*max);
            Found::Keys { keys, more }
        }
    };
    load.wants.iter().map(answer).collect()
}
