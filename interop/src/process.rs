//! Programs under test: started, listened to, and ended with the one who started them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::clock::Clock;

/// A program that goes on beside us.
pub struct Process {
    child: Child,
    name: String,
    lines: Receiver<String>,
    stdin: Option<ChildStdin>,
    said: Vec<String>,
}

impl Process {
    /// Starts a program; what it prints on stdout can be waited for. Its stderr goes to `DIR/NAME.stderr` of the caller's choice.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(name: &str, command: &mut Command) -> Result<Process, String> {
        let failed = |error: std::io::Error| format!("{name} does not start: {error}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            read_lines(stdout, sender);
        }
        Ok(Process { child, name: name.to_owned(), lines, stdin, said: Vec::new() })
    }

    /// The next line that `find` makes something of.
    ///
    /// # Errors
    /// None came within `timeout`, or the program ended.
    pub fn wait<T>(&mut self, timeout: Duration, find: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let clock = Clock::start();
        loop {
            let left = timeout.saturating_sub(clock.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                return Err(format!("{} did not say what was waited for; it said {:?}", self.name, self.said));
            };
            let found = find(&line);
            self.said.push(line);
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    /// The next line, or `None` when it has ended.
    ///
    /// # Errors
    /// Neither came within `timeout`.
    pub fn next_line(&mut self, timeout: Duration) -> Result<Option<String>, String> {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => {
                self.said.push(line.clone());
                Ok(Some(line))
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                Err(format!("{} says nothing more; it said {:?}", self.name, self.said))
            }
        }
    }

    /// Writes a line to its stdin.
    ///
    /// # Errors
    /// It takes none.
    pub fn tell(&mut self, line: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("no stdin")?;
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).map_err(|error| format!("{}: {error}", self.name))
    }

    /// Waits until it ends by itself: its exit code and the lines it had left to say.
    ///
    /// # Errors
    /// It is still there after `timeout`.
    pub fn end(&mut self, timeout: Duration) -> Result<(Option<i32>, Vec<String>), String> {
        self.stdin = None;
        let clock = Clock::start();
        // Its stdout closes with it.
        loop {
            match self.lines.recv_timeout(timeout.saturating_sub(clock.elapsed())) {
                Ok(line) => self.said.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    return Err(format!("{} does not end; it said {:?}", self.name, self.said));
                }
            }
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        Ok((status.code(), self.said.clone()))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Ends it at once, as a loss of power would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "a pipe cannot be waited for with a deadline otherwise")]
fn read_lines(stdout: std::process::ChildStdout, sender: std::sync::mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// Runs a program to its end.
///
/// # Errors
/// It does not start.
pub fn run(name: &str, command: &mut Command) -> Result<Output, String> {
    command.stdin(Stdio::null()).output().map_err(|error| format!("{name} does not start: {error}"))
}

/// Runs a program that has to end well; gives its stdout.
///
/// # Errors
/// It does not start, or says why it failed.
pub fn run_well(name: &str, command: &mut Command) -> Result<String, String> {
    let output = run(name, command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{name}: {}: {}{text}", output.status, String::from_utf8_lossy(&output.stderr)))
}
