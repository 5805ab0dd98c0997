//! What an operator should know about a start, and why one may fail.

use std::fmt;
use std::io;

use sga_gateway_core::StoreError;

use crate::recovery::TABLES;
use crate::scan::Gap;
use crate::tables::disk_error;

/// Something that an operator should know about this start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The store was damaged and is kept under other names.
    SetAside {
        /// Why.
        why: String,
        /// The files' names now.
        files: Vec<String>,
    },
    /// A snapshot took its place: what was stored after it was made is missing.
    FromSnapshot {
        /// Its name.
        file: String,
        /// Records in it.
        records: u64,
    },
    /// All records that still open took its place.
    Salvaged {
        /// How many.
        records: u64,
        /// Those that do not, the first of them by name.
        lost: Vec<String>,
        /// How many do not.
        lost_count: u64,
        /// Whether reading came to an end before the file did: how many more are missing is not known.
        cut: bool,
    },
    /// Nothing could be had: the store is new, all devices have to register again.
    Empty,
    /// Groups of commits that were confirmed are missing from the journal.
    JournalGap {
        /// Which journal.
        epoch: u64,
        /// The first group that is missing.
        from: u64,
        /// How many; 0 if that is not known.
        groups: u64,
    },
    /// The store was of an older format and is kept under another name.
    Migrated {
        /// That name.
        kept: String,
    },
}

impl From<Gap> for Finding {
    fn from(Gap { epoch, from, groups }: Gap) -> Self {
        Self::JournalGap { epoch, from, groups }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Journals that were taken away leave nothing to keep.
            Self::SetAside { why, files } if files.is_empty() => write!(f, "the store is damaged ({why})"),
            Self::SetAside { why, files } => {
                write!(f, "the store is damaged ({why}); it is kept as {}", files.join(", "))
            }
            Self::FromSnapshot { file, records } => write!(
                f,
                "the store goes on from the snapshot {file} ({records} records): what was stored after that is missing"
            ),
            Self::Salvaged { records, lost, lost_count, cut } => {
                write!(f, "the store goes on with the {records} records that open")?;
                if *lost_count > 0 {
                    write!(f, "; {lost_count} do not: {}", lost.join(", "))?;
                }
                if (lost.len() as u64) < *lost_count {
                    f.write_str(", …")?;
                }
                if *cut { f.write_str("; the file could not be read to its end, more may be missing") } else { Ok(()) }
            }
            Self::Empty => {
                f.write_str("nothing of it can be read: the store is new, all devices have to register again")
            }
            Self::JournalGap { epoch, groups: 0, .. } => {
                write!(f, "journal {epoch}: its file was cut or taken away: what it held is missing")
            }
            Self::JournalGap { epoch, from, groups } => write!(
                f,
                "journal {epoch}: {groups} groups of commits from group {from} on do not open: what they held is missing"
            ),
            Self::Migrated { kept } => {
                write!(f, "the store was of format 1 and is of format 2 now; the old file is kept as {kept}")
            }
        }
    }
}

/// Why a store does not open.
#[derive(Debug)]
pub enum OpenError {
    /// Of a format that this version does not know.
    Format(String),
    /// Under another key than the one it was opened with.
    Key,
    /// The disk is full, and what takes a damaged store's place needs room.
    NoRoom {
        /// How much is enough.
        bytes: u64,
    },
    /// The disk.
    Disk(StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(found) => {
                write!(f, "{TABLES} is of format {found:?}; this version reads 1 and 2: a newer gateway wrote it")
            }
            Self::Key => write!(
                f,
                "{TABLES} was written under another gateway.key: put that key back, or move {TABLES} and journal-* out of the \
                 folder to begin anew"
            ),
            Self::NoRoom { bytes } => write!(
                f,
                "the disk is full, and this start has to write: free {} MiB on it and start again; until then everything stays as it is",
                bytes.div_ceil(1 << 20)
            ),
            Self::Disk(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Disk(disk_error(&error))
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Disk(error)
    }
}
