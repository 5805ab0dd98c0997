//! Opening: what the last run left, whatever happened to it.
//!
//! A store that is damaged is never fatal and never deleted: it is set aside under a dated name, and what can be had takes its
//! place: the newest snapshot that is whole, or else every record of the damaged one that still opens. The new file is complete
//! before it gets the store's name, so that a crash at any moment finds one or the other.

use std::fmt;
use std::io;
use std::sync::Arc;

use sga_gateway_core::{DeviceIndex, Key, StoreError};

use crate::backup::{self, Backups, as_store_error};
use crate::codec::{Edit, decode_item, item_of};
use crate::disk::{Disk, DiskFile};
use crate::engine::{Layers, Reader, Shared, Writer};
use crate::journal::{Gap, Journal, NAMES, Scan};
use crate::layer::Layer;
use crate::limits::{BATCH_RECORDS, CACHE_BYTES, CHECK_BYTES, ITEM_BYTES_MAX, RESERVE_BYTES, SEGMENT_BYTES};
use crate::reserve::Reserve;
use crate::seal::Sealer;
use crate::tables::{FORMAT, FORMAT_1, Reading, SetBack, Tables, Unopened, disk_error, guarded, is_own};
use crate::view::name;

/// The tables' file.
pub(crate) const TABLES: &str = "store.redb";
/// A mark that the tables are to be read through.
pub(crate) const SUSPECT: &str = "store.suspect";
/// How names of snapshots begin and end.
pub const SNAPSHOT: (&str, &str) = ("snapshot-", ".sga");

/// What the store is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of each journal file.
    pub segment_bytes: u64,
    /// Space put by for a full disk.
    pub reserve_bytes: u64,
    /// Memory for the tables' cache.
    pub cache_bytes: usize,
    /// Tables up to this length are read through at each start.
    pub check_bytes: u64,
    /// Bytes of items in all mailboxes.
    pub item_bytes_max: u64,
    /// Goes into names of files that are set aside: seconds since 1970, as far as the machine knows.
    pub date: u64,
    /// For nonces.
    pub seed: [u8; 32],
}

impl Options {
    /// The defaults; date and seed are the caller's to know.
    #[must_use]
    pub fn new(date: u64, seed: [u8; 32]) -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            reserve_bytes: RESERVE_BYTES,
            cache_bytes: CACHE_BYTES,
            check_bytes: CHECK_BYTES,
            item_bytes_max: ITEM_BYTES_MAX,
            date,
            seed,
        }
    }
}

/// Something that an operator should know about this start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The store was damaged and is kept under other names.
    SetAside {
        /// Why.
        why: String,
        /// The files' names now.
        files: Vec<String>,
    },
    /// A snapshot took its place: what was stored after it was made is missing.
    FromSnapshot {
        /// Its name.
        file: String,
        /// Records in it.
        records: u64,
    },
    /// All records that still open took its place.
    Salvaged {
        /// How many.
        records: u64,
        /// Those that do not, the first of them by name.
        lost: Vec<String>,
        /// How many do not.
        lost_count: u64,
        /// Whether reading came to an end before the file did: how many more are missing is not known.
        cut: bool,
    },
    /// Nothing could be had: the store is new, all devices have to register again.
    Empty,
    /// Groups of commits that were confirmed are missing from the journal.
    JournalGap {
        /// Which journal.
        epoch: u64,
        /// The first group that is missing.
        from: u64,
        /// How many; 0 if that is not known.
        groups: u64,
    },
    /// The store was of an older format and is kept under another name.
    Migrated {
        /// That name.
        kept: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAside { why, files } => {
                write!(f, "the store is damaged ({why}); it is kept as {}", files.join(", "))
            }
            Self::FromSnapshot { file, records } => write!(
                f,
                "the store goes on from the snapshot {file} ({records} records): what was stored after that is missing"
            ),
            Self::Salvaged { records, lost, lost_count, cut } => {
                write!(f, "the store goes on with the {records} records that open")?;
                if *lost_count > 0 {
                    write!(f, "; {lost_count} do not: {}", lost.join(", "))?;
                }
                if (lost.len() as u64) < *lost_count {
                    f.write_str(", …")?;
                }
                if *cut { f.write_str("; the file could not be read to its end, more may be missing") } else { Ok(()) }
            }
            Self::Empty => {
                f.write_str("nothing of it can be read: the store is new, all devices have to register again")
            }
            Self::JournalGap { epoch, groups: 0, .. } => {
                write!(f, "journal {epoch}: its file was cut or taken away: what it held is missing")
            }
            Self::JournalGap { epoch, from, groups } => write!(
                f,
                "journal {epoch}: {groups} groups of commits from group {from} on do not open: what they held is missing"
            ),
            Self::Migrated { kept } => {
                write!(f, "the store was of format 1 and is of format 2 now; the old file is kept as {kept}")
            }
        }
    }
}

