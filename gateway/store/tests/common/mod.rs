//! A store on real files, and short ways to say what is stored.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;
use std::sync::Arc;

use sga_gateway_core::{Change, Commit, Found, Key, StoredItem, Want};
use sga_gateway_store::{Finding, Folder, OpenError, Opened, Options, Reader};

pub(crate) const KEY: [u8; 32] = [1; 32];

/// Small journals, so that tables are filled as well.
pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        cache_bytes: 1 << 20,
        ..Options::new(1_700_000_000, [5; 32])
    }
}

pub(crate) fn try_open(folder: &Path, options: &Options) -> Result<Opened, OpenError> {
    sga_gateway_store::open(Arc::new(Folder::new(folder)), &KEY, options)
}

pub(crate) fn open(folder: &Path) -> Opened {
    try_open(folder, &options()).expect("a store always opens")
}

pub(crate) fn put(key: Key, value: &[u8]) -> Change {
    Change::Put { key, value: value.to_vec() }
}

/// The item that is stored under a number: its body tells it from any other.
pub(crate) fn item(mailbox: u32, number: u32) -> StoredItem {
    let len = 16 + (mailbox * 31 + number * 7) as usize % 200;
    let body = (0..len).map(|at| (mailbox as usize * 3 + number as usize * 5 + at) as u8).collect();
    StoredItem { number, kind: 6, body, stored_s: u64::from(number) }
}

pub(crate) fn append(mailbox: u32, number: u32) -> Change {
    Change::Append { mailbox, item: item(mailbox, number) }
}

pub(crate) fn commit(changes: Vec<Change>) -> Commit {
    Commit { id: 1, changes }
}

pub(crate) fn get(reader: &Reader, key: Key) -> Option<Vec<u8>> {
    match reader.read(&[Want::Get(key)]).expect("readable").pop() {
        Some(Found::Value(value)) => value,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn items(reader: &Reader, mailbox: u32) -> Vec<StoredItem> {
    let all = Want::Items { mailbox, from: 0, items_max: usize::MAX, bytes_max: usize::MAX };
    match reader.read(&[all]).expect("readable").pop() {
        Some(Found::Items(items)) => items,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn numbers(reader: &Reader, mailbox: u32) -> Vec<u32> {
    items(reader, mailbox).iter().map(|item| item.number).collect()
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("readable");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whether it says what happened to the store.
pub(crate) fn is_damage(finding: &Finding) -> bool {
    !matches!(finding, Finding::Migrated { .. })
}
