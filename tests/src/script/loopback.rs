//! The gateway as a process, over UDP.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::run::Peer;

/// A reply that takes longer than this is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway process and sockets of its peers.
pub struct Loopback {
    child: Child,
    /// Kept open: the gateway may write to it.
    _stdout: BufReader<ChildStdout>,
    address: String,
    sockets: BTreeMap<String, UdpSocket>,
}

impl Loopback {
    /// Starts `program`, which is `sga-demo`, as a gateway that keeps its files in `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &str, folder: &Path) -> Result<Self, String> {
        let mut child = Command::new(program)
            .args(["__gateway", "run", "--listen", "127.0.0.1:0", "--enrol", "open", "--data"])
            .arg(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        let address = line.trim().strip_prefix("listening on ").ok_or("the gateway did not start")?.to_owned();
        Ok(Self { child, _stdout: stdout, address, sockets: BTreeMap::new() })
    }

    /// New sockets from now on: the gateway has not seen their addresses.
    pub fn forget_sources(&mut self) {
        self.sockets.clear();
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn socket(&mut self, source: &str) -> Result<&UdpSocket, String> {
        if !self.sockets.contains_key(source) {
            let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
            socket.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
            self.sockets.insert(source.to_owned(), socket);
        }
        self.sockets.get(source).ok_or_else(|| "no socket".into())
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer for Loopback {
    fn send(&mut self, source: &str, bytes: &[u8]) -> Result<(), String> {
        let address = self.address.clone();
        let sent = self.socket(source)?.send_to(bytes, address).map_err(|error| error.to_string())?;
        if sent == bytes.len() { Ok(()) } else { Err("cut short".into()) }
    }

    fn receive(&mut self, source: &str) -> Result<Option<Vec<u8>>, String> {
        let mut buffer = vec![0; 65_535];
        match self.socket(source)?.recv_from(&mut buffer) {
            Ok((len, _)) => {
                buffer.truncate(len);
                Ok(Some(buffer))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn settle(&mut self) {}

    fn wait(&mut self, _: Duration) -> Result<(), String> {
        Err("this is the real time".into())
    }

    fn work(&mut self, _: bool) -> Result<(), String> {
        Err("this is a real store".into())
    }
}
