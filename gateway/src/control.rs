//! The operator's orders to a running gateway, over a socket in its folder; and what is done at intervals beside the loop.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use mio::Waker;
use sga_gateway_store::Backups;
use sga_schema::DeviceId;

use crate::error::{Context, Error};
use crate::keys::Keys;
use crate::limits::{CONTROL_LINE_MAX, CONTROL_WAIT};
use crate::revoked;
use crate::store::{self, Snapshots};

/// Where a running gateway takes orders.
const SOCKET: &str = "control.sock";

/// What the loop is told to do.
pub(crate) enum Order {
    /// These devices are revoked, and no others.
    Revoked(HashSet<DeviceId>),
    /// Say how many seconds the gateway has been up.
    Uptime(Sender<u64>),
    /// Serve these keys.
    Keys(Box<Keys>),
}

/// `run --snapshot-every`, and the gateway's uptime before this start.
pub(crate) struct SnapshotsEvery {
    pub(crate) every: Duration,
    pub(crate) uptime_s: u64,
}

/// Serves `sga-gateway backup`, and makes snapshots, beside the loop. Ends with the process.
pub(crate) struct Control {
    socket: PathBuf,
    _stop: Sender<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

impl Control {
    pub(crate) fn start(
        data: &Path,
        backups: Backups,
        snapshots: Option<SnapshotsEvery>,
        orders: Sender<Order>,
        waker: Arc<Waker>,
    ) -> Result<Self, Error> {
        let socket = data.join(SOCKET);
        // The folder is the owner's alone, and this process has its lock: what is there is left over.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket);
        let backups = Arc::new(Mutex::new(backups));
        let (stop, stopped) = channel();
        let orders = Orders { data: data.to_owned(), backups: backups.clone(), orders, waker };
        let thread = |name: &str| Builder::new().name(name.to_owned());
        let failed = |error: std::io::Error| Error::new(format!("cannot start a thread: {error}"));
        match listener {
            Ok(listener) => drop(thread("control").spawn(move || orders.serve(&listener)).map_err(failed)?),
            // A path that is too long for a socket, or a file system without: no reason not to serve devices.
            Err(error) => log::warn!("{}: {error}: no backups while the gateway runs", socket.display()),
        }
        store::clear_leftovers(data);
        if let Some(SnapshotsEvery { every, uptime_s }) = snapshots {
            let snapshots = Snapshots::new(data, backups, every, uptime_s);
            thread("snapshots").spawn(move || snapshots.run(&stopped)).map_err(failed)?;
        }
        Ok(Self { socket, _stop: stop })
    }
}

/// The thread that takes orders.
struct Orders {
    data: PathBuf,
    backups: Arc<Mutex<Backups>>,
    orders: Sender<Order>,
    waker: Arc<Waker>,
}

impl Orders {
    fn serve(&self, listener: &UnixListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if let Err(error) = self.answer(&stream) {
                log::warn!("control: {error}");
            }
        }
    }

    /// One order, one line: `backup`; `revoked` after the list has changed; `rotate-key SECONDS` of overlap; `end-overlap`. The answer
    /// is a line, `ok` or `error WHY`, and what was asked for.
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
            "revoked" => self.done(stream, revoked::load(&self.data).and_then(|ids| self.tell(Order::Revoked(ids)))),
            "end-overlap" => self.done(stream, Keys::end_overlap(&self.data).and_then(|keys| self.serve_keys(keys))),
            other => match other.strip_prefix("rotate-key ").map(str::parse) {
                Some(Ok(overlap_s)) => self.done(stream, self.rotate(overlap_s)),
                _ => self.done(stream, Err(Error::new(format!("this gateway does not know {other:?}")))),
            },
        }
    }

    fn done(&self, mut stream: &UnixStream, done: Result<(), Error>) -> std::io::Result<()> {
        match done {
            Ok(()) => stream.write_all(b"ok\n"),
            Err(error) => stream.write_all(format!("error {error}\n").as_bytes()),
        }
    }

    fn tell(&self, order: Order) -> Result<(), Error> {
        let stopping = || Error::new("the gateway is stopping");
        self.orders.send(order).map_err(|_| stopping())?;
        self.waker.wake().map_err(|_| stopping())
    }

    fn serve_keys(&self, keys: Keys) -> Result<(), Error> {
        self.tell(Order::Keys(Box::new(keys)))
    }

    /// The new pair is on the medium before anybody hears of it.
    fn rotate(&self, overlap_s: u64) -> Result<(), Error> {
        let (reply, uptime) = channel();
        self.tell(Order::Uptime(reply))?;
        let uptime_s = uptime.recv_timeout(CONTROL_WAIT).map_err(|_| Error::new("the gateway does not answer"))?;
        let keys = Keys::rotate(&self.data, (overlap_s > 0).then(|| uptime_s.saturating_add(overlap_s)))?;
        log::warn!("another key pair: the pin is {} from now on", keys.pin());
        self.serve_keys(keys)
    }
}

/// Gives an order to the gateway that runs on a folder; what it answers behind `ok`.
pub(crate) fn ask(data: &Path, order: &str) -> Result<BufReader<UnixStream>, Error> {
    let socket = data.join(SOCKET);
    let mut stream = UnixStream::connect(&socket).doing("reach the running gateway at", &socket)?;
    stream.write_all(format!("{order}\n").as_bytes()).doing("write to", &socket)?;
    let mut answers = BufReader::new(stream);
    let mut line = String::new();
    answers.by_ref().take(CONTROL_LINE_MAX).read_line(&mut line).doing("read from", &socket)?;
    match line.trim_end() {
        "ok" => Ok(answers),
        said => Err(Error::new(format!("the running gateway says: {said}"))),
    }
}

/// Gives an order to the gateway that runs on a folder; false if none runs.
pub(crate) fn tell(data: &Path, order: &str) -> Result<bool, Error> {
    if store::lock(data)?.is_some() {
        return Ok(false);
    }
    ask(data, order).map(|_| true)
}
