//! The gateway as a process: started, awaited, killed.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use mio::Waker;

/// Lines of [`log_end`].
const LOG_END: usize = 12;

/// How the gateway's program is called: its path, and what comes before its own arguments.
#[derive(Clone, Debug)]
pub struct Program(Vec<OsString>);

impl Program {
    /// A program that is the gateway when its first argument says so, as `sga-demo` and `sga-kill` are.
    #[must_use]
    pub fn within(program: impl Into<OsString>) -> Self {
        Self(vec![program.into(), crate::demo::GATEWAY.into()])
    }

    /// `sga-gateway` itself.
    #[must_use]
    pub fn plain(program: impl Into<OsString>) -> Self {
        Self(vec![program.into()])
    }

    /// Called by way of another program, which has to end by becoming it, so that a signal to the child arrives here.
    #[must_use]
    pub fn by_way_of<S: Into<OsString>>(&self, words: impl IntoIterator<Item = S>) -> Self {
        Self(words.into_iter().map(Into::into).chain(self.0.iter().cloned()).collect())
    }

    fn command(&self) -> Command {
        let mut words = self.0.iter();
        let mut command = Command::new(words.next().map_or_else(OsString::new, Clone::clone));
        command.args(words);
        command
    }
}

/// A gateway process; killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Its stdout, line by line; ends when the process does.
    lines: Receiver<String>,
    address: Option<SocketAddr>,
    ended: bool,
    log: PathBuf,
}

impl Gateway {
    /// Starts it, without waiting for anything. Its log is appended to `log`; `waker` is woken when it prints a line or ends.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(program: &Program, data: &Path, listen: &str, log: &Path, waker: Arc<Waker>) -> std::io::Result<Self> {
        let stderr: File = OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = program
            .command()
            .args(["run", "--enrol", "open", "--listen", listen, "--data"])
            .arg(data)
            .env_remove("RUST_LOG")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            // A pipe cannot be read with a deadline, and what waits here has other things to do meanwhile.
            std::thread::Builder::new().name("gateway-stdout".into()).spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                    let _ = waker.wake();
                }
                drop(sender);
                let _ = waker.wake();
            })?;
        }
        Ok(Self { child, lines, address: None, ended: false, log: log.to_owned() })
    }

    /// Where it listens, once it has said so.
    pub fn address(&mut self) -> Option<SocketAddr> {
        self.look();
        self.address
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.look();
        self.ended
    }

    fn look(&mut self) {
        loop {
            match self.lines.try_recv() {
                Ok(line) => {
                    let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
                    self.address = self.address.or(address);
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be killed or waited for.
    pub fn kill(mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn stop(mut self) -> std::io::Result<ExitStatus> {
        let id = self.child.id().to_string();
        if !Command::new("kill").args(["-TERM", &id]).status()?.success() {
            return Err(std::io::Error::other("cannot send SIGTERM"));
        }
        self.child.wait()
    }

    /// What all gateways with this log have written to stderr.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

/// The last lines of a log, each kind of line once: what a message about a failure has room for.
#[must_use]
pub fn log_end(log: &str) -> String {
    // What differs from line to line is the date, in brackets.
    let what = |line: &str| line.split_once("Z ").map_or(line, |(_, what)| what).to_owned();
    let mut seen = std::collections::HashSet::new();
    let mut lines: Vec<&str> = log.lines().rev().filter(|line| seen.insert(what(line))).take(LOG_END).collect();
    lines.reverse();
    lines.join("\n")
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
