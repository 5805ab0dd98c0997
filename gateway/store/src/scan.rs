//! What the files of the journal hold, and what is missing of it. Nothing is changed here: a start that ends before it has told of a
//! loss must leave the next one the same files to find it in.

use std::io;

use crate::codec::{self, Edit};
use crate::disk::{Disk, DiskFile};
use crate::journal::{HEAD_LEN, MAGIC, NAMES, Position, place, record_len};
use crate::limits::BLOCK_BYTES;
use crate::seal::{NONCE_LEN, Sealer, TAG_LEN};

/// Groups that were written under one epoch, and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) epoch: u64,
    /// The first that is missing, from 0.
    pub(crate) from: u64,
    /// How many; 0 if that is not known.
    pub(crate) groups: u64,
}

/// A group that opens.
#[derive(Debug)]
struct Group {
    sequence: u64,
    edits: Vec<Edit>,
}

/// The head of a group that does not open. It is no more than a hint: heads are in the clear.
#[derive(Clone, Copy, Debug)]
struct Torn {
    offset: u64,
    epoch: u64,
    sequence: u64,
}

impl Torn {
    /// Whether there are blocks for the groups before it, from a number and place on.
    fn can_be(&self, from: u64, offset: u64) -> bool {
        let blocks = self.offset.saturating_sub(offset) / BLOCK_BYTES;
        self.sequence.checked_sub(from).is_some_and(|groups| (1..=blocks).contains(&groups))
    }
}

/// What one file holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Behind the last group that opens.
    end: Position,
    groups: Vec<Group>,
    gaps: Vec<Gap>,
    /// Of newer epochs than that of the groups, and behind a group of theirs at least.
    torn: Vec<Torn>,
    /// There is no file.
    pub(crate) missing: bool,
    /// The file is shorter than it was made: whatever its end held is missing.
    pub(crate) short: bool,
    /// Nothing was ever written to it.
    pub(crate) blank: bool,
}

impl Scan {
    pub(crate) fn epoch(&self) -> u64 {
        self.end.epoch
    }

    pub(crate) fn groups(&self) -> u64 {
        self.groups.len() as u64
    }

    pub(crate) fn into_edits(self) -> impl Iterator<Item = Edit> {
        self.groups.into_iter().flat_map(|group| group.edits)
    }

    /// Takes out what is behind the last group that was confirmed, now that their number is known, and notes what is missing before.
    /// A group that was refused may lie there whole: its sync had failed, and the next one no longer fitted in its place.
    fn expect(&mut self, groups: u64) {
        self.groups.retain(|group| group.sequence < groups);
        self.gaps.retain(|gap| gap.from < groups);
        if let Some(last) = self.gaps.last_mut() {
            last.groups = last.groups.min(groups - last.from);
        }
        let epoch = self.epoch();
        if self.end.sequence < groups {
            self.gaps.push(Gap { epoch, from: self.end.sequence, groups: groups - self.end.sequence });
        }
        self.end.sequence = groups;
    }
}

/// What the journal holds that the tables do not have.
#[derive(Debug)]
pub(crate) struct Left {
    /// Oldest first.
    pub(crate) scans: Vec<Scan>,
    /// Of all that was written, as far as that can be told.
    pub(crate) newest: u64,
    /// What was confirmed and is missing.
    pub(crate) gaps: Vec<Gap>,
}

impl Left {
    /// Judges both files together, beside tables that have all epochs up to `done`.
    pub(crate) fn new(scans: [Scan; 2], done: u64) -> Self {
        let lost = scans.iter().filter(|scan| scan.missing || scan.short);
        let mut gaps: Vec<Gap> =
            lost.map(|scan| Gap { epoch: scan.epoch().max(done), from: scan.end.sequence, groups: 0 }).collect();
        let opens = scans.iter().map(Scan::epoch).fold(done, u64::max);
        let mut newest = opens;
        // Epochs of which nothing opens.
        let torn: Vec<Torn> = scans.iter().flat_map(|scan| &scan.torn).copied().collect();
        let highest = |epoch| torn.iter().filter(|torn| torn.epoch == epoch).map(|torn| torn.sequence).max();
        while let Some(groups) = highest(newest.saturating_add(1)) {
            newest += 1;
            gaps.push(Gap { epoch: newest, from: 0, groups });
        }
        let mut scans: Vec<Scan> = scans.into_iter().filter(|scan| scan.epoch() > done).collect();
        scans.sort_by_key(Scan::epoch);
        let before = scans.last().map_or(0, |newest| newest.end.before);
        match scans.iter_mut().find(|scan| scan.epoch() + 1 == opens) {
            Some(older) => older.expect(before),
            None if opens > done + 1 => gaps.push(Gap { epoch: opens - 1, from: 0, groups: before }),
            None => {}
        }
        gaps.extend(scans.iter().flat_map(|scan| scan.gaps.iter().copied()));
        Self { scans, newest, gaps }
    }

    /// Where the next group goes, if nothing is missing.
    pub(crate) fn position(&self) -> Position {
        self.scans.last().map_or(Position::first(self.newest + 1), |newest| newest.end)
    }
}

