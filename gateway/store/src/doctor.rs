//! Looking at a store without touching it: what there is, and what of it does not open.

use std::collections::BTreeSet;
use std::fmt;

use sga_gateway_core::{Key, StoreError};

use crate::backup::{self, Contents};
use crate::disk::Disk;
use crate::findings::{Finding, OpenError};
use crate::journal::NAMES;
use crate::open::Options;
use crate::recovery::{SUSPECT, TABLES, snapshot_name};
use crate::scan::{Left, Scan, scan};
use crate::seal::Sealer;
use crate::tables::{FORMAT, Tables, Unopened, disk_error};
use crate::view::name;
use crate::walk::{Sequential, each_record};

/// How many damaged records are named.
const NAMED_MAX: usize = 32;

/// What [`examine`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Devices, sessions, items and mailboxes in the tables.
    pub devices: u64,
    /// See `devices`.
    pub sessions: u64,
    /// See `devices`.
    pub items: u64,
    /// See `devices`.
    pub mailboxes: u64,
    /// Groups of commits in the journals that the tables do not have yet.
    pub groups: u64,
    /// Snapshots that can be used, newest last.
    pub snapshots: Vec<(String, Contents)>,
    /// It was written under another `gateway.key`: nothing in it can be judged, and no gateway starts on it with this one.
    pub another_key: bool,
    /// What is wrong; empty for a sound store.
    pub wrong: Vec<String>,
    /// Damaged records that `wrong` does not name.
    pub unnamed: u64,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.another_key {
            return write!(f, "{}", OpenError::Key);
        }
        writeln!(
            f,
            "tables: {} devices, {} sessions, {} items in {} mailboxes",
            self.devices, self.sessions, self.items, self.mailboxes
        )?;
        writeln!(f, "journal: {} groups of commits that the tables do not have yet", self.groups)?;
        for (name, contents) in &self.snapshots {
            writeln!(f, "{name}: {} records, {} items", contents.records, contents.items)?;
        }
        for wrong in &self.wrong {
            writeln!(f, "damaged: {wrong}")?;
        }
        if self.unnamed > 0 {
            writeln!(f, "damaged: {} records more", self.unnamed)?;
        }
        if self.wrong.is_empty() {
            return f.write_str("the store is sound");
        }
        f.write_str("the next start sets the damaged store aside and goes on with what can be had; `restore` puts a backup in its place")
    }
}

/// Reads everything through. Nothing is changed, not even repaired.
///
/// # Errors
/// The disk cannot be read.
pub fn examine(disk: &dyn Disk, at_rest_key: &[u8; 32], options: &Options) -> Result<Diagnosis, StoreError> {
    let sealer = Sealer::new(at_rest_key, options.seed);
    let mut found = Diagnosis::default();
    let failed = |error: std::io::Error| disk_error(&error);
    let mut done = 0;
    match disk.open(TABLES).map_err(failed)? {
        None => found.wrong.push(format!("{TABLES} is missing")),
        Some(file) => match Tables::look(file, options.cache_bytes, true, FORMAT) {
            Ok(tables) if tables.are_of_another_key(&sealer)? => {
                found.another_key = true;
                return Ok(found);
            }
            Ok(tables) => {
                done = tables.epoch();
                examine_tables(&tables, &sealer, &mut found)?;
            }
            Err(Unopened::Format(format)) => {
                found.wrong.push(format!("{TABLES} is of format {}", String::from_utf8_lossy(&format)));
            }
            Err(Unopened::Damaged(why)) => found.wrong.push(format!("{TABLES}: {why}")),
            Err(Unopened::Disk(error)) => return Err(error),
        },
    }
    let scans = scan(disk, options.segment_bytes, &sealer).map_err(failed)?;
    for (name, scan) in NAMES.iter().zip(&scans) {
        if scan.missing {
            found.wrong.push(format!("{name} is missing"));
        } else if scan.short {
            found.wrong.push(format!("{name} is shorter than it was made"));
        }
    }
    // The same judgement as a start's.
    let left = Left::new(scans, done);
    found.groups = left.scans.iter().map(Scan::groups).sum();
    found.wrong.extend(left.gaps.into_iter().map(|gap| Finding::from(gap).to_string()));
    let mut names = disk.list().map_err(failed)?;
    names.sort();
    if names.iter().any(|name| name == SUSPECT) {
        found.wrong.push("the gateway came by damage when it ran".into());
    }
    for name in names {
        if snapshot_name(&name).is_none() {
            continue;
        }
        let Some(file) = disk.open(&name).map_err(failed)? else { continue };
        let mut from = Sequential::new(file.as_ref()).map_err(failed)?;
        match backup::read(&mut from, &sealer, |_, _| Ok(())) {
            Ok(contents) => found.snapshots.push((name, contents)),
            Err(error) => found.wrong.push(format!("{name}: {error}")),
        }
    }
    Ok(found)
}

fn examine_tables(tables: &Tables, sealer: &Sealer, found: &mut Diagnosis) -> Result<(), StoreError> {
    let reading = tables.read()?;
    let mut mailboxes = BTreeSet::new();
    let whole = each_record(&reading, |key, sealed| {
        match Key::from_bytes(key) {
            Some(Key::Device(_)) => found.devices += 1,
            Some(Key::Session(_)) => found.sessions += 1,
            Some(Key::Item { mailbox, .. }) => {
                found.items += 1;
                mailboxes.insert(mailbox);
            }
            _ => {}
        }
        if sealer.open(key, sealed).is_err() {
            if found.wrong.len() < NAMED_MAX {
                found.wrong.push(format!("{} does not open", name(key)));
            } else {
                found.unnamed += 1;
            }
        }
        Ok(())
    })?;
    found.mailboxes = mailboxes.len() as u64;
    if !whole {
        found.wrong.push(format!("{TABLES} cannot be read to its end"));
    }
    Ok(())
}
