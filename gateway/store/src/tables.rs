//! The tables: one redb file that takes a layer at a time.
//!
//! Each layer is one transaction with two-phase commit: stored bytes come from strangers, so a half-written page must not be able
//! to look like a whole one. Every value is sealed under its key.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use sga_gateway_core::StoreError;

use crate::backend::{OnDisk, TakeAway, Untouched, lend};
use crate::codec::{item_key, item_of, void_value};
use crate::disk::DiskFile;
use crate::layer::{Entry, Layer};
use crate::seal::{NONCE_LEN, Sealer, TAG_LEN};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// Records of the store's own, under keys that no other record has.
const FORMAT_KEY: &[u8] = b"!format";
const EPOCH_KEY: &[u8] = b"!epoch";
const ITEM_BYTES_KEY: &[u8] = b"!item-bytes";
/// Something that was confirmed is missing, and nobody has been told yet.
const SET_BACK_KEY: &[u8] = b"!set-back";

/// Sealed like all others, so that another `gateway.key` is told apart from damage. Two, because one flipped byte is never to look
/// like another key.
const MARK_KEYS: [&[u8]; 2] = [b"!mark-0", b"!mark-1"];

/// What a transaction does to the mark that the store was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetBack {
    Keep,
    Mark,
    /// The new generation is in this layer.
    Clear,
}

/// The format that this version writes.
pub(crate) const FORMAT: &[u8] = b"2";
/// The first: no journal, and only some values sealed.
pub(crate) const FORMAT_1: &[u8] = b"1";

/// Whether a record is the store's own.
pub(crate) fn is_own(key: &[u8]) -> bool {
    key.first() == Some(&b'!')
}

/// Why tables do not open.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// They are of another format.
    Format(Vec<u8>),
    /// They are not what was written.
    Damaged(String),
    /// The disk failed, or is full.
    Disk(StoreError),
}

/// The tables.
pub(crate) struct Tables {
    /// Always there until it is dropped.
    database: Option<Database>,
    /// The last journal that is in them.
    epoch: AtomicU64,
    /// Bytes of all items in them.
    item_bytes: AtomicU64,
    set_back: AtomicBool,
    /// There until it is dropped, too.
    take_away: Option<TakeAway>,
}

pub(crate) type Reading = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Turns what the engine says into what the store says. Damage is told apart by the caller where it matters.
pub(crate) fn failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => disk_error(&error),
        error => StoreError::Failed(error.to_string()),
    }
}

pub(crate) fn disk_error(error: &io::Error) -> StoreError {
    // A limit on a file's length is a full disk to its owner.
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => StoreError::Full,
        _ => StoreError::Failed(error.to_string()),
    }
}

fn unopened(error: impl Into<redb::Error>) -> Unopened {
    match error.into() {
        redb::Error::Io(error)
            if error.kind() != io::ErrorKind::UnexpectedEof && error.kind() != io::ErrorKind::InvalidData =>
        {
            Unopened::Disk(disk_error(&error))
        }
        error => Unopened::Damaged(error.to_string()),
    }
}

/// The engine asserts what it takes for granted of its file; where that is damaged, an assertion is an answer like any other.
pub(crate) fn guarded<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(what)).map_err(|_| "the engine found what cannot be".to_owned());
    GUARDED.set(before);
    result
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread is an answer about a damaged file, and no fault: for a panic hook that keeps quiet then.
#[must_use]
pub fn is_guarded() -> bool {
    GUARDED.get()
}

fn builder(cache: usize) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(cache);
    builder
}

fn number(value: Option<Vec<u8>>) -> Option<u64> {
    Some(u64::from_be_bytes(value?.try_into().ok()?))
}

impl Tables {
    /// New ones in an empty file; journals up to `epoch` are not theirs.
    pub(crate) fn create(file: Box<dyn DiskFile>, cache: usize, epoch: u64) -> Result<Self, StoreError> {
        let (backend, take_away) = lend(OnDisk(file));
        let tables = Self {
            database: Some(builder(cache).create_with_backend(backend).map_err(failed)?),
            epoch: epoch.into(),
            item_bytes: 0.into(),
            set_back: false.into(),
            take_away: Some(take_away),
        };
        tables.transact(|table| {
            table.insert(FORMAT_KEY, FORMAT).map_err(failed)?;
            table.insert(EPOCH_KEY, epoch.to_be_bytes().as_slice()).map_err(failed)?;
            table.insert(ITEM_BYTES_KEY, 0_u64.to_be_bytes().as_slice()).map_err(failed)?;
            Ok(())
        })?;
        Ok(tables)
    }

