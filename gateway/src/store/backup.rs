//! Backups, snapshots, restoring, and the doctor: the store's content as files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sga_gateway_store::limits::SNAPSHOTS_KEPT;
use sga_gateway_store::{Backups, Contents, Disk, DiskFile, Folder, SNAPSHOT};

use super::{Held, in_use, lock, open, options};
use crate::clock;
use crate::control;
use crate::error::{Context, Error, beside};

/// A file that has its name when it is whole, on the medium and was read through.
fn keep(
    path: &Path,
    at_rest_key: &[u8; 32],
    fill: impl FnOnce(&mut File) -> Result<(), Error>,
) -> Result<Contents, Error> {
    let new = beside(path, ".new");
    let done = (|| {
        let mut file = crate::files::create_secret(&new)?;
        fill(&mut file)?;
        file.sync_all().doing("sync", &new)?;
        let contents = verify(&new, at_rest_key)?;
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

fn verify(path: &Path, at_rest_key: &[u8; 32]) -> Result<Contents, Error> {
    sga_gateway_store::verify(at_rest_key, plain(path)?.as_ref())
        .map_err(|error| Error::new(format!("{}: {error}", path.display())))
}

fn write(backups: &mut Backups, path: &Path, file: &mut File) -> Result<(), Error> {
    backups.write(file).map(|_| ()).map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))
}

/// A snapshot in the data folder, where the next start finds it if the store is damaged.
pub(crate) fn snapshot(data: &Path, backups: &Mutex<Backups>) -> Result<(PathBuf, Contents), Error> {
    let path = data.join(format!("{}{:012}{}", SNAPSHOT.0, clock::unix_seconds(), SNAPSHOT.1));
    let new = beside(&path, ".new");
    let mut file = crate::files::create_secret(&new)?;
    let written = backups.lock().unwrap_or_else(PoisonError::into_inner).write(&mut file);
    let contents = written.map_err(|error| {
        let _ = fs::remove_file(&new);
        Error::new(format!("{}: {error}", path.display()))
    })?;
    file.sync_all().doing("sync", &new)?;
    fs::rename(&new, &path).doing("rename to", &path)?;
    crate::files::sync_folder(&path)?;
    prune(data);
    Ok((path, contents))
}

/// Only the newest snapshots stay.
fn prune(data: &Path) {
    let Ok(entries) = fs::read_dir(data) else { return };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(SNAPSHOT.0) && name.ends_with(SNAPSHOT.1));
    names.sort();
    for name in names.iter().rev().skip(SNAPSHOTS_KEPT) {
        let _ = fs::remove_file(data.join(name));
    }
}

/// `sga-gateway backup FILE`: from the running gateway, or from its folder if it does not run.
pub(crate) fn backup(data: &Path, at_rest_key: &[u8; 32], to: &Path) -> Result<Contents, Error> {
    if lock(data)?.is_some() {
        let Held { mut opened, lock: _lock } = open(data, at_rest_key, &options(None)?)?;
        return keep(to, at_rest_key, |file| write(&mut opened.backups, to, file));
    }
    keep(to, at_rest_key, |file| {
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
