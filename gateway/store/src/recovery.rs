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
use crate::journal;
use crate::layer::Layer;
use crate::open::Options;
use crate::scan::{Left, Scan, scan, written};
use crate::seal::Sealer;
use crate::tables::{FORMAT, FORMAT_1, SetBack, Tables, Unopened, disk_error, guarded};
use crate::view::name;
use crate::walk::{Filler, Sequential, each_record, same, unreadable};

/// The tables' file.
pub(crate) const TABLES: &str = "store.redb";
/// A mark that the tables are to be read through.
pub(crate) const SUSPECT: &str = "store.suspect";
/// How names of snapshots begin and end.
pub const SNAPSHOT: (&str, &str) = ("snapshot-", ".sga");
/// Digits of the number that follows: the newest has the highest.
pub const SNAPSHOT_DIGITS: usize = 12;

/// The number of a snapshot, and what its name says besides. Other files of that look are somebody else's.
#[must_use]
pub fn snapshot_name(name: &str) -> Option<(u64, &str)> {
    let inner = name.strip_prefix(SNAPSHOT.0)?.strip_suffix(SNAPSHOT.1)?;
    let (number, rest) = inner.split_at_checked(SNAPSHOT_DIGITS)?;
    let whole = number.bytes().all(|byte| byte.is_ascii_digit()) && (rest.is_empty() || rest.starts_with('-'));
    Some((number.parse().ok().filter(|_| whole)?, rest))
}

pub(crate) struct Opening<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) options: &'a Options,
    pub(crate) findings: &'a mut Vec<Finding>,
}

