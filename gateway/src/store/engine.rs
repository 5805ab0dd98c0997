//! The embedded engine: one redb file.
//!
//! Every group of commits is one transaction with immediate durability and two-phase commit: stored bytes come from strangers, so
//! a half-written page must not be able to look like a whole one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use sga_gateway_core::{Change, Commit, DeviceIndex, Found, ItemMeta, Key, StoreError, StoredItem, Want};
use sga_schema::Handle;

use super::{Engine, Reader, Sealer};
use crate::clock;
use crate::error::{Context, Error, beside};
use crate::limits::STORE_CACHE_BYTES;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// Record that names the format, under a key that no [`Key`] has.
const FORMAT_KEY: &[u8] = b"!format";
const FORMAT: &[u8] = b"1";

/// Kind and time before an item's body.
const ITEM_HEAD_LEN: usize = 12;

/// The writer.
pub(crate) struct Redb {
    database: Arc<Database>,
    sealer: Sealer,
}

/// The reader.
pub(crate) struct RedbReader {
    database: Arc<Database>,
    sealer: Sealer,
}

/// Opens the store in a folder, or makes one. A file that is damaged is set aside.
pub(crate) fn open(data: &Path, sealer: Sealer) -> Result<(Redb, RedbReader), Error> {
    let path = data.join("store.redb");
    let database = match try_open(&path) {
        Ok(database) => database,
        Err(Opening::Busy) => {
            return Err(Error::new(format!("{} is in use: another gateway runs on this --data", path.display())));
        }
        Err(Opening::Format(found)) => {
            return Err(Error::new(format!("{} is of format {found:?}, this version reads 1", path.display())));
        }
        Err(Opening::Damaged(why)) => {
            let aside = beside(&path, &format!(".damaged-{}", clock::unix_seconds()));
            fs::rename(&path, &aside).doing("set aside", &path)?;
            log::error!(
                "the store does not open ({why}): it is set aside as {}; a new one is started, all devices have to register again",
                aside.display()
            );
            try_open(&path).map_err(|_| Error::new(format!("cannot make a new store at {}", path.display())))?
        }
    };
    let database = Arc::new(database);
    Ok((Redb { database: database.clone(), sealer: sealer.clone() }, RedbReader { database, sealer }))
}

enum Opening {
    Busy,
    Format(String),
    Damaged(String),
}

fn try_open(path: &Path) -> Result<Database, Opening> {
    let damaged = |error: redb::Error| Opening::Damaged(error.to_string());
    let database = Database::builder().set_cache_size(STORE_CACHE_BYTES).create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => Opening::Busy,
        error => Opening::Damaged(error.to_string()),
    })?;
    let mut transaction = database.begin_write().map_err(|error| damaged(error.into()))?;
    transaction.set_two_phase_commit(true);
    {
        let mut table = transaction.open_table(TABLE).map_err(|error| damaged(error.into()))?;
        let found = table.get(FORMAT_KEY).map_err(|error| damaged(error.into()))?.map(|value| value.value().to_vec());
        match found {
            None => {
                table.insert(FORMAT_KEY, FORMAT).map_err(|error| damaged(error.into()))?;
            }
            Some(format) if format == FORMAT => {}
            Some(format) => return Err(Opening::Format(String::from_utf8_lossy(&format).into_owned())),
        }
    }
    transaction.commit().map_err(|error| damaged(error.into()))?;
    Ok(database)
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => StoreError::Full,
        error => StoreError::Failed(error.to_string()),
    }
}

fn storage(error: StorageError) -> StoreError {
    failed(error)
}

type Table<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

impl Engine for Redb {
    fn apply(&mut self, group: &[Commit]) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_durability(Durability::Immediate).map_err(failed)?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        {
            let mut table = transaction.open_table(TABLE).map_err(failed)?;
            for change in group.iter().flat_map(|commit| &commit.changes) {
                self.change(&mut table, change)?;
            }
        }
        transaction.commit().map_err(failed)
    }
}

impl Redb {
    fn change(&self, table: &mut Table<'_>, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Put { key, value } => {
                let value = self.sealer.seal(*key, value)?;
                table.insert(key.to_bytes().as_slice(), value.as_slice()).map_err(storage)?;
            }
            Change::Delete(key) => {
                table.remove(key.to_bytes().as_slice()).map_err(storage)?;
            }
            Change::Append { mailbox, item } => {
                let key = Key::Item { mailbox: *mailbox, number: item.number };
                table.insert(key.to_bytes().as_slice(), encode_item(item).as_slice()).map_err(storage)?;
            }
            Change::Void { mailbox, number } => {
                let (key, item) = (item_key(*mailbox, *number), StoredItem::void(*number));
                if table.get(key.as_slice()).map_err(storage)?.is_some() {
                    table.insert(key.as_slice(), encode_item(&item).as_slice()).map_err(storage)?;
                }
            }
            Change::Acknowledge { mailbox, up_to } => {
                let (from, to) = (item_key(*mailbox, 0), item_key(*mailbox, *up_to));
                table.retain_in(from.as_slice()..=to.as_slice(), |_, _| false).map_err(storage)?;
            }
        }
        Ok(())
    }
}

