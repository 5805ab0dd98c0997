//! A file of the store as the tables' engine wants it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::StorageBackend;

use crate::disk::DiskFile;

/// Hands everything on.
#[derive(Debug)]
pub(crate) struct OnDisk(pub(crate) Box<dyn DiskFile>);

impl StorageBackend for OnDisk {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}

/// A file that can be taken away from the engine: from then on it can do nothing with it.
#[derive(Debug)]
pub(crate) struct Lent<B>(Arc<RwLock<Option<B>>>);

/// Takes the file away.
pub(crate) type TakeAway = Box<dyn FnOnce() + Send + Sync>;

pub(crate) fn lend<B: StorageBackend>(backend: B) -> (Lent<B>, TakeAway) {
    let place = Arc::new(RwLock::new(Some(backend)));
    let same = place.clone();
    (Lent(place), Box::new(move || drop(same.write().unwrap_or_else(PoisonError::into_inner).take())))
}

impl<B: StorageBackend> Lent<B> {
    fn with<T>(&self, what: impl FnOnce(&B) -> io::Result<T>) -> io::Result<T> {
        let place = self.0.read().unwrap_or_else(PoisonError::into_inner);
        what(place.as_ref().ok_or_else(|| io::Error::other("the file was taken away"))?)
    }
}

impl<B: StorageBackend> StorageBackend for Lent<B> {
    fn len(&self) -> io::Result<u64> {
        self.with(B::len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|file| file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(B::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|file| file.write(offset, data))
    }
}

const PAGE: u64 = 4_096;

/// Shows a file and keeps what is written to itself: for looking at one that must stay as it is.
pub(crate) struct Untouched {
    file: Box<dyn DiskFile>,
    own: Mutex<Own>,
}

struct Own {
    len: u64,
    pages: HashMap<u64, Box<[u8; PAGE as usize]>>,
}

impl fmt::Debug for Untouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Untouched")
    }
}

impl Untouched {
    pub(crate) fn new(file: Box<dyn DiskFile>) -> io::Result<Self> {
        let own = Own { len: file.len()?, pages: HashMap::new() };
        Ok(Self { file, own: Mutex::new(own) })
    }

    fn own(&self) -> std::sync::MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A page as the file has it; zeros beyond its end.
    fn original(&self, page: u64) -> io::Result<Box<[u8; PAGE as usize]>> {
        let mut bytes = Box::new([0; PAGE as usize]);
        let (start, len) = (page * PAGE, self.file.len()?);
        let there = usize::try_from(len.saturating_sub(start).min(PAGE)).unwrap_or(0);
        if there > 0 {
            self.file.read_at(start, &mut bytes[..there])?;
        }
        Ok(bytes)
    }
}

/// Cuts a range at the ends of pages: page, where in it, which part of the buffer.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % PAGE) as usize;
        let part = (PAGE as usize - within).min(len - done);
        let range = done..done + part;
        done += part;
        Some((at / PAGE, within, range))
    })
}

impl StorageBackend for Untouched {
    fn len(&self) -> io::Result<u64> {
        Ok(self.own().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let own = self.own();
        if offset + out.len() as u64 > own.len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        for (page, within, range) in pieces(offset, out.len()) {
            let part = &mut out[range];
            let end = within + part.len();
            match own.pages.get(&page) {
                Some(bytes) => part.copy_from_slice(&bytes[within..end]),
                None => part.copy_from_slice(&self.original(page)?[within..end]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.own().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut own = self.own();
        for (page, within, range) in pieces(offset, data.len()) {
            let bytes = match own.pages.entry(page) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.original(page)?),
            };
            let part = &data[range];
            bytes[within..within + part.len()].copy_from_slice(part);
        }
        own.len = own.len.max(offset + data.len() as u64);
        Ok(())
    }
}
