//! The journal: two files of fixed length that are written in turn, one group of commits after the other.
//!
//! A group begins at a multiple of [`BLOCK_BYTES`] and is one sealed record: what a crash has torn does not open. The files are
//! never longer or shorter than they were made, so that writing to them needs no space and changes no name or length.

use std::io;

use crate::disk::{Disk, DiskFile};
use crate::limits::BLOCK_BYTES;
use crate::seal::{NONCE_LEN, Sealer, TAG_LEN};

pub(crate) const MAGIC: [u8; 4] = *b"SGAJ";
/// Magic, length, epoch, sequence, groups of the epoch before.
pub(crate) const HEAD_LEN: usize = 32;

/// The two files' names; an epoch is written to the one of its parity.
pub(crate) const NAMES: [&str; 2] = ["journal-0", "journal-1"];

pub(crate) fn place(epoch: u64) -> usize {
    usize::from(epoch % 2 == 1)
}

/// Where a group goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    /// How many groups the epoch before had; 0 if the tables have it.
    pub(crate) before: u64,
    pub(crate) offset: u64,
    pub(crate) sequence: u64,
}

impl Position {
    /// The first of an epoch that has none before it in the journal.
    pub(crate) fn first(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }
}

/// Writes groups.
#[derive(Debug)]
pub(crate) struct Journal {
    files: [Box<dyn DiskFile>; 2],
    len: u64,
    at: Position,
}

impl Journal {
    /// Opens both files to go on at a position.
    pub(crate) fn open(disk: &dyn Disk, len: u64, at: Position) -> io::Result<Self> {
        let open = |name| -> io::Result<Box<dyn DiskFile>> {
            let file = disk.open(name)?.ok_or(io::ErrorKind::NotFound)?;
            // What was written by a process that was killed may not be on the medium yet.
            file.sync()?;
            Ok(file)
        };
        Ok(Self { files: [open(NAMES[0])?, open(NAMES[1])?], len, at })
    }

    /// Goes on under another epoch, in the other file: what that held is not needed any more.
    pub(crate) fn turn(&mut self) {
        self.at = Position { before: self.at.sequence, ..Position::first(self.at.epoch + 1) };
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.at.epoch
    }

    /// Whether a group of this many bytes fits the file that is being written, and an empty one behind it; or fills it alone.
    pub(crate) fn fits(&self, payload: usize) -> bool {
        let behind = if self.at.offset == 0 { 0 } else { record_len(0) };
        self.at.offset + record_len(payload) + behind <= self.len
    }

    /// Whether one would fit an empty file.
    pub(crate) fn could_fit(&self, payload: usize) -> bool {
        record_len(payload) <= self.len
    }

    /// Whether the empty group fits that closes the journal.
    pub(crate) fn can_close(&self) -> bool {
        self.at.offset + record_len(0) <= self.len
    }

    /// Writes a group and waits until it is on the medium. After an error the next group takes its place, or the journal turns there
    /// and says so.
    pub(crate) fn append(&mut self, sealer: &mut Sealer, payload: &[u8]) -> io::Result<()> {
        let sealed_len = NONCE_LEN + payload.len() + TAG_LEN;
        let mut record = head(sealed_len, self.at).to_vec();
        let sealed = sealer.seal(&record, payload);
        record.extend_from_slice(&sealed);
        let file = &self.files[place(self.at.epoch)];
        file.write_at(self.at.offset, &record)?;
        file.sync()?;
        self.at.offset += record_len(payload.len());
        self.at.sequence += 1;
        Ok(())
    }
}

fn head(sealed_len: usize, at: Position) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&u32::try_from(sealed_len).unwrap_or(u32::MAX).to_be_bytes());
    head[8..16].copy_from_slice(&at.epoch.to_be_bytes());
    head[16..24].copy_from_slice(&at.sequence.to_be_bytes());
    head[24..].copy_from_slice(&at.before.to_be_bytes());
    head
}

pub(crate) fn record_len(payload: usize) -> u64 {
    ((HEAD_LEN + NONCE_LEN + payload + TAG_LEN) as u64).next_multiple_of(BLOCK_BYTES)
}

/// Makes those that are not there: before there are tables, so that a file that is missing beside tables was taken away.
pub(crate) fn make_missing(disk: &dyn Disk, len: u64) -> io::Result<()> {
    for name in NAMES {
        if disk.open(name)?.is_none() {
            make(disk, name, len)?;
        }
    }
    Ok(())
}

/// Makes those anew that a caller names.
pub(crate) fn make_anew(disk: &dyn Disk, len: u64, which: [bool; 2]) -> io::Result<()> {
    for (name, _) in NAMES.into_iter().zip(which).filter(|(_, anew)| *anew) {
        make(disk, name, len)?;
    }
    Ok(())
}

/// A file of zeros that has its name when it is complete.
fn make(disk: &dyn Disk, name: &str, len: u64) -> io::Result<Box<dyn DiskFile>> {
    let new = format!("{name}.new");
    let file = disk.create(&new)?;
    if let Err(error) = fill(file.as_ref(), 0, len) {
        // Half of it would take the room that something else needs.
        let _ = disk.remove(&new);
        return Err(error);
    }
    file.sync()?;
    disk.rename(&new, name)?;
    disk.sync_names()?;
    Ok(file)
}

/// Writes zeros; giving a length is not enough: the blocks are to be there from now on, whatever else fills the disk.
pub(crate) fn fill(file: &dyn DiskFile, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 16];
    while from < to {
        let part = (to - from).min(zeros.len() as u64);
        file.write_at(from, &zeros[..usize::try_from(part).unwrap_or(zeros.len())])?;
        from += part;
    }
    Ok(())
}