    /// Those in a file; `check` reads it all through.
    pub(crate) fn open(file: Box<dyn DiskFile>, cache: usize, check: bool) -> Result<Self, Unopened> {
        guarded(|| {
            let mut builder = builder(cache);
            builder.set_check_integrity_on_open(check);
            // One that is empty would be taken for a new one.
            if file.len().map_err(|error| Unopened::Disk(disk_error(&error)))? == 0 {
                return Err(Unopened::Damaged("the file is empty".into()));
            }
            let (backend, take_away) = lend(OnDisk(file));
            Self::inspect(builder.create_with_backend(backend).map_err(unopened)?, take_away, FORMAT)
        })
        .unwrap_or_else(|why| Err(Unopened::Damaged(why)))
    }

    /// Those in a file that is to stay as it is.
    pub(crate) fn look(file: Box<dyn DiskFile>, cache: usize, check: bool, format: &[u8]) -> Result<Self, Unopened> {
        guarded(|| {
            let mut builder = builder(cache);
            builder.set_check_integrity_on_open(check);
            let backend = Untouched::new(file).map_err(|error| Unopened::Disk(disk_error(&error)))?;
            if redb::StorageBackend::len(&backend).map_err(|_| Unopened::Damaged("no length".into()))? == 0 {
                return Err(Unopened::Damaged("the file is empty".into()));
            }
            let (backend, take_away) = lend(backend);
            Self::inspect(builder.create_with_backend(backend).map_err(unopened)?, take_away, format)
        })
        .unwrap_or_else(|why| Err(Unopened::Damaged(why)))
    }

    fn inspect(database: Database, take_away: TakeAway, wanted: &[u8]) -> Result<Self, Unopened> {
        let mut tables = Self {
            database: Some(database),
            epoch: 0.into(),
            item_bytes: 0.into(),
            set_back: false.into(),
            take_away: Some(take_away),
        };
        (tables.epoch, tables.item_bytes, tables.set_back) = tables.counters(wanted)?;
        Ok(tables)
    }

    fn counters(&self, wanted: &[u8]) -> Result<(AtomicU64, AtomicU64, AtomicBool), Unopened> {
        let database = self.database().map_err(Unopened::Disk)?;
        let transaction = database.begin_read().map_err(unopened)?;
        let table = transaction.open_table(RECORDS).map_err(unopened)?;
        let get = |key: &[u8]| -> Result<Option<Vec<u8>>, Unopened> {
            Ok(table.get(key).map_err(unopened)?.map(|value| value.value().to_vec()))
        };
        let format = get(FORMAT_KEY)?.ok_or_else(|| Unopened::Damaged("the format is missing".into()))?;
        if format != wanted {
            return Err(Unopened::Format(format));
        }
        // The first format has none.
        let counter = |value: Option<Vec<u8>>| match number(value) {
            Some(value) => Ok(AtomicU64::new(value)),
            None if format == FORMAT_1 => Ok(AtomicU64::new(0)),
            None => Err(Unopened::Damaged("a counter is missing".into())),
        };
        let (epoch, item_bytes) = (counter(get(EPOCH_KEY)?)?, counter(get(ITEM_BYTES_KEY)?)?);
        let set_back = get(SET_BACK_KEY)?.is_some().into();
        Ok((epoch, item_bytes, set_back))
    }

    fn database(&self) -> Result<&Database, StoreError> {
        self.database.as_ref().ok_or_else(|| StoreError::Failed("the tables are closed".into()))
    }