/// Why a store does not open.
#[derive(Debug)]
pub enum OpenError {
    /// Of a format that this version does not know.
    Format(String),
    /// The disk.
    Disk(StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(found) => {
                write!(f, "{TABLES} is of format {found:?}; this version reads 1 and 2: a newer gateway wrote it")
            }
            Self::Disk(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Disk(disk_error(&error))
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Disk(error)
    }
}

/// An open store.
#[derive(Debug)]
pub struct Opened {
    /// Makes commits durable.
    pub writer: Writer,
    /// Answers loads.
    pub reader: Reader,
    /// Makes backups.
    pub backups: Backups,
    /// What there is to tell.
    pub findings: Vec<Finding>,
    /// Something that was confirmed may be missing: the generation has to change.
    pub set_back: bool,
    /// The highest index of a device, if `set_back`: new ones have to be above it.
    pub highest_device: Option<DeviceIndex>,
}

/// Opens what is in a folder, or begins.
///
/// # Errors
/// A newer format, or a disk that cannot be read or written. Damage is no error.
pub fn open(disk: Arc<dyn Disk>, at_rest_key: &[u8; 32], options: &Options) -> Result<Opened, OpenError> {
    let mut sealer = Sealer::new(at_rest_key, options.seed);
    let mut opening = Opening { disk: disk.as_ref(), options, findings: Vec::new() };
    let tables = opening.tables(&mut sealer)?;
    let (mut journal, scans) = Journal::open(disk.as_ref(), options.segment_bytes, &sealer)?;
    let layers = opening.replay(&tables, &mut journal, scans, &mut sealer)?;
    let (findings, set_back) = (opening.findings, tables.is_set_back());
    let reserve = Reserve::open(disk.as_ref(), options.reserve_bytes)?;
    let shared = Arc::new(Shared::new(disk.clone(), options, reserve, layers, tables));
    let reader = Reader { shared: shared.clone(), sealer: sealer.split() };
    let highest_device = if set_back { highest_device(&reader)? } else { None };
    Ok(Opened {
        backups: Backups { shared: shared.clone(), sealer: sealer.split() },
        writer: Writer::new(shared, journal, sealer),
        reader,
        findings,
        set_back,
        highest_device,
    })
}

impl Opened {
    /// Another maker of backups, for another thread.
    #[must_use]
    pub fn take_backups(&mut self) -> Backups {
        Backups { shared: self.backups.shared.clone(), sealer: self.backups.sealer.split() }
    }
}

fn highest_device(reader: &Reader) -> Result<Option<DeviceIndex>, StoreError> {
    use sga_gateway_core::{Found, Want};
    let mut from = Key::Device(0);
    let mut highest = None;
    loop {
        let want = Want::Keys { from, to: Key::Device(DeviceIndex::MAX), max: BATCH_RECORDS };
        let found = reader.read(&[want])?;
        let Some(Found::Keys { keys, more }) = found.into_iter().next() else { return Ok(highest) };
        if let Some(Key::Device(index)) = keys.last() {
            highest = Some(*index);
        }
        match highest.and_then(|index| index.checked_add(1)) {
            Some(next) if more => from = Key::Device(next),
            _ => return Ok(highest),
        }
    }
}

struct Opening<'a> {
    disk: &'a dyn Disk,
    options: &'a Options,
    findings: Vec<Finding>,
}