/// Reads both files.
pub(crate) fn scan(disk: &dyn Disk, len: u64, sealer: &Sealer) -> io::Result<[Scan; 2]> {
    let one = |at: usize| -> io::Result<Scan> {
        let Some(file) = disk.open(NAMES[at])? else {
            return Ok(Scan { missing: true, blank: true, ..Scan::default() });
        };
        let there = file.len()?;
        let blank = is_blank(file.as_ref(), there)?;
        let scan = if blank { Scan::default() } else { read(file.as_ref(), there, at, sealer)? };
        Ok(Scan { short: there < len, blank, ..scan })
    };
    Ok([one(0)?, one(1)?])
}

/// The names of those files that are to be kept where something is missing: not of one that nothing was ever written to, since that is
/// not made anew; but where its end is gone, nobody knows.
pub(crate) fn written(scans: &[Scan; 2]) -> Vec<&'static str> {
    NAMES.into_iter().zip(scans).filter(|(_, scan)| !scan.blank || scan.short).map(|(name, _)| name).collect()
}

fn is_blank(file: &dyn DiskFile, len: u64) -> io::Result<bool> {
    let mut part = vec![0; 1 << 16];
    let mut offset = 0;
    while offset < len {
        let now = usize::try_from((len - offset).min(part.len() as u64)).unwrap_or(part.len());
        file.read_at(offset, &mut part[..now])?;
        if part[..now].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        offset += now as u64;
    }
    Ok(true)
}

enum Found {
    Group { epoch: u64, before: u64, group: Group, next: u64 },
    Torn(Torn),
    Nothing,
}

/// What begins at an offset.
fn read_one(file: &dyn DiskFile, len: u64, offset: u64, sealer: &Sealer) -> io::Result<Found> {
    let mut head = [0; HEAD_LEN];
    if offset + HEAD_LEN as u64 > len {
        return Ok(Found::Nothing);
    }
    file.read_at(offset, &mut head)?;
    if !head.starts_with(&MAGIC) {
        return Ok(Found::Nothing);
    }
    let long = |at: usize| u64::from_be_bytes(core::array::from_fn(|i| head[at + i]));
    let (epoch, sequence, before) = (long(8), long(16), long(24));
    let torn = Found::Torn(Torn { offset, epoch, sequence });
    let sealed_len = usize::try_from(long(4) >> 32).unwrap_or(usize::MAX);
    let payload = sealed_len.checked_sub(NONCE_LEN + TAG_LEN);
    // What fills the last block up may have been cut off.
    let end = (offset + HEAD_LEN as u64).saturating_add(sealed_len as u64);
    let Some(payload) = payload.filter(|_| end <= len) else {
        return Ok(torn);
    };
    let mut sealed = vec![0; sealed_len];
    file.read_at(offset + HEAD_LEN as u64, &mut sealed)?;
    let edits = sealer.open(&head, &sealed).ok().and_then(|payload| codec::decode(&payload).ok());
    let next = offset + record_len(payload);
    Ok(edits.map_or(torn, |edits| Found::Group { epoch, before, group: Group { sequence, edits }, next }))
}

/// Reads a file: the groups of its newest epoch, in order, and what is missing among them.
///
/// Groups of the epoch before, behind the newest ones, are what is left of the file's earlier use. A block that does not open is
/// the end if nothing of the epoch follows: either nothing was written there, or a group that was never confirmed. What follows may
/// be a head alone: a group's number is given out when the one before is confirmed, so one above the next number is proof enough.
fn read(file: &dyn DiskFile, len: u64, at: usize, sealer: &Sealer) -> io::Result<Scan> {
    let (mut scan, mut torn) = (Scan::default(), Vec::new());
    let mut offset = 0;
    while offset < len {
        let (epoch, before, group, next) = match read_one(file, len, offset, sealer)? {
            Found::Group { epoch, before, group, next } => (epoch, before, group, next),
            other => {
                if let Found::Torn(head) = other {
                    torn.push(head);
                }
                offset += BLOCK_BYTES;
                continue;
            }
        };
        if epoch > scan.epoch() {
            // Of an older epoch only if the newer one's first groups are damaged.
            scan = Scan { end: Position::first(epoch), ..Scan::default() };
        }
        let expected = scan.end.sequence;
        if epoch == scan.epoch() && group.sequence >= expected {
            if group.sequence > expected {
                scan.gaps.push(Gap { epoch, from: expected, groups: group.sequence - expected });
            }
            scan.end = Position { epoch, before, offset: next, sequence: group.sequence + 1 };
            scan.groups.push(group);
        }
        offset = next;
    }
    let Position { epoch, offset, sequence, .. } = scan.end;
    let behind = torn.iter().filter(|torn| torn.epoch == epoch && torn.can_be(sequence, offset));
    if let Some(highest) = behind.map(|torn| torn.sequence).max() {
        scan.gaps.push(Gap { epoch, from: sequence, groups: highest - sequence });
        scan.end.sequence = highest;
    }
    torn.retain(|torn| torn.epoch > epoch && place(torn.epoch) == at && torn.can_be(0, 0));
    scan.torn = torn;
    Ok(scan)
}
