//! What the store asks of a disk, so that a test can be one.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// One folder. Names are plain file names.
///
/// What the store relies on is written in `docs/store.md`: what [`DiskFile::sync`] and [`Disk::sync_names`] have confirmed stays,
/// and a block that is not written to is not harmed by a crash.
pub trait Disk: Debug + Send + Sync + 'static {
    /// The file of this name; `None` if there is none.
    ///
    /// # Errors
    /// Any but that it is not there.
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn DiskFile>>>;

    /// An empty file of this name, in the place of one that is there.
    ///
    /// # Errors
    /// As the disk has them.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// The names of all files.
    ///
    /// # Errors
    /// As the disk has them.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name, in the place of the file that had it; at once or not at all.
    ///
    /// # Errors
    /// As the disk has them.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives a file a second name, for as long as the first is not taken away.
    ///
    /// # Errors
    /// As the disk has them.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a name away.
    ///
    /// # Errors
    /// As the disk has them.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Bytes that may still be written.
    ///
    /// # Errors
    /// As the disk has them.
    fn available(&self) -> io::Result<u64>;

    /// Returns when all that was done to names is on the medium.
    ///
    /// # Errors
    /// Some of it may not be there.
    fn sync_names(&self) -> io::Result<()>;
}

/// One file. Reads and writes may run at the same time.
#[expect(clippy::len_without_is_empty, reason = "nothing asks")]
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Length in bytes.
    ///
    /// # Errors
    /// As the disk has them.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file, or fills it with zeros.
    ///
    /// # Errors
    /// As the disk has them.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reads all of `out`.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data`; the file grows where it has to.
    ///
    /// # Errors
    /// Some of it may have been written.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Returns when all that was written, and the length, is on the medium.
    ///
    /// # Errors
    /// Some of it may not be there, and a later sync does not put it there.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder that is there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// Keeps others out for as long as the file is open; `None` if somebody else is in.
    ///
    /// # Errors
    /// The lock's file cannot be made.
    pub fn lock(&self) -> io::Result<Option<File>> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.0.join("store.lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        options
    }
}

impl Disk for Folder {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn DiskFile>>> {
        match Self::options().open(self.0.join(name)) {
            Ok(file) => Ok(Some(Box::new(PlainFile(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = Self::options().create(true).truncate(true).open(self.0.join(name))?;
        Ok(Box::new(PlainFile(file)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.0.join(from), self.0.join(to));
        match fs::hard_link(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // A file system without links.
            Err(_) => {
                let copied = fs::copy(from, &to).and_then(|_| File::open(&to)).and_then(|file| file.sync_all());
                // Half of it would take the room that something else needs.
                copied.inspect_err(|_| drop(fs::remove_file(&to)))
            }
            Ok(()) => Ok(()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn available(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.0)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

#[derive(Debug)]
struct PlainFile(File);

impl DiskFile for PlainFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