impl Opening<'_> {
    fn tables(&mut self, sealer: &mut Sealer) -> Result<Tables, OpenError> {
        let names = self.disk.list()?;
        let has = |name: &str| names.iter().any(|found| found == name);
        let Some(file) = self.disk.open(TABLES)? else {
            if NAMES.iter().any(|name| has(name)) {
                // A journal without tables: they were taken away.
                return self.replace(&format!("{TABLES} is missing"), sealer);
            }
            return self.fresh(sealer);
        };
        let suspect = has(SUSPECT);
        let check = suspect || file.len()? <= self.options.check_bytes;
        match Tables::open(file, self.options.cache_bytes, check) {
            Ok(tables) => {
                let broken = if check { unreadable(&tables, sealer) } else { None };
                if let Some(why) = broken {
                    drop(tables);
                    return self.replace(&why, sealer);
                }
                if suspect {
                    self.disk.remove(SUSPECT)?;
                    self.disk.sync_names()?;
                }
                Ok(tables)
            }
            Err(Unopened::Format(format)) if format == FORMAT_1 => self.migrate(sealer),
            Err(Unopened::Format(format)) => Err(OpenError::Format(String::from_utf8_lossy(&format).into_owned())),
            Err(Unopened::Disk(error)) => Err(error.into()),
            Err(Unopened::Damaged(why)) => self.replace(&why, sealer),
        }
    }

    fn fresh(&self, sealer: &mut Sealer) -> Result<Tables, OpenError> {
        self.build(sealer, 0, SetBack::Keep, |_| Ok(()))
    }

    /// Makes tables beside those that are there, gives them the store's name, and opens them.
    fn build(
        &self,
        sealer: &mut Sealer,
        epoch: u64,
        mark: SetBack,
        fill: impl FnOnce(&mut Filler<'_>) -> Result<(), StoreError>,
    ) -> Result<Tables, OpenError> {
        let new = format!("{TABLES}.new");
        let tables = Tables::create(self.disk.create(&new)?, self.options.cache_bytes, epoch)?;
        let mut filler = Filler { tables: &tables, sealer, layer: Layer::default(), records: 0 };
        fill(&mut filler)?;
        filler.flush()?;
        tables.take_in(&Layer::default(), epoch, mark, filler.sealer)?;
        drop(tables);
        self.disk.rename(&new, TABLES)?;
        self.disk.sync_names()?;
        let file = self.disk.open(TABLES)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        match Tables::open(file, self.options.cache_bytes, false) {
            Ok(tables) => Ok(tables),
            Err(Unopened::Disk(error)) => Err(error.into()),
            Err(Unopened::Damaged(why)) => Err(StoreError::Failed(why).into()),
            Err(Unopened::Format(_)) => Err(StoreError::Failed("what was just written is not there".into()).into()),
        }
    }

    /// A name that is not taken.
    fn aside(&self, name: &str, what: &str) -> io::Result<String> {
        let taken = self.disk.list()?;
        let base = format!("{name}.{what}-{}", self.options.date);
        let numbered = (1..).map(|number| format!("{base}-{number}"));
        Ok(std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(base))
    }

    /// Sets the store aside and puts the best that can be had in its place.
    fn replace(&mut self, why: &str, sealer: &mut Sealer) -> Result<Tables, OpenError> {
        log::error!("the store is damaged ({why}); looking for what can be had");
        let mut files = Vec::new();
        // Journals under an epoch that the new tables have behind them are not applied to them.
        let journals = self.journal_epochs(sealer)?;
        let passed = journals.iter().map(|scan| scan.epoch).max().unwrap_or(0);
        let kept = self.aside(TABLES, "damaged")?;
        if self.disk.open(TABLES)?.is_some() {
            self.disk.link(TABLES, &kept)?;
            files.push(kept.clone());
        }
        for name in NAMES {
            self.keep_copy(name, &mut files)?;
        }
        self.disk.sync_names()?;
        self.findings.push(Finding::SetAside { why: why.to_owned(), files });
        let tables = match self.newest_snapshot(sealer, passed)? {
            Some(tables) => tables,
            None => self.salvage(&kept, journals, passed, sealer)?,
        };
        if self.disk.list()?.iter().any(|name| name == SUSPECT) {
            self.disk.remove(SUSPECT)?;
            self.disk.sync_names()?;
        }
        Ok(tables)
    }

    fn journal_epochs(&self, sealer: &Sealer) -> Result<[Scan; 2], OpenError> {
        Ok(Journal::open(self.disk, self.options.segment_bytes, sealer)?.1)
    }

    fn newest_snapshot(&mut self, sealer: &mut Sealer, passed: u64) -> Result<Option<Tables>, OpenError> {
        let mut names: Vec<String> = self.disk.list()?;
        names.retain(|name| name.starts_with(SNAPSHOT.0) && name.ends_with(SNAPSHOT.1));
        // Dates of the same length sort by their digits.
        names.sort();
        for name in names.into_iter().rev() {
            let Some(file) = self.disk.open(&name)? else { continue };
            let reader = sealer.split();
            let checked = backup::read(&mut Sequential::new(file.as_ref())?, &reader, |_, _| Ok(()));
            let contents = match checked {
                Ok(contents) => contents,
                Err(error) => {
                    log::error!("the snapshot {name} cannot be used: {error}");
                    continue;
                }
            };
            let tables = self.build(sealer, passed, SetBack::Mark, |filler| {
                let mut from = Sequential::new(file.as_ref()).map_err(|error| disk_error(&error))?;
                backup::read(&mut from, &reader, |key, value| filler.put(key, value)).map_err(as_store_error)?;
                Ok(())
            })?;
            self.findings.push(Finding::FromSnapshot { file: name, records: contents.records });
            return Ok(Some(tables));
        }
        Ok(None)
    }

    /// Takes over every record that opens, and what the journals have on top of them.
    fn salvage(
        &mut self,
        kept: &str,
        journals: [Scan; 2],
        passed: u64,
        sealer: &mut Sealer,
    ) -> Result<Tables, OpenError> {
        let old = match self.disk.open(kept)? {
            Some(file) => Tables::look(file, self.options.cache_bytes, false, FORMAT).ok(),
            None => None,
        };
        let epoch = old.as_ref().map_or(0, Tables::epoch);
        let opener = sealer.split();
        let (mut lost, mut lost_count, mut cut) = (Vec::new(), 0, old.is_none());
        let (mut records, mut groups) = (0, 0);
        let tables = self.build(sealer, passed, SetBack::Mark, |filler| {
            if let Some(reading) = old.as_ref().and_then(|old| guarded(|| old.read().ok()).ok().flatten()) {
                cut = !each_record(&reading, |key, sealed| match opener.open(key, sealed) {
                    Ok(value) => filler.put(key, value),
                    Err(_) => {
                        lost_count += 1;
                        if lost.len() < NAMED_MAX {
                            lost.push(name(key));
                        }
                        Ok(())
                    }
                })?;
            }
            filler.flush()?;
            let mut journals = journals;
            journals.sort_by_key(|scan| scan.epoch);
            for scan in journals {
                if scan.epoch > epoch {
                    groups += scan.groups.len();
                    scan.groups.into_iter().flatten().for_each(|edit| filler.layer.apply(edit));
                    filler.flush()?;
                }
            }
            records = filler.records;
            Ok(())
        })?;
        self.findings.push(if records == 0 && groups == 0 {
            Finding::Empty
        } else {
            Finding::Salvaged { records, lost, lost_count, cut }
        });
        Ok(tables)
    }

    /// From the first format: no journal, some values not sealed.
    fn migrate(&mut self, sealer: &mut Sealer) -> Result<Tables, OpenError> {
        let kept = self.aside(TABLES, "format-1")?;
        self.disk.link(TABLES, &kept)?;
        self.disk.sync_names()?;
        let file = self.disk.open(&kept)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let opener = sealer.split();
        let old = match Tables::look(file, self.options.cache_bytes, false, FORMAT_1) {
            Ok(old) => old,
            Err(Unopened::Disk(error)) => return Err(error.into()),
            Err(_) => return self.replace("of format 1, and damaged", sealer),
        };
        let reading = old.read()?;
        let mut damaged = None;
        let whole = each_record(&reading, |key, value| {
            if from_format_1(&opener, key, value).is_none() {
                damaged = Some(name(key));
            }
            Ok(())
        })?;
        if !whole {
            damaged = Some("a part of the file".to_owned());
        }
        let mark = if damaged.is_some() { SetBack::Mark } else { SetBack::Keep };
        let tables = self.build(sealer, 0, mark, |filler| {
            each_record(&reading, |key, value| {
                from_format_1(&opener, key, value).map_or(Ok(()), |value| filler.put(key, value))
            })?;
            Ok(())
        })?;
        if let Some(what) = damaged {
            let files = vec![kept.clone()];
            self.findings.push(Finding::SetAside { why: format!("{what} does not open"), files });
        }
        self.findings.push(Finding::Migrated { kept });
        Ok(tables)
    }

    /// Puts the journals that the tables do not have on top of them.
    fn replay(
        &mut self,
        tables: &Tables,
        journal: &mut Journal,
        scans: [Scan; 2],
        sealer: &mut Sealer,
    ) -> Result<Layers, OpenError> {
        let done = tables.epoch();
        let in_use = done > 0 || scans.iter().any(|scan| scan.epoch > 0);
        let mut gaps: Vec<Gap> = scans
            .iter()
            .filter(|scan| scan.cut || scan.made && in_use)
            .map(|scan| Gap { epoch: scan.epoch.max(done), from: scan.next(), groups: 0 })
            .collect();
        let mut scans: Vec<Scan> = scans.into_iter().filter(|scan| scan.epoch > done).collect();
        scans.sort_by_key(|scan| scan.epoch);
        let (newest_epoch, before) = scans.last().map_or((done, 0), |newest| (newest.epoch, newest.before));
        match scans.last() {
            Some(newest) => journal.resume(newest),
            None => journal.turn_to(done + 1),
        }
        match scans.iter_mut().find(|scan| scan.epoch + 1 == newest_epoch) {
            Some(older) => older.expect(before),
            None if newest_epoch > done + 1 => gaps.push(Gap { epoch: newest_epoch - 1, from: 0, groups: before }),
            None => {}
        }
        gaps.extend(scans.iter().flat_map(|scan| scan.gaps.iter().copied()));
        if gaps.is_empty() {
            let mut layers = Layers::default();
            for scan in scans {
                let (epoch, layer) = (scan.epoch, layer_of(scan));
                if epoch == newest_epoch {
                    layers.active = layer;
                } else {
                    layers.frozen = Some((Arc::new(layer), epoch));
                }
            }
            return Ok(layers);
        }
        let mut files = Vec::new();
        for name in NAMES {
            self.keep_copy(name, &mut files)?;
        }
        self.disk.sync_names()?;
        self.findings.push(Finding::SetAside { why: "a part of the journal does not open".into(), files });
        for Gap { epoch, from, groups } in gaps {
            self.findings.push(Finding::JournalGap { epoch, from, groups });
        }
        // Into the tables at once, together with the mark that says so.
        let mut layer = Layer::default();
        scans.into_iter().flat_map(|scan| scan.groups).flatten().for_each(|edit| layer.apply(edit));
        tables.take_in(&layer, newest_epoch, SetBack::Mark, sealer)?;
        journal.turn_to(newest_epoch + 1);
        Ok(Layers::default())
    }

    /// Keeps a file's content under a name of its own, before it is written over.
    fn keep_copy(&self, name: &str, files: &mut Vec<String>) -> io::Result<()> {
        if let Some(from) = self.disk.open(name)? {
            let to = self.aside(name, "damaged")?;
            copy(from.as_ref(), self.disk.create(&to)?.as_ref())?;
            files.push(to);
        }
        Ok(())
    }
}

