//! Backups while the gateway runs, snapshots at intervals, restoring, and the doctor.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use mio::Waker;
use sga_gateway_store::limits::SNAPSHOTS_KEPT;
use sga_gateway_store::{Backups, Contents, Disk, DiskFile, Folder, SNAPSHOT};

use sga_schema::DeviceId;

use super::{Held, in_use, lock, open, options};
use crate::clock;
use crate::error::{Context, Error, beside};
use crate::limits::{CONTROL_LINE_MAX, CONTROL_WAIT};
use crate::revoked;

/// Where a running gateway takes orders.
const SOCKET: &str = "control.sock";

/// Serves `sga-gateway backup`, and makes snapshots, beside the loop. Ends with the process.
pub(crate) struct Snapshots {
    socket: PathBuf,
    _stop: Sender<()>,
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

impl Snapshots {
    pub(crate) fn start(
        data: &Path,
        backups: Backups,
        every: Option<Duration>,
        orders: Sender<HashSet<DeviceId>>,
        waker: Arc<Waker>,
    ) -> Result<Self, Error> {
        let socket = data.join(SOCKET);
        // The folder is the owner's alone, and this process has its lock: what is there is left over.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket);
        let backups = Arc::new(Mutex::new(backups));
        let (stop, stopped) = channel();
        let control = Control { data: data.to_owned(), backups: backups.clone(), orders, waker };
        let thread = |name: &str| Builder::new().name(name.to_owned());
        let failed = |error: std::io::Error| Error::new(format!("cannot start a thread: {error}"));
        match listener {
            Ok(listener) => drop(thread("control").spawn(move || control.serve(&listener)).map_err(failed)?),
            // A path that is too long for a socket, or a file system without: no reason not to serve devices.
            Err(error) => log::warn!("{}: {error}: no backups while the gateway runs", socket.display()),
        }
        if let Some(every) = every {
            let data = data.to_owned();
            let work = move || {
                while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    match snapshot(&data, &backups) {
                        Ok((path, contents)) => {
                            log::info!("snapshot {}: {} records", path.display(), contents.records);
                        }
                        Err(error) => log::error!("no snapshot: {error}"),
                    }
                }
            };
            thread("snapshots").spawn(work).map_err(failed)?;
        }
        Ok(Self { socket, _stop: stop })
    }
}

/// The thread that takes orders.
struct Control {
    data: PathBuf,
    backups: Arc<Mutex<Backups>>,
    orders: Sender<HashSet<DeviceId>>,
    waker: Arc<Waker>,
}

impl Control {
    fn serve(&self, listener: &UnixListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if let Err(error) = self.answer(&stream) {
                log::warn!("control: {error}");
            }
        }
    }

    /// One order, one line: `backup`, or `revoked` after the list has changed. The answer is a line, `ok` or `error WHY`, and what was asked for.
    fn answer(&self, mut stream: &UnixStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(CONTROL_WAIT))?;
        stream.set_write_timeout(Some(CONTROL_WAIT))?;
        let mut order = String::new();
        BufReader::new(stream).take(CONTROL_LINE_MAX).read_line(&mut order)?;
        match order.trim_end() {
            "backup" => {
                stream.write_all(b"ok\n")?;
                let written = self.backups.lock().unwrap_or_else(PoisonError::into_inner).write(&mut stream);
                match written {
                    Ok(contents) => log::info!("a backup was made: {} records", contents.records),
                    // The other end sees that it is cut off.
                    Err(error) => log::error!("no backup: {error}"),
                }
                Ok(())
            }
            "revoked" => match revoked::load(&self.data) {
                Ok(revoked) => {
                    let _ = self.orders.send(revoked);
                    self.waker.wake()?;
                    stream.write_all(b"ok\n")
                }
                Err(error) => stream.write_all(format!("error {error}\n").as_bytes()),
            },
            other => stream.write_all(format!("error this gateway does not know {other:?}\n").as_bytes()),
        }
    }
}

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
fn snapshot(data: &Path, backups: &Mutex<Backups>) -> Result<(PathBuf, Contents), Error> {
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
    let socket = data.join(SOCKET);
    keep(to, at_rest_key, |file| {
        let mut stream = UnixStream::connect(&socket).doing("reach the running gateway at", &socket)?;
        stream.write_all(b"backup\n").doing("write to", &socket)?;
        let mut answers = BufReader::new(stream);
        let mut line = String::new();
        answers.by_ref().take(CONTROL_LINE_MAX).read_line(&mut line).doing("read from", &socket)?;
        if line.trim_end() != "ok" {
            return Err(Error::new(format!("the running gateway says: {}", line.trim_end())));
        }
        std::io::copy(&mut answers, file).doing("write", to)?;
        Ok(())
    })
    .map_err(|error| Error::new(format!("{error} (the running gateway's log may say why)")))
}

/// Has a running gateway read the list of revoked devices again; false if none runs.
pub(crate) fn tell_running(data: &Path) -> Result<bool, Error> {
    if lock(data)?.is_some() {
        return Ok(false);
    }
    let socket = data.join(SOCKET);
    let mut stream = UnixStream::connect(&socket).doing("reach the running gateway at", &socket)?;
    stream.write_all(b"revoked\n").doing("write to", &socket)?;
    let mut line = String::new();
    BufReader::new(stream).take(CONTROL_LINE_MAX).read_line(&mut line).doing("read from", &socket)?;
    match line.trim_end() {
        "ok" => Ok(true),
        said => Err(Error::new(format!("the running gateway says: {said}"))),
    }
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
