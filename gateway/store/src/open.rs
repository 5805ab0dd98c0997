//! Opening: the tables, then what the journals have on top of them.

use std::sync::Arc;

use sga_gateway_core::{DeviceIndex, Found, Key, StoreError, Want};

use crate::backup::Backups;
use crate::disk::Disk;
use crate::engine::{Layers, Reader, Shared, Writer};
use crate::findings::{Finding, OpenError};
use crate::journal::{self, Journal, Position};
use crate::layer::Layer;
use crate::limits::{BATCH_RECORDS, CACHE_BYTES, CHECK_BYTES, ITEM_BYTES_MAX, RESERVE_BYTES, SEGMENT_BYTES};
use crate::recovery::{Opening, SNAPSHOT, SUSPECT, TABLES, unfit};
use crate::reserve::{self, Reserve};
use crate::scan::{Left, Scan, scan, written};
use crate::seal::Sealer;
use crate::tables::{SetBack, Tables, guarded};

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
/// A newer format, or a disk that cannot be read or written, or has no room for what takes a damaged store's place. Damage is no error.
pub fn open(disk: Arc<dyn Disk>, at_rest_key: &[u8; 32], options: &Options) -> Result<Opened, OpenError> {
    let mut findings = Vec::new();
    match try_open(&disk, at_rest_key, options, &mut findings) {
        Ok(opened) => Ok(Opened { findings, ..opened }),
        Err(error) => {
            // The next start may not come to them again.
            findings.iter().for_each(|finding| log::error!("{finding}"));
            Err(match error {
                OpenError::Disk(StoreError::Full) => OpenError::NoRoom { bytes: room_needed(disk.as_ref(), options) },
                error => error,
            })
        }
    }
}

fn try_open(
    disk: &Arc<dyn Disk>,
    at_rest_key: &[u8; 32],
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<Opened, OpenError> {
    // Looked for before: a read that fails leaves the mark, too.
    let mut suspect = disk.open(SUSPECT)?.is_some();
    loop {
        match open_once(disk, at_rest_key, options, findings) {
            Err(OpenError::Disk(StoreError::Full)) if reserve::spend(disk.as_ref())? => {
                log::error!("the disk is full, and a start needs room: it takes what was put by");
            }
            Err(OpenError::Disk(StoreError::Failed(why))) if !suspect => {
                // Tables that were too long to be read through, perhaps.
                log::error!("the store does not open ({why}); it is read through");
                disk.create(SUSPECT)?.sync()?;
                disk.sync_names()?;
                suspect = true;
            }
            opened => return opened,
        }
    }
}

/// What is enough for a start: tables like those that are there or are in a snapshot, with what the journals hold, and journals.
fn room_needed(disk: &dyn Disk, options: &Options) -> u64 {
    let len = |name: &String| disk.open(name).ok().flatten().and_then(|file| file.len().ok()).unwrap_or(0);
    let names = disk.list().unwrap_or_default();
    let stores = names.iter().filter(|name| *name == TABLES || name.ends_with(SNAPSHOT.1));
    stores.map(len).max().unwrap_or(0).saturating_add(4 * options.segment_bytes)
}

fn open_once(
    disk: &Arc<dyn Disk>,
    at_rest_key: &[u8; 32],
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<Opened, OpenError> {
    let mut sealer = Sealer::new(at_rest_key, options.seed);
    let mut opening = Opening { disk: disk.as_ref(), options, findings };
    let tables = opening.tables(&mut sealer)?;
    let scans = scan(disk.as_ref(), options.segment_bytes, &sealer)?;
    let (unfit, epochs) = (unfit(&scans), scans.each_ref().map(|scan| (!scan.blank).then_some(scan.epoch())));
    let (layers, at) = opening.replay(&tables, scans, &mut sealer)?;
    // From here on the mark is on the medium, if there is anything to tell. What was set aside is the same file under another name,
    // and is not to be written over.
    let set_back = tables.is_set_back();
    let old = |at: usize| set_back && epochs[at].is_some_and(|epoch| epoch <= tables.epoch());
    journal::make_anew(disk.as_ref(), options.segment_bytes, [unfit[0] || old(0), unfit[1] || old(1)])?;
    let journal = Journal::open(disk.as_ref(), options.segment_bytes, at)?;
    let reserve = Reserve::open(disk.as_ref(), options.reserve_bytes)?;
    let shared = Arc::new(Shared::new(disk.clone(), options, reserve, layers, tables));
    let reader = Reader { shared: shared.clone(), sealer: sealer.split() };
    // Every gateway asks for this first. Where tables were not read through, damage of it is found here, and they are then.
    reader.read(&[Want::Get(Key::Meta)])?;
    let highest_device = if set_back { highest_device(&reader)? } else { None };
    Ok(Opened {
        backups: Backups { shared: shared.clone(), sealer: sealer.split() },
        writer: Writer::new(shared, journal, sealer),
        reader,
        findings: Vec::new(),
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

impl Opening<'_> {
    /// Puts the journals that the tables do not have on top of them; and where the journal goes on.
    fn replay(
        &mut self,
        tables: &Tables,
        scans: [Scan; 2],
        sealer: &mut Sealer,
    ) -> Result<(Layers, Position), OpenError> {
        let names = written(&scans);
        let left = Left::new(scans, tables.epoch());
        let position = left.position();
        if left.gaps.is_empty() {
            let mut layers = Layers::default();
            for scan in left.scans {
                let (epoch, layer) = (scan.epoch(), layer_of(scan));
                if epoch == left.newest {
                    layers.active = layer;
                } else {
                    layers.frozen = Some((Arc::new(layer), epoch));
                }
            }
            return Ok((layers, position));
        }
        let aside = self.asides(&names, "damaged")?;
        self.keep(&aside)?;
        // Into the tables at once, together with the mark that says so.
        let mut layer = Layer::default();
        left.scans.into_iter().flat_map(Scan::into_edits).for_each(|edit| layer.apply(edit));
        // The epoch that may be missing altogether is passed over: what is left of it must not be taken for what is written now.
        let passed = left.newest + 1;
        self.marked(|| {
            guarded(|| tables.take_in(&layer, passed, SetBack::Mark, sealer)).map_err(StoreError::Failed)?
        })?;
        let files = aside.into_iter().map(|(_, kept)| kept).collect();
        self.findings.push(Finding::SetAside { why: "a part of the journal does not open".into(), files });
        self.findings.extend(left.gaps.into_iter().map(Finding::from));
        Ok((Layers::default(), Position::first(passed + 1)))
    }

    /// Writes to the tables with the mark in place that has them read through: see [`Shared`], which does it for a running store.
    fn marked(&self, work: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let marked = self.disk.create(SUSPECT).is_ok();
        work()?;
        if marked && let Err(error) = self.disk.remove(SUSPECT) {
            log::warn!("{SUSPECT} could not be removed, so the next start reads the store through: {error}");
        }
        Ok(())
    }
}

fn layer_of(scan: Scan) -> Layer {
    let mut layer = Layer::default();
    scan.into_edits().for_each(|edit| layer.apply(edit));
    layer
}