fn layer_of(scan: Scan) -> Layer {
    let mut layer = Layer::default();
    scan.groups.into_iter().flatten().for_each(|edit| layer.apply(edit));
    layer
}

/// A value of the first format, opened.
fn from_format_1(opener: &Sealer, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let secret = matches!(key.first(), Some(b'd' | b's'));
    let plain = if secret { opener.open(key, value).ok()? } else { value.to_vec() };
    // An item's layout has not changed; this only checks it.
    let fits = item_of(key).is_none_or(|(_, number)| decode_item(number, &plain).is_ok());
    fits.then_some(plain)
}

/// How many lost records are named one by one.
const NAMED_MAX: usize = 8;

/// What does not open in tables that the engine finds in order.
fn unreadable(tables: &Tables, sealer: &Sealer) -> Option<String> {
    let mut found = None;
    let reading = match guarded(|| tables.read()) {
        Ok(Ok(reading)) => reading,
        Ok(Err(error)) => return Some(error.to_string()),
        Err(why) => return Some(why),
    };
    let whole = each_record(&reading, |key, sealed| {
        if found.is_none() && sealer.open(key, sealed).is_err() {
            found = Some(format!("{} does not open", name(key)));
        }
        Ok(())
    });
    match whole {
        Ok(true) => found,
        Ok(false) => Some("it cannot be read to its end".into()),
        Err(error) => Some(error.to_string()),
    }
}

