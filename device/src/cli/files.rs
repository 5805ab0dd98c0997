//! Files that are whole or not there, and that nobody else may read.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::Stop;

fn failed<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Stop + 'a {
    move |error| Stop::Failed(format!("cannot {doing} {}: {error}", path.display()))
}

pub(crate) fn make_folder(path: &Path) -> Result<(), Stop> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make the folder", path))
}

/// Writes a file so that after a crash there is the old one or the new one.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Stop> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed("write", &temporary))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed("write", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("rename to", path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder", folder))
}

pub(crate) fn open(path: &Path) -> Result<File, Stop> {
    File::open(path).map_err(failed("open", path))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    fs::read(path).map_err(failed("read", path))
}

/// Keeps other commands away from a state folder while one works on it.
pub(crate) fn lock(folder: &Path) -> Result<File, Stop> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Stop::Failed(format!("another sga-device works on {}; wait for it or end it", folder.display())))
        }
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}
