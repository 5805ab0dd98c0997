//! The journal: two files of fixed length that are written in turn, one group of commits after the other.
//!
//! A group begins at a multiple of [`BLOCK_BYTES`] and is one sealed record: what a crash has torn does not open. The files are
//! never longer or shorter than they were made, so that writing to them needs no space and changes no name or length.

use std::io;

use crate::codec::{self, Edit};
use crate::disk::{Disk, DiskFile};
use crate::limits::BLOCK_BYTES;
use crate::seal::{NONCE_LEN, Sealer, TAG_LEN};

const MAGIC: [u8; 4] = *b"SGAJ";
/// Magic, length, epoch, sequence, groups of the epoch before.
const HEAD_LEN: usize = 32;

/// The two files' names; an epoch is written to the one of its parity.
pub(crate) const NAMES: [&str; 2] = ["journal-0", "journal-1"];

fn place(epoch: u64) -> usize {
    usize::from(epoch % 2 == 1)
}

/// Groups that were written under one epoch, and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) epoch: u64,
    /// The first that is missing, from 0.
    pub(crate) from: u64,
    /// How many; 0 if that is not known.
    pub(crate) groups: u64,
}

/// What one file holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) epoch: u64,
    pub(crate) groups: Vec<Vec<Edit>>,
    pub(crate) gaps: Vec<Gap>,
    /// How many groups the epoch before had.
    pub(crate) before: u64,
    /// The file was not there.
    pub(crate) made: bool,
    /// The file was shorter than it was made: whatever its end held is missing.
    pub(crate) cut: bool,
    /// Where the next group goes, and its sequence.
    offset: u64,
    sequence: u64,
}

impl Scan {
    /// The group that would come next.
    pub(crate) fn next(&self) -> u64 {
        self.sequence
    }

    /// Groups that are missing at the end, now that their number is known.
    pub(crate) fn expect(&mut self, groups: u64) {
        if self.sequence < groups {
            self.gaps.push(Gap { epoch: self.epoch, from: self.sequence, groups: groups - self.sequence });
        }
    }
}

/// Writes groups.
#[derive(Debug)]
pub(crate) struct Journal {
    files: [Box<dyn DiskFile>; 2],
    len: u64,
    epoch: u64,
    before: u64,
    offset: u64,
    sequence: u64,
}

impl Journal {
    /// Opens both files, made where they are missing, and reads what they hold.
    pub(crate) fn open(disk: &dyn Disk, len: u64, sealer: &Sealer) -> io::Result<(Self, [Scan; 2])> {
        let mut scans = <[Scan; 2]>::default();
        let mut open = |at: usize| -> io::Result<Box<dyn DiskFile>> {
            let (file, made) = match disk.open(NAMES[at])? {
                Some(file) => (file, false),
                None => (make(disk, NAMES[at], len)?, true),
            };
            let there = file.len()?;
            let scan = read(file.as_ref(), there, sealer)?;
            scans[at] = Scan { made, cut: there < len, ..scan };
            fill(file.as_ref(), there, len)?;
            Ok(file)
        };
        let files = [open(0)?, open(1)?];
        // What was written by a process that was killed may not be on the medium yet.
        files.iter().try_for_each(|file| file.sync())?;
        Ok((Self { files, len, epoch: 0, before: 0, offset: 0, sequence: 0 }, scans))
    }

    /// Goes on behind what was read.
    pub(crate) fn resume(&mut self, scan: &Scan) {
        (self.epoch, self.before, self.offset, self.sequence) = (scan.epoch, scan.before, scan.offset, scan.sequence);
    }