/// Every record but the store's own, as it is; false if reading ended before the records did.
pub(crate) fn each_record(
    reading: &Reading,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    use redb::ReadableTable;
    let walked = guarded(|| -> Result<bool, StoreError> {
        let Ok(records) = reading.iter() else { return Ok(false) };
        for record in records {
            let Ok((key, value)) = record else { return Ok(false) };
            if !is_own(key.value()) {
                each(key.value(), value.value())?;
            }
        }
        Ok(true)
    });
    walked.unwrap_or(Ok(false))
}

/// Fills new tables, many records at a time.
pub(crate) struct Filler<'a> {
    tables: &'a Tables,
    sealer: &'a mut Sealer,
    layer: Layer,
    records: u64,
}

impl Filler<'_> {
    pub(crate) fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        self.layer.apply(Edit::Put { key: key.to_vec(), value });
        self.records += 1;
        if self.records.is_multiple_of(BATCH_RECORDS as u64) { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let layer = core::mem::take(&mut self.layer);
        self.tables.take_in(&layer, self.tables.epoch(), SetBack::Keep, self.sealer)
    }
}

fn copy(from: &dyn DiskFile, to: &dyn DiskFile) -> io::Result<()> {
    let (len, mut offset) = (from.len()?, 0);
    let mut part = vec![0; 1 << 16];
    while offset < len {
        let now = usize::try_from((len - offset).min(part.len() as u64)).unwrap_or(part.len());
        from.read_at(offset, &mut part[..now])?;
        to.write_at(offset, &part[..now])?;
        offset += now as u64;
    }
    to.sync()
}

