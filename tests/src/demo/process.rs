//! The processes of the demo: this program again, as the gateway or as a device.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// First argument that makes this program the gateway.
pub const GATEWAY: &str = "__gateway";
/// First argument that makes this program a device.
pub(crate) const DEVICE: &str = "__device";

fn command(role: &str, args: &[&str]) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = Command::new(program);
    command.arg(role).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

fn stderr_of(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.read_to_string(&mut text);
    }
    text
}

/// A running gateway; stopped when dropped.
pub(crate) struct Gateway {
    child: Child,
    /// Kept open: the gateway may write to it.
    _stdout: BufReader<ChildStdout>,
    pub(crate) address: String,
    data: PathBuf,
    profile: String,
}

impl Gateway {
    pub(crate) fn start(data: &Path, profile: &str, listen: &str) -> Result<Self, String> {
        let folder = data.display().to_string();
        let args = ["run", "--listen", listen, "--data", &folder, "--profile", profile, "--enrol", "token"];
        let mut command = command(GATEWAY, &args)?;
        let log = std::fs::File::create(data.with_extension("log")).map_err(|error| error.to_string())?;
        let mut child = command.stderr(log).spawn().map_err(|error| format!("cannot start the gateway: {error}"))?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("the gateway has no output")?);
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            let _ = child.wait();
            let log = std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
            return Err(format!("the gateway did not start:\n{log}"));
        };
        Ok(Self {
            address: address.to_owned(),
            child,
            _stdout: stdout,
            data: data.to_owned(),
            profile: profile.to_owned(),
        })
    }

    /// Stops it as an operator would, and starts it again at the same address.
    pub(crate) fn restart(mut self) -> Result<Self, String> {
        self.stop()?;
        Self::start(&self.data, &self.profile, &self.address)
    }

    /// SIGTERM, and waits for its end.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().map_err(|error| error.to_string())?;
        if !sent.success() {
            return Err("cannot stop the gateway".into());
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("the gateway ended with {status}")) }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fingerprint that an operator gives to those who install devices.
pub(crate) fn pin(data: &Path) -> Result<String, String> {
    let output = command(GATEWAY, &["pin", "--data", &data.display().to_string()])?
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// A device's command that is running; its events come as they happen.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    what: String,
}

/// Starts a command of a device.
pub(crate) fn device(state: &Path, args: &[&str]) -> Result<Running, String> {
    let folder = state.display().to_string();
    let mut all = vec!["--state", &folder, "--json"];
    all.extend_from_slice(args);
    let mut child = command(DEVICE, &all)?.spawn().map_err(|error| format!("cannot start a device: {error}"))?;
    let lines = BufReader::new(child.stdout.take().ok_or("the device has no output")?);
    let name = state.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Running { child, lines, what: format!("{name} {}", args.first().unwrap_or(&"")) })
}

impl Running {
    /// The next event, or `None` when it has ended well.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, String> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).map_err(|error| error.to_string())? > 0 {
            return serde_json::from_str(&line).map(Some).map_err(|error| format!("{}: {error}: {line}", self.what));
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(None);
        }
        Err(format!("{} ended with {status}\n{}", self.what, stderr_of(&mut self.child)))
    }

    /// Reads on until an event of this name.
    pub(crate) fn until(&mut self, event: &str, mut see: impl FnMut(&Value)) -> Result<Value, String> {
        while let Some(value) = self.next()? {
            see(&value);
            if value["event"] == event {
                return Ok(value);
            }
        }
        Err(format!("{} ended without {event}", self.what))
    }

    /// Reads to the end.
    pub(crate) fn finish(mut self, mut see: impl FnMut(&Value)) -> Result<(), String> {
        while let Some(value) = self.next()? {
            see(&value);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