    /// Goes on under another epoch, in the other file: what that held is not needed any more.
    pub(crate) fn turn_to(&mut self, epoch: u64) {
        let before = if epoch == self.epoch + 1 { self.sequence } else { 0 };
        (self.epoch, self.before, self.offset, self.sequence) = (epoch, before, 0, 0);
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether a group of this many bytes fits the file that is being written, and an empty one behind it; or fills it alone.
    pub(crate) fn fits(&self, payload: usize) -> bool {
        let behind = if self.offset == 0 { 0 } else { record_len(0) };
        self.offset + record_len(payload) + behind <= self.len
    }

    /// Whether one would fit an empty file.
    pub(crate) fn could_fit(&self, payload: usize) -> bool {
        record_len(payload) <= self.len
    }

    /// Whether the empty group fits that closes the journal.
    pub(crate) fn can_close(&self) -> bool {
        self.offset + record_len(0) <= self.len
    }

    /// Writes a group and waits until it is on the medium. After an error the next group takes its place.
    pub(crate) fn append(&mut self, sealer: &mut Sealer, payload: &[u8]) -> io::Result<()> {
        let sealed_len = NONCE_LEN + payload.len() + TAG_LEN;
        let mut record = head(sealed_len, self.epoch, self.sequence, self.before).to_vec();
        let sealed = sealer.seal(&record, payload);
        record.extend_from_slice(&sealed);
        let file = &self.files[place(self.epoch)];
        file.write_at(self.offset, &record)?;
        file.sync()?;
        self.offset += record_len(payload.len());
        self.sequence += 1;
        Ok(())
    }
}

fn head(sealed_len: usize, epoch: u64, sequence: u64, before: u64) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&u32::try_from(sealed_len).unwrap_or(u32::MAX).to_be_bytes());
    head[8..16].copy_from_slice(&epoch.to_be_bytes());
    head[16..24].copy_from_slice(&sequence.to_be_bytes());
    head[24..].copy_from_slice(&before.to_be_bytes());
    head
}

fn record_len(payload: usize) -> u64 {
    ((HEAD_LEN + NONCE_LEN + payload + TAG_LEN) as u64).next_multiple_of(BLOCK_BYTES)
}

/// A file of zeros that has its name when it is complete.
fn make(disk: &dyn Disk, name: &str, len: u64) -> io::Result<Box<dyn DiskFile>> {
    let new = format!("{name}.new");
    let file = disk.create(&new)?;
    fill(file.as_ref(), 0, len)?;
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

struct Found {
    epoch: u64,
    sequence: u64,
    before: u64,
    edits: Vec<Edit>,
    next: u64,
}

/// The group at an offset, if one is there and opens.
fn read_one(file: &dyn DiskFile, len: u64, offset: u64, sealer: &Sealer) -> io::Result<Option<Found>> {
    let mut head = [0; HEAD_LEN];
    if offset + HEAD_LEN as u64 > len {
        return Ok(None);
    }
    file.read_at(offset, &mut head)?;
    let long = |at: usize| u64::from_be_bytes(core::array::from_fn(|i| head[at + i]));
    let magic = head.starts_with(&MAGIC);
    let sealed_len = usize::try_from(long(4) >> 32).unwrap_or(usize::MAX);
    let payload = sealed_len.checked_sub(NONCE_LEN + TAG_LEN);
    // What fills the last block up may have been cut off; the file is filled up again, and then the group would be there.
    let end = |sealed_len: usize| (offset + HEAD_LEN as u64).saturating_add(sealed_len as u64);
    let Some(payload) = payload.filter(|_| magic && end(sealed_len) <= len) else {
        return Ok(None);
    };
    let mut sealed = vec![0; sealed_len];
    file.read_at(offset + HEAD_LEN as u64, &mut sealed)?;
    let edits = sealer.open(&head, &sealed).ok().and_then(|payload| codec::decode(&payload).ok());
    Ok(edits.map(|edits| Found {
        epoch: long(8),
        sequence: long(16),
        before: long(24),
        edits,
        next: offset + record_len(payload),
    }))
}

/// Reads a file: the groups of its newest epoch, in order, and what is missing among them.
///
/// Groups of the epoch before, behind the newest ones, are what is left of the file's earlier use. A block that does not open is
/// the end if nothing of the epoch follows: either nothing was written there, or a group that was never confirmed.
pub(crate) fn read(file: &dyn DiskFile, len: u64, sealer: &Sealer) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut offset = 0;
    while offset < len {
        let Some(found) = read_one(file, len, offset, sealer)? else {
            offset += BLOCK_BYTES;
            continue;
        };
        if found.epoch > scan.epoch {
            // Of an older epoch only if the newer one's first groups are damaged.
            scan = Scan { epoch: found.epoch, ..Scan::default() };
        }
        if found.epoch == scan.epoch && found.sequence >= scan.sequence {
            if found.sequence > scan.sequence {
                let (from, groups) = (scan.sequence, found.sequence - scan.sequence);
                scan.gaps.push(Gap { epoch: scan.epoch, from, groups });
            }
            scan.sequence = found.sequence + 1;
            scan.before = found.before;
            scan.offset = found.next;
            scan.groups.push(found.edits);
        }
        offset = found.next;
    }
    Ok(scan)
}