impl Opening<'_> {
    pub(crate) fn tables(&mut self, sealer: &mut Sealer) -> Result<Tables, OpenError> {
        let names = self.disk.list()?;
        let has = |name: &str| names.iter().any(|found| found == name);
        let Some(file) = self.disk.open(TABLES)? else {
            if scan(self.disk, self.options.segment_bytes, sealer)?.iter().any(|scan| !scan.blank) {
                // A journal that was written to, without tables: they were taken away.
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
        journal::make_missing(self.disk, self.options.segment_bytes)?;
        self.build(sealer, 0, SetBack::Keep, &[], |_| Ok(()))
    }

    /// Makes tables beside those that are there, keeps some files under other names as well, gives the new ones the store's name, and
    /// opens them.
    pub(crate) fn build(
        &self,
        sealer: &mut Sealer,
        epoch: u64,
        mark: SetBack,
        aside: &[(&str, String)],
        fill: impl FnOnce(&mut Filler<'_>) -> Result<(), StoreError>,
    ) -> Result<Tables, OpenError> {
        let new = format!("{TABLES}.new");
        let file = self.disk.create(&new)?;
        let made = (|| {
            let tables = Tables::create(file, self.options.cache_bytes, epoch)?;
            let mut filler = Filler { tables: &tables, sealer, layer: Layer::default(), records: 0 };
            fill(&mut filler)?;
            filler.flush()?;
            tables.take_in(&Layer::default(), epoch, mark, filler.sealer)
        })();
        if let Err(error) = made {
            // Half of it would take the room that something else needs.
            let _ = self.disk.remove(&new);
            return Err(error.into());
        }
        self.keep(aside)?;
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

    /// Names under which those of these files that are there can be kept, or are, since a start that came to no end: one that is tried
    /// again and again is not to leave names without end.
    pub(crate) fn asides(&self, names: &[&'static str], what: &str) -> io::Result<Vec<(&'static str, String)>> {
        let taken = self.disk.list()?;
        let mut asides = Vec::new();
        for name in names {
            let Some(file) = self.disk.open(name)? else { continue };
            let mut kept = None;
            for other in taken.iter().filter(|other| other.starts_with(&format!("{name}.{what}-"))) {
                if let Some(known) = self.disk.open(other)?
                    && same(file.as_ref(), known.as_ref())?
                {
                    kept = Some(other.clone());
                }
            }
            let kept = kept.map_or_else(|| self.aside(name, what), Ok)?;
            asides.push((*name, kept));
        }
        Ok(asides)
    }

    /// Gives files a second name, which takes no room. Something else has to take the first before anybody writes to it.
    pub(crate) fn keep(&self, aside: &[(&str, String)]) -> io::Result<()> {
        let taken = self.disk.list()?;
        for (name, kept) in aside.iter().filter(|(_, kept)| !taken.contains(kept)) {
            self.disk.link(name, kept)?;
        }
        if aside.is_empty() { Ok(()) } else { self.disk.sync_names() }
    }

    /// Sets the store aside and puts the best that can be had in its place.
    fn replace(&mut self, why: &str, sealer: &mut Sealer) -> Result<Tables, OpenError> {
        log::error!("the store is damaged ({why}); looking for what can be had");
        let journals = scan(self.disk, self.options.segment_bytes, sealer)?;
        let unfit = unfit(&journals);
        let passed = passed(&journals);
        let aside = self.asides(&[&[TABLES][..], &written(&journals)].concat(), "damaged")?;
        let files = aside.iter().map(|(_, kept)| kept.clone()).collect();
        let (tables, found) = match self.take_snapshot(sealer, passed, &aside)? {
            Some(replaced) => replaced,
            None => self.salvage(&aside, journals, passed, sealer)?,
        };
        self.findings.push(Finding::SetAside { why: why.to_owned(), files });
        self.findings.extend(found);
        // The mark is in the new tables: what these files have lost is told.
        journal::make_anew(self.disk, self.options.segment_bytes, unfit)?;
        if self.disk.list()?.iter().any(|name| name == SUSPECT) {
            self.disk.remove(SUSPECT)?;
            self.disk.sync_names()?;
        }
        Ok(tables)
    }

    fn take_snapshot(
        &self,
        sealer: &mut Sealer,
        passed: u64,
        aside: &[(&str, String)],
    ) -> Result<Option<Replaced>, OpenError> {
        let mut names: Vec<String> = self.disk.list()?;
        names.retain(|name| snapshot_name(name).is_some());
        // Numbers of the same length sort by their digits.
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
            let tables = self.build(sealer, passed, SetBack::Mark, aside, |filler| {
                let mut from = Sequential::new(file.as_ref()).map_err(|error| disk_error(&error))?;
                backup::read(&mut from, &reader, |key, value| filler.put(key, value)).map_err(as_store_error)?;
                Ok(())
            })?;
            return Ok(Some((tables, vec![Finding::FromSnapshot { file: name, records: contents.records }])));
        }
        Ok(None)
    }

    /// Takes over every record that opens, and what the journals have on top of them.
    fn salvage(
        &self,
        aside: &[(&str, String)],
        journals: [Scan; 2],
        passed: u64,
        sealer: &mut Sealer,
    ) -> Result<Replaced, OpenError> {
        let old = match self.disk.open(TABLES)? {
            Some(file) => Tables::look(file, self.options.cache_bytes, false, FORMAT).ok(),
            None => None,
        };
        let left = Left::new(journals, old.as_ref().map_or(0, Tables::epoch));
        let opener = sealer.split();
        let (mut lost, mut lost_count, mut cut) = (Vec::new(), 0, old.is_none());
        let (mut records, mut groups) = (0, 0);
        let tables = self.build(sealer, passed, SetBack::Mark, aside, |filler| {
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
            for scan in left.scans {
                groups += scan.groups();
                scan.into_edits().for_each(|edit| filler.layer.apply(edit));
                filler.flush()?;
            }
            records = filler.records;
            Ok(())
        })?;
        let salvaged = if records == 0 && groups == 0 {
            Finding::Empty
        } else {
            Finding::Salvaged { records, lost, lost_count, cut }
        };
        // A file that is cut or gone is one of those that were set aside.
        let gaps = left.gaps.into_iter().filter(|gap| gap.groups > 0).map(Finding::from);
        Ok((tables, std::iter::once(salvaged).chain(gaps).collect()))
    }

    /// From the first format: no journal, some values not sealed.
    fn migrate(&mut self, sealer: &mut Sealer) -> Result<Tables, OpenError> {
        let kept = self.aside(TABLES, "format-1")?;
        let file = self.disk.open(TABLES)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
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
        journal::make_missing(self.disk, self.options.segment_bytes)?;
        let aside = [(TABLES, kept.clone())];
        let tables = self.build(sealer, 0, mark, &aside, |filler| {
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
    journals.iter().map(Scan::epoch).max().unwrap_or(0) + 1
}

/// Journals that are to be made anew once their loss is marked.
pub(crate) fn unfit(journals: &[Scan; 2]) -> [bool; 2] {
    journals.each_ref().map(|scan| scan.missing || scan.short)
}

/// Tables that took the place of damaged ones, and what there is to tell of them.
type Replaced = (Tables, Vec<Finding>);

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