/// A file of the disk, read from its beginning.
pub(crate) struct Sequential<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
    len: u64,
}

impl<'a> Sequential<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile) -> io::Result<Self> {
        Ok(Self { file, offset: 0, len: file.len()? })
    }
}

impl io::Read for Sequential<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let now = usize::try_from((self.len - self.offset).min(out.len() as u64)).unwrap_or(out.len());
        self.file.read_at(self.offset, &mut out[..now])?;
        self.offset += now as u64;
        Ok(now)
    }
}

/// Makes a store of a backup, in the place of the one that is there; that is kept under another name, which is returned.
///
/// # Errors
/// [`backup::BackupError::NotOne`] and nothing is changed; or the disk's.
pub fn restore(
    disk: &dyn Disk,
    at_rest_key: &[u8; 32],
    options: &Options,
    backup: &dyn DiskFile,
) -> Result<(backup::Contents, Option<String>), backup::BackupError> {
    let mut sealer = Sealer::new(at_rest_key, options.seed);
    let reader = sealer.split();
    let contents = backup::read(&mut Sequential::new(backup)?, &reader, |_, _| Ok(()))?;
    let opening = Opening { disk, options, findings: Vec::new() };
    let as_backup_error = |error: OpenError| match error {
        OpenError::Disk(error) => backup::BackupError::Store(error),
        OpenError::Format(_) => backup::BackupError::NotOne("its format"),
    };
    let journals = opening.journal_epochs(&sealer).map_err(as_backup_error)?;
    let passed = journals.iter().map(|scan| scan.epoch).max().unwrap_or(0);
    let mut kept = None;
    if disk.open(TABLES)?.is_some() {
        let name = opening.aside(TABLES, "before-restore")?;
        disk.link(TABLES, &name)?;
        // What the journals hold on top of it goes with it.
        for journal in NAMES {
            if let Some(from) = disk.open(journal)? {
                copy(from.as_ref(), disk.create(&opening.aside(journal, "before-restore")?)?.as_ref())?;
            }
        }
        disk.sync_names()?;
        kept = Some(name);
    }
    opening
        .build(&mut sealer, passed, SetBack::Mark, |filler| {
            let mut from = Sequential::new(backup).map_err(|error| disk_error(&error))?;
            backup::read(&mut from, &reader, |key, value| filler.put(key, value)).map_err(as_store_error)?;
            Ok(())
        })
        .map_err(as_backup_error)?;
    Ok((contents, kept))
}

/// Whether a file is a whole backup of a store under this key, and what it holds.
///
/// # Errors
/// [`backup::BackupError::NotOne`] with the reason.
pub fn verify(at_rest_key: &[u8; 32], backup: &dyn DiskFile) -> Result<backup::Contents, backup::BackupError> {
    let sealer = Sealer::new(at_rest_key, [0; 32]);
    backup::read(&mut Sequential::new(backup)?, &sealer, |_, _| Ok(()))
}
