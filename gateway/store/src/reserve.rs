//! Space put by for a full disk: a file of zeros that is given up when the tables cannot grow, so that devices go on attaching and
//! fetching what is there. Nothing new is stored until there is room for it again.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::Disk;
use crate::journal;

const NAME: &str = "reserve";
const NEW: &str = "reserve.new";

/// Gives the space to a start; false if there is none.
pub(crate) fn spend(disk: &dyn Disk) -> io::Result<bool> {
    if disk.open(NAME)?.is_none() {
        return Ok(false);
    }
    disk.remove(NAME)?;
    disk.sync_names()?;
    Ok(true)
}

/// The file, and whether it is given up.
#[derive(Debug)]
pub(crate) struct Reserve {
    bytes: u64,
    given_up: AtomicBool,
}

impl Reserve {
    /// Makes the file if it is not there and there is room.
    pub(crate) fn open(disk: &dyn Disk, bytes: u64) -> io::Result<Self> {
        let there = match disk.open(NAME)? {
            Some(file) => file.len()? == bytes,
            None => false,
        };
        let reserve = Self { bytes, given_up: AtomicBool::new(!there) };
        if !there && !reserve.restore(disk) {
            log::warn!("the disk is full: what is stored can be fetched, nothing new is stored");
        }
        Ok(reserve)
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Gives the space to the tables; false if that was done before.
    pub(crate) fn give_up(&self, disk: &dyn Disk) -> bool {
        if self.given_up.swap(true, Ordering::Relaxed) {
            return false;
        }
        if let Err(error) = disk.remove(NAME).and_then(|()| disk.sync_names()) {
            log::warn!("{NAME}: {error}");
        }
        log::error!("the disk is full: what is stored can be fetched, nothing new is stored until there is room");
        true
    }

    /// Takes the space back as soon as there is twice as much; true if the file is there.
    pub(crate) fn restore(&self, disk: &dyn Disk) -> bool {
        if !self.is_given_up() {
            return true;
        }
        // Looked at first: trying to write it again and again would wear a card out.
        if !disk.available().is_ok_and(|bytes| bytes >= 2 * self.bytes) {
            return false;
        }
        let made = disk.create(NEW).and_then(|file| {
            journal::fill(file.as_ref(), 0, self.bytes)?;
            file.sync()?;
            disk.rename(NEW, NAME)?;
            disk.sync_names()
        });
        if let Err(error) = made {
            log::debug!("{NAME}: {error}");
            let _ = disk.remove(NEW);
            return false;
        }
        self.given_up.store(false, Ordering::Relaxed);
        true
    }
}