    /// Whether they were written under another key: both marks are there, and neither opens.
    pub(crate) fn are_of_another_key(&self, sealer: &Sealer) -> Result<bool, StoreError> {
        let table = self.read()?;
        guarded(|| {
            for key in MARK_KEYS {
                match table.get(key).map_err(failed)? {
                    Some(mark) if sealer.open(key, mark.value()).is_err() => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        })
        // What the engine cannot read is damaged, and found to be so by others.
        .unwrap_or(Ok(false))
    }

    /// One transaction; the counters go with it.
    fn transact(
        &self,
        work: impl FnOnce(&mut redb::Table<'_, &'static [u8], &'static [u8]>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database()?.begin_write().map_err(failed)?;
        transaction.set_durability(Durability::Immediate).map_err(failed)?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        {
            let mut table = transaction.open_table(RECORDS).map_err(failed)?;
            work(&mut table)?;
        }
        transaction.commit().map_err(failed)
    }

    /// Takes in a layer and notes its epoch.
    pub(crate) fn take_in(
        &self,
        layer: &Layer,
        epoch: u64,
        mark: SetBack,
        sealer: &mut Sealer,
    ) -> Result<(), StoreError> {
        let mut item_bytes = self.item_bytes();
        self.transact(|table| {
            for (mailbox, floor) in layer.floors() {
                let (from, to) = (item_key(mailbox, 0), item_key(mailbox, floor));
                table
                    .retain_in(from.as_slice()..=to.as_slice(), |_, value| {
                        item_bytes = item_bytes.saturating_sub(plain_len(value));
                        false
                    })
                    .map_err(failed)?;
            }
            for (key, entry) in layer.entries() {
                let is_item = item_of(key).is_some();
                let old = match entry {
                    Entry::Is(value) => {
                        item_bytes += if is_item { value.len() as u64 } else { 0 };
                        replace(table, key, &sealer.seal(key, value))?
                    }
                    Entry::Gone => table.remove(key.as_slice()).map_err(failed)?.map(|value| plain_len(value.value())),
                    Entry::Void if table.get(key.as_slice()).map_err(failed)?.is_some() => {
                        let value = void_value();
                        item_bytes += value.len() as u64;
                        replace(table, key, &sealer.seal(key, &value))?
                    }
                    Entry::Void => None,
                };
                if is_item {
                    item_bytes = item_bytes.saturating_sub(old.unwrap_or(0));
                }
            }
            // Stores from before there were any get theirs here.
            for key in MARK_KEYS {
                if table.get(key).map_err(failed)?.is_none() {
                    table.insert(key, sealer.seal(key, &[]).as_slice()).map_err(failed)?;
                }
            }
            table.insert(EPOCH_KEY, epoch.to_be_bytes().as_slice()).map_err(failed)?;
            table.insert(ITEM_BYTES_KEY, item_bytes.to_be_bytes().as_slice()).map_err(failed)?;
            match mark {
                SetBack::Keep => {}
                SetBack::Mark => drop(table.insert(SET_BACK_KEY, [].as_slice()).map_err(failed)?),
                SetBack::Clear => drop(table.remove(SET_BACK_KEY).map_err(failed)?),
            }
            Ok(())
        })?;
        if mark != SetBack::Keep {
            self.set_back.store(mark == SetBack::Mark, Ordering::Release);
        }
        self.epoch.store(epoch, Ordering::Release);
        self.item_bytes.store(item_bytes, Ordering::Release);
        Ok(())
    }

    /// Whether something that was confirmed is missing, and the generation has not changed since.
    pub(crate) fn is_set_back(&self) -> bool {
        self.set_back.load(Ordering::Acquire)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn item_bytes(&self) -> u64 {
        self.item_bytes.load(Ordering::Acquire)
    }

    /// What is there, as of now.
    pub(crate) fn read(&self) -> Result<Reading, StoreError> {
        let transaction = self.database()?.begin_read().map_err(failed)?;
        transaction.open_table(RECORDS).map_err(failed)
    }
}

/// A stop is to the engine what a power cut is: it would write when it closes, and in a file that is damaged it asserts then, and once
/// more while it cleans up, which no guard holds: the process would end, at each start. Each transaction leaves what a quick opening needs
/// (quick repair). So the file is taken away first; an operation that fails makes the engine notice.
impl Drop for Tables {
    fn drop(&mut self) {
        let (Some(mut database), Some(take_away)) = (self.database.take(), self.take_away.take()) else { return };
        take_away();
        let noticed = guarded(|| {
            let error = database.check_integrity().err().map(redb::Error::from);
            matches!(error, Some(redb::Error::Io(_) | redb::Error::PreviousIo))
        });
        if noticed != Ok(true) {
            // Somebody still reads in it, or what it has in memory is out of joint. The file is closed in any case.
            return std::mem::forget(database);
        }
        if let Err(why) = guarded(|| drop(database)) {
            log::error!("the tables were not closed: {why}");
        }
    }
}

fn plain_len(sealed: &[u8]) -> u64 {
    sealed.len().saturating_sub(NONCE_LEN + TAG_LEN) as u64
}

/// Puts a value; the length of what it replaces.
fn replace(
    table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
    value: &[u8],
) -> Result<Option<u64>, StoreError> {
    Ok(table.insert(key, value).map_err(failed)?.map(|old| plain_len(old.value())))
}
