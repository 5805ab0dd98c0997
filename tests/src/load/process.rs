//! The servers that are measured, each a process, and the folder they work in.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::clock::Clock;

/// First argument that makes this program the gateway.
pub(crate) const GATEWAY: &str = "__gateway";

/// Last lines of a log that an error shows.
const LOG_LINES: usize = 5;

/// A folder that goes when it is dropped.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    keep: bool,
}

impl Folder {
    pub(crate) fn make(below: &Path, keep: bool) -> Result<Self, String> {
        let path = below.join(format!("sga-load-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self { path, keep })
    }

    /// A new folder inside.
    pub(crate) fn inner(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is the operator's to see; there is nothing more to be done about it here.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The end of a log, for an error.
pub(crate) fn log_end(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// A child that does not outlive us.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<(Self, Option<ChildStdout>), String> {
        let file = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let stdout = child.stdout.take();
        Ok((Self(child), stdout))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    /// At once and without warning. Unlike after a power cut, what the kernel holds of its files is still there.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway that serves.
pub(crate) struct Gateway {
    pub(crate) server: Server,
    /// Kept open: the gateway may write to it.
    _stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    /// From the start of the process until it said that it listens.
    pub(crate) took: Duration,
}

impl Gateway {
    /// `release`: the folder with the `sga-gateway` to be measured; without it, the one that is part of this program.
    pub(crate) fn start(release: Option<&Path>, data: &Path, listen: SocketAddr) -> Result<Self, String> {
        let mut command = match release {
            Some(folder) => Command::new(folder.join("sga-gateway")),
            None => {
                let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
                let mut command = Command::new(own);
                command.arg(GATEWAY);
                command
            }
        };
        let listen = listen.to_string();
        let args: [&OsStr; 7] = [
            "run".as_ref(),
            "--listen".as_ref(),
            listen.as_ref(),
            "--enrol".as_ref(),
            "open".as_ref(),
            "--data".as_ref(),
            data.as_os_str(),
        ];
        command.args(args);
        let log = data.with_extension("log");
        let clock = Clock::start();
        let (server, stdout) = Server::spawn(command, &log)?;
        let mut stdout = BufReader::new(stdout.ok_or("the gateway has no output")?);
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|error| format!("the gateway's output: {error}"))?;
        let took = clock.now();
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| format!("the gateway did not start:\n{}", log_end(&log)))?;
        Ok(Self { server, _stdout: stdout, address, took })
    }
}