fn item_key(mailbox: DeviceIndex, number: u32) -> Vec<u8> {
    Key::Item { mailbox, number }.to_bytes()
}

fn encode_item(item: &StoredItem) -> Vec<u8> {
    let mut out = Vec::with_capacity(ITEM_HEAD_LEN + item.body.len());
    out.extend_from_slice(&item.kind.to_be_bytes());
    out.extend_from_slice(&item.stored_s.to_be_bytes());
    out.extend_from_slice(&item.body);
    out
}

fn decode_item(key: &[u8], value: &[u8]) -> Result<StoredItem, StoreError> {
    let damaged = || StoreError::Failed("an item is damaged".into());
    let number = key.last_chunk::<4>().ok_or_else(damaged)?;
    let (kind, rest) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (stored_s, body) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    Ok(StoredItem {
        number: u32::from_be_bytes(*number),
        kind: u32::from_be_bytes(*kind),
        stored_s: u64::from_be_bytes(*stored_s),
        body: body.to_vec(),
    })
}

type ReadTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

impl Reader for RedbReader {
    fn read(&self, wants: &[Want]) -> Result<Vec<Found>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(TABLE).map_err(failed)?;
        wants.iter().map(|want| self.answer(&table, want)).collect()
    }
}

impl RedbReader {
    fn answer(&self, table: &ReadTable, want: &Want) -> Result<Found, StoreError> {
        Ok(match want {
            Want::Get(key) => {
                let value = table.get(key.to_bytes().as_slice()).map_err(storage)?;
                Found::Value(value.map(|value| self.sealer.open(*key, value.value())).transpose()?)
            }
            Want::Items { mailbox, from, items_max, bytes_max } => {
                Found::Items(items(table, *mailbox, *from, *items_max, *bytes_max)?)
            }
            Want::ItemIndex { mailbox } => Found::Index(index(table, *mailbox)?),
            Want::Pending { up_to_s, max } => Found::Pending(pending(table, *up_to_s, *max)?),
        })
    }
}

fn items(
    table: &ReadTable,
    mailbox: DeviceIndex,
    from: u32,
    items_max: usize,
    bytes_max: usize,
) -> Result<Vec<StoredItem>, StoreError> {
    let (first, last) = (item_key(mailbox, from), item_key(mailbox, u32::MAX));
    let mut found = Vec::new();
    let mut bytes = 0;
    for entry in table.range(first.as_slice()..=last.as_slice()).map_err(storage)?.take(items_max) {
        let (key, value) = entry.map_err(storage)?;
        let item = decode_item(key.value(), value.value())?;
        bytes += item.body.len();
        if bytes > bytes_max && !found.is_empty() {
            break;
        }
        found.push(item);
    }
    Ok(found)
}

fn index(table: &ReadTable, mailbox: DeviceIndex) -> Result<Vec<ItemMeta>, StoreError> {
    let (first, last) = (item_key(mailbox, 0), item_key(mailbox, u32::MAX));
    let range = table.range(first.as_slice()..=last.as_slice()).map_err(storage)?;
    range
        .map(|entry| {
            let (key, value) = entry.map_err(storage)?;
            let item = decode_item(key.value(), value.value())?;
            let len = u32::try_from(item.body.len()).unwrap_or(u32::MAX);
            Ok(ItemMeta { number: item.number, kind: item.kind, len })
        })
        .collect()
}

fn pending(table: &ReadTable, up_to_s: u64, max: usize) -> Result<Vec<(u64, Handle)>, StoreError> {
    let first = Key::Pending { due_s: 0, session: Handle([0; 4]) }.to_bytes();
    let last = Key::Pending { due_s: up_to_s, session: Handle([0xff; 4]) }.to_bytes();
    let range = table.range(first.as_slice()..=last.as_slice()).map_err(storage)?;
    range
        .take(max)
        .map(|entry| {
            let (key, _) = entry.map_err(storage)?;
            let damaged = || StoreError::Failed("an invitation's date is damaged".into());
            let (due_s, session) = key.value()[1..].split_first_chunk::<8>().ok_or_else(damaged)?;
            let session: [u8; 4] = session.try_into().map_err(|_| damaged())?;
            Ok((u64::from_be_bytes(*due_s), Handle(session)))
        })
        .collect()
}
