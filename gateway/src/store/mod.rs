//! The store's place in this process: the folder it is in, the threads that wait for it, and what its operator is told.

mod backup;
mod snapshots;
mod threads;

pub(crate) use backup::{backup, doctor, restore};
pub(crate) use snapshots::{Snapshots, clear_leftovers};
#[cfg(test)]
pub(crate) use threads::{Answers, Engine};
pub(crate) use threads::{Completion, Store};

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use sga_gateway_core::{Boot, Commit, Found, Key, Want};
use sga_gateway_store::{Finding, Folder, Opened, Options};

use crate::clock;
use crate::entropy;
use crate::error::{Context, Error};

/// A store that nobody else has open.
pub(crate) struct Held {
    pub(crate) opened: Opened,
    /// Given up when it is dropped.
    pub(crate) lock: File,
}

/// The lock of a data folder.
pub(crate) fn lock(data: &Path) -> Result<Option<File>, Error> {
    Folder::new(data).lock().doing("lock the store in", data)
}

pub(crate) fn in_use(data: &Path) -> Error {
    Error::new(format!("{} is in use: another gateway runs on this --data", data.display()))
}

pub(crate) fn options(item_bytes_max: Option<u64>) -> Result<Options, Error> {
    let mut options = Options::new(clock::unix_seconds(), entropy::bytes()?);
    options.item_bytes_max = item_bytes_max.unwrap_or(options.item_bytes_max);
    Ok(options)
}

/// Opens the store in a folder, and says what was found.
pub(crate) fn open(data: &Path, at_rest_key: &[u8; 32], options: &Options) -> Result<Held, Error> {
    let lock = lock(data)?.ok_or_else(|| in_use(data))?;
    let disk = Arc::new(Folder::new(data));
    let opened = sga_gateway_store::open(disk, at_rest_key, options)
        .map_err(|error| Error::new(format!("cannot open the store in {}: {error}", data.display())))?;
    for finding in &opened.findings {
        match finding {
            Finding::Migrated { .. } => log::warn!("{finding}"),
            _ => log::error!("{finding}"),
        }
    }
    Ok(Held { opened, lock })
}

/// What the last start left, or a new generation: in a new store, and in one that was set back, so that devices begin anew with
/// what they have seen.
pub(crate) fn boot(opened: &mut Opened) -> Result<Boot, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::new(format!("the store does not answer: {error}"));
    let found = opened.reader.read(&[Want::Get(Key::Meta)]);
    let last = match &found {
        Ok(found) => match found.as_slice() {
            [Found::Value(Some(value))] => Some(Boot::from_meta(value).map_err(|error| failed(&error))?),
            _ => None,
        },
        Err(error) if opened.set_back => {
            log::error!("{error}");
            None
        }
        Err(error) => return Err(failed(error)),
    };
    let boot = match last {
        Some(boot) if !opened.set_back => return Ok(boot),
        Some(boot) => boot.renewed(entropy::bytes()?, opened.highest_device),
        None => Boot::fresh(entropy::bytes()?).renewed(entropy::bytes()?, opened.highest_device),
    };
    if opened.set_back {
        log::warn!("devices are told that the store was set back: they begin anew with what they have seen");
    }
    opened.writer.apply(&[Commit { id: 0, changes: vec![boot.to_change()] }]).map_err(|error| failed(&error))?;
    Ok(boot)
}

#[cfg(test)]
mod tests;
