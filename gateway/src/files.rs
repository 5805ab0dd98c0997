//! Files that must be whole or not there at all, and that nobody else may read.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::{Context, Error, beside};

/// Makes a folder for the gateway's data, if it is not there.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).doing("make the folder", path)
}

/// Writes a file that only its owner may read: complete under its name, or not under its name.
pub(crate) fn write_secret(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = beside(path, ".new");
    let mut file = create_secret(&temporary)?;
    file.write_all(content).doing("write", &temporary)?;
    file.sync_all().doing("sync", &temporary)?;
    fs::rename(&temporary, path).doing("rename to", path)?;
    sync_folder(path)
}

/// A new file that only its owner may read.
pub(crate) fn create_secret(path: &Path) -> Result<File, Error> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).doing("write", path)
}

/// Makes the name of a file durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).doing("sync the folder", folder)
}

/// Reads a file that only its owner may be able to read; `None` if there is none.
pub(crate) fn read_secret(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path, &error)),
    };
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let name = path.display();
        return Err(Error::new(format!(
            "{name} can be read by others (mode {mode:o}); if nobody has, run: chmod 600 {name}"
        )));
    }
    fs::read(path).doing("read", path).map(Some)
}
