//! Opening: what the last run left, whatever happened to it.
//!
//! A store that is damaged is never fatal and never deleted: it is set aside under a dated name, and what can be had takes its
//! place: the newest snapshot that is whole, or else every record of the damaged one that still opens. The new file is complete
//! before it gets the store's name, so that a crash at any moment finds one or the other.

use std::io;

use sga_gateway_core::StoreError;

use crate::backup::{self, as_store_error};
use crate::codec::{decode_item, item_of};
use crate::disk::Disk;
use crate::findings::{Finding, OpenError};
use crate::journal::{Journal, NAMES, Scan};
use crate::layer::Layer;
use crate::open::Options;
use crate::seal::Sealer;
use crate::tables::{FORMAT, FORMAT_1, SetBack, Tables, Unopened, disk_error, guarded};
use crate::view::name;
use crate::walk::{Filler, Sequential, each_record, unreadable};

/// The tables' file.
pub(crate) const TABLES: &str = "store.redb";
/// A mark that the tables are to be read through.
pub(crate) const SUSPECT: &str = "store.suspect";
/// How names of snapshots begin and end.
pub const SNAPSHOT: (&str, &str) = ("snapshot-", ".sga");

pub(crate) struct Opening<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) options: &'a Options,
    pub(crate) findings: Vec<Finding>,
}

impl Opening<'_> {
    pub(crate) fn tables(&mut self, sealer: &mut Sealer) -> Result<Tables, OpenError> {
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
        let open = |file, check| Tables::open(file, self.options.cache_bytes, check);
        let mut opened = open(file, check);
        let refused = match &opened {
            Ok(tables) => tables.are_of_another_key(sealer)?,
            Err(unopened) => matches!(unopened, Unopened::Format(_)),
        };
        // Damage may look like another format or another key, and those are refused and left alone.
        let check = check || refused;
        if refused {
            drop(opened);
            let file = self.disk.open(TABLES)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            opened = open(file, true);
        }
        match opened {
            Ok(tables) if tables.are_of_another_key(sealer)? => Err(OpenError::Key),
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
    pub(crate) fn build(
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
    pub(crate) fn aside(&self, name: &str, what: &str) -> io::Result<String> {
        let taken = self.disk.list()?;
        let base = format!("{name}.{what}-{}", self.options.date);
        let numbered = (1..).map(|number| format!("{base}-{number}"));
        Ok(std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(base))
    }

    /// Sets the store aside and puts the best that can be had in its place.
    fn replace(&mut self, why: &str, sealer: &mut Sealer) -> Result<Tables, OpenError> {
        log::error!("the store is damaged ({why}); looking for what can be had");
        let mut files = Vec::new();
        let journals = self.journal_epochs(sealer)?;
        let passed = passed(&journals);
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

    pub(crate) fn journal_epochs(&self, sealer: &Sealer) -> Result<[Scan; 2], OpenError> {
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
}

/// Journals under an epoch that new tables have behind them are not applied to them: all that are there, and the one behind them, of
/// which nothing may be readable.
pub(crate) fn passed(journals: &[Scan]) -> u64 {
    journals.iter().map(|scan| scan.epoch).max().unwrap_or(0) + 1
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
