//! A store in one file: for a copy elsewhere, and to start from when the store itself is damaged.
//!
//! `SGA-BACKUP-1\n`, then records `[key length u16][key][value length u32][sealed value]` in the order of their keys, then an empty
//! key with a sealed trailer: how many records, and SHA-256 of all bytes before it. Integers are big-endian. Values are sealed as in
//! the tables: a backup is of use with its `gateway.key` only.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use sga_gateway_core::StoreError;
use sha2::{Digest, Sha256};

use crate::codec::item_of;
use crate::disk::DiskFile;
use crate::engine::Shared;
use crate::limits::VALUE_BYTES_MAX;
use crate::seal::Sealer;
use crate::tables::disk_error;
use crate::view::{Seen, View, name};
use crate::walk::Sequential;

const MAGIC: &[u8] = b"SGA-BACKUP-1\n";
const TRAILER: &[u8] = b"SGA backup trailer";
const KEY_BYTES_MAX: usize = 64;

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Records in all.
    pub records: u64,
    /// Items of mailboxes among them.
    pub items: u64,
}

/// Makes backups of a store that is open.
#[derive(Debug)]
pub struct Backups {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sealer: Sealer,
}

/// Why there is no backup.
#[derive(Debug)]
pub enum BackupError {
    /// The store cannot be read, or holds something damaged.
    Store(StoreError),
    /// The backup's own file.
    Io(io::Error),
    /// The file is not a whole backup of a store under this key.
    NotOne(&'static str),
}

impl std::fmt::Display for BackupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::NotOne(why) => write!(f, "this is not a whole backup of a store under this gateway.key: {why}"),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Backups {
    /// Writes the state of one moment, while commits go on.
    ///
    /// # Errors
    /// [`BackupError::Store`] if a record is damaged: a backup that lacks something is none.
    pub fn write(&mut self, out: &mut dyn Write) -> Result<Contents, BackupError> {
        let layers = self.shared.layers.read().unwrap_or_else(PoisonError::into_inner);
        let tables = self.shared.tables.read().unwrap_or_else(PoisonError::into_inner).clone();
        let tables =
            tables.ok_or_else(|| BackupError::Store(StoreError::Failed("the store is being opened anew".into())))?;
        let reading = tables.read().map_err(BackupError::Store)?;
        let (active, frozen) = (layers.active.clone(), layers.frozen.clone());
        drop(layers);
        let sealer = self.sealer.split();
        let view = View::new([Some(&active), frozen.as_ref().map(|(layer, _)| layer.as_ref())], reading, &sealer);
        write_view(&view, &mut self.sealer, out)
    }

    /// Whether a file is a whole backup under this store's key, and what it holds.
    ///
    /// # Errors
    /// [`BackupError::NotOne`] with the reason.
    pub fn verify(&self, backup: &dyn DiskFile) -> Result<Contents, BackupError> {
        read(&mut Sequential::new(backup)?, &self.sealer, |_, _| Ok(()))
    }
}

/// Hashes what passes.
struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(&bytes[..read]);
        Ok(read)
    }
}

fn put(out: &mut impl Write, key: &[u8], sealed: &[u8]) -> io::Result<()> {
    out.write_all(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes())?;
    out.write_all(key)?;
    out.write_all(&u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_be_bytes())?;
    out.write_all(sealed)
}

fn write_view(view: &View<'_>, sealer: &mut Sealer, out: &mut dyn Write) -> Result<Contents, BackupError> {
    let mut out = Hashing { inner: io::BufWriter::new(out), hash: Sha256::new() };
    out.write_all(MAGIC)?;
    let mut contents = Contents::default();
    let mut stopped: Result<(), BackupError> = Ok(());
    view.scan(&[0], &[u8::MAX; KEY_BYTES_MAX], |seen| {
        stopped = match seen {
            Seen::Record(key, value) => {
                contents.records += 1;
                contents.items += u64::from(item_of(key).is_some());
                put(&mut out, key, &sealer.seal(key, &value)).map_err(BackupError::Io)
            }
            Seen::Damaged(key) => Err(BackupError::Store(StoreError::Failed(format!("{} is damaged", name(key))))),
        };
        if stopped.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .map_err(BackupError::Store)?;
    stopped?;
    let hash = out.hash.clone().finalize();
    let mut trailer = contents.records.to_be_bytes().to_vec();
    trailer.extend_from_slice(&contents.items.to_be_bytes());
    trailer.extend_from_slice(&hash);
    put(&mut out, b"", &sealer.seal(TRAILER, &trailer))?;
    out.flush()?;
    Ok(contents)
}

/// Reads a backup through; `each` gets every record, opened. What it got counts only if this returns without an error.
pub(crate) fn read(
    from: &mut dyn Read,
    sealer: &Sealer,
    mut each: impl FnMut(&[u8], Vec<u8>) -> Result<(), StoreError>,
) -> Result<Contents, BackupError> {
    let mut from = Hashing { inner: io::BufReader::new(from), hash: Sha256::new() };
    let mut magic = vec![0; MAGIC.len()];
    exactly(&mut from, &mut magic)?;
    if magic != MAGIC {
        return Err(BackupError::NotOne("it does not begin like one"));
    }
    let mut contents = Contents::default();
    loop {
        let hash = from.hash.clone();
        let mut len = [0; 2];
        exactly(&mut from, &mut len)?;
        let mut key = vec![0; usize::from(u16::from_be_bytes(len))];
        if key.len() > KEY_BYTES_MAX {
            return Err(BackupError::NotOne("a key is too long"));
        }
        exactly(&mut from, &mut key)?;
        let mut len = [0; 4];
        exactly(&mut from, &mut len)?;
        let len = u32::from_be_bytes(len) as usize;
        if len > VALUE_BYTES_MAX {
            return Err(BackupError::NotOne("a value is too long"));
        }
        let mut sealed = vec![0; len];
        exactly(&mut from, &mut sealed)?;
        if key.is_empty() {
            let trailer = sealer.open(TRAILER, &sealed).map_err(|_| BackupError::NotOne("its end does not open"))?;
            let mut expected = contents.records.to_be_bytes().to_vec();
            expected.extend_from_slice(&contents.items.to_be_bytes());
            expected.extend_from_slice(&hash.finalize());
            if trailer != expected || from.read(&mut [0])? != 0 {
                return Err(BackupError::NotOne("its end does not fit what is before it"));
            }
            return Ok(contents);
        }
        let value = sealer.open(&key, &sealed).map_err(|_| BackupError::NotOne("a record does not open"))?;
        contents.records += 1;
        contents.items += u64::from(item_of(&key).is_some());
        each(&key, value).map_err(BackupError::Store)?;
    }
}

fn exactly(from: &mut impl Read, out: &mut [u8]) -> Result<(), BackupError> {
    from.read_exact(out).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::NotOne("it is cut off"),
        _ => BackupError::Io(error),
    })
}

/// The disk's error, as the store says it.
pub(crate) fn as_store_error(error: BackupError) -> StoreError {
    match error {
        BackupError::Store(error) => error,
        BackupError::Io(error) => disk_error(&error),
        BackupError::NotOne(why) => StoreError::Failed(why.into()),
    }
}
