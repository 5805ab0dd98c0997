//! Opening: the tables, then what the journals have on top of them.

use std::io;
use std::sync::Arc;

use sga_gateway_core::{DeviceIndex, Found, Key, StoreError, Want};

use crate::backup::Backups;
use crate::disk::Disk;
use crate::engine::{Layers, Reader, Shared, Writer};
use crate::findings::{Finding, OpenError};
use crate::journal::{Gap, Journal, NAMES, Scan};
use crate::layer::Layer;
use crate::limits::{BATCH_RECORDS, CACHE_BYTES, CHECK_BYTES, ITEM_BYTES_MAX, RESERVE_BYTES, SEGMENT_BYTES};
use crate::recovery::{Opening, SUSPECT};
use crate::reserve::Reserve;
use crate::seal::Sealer;
use crate::tables::{SetBack, Tables, guarded};
use crate::walk::copy;

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
/// A newer format, or a disk that cannot be read or written. Damage is no error.
pub fn open(disk: Arc<dyn Disk>, at_rest_key: &[u8; 32], options: &Options) -> Result<Opened, OpenError> {
    match open_once(disk.clone(), at_rest_key, options) {
        // Tables that were too long to be read through, perhaps.
        Err(OpenError::Disk(StoreError::Failed(why))) if disk.open(SUSPECT)?.is_none() => {
            log::error!("the store does not open ({why}); it is read through");
            disk.create(SUSPECT)?.sync()?;
            disk.sync_names()?;
            open_once(disk, at_rest_key, options)
        }
        opened => opened,
    }
}

fn open_once(disk: Arc<dyn Disk>, at_rest_key: &[u8; 32], options: &Options) -> Result<Opened, OpenError> {
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
        // The epoch that may be missing altogether is passed over: what is left of it must not be taken for what is written now.
        let passed = newest_epoch + 1;
        guarded(|| tables.take_in(&layer, passed, SetBack::Mark, sealer)).map_err(StoreError::Failed)??;
        journal.turn_to(passed + 1);
        Ok(Layers::default())
    }

    /// Keeps a file's content under a name of its own, before it is written over.
    pub(crate) fn keep_copy(&self, name: &str, files: &mut Vec<String>) -> io::Result<()> {
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
