//! Backups, restoring, and the doctor: the store's content as files.

use std::fs::{self, File};
use std::path::Path;

use sga_gateway_store::{BackupError, Backups, Contents, Disk, DiskFile, Folder};

use super::{Held, in_use, lock, open, options};
use crate::control;
use crate::error::{Context, Error, beside};

/// What a file's name ends with until it is whole.
pub(super) const NEW: &str = ".new";

/// A file that has its name when it is whole, on the medium and was read through.
pub(super) fn keep(
    path: &Path,
    verify: impl FnOnce(&dyn DiskFile) -> Result<Contents, BackupError>,
    fill: impl FnOnce(&mut File) -> Result<(), Error>,
) -> Result<Contents, Error> {
    let new = beside(path, NEW);
    let done = (|| {
        let mut file = crate::files::create_secret(&new)?;
        fill(&mut file)?;
        file.sync_all().doing("sync", &new)?;
        let contents = verify(plain(&new)?.as_ref());
        let contents = contents.map_err(|error| Error::new(format!("{}: {error}", new.display())))?;
        fs::rename(&new, path).doing("rename to", path)?;
        crate::files::sync_folder(path)?;
        Ok(contents)
    })();
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done
}

/// A file outside the store's folder, as the store reads files.
fn plain(path: &Path) -> Result<Box<dyn DiskFile>, Error> {
    let missing = || Error::new(format!("{} is not there", path.display()));
    let folder = Folder::new(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
    folder.open(name).doing("open", path)?.ok_or_else(missing)
}

pub(super) fn write(backups: &mut Backups, path: &Path, file: &mut File) -> Result<(), Error> {
    backups.write(file).map(|_| ()).map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))
}

/// `sga-gateway backup FILE`: from the running gateway, or from its folder if it does not run.
pub(crate) fn backup(data: &Path, at_rest_key: &[u8; 32], to: &Path) -> Result<Contents, Error> {
    let verify = |file: &dyn DiskFile| sga_gateway_store::verify(at_rest_key, file);
    if lock(data)?.is_some() {
        let Held { mut opened, lock: _lock } = open(data, at_rest_key, &options(None)?)?;
        return keep(to, verify, |file| write(&mut opened.backups, to, file));
    }
    keep(to, verify, |file| {
        let mut answers = control::ask(data, "backup")?;
        std::io::copy(&mut answers, file).doing("write", to)?;
        Ok(())
    })
    .map_err(|error| Error::new(format!("{error} (the running gateway's log may say why)")))
}

/// `sga-gateway restore FILE`, while the gateway does not run.
pub(crate) fn restore(data: &Path, at_rest_key: &[u8; 32], from: &Path) -> Result<(Contents, Option<String>), Error> {
    let _lock = lock(data)?.ok_or_else(|| Error::new(format!("{}: stop the gateway first", in_use(data))))?;
    sga_gateway_store::restore(&Folder::new(data), at_rest_key, &options(None)?, plain(from)?.as_ref())
        .map_err(|error| Error::new(format!("{}: {error}", from.display())))
}

/// `sga-gateway doctor`: what is there and what is damaged; nothing is changed.
pub(crate) fn doctor(data: &Path, at_rest_key: &[u8; 32]) -> Result<sga_gateway_store::Diagnosis, Error> {
    let _lock = lock(data)?.ok_or_else(|| Error::new(format!("{}: stop the gateway first", in_use(data))))?;
    let folder = Folder::new(data);
    let diagnosis = sga_gateway_store::examine(&folder, at_rest_key, &options(None)?);
    diagnosis.map_err(|error| Error::new(format!("cannot examine the store in {}: {error}", data.display())))
}
