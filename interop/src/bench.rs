//! What a case works with: our servers behind a relay, and strangers' clients that ask them.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{Process, run, run_well};
use crate::relay::Relay;
use crate::seen::{Seen, Way};

/// Longest wait for anything that is to happen: it ends a case that has failed, and costs one that has not nothing.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Whose client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// libcoap's coap-client.
    Libcoap,
    /// aiocoap.
    Aiocoap,
}

/// A request, whoever sends it.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// GET, POST, …
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Non-confirmable.
    pub non: bool,
    /// Accept.
    pub accept: Option<u16>,
    /// Content-Format.
    pub content_format: Option<u16>,
    /// The body.
    pub payload: Vec<u8>,
    /// Other options.
    pub options: Vec<(u16, Vec<u8>)>,
    /// Block size exponent.
    pub block: Option<u8>,
    /// A token; only coap-client can be told.
    pub token: Option<&'static str>,
}

impl Ask {
    /// A request without anything.
    pub fn new(method: &'static str, path: &str) -> Ask {
        Ask { method, path: path.to_owned(), ..Ask::default() }
    }

    /// With a body.
    #[must_use]
    pub fn with(mut self, content_format: u16, payload: &[u8]) -> Ask {
        self.content_format = Some(content_format);
        self.payload = payload.to_vec();
        self
    }

    /// With an option.
    #[must_use]
    pub fn option(mut self, number: u16, value: &[u8]) -> Ask {
        self.options.push((number, value.to_vec()));
        self
    }
}

/// What a client was told, as far as it says.
#[derive(Debug, Clone)]
pub struct Told {
    /// The code of the last response that went by.
    pub code: String,
    /// The body as the client gives it.
    pub body: Vec<u8>,
    /// All that it printed.
    pub said: String,
}

/// Where a case's programs and files are.
pub struct Bench {
    folder: tempfile::TempDir,
    python: PathBuf,
    /// The traffic of each relay, for the report of a failure.
    pub traffic: Vec<Vec<Seen>>,
    files: usize,
}

impl Bench {
    /// A bench with nothing on it.
    ///
    /// # Errors
    /// There is no folder to be had.
    pub fn new(python: &Path) -> Result<Bench, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        Ok(Bench { folder, python: python.to_owned(), traffic: Vec::new(), files: 0 })
    }

    /// A path for a new file.
    pub fn path(&mut self, name: &str) -> PathBuf {
        self.files += 1;
        self.folder.path().join(format!("{}-{name}", self.files))
    }

    /// This program as another: `__gateway`, `__device`, `__testbed`.
    fn ourselves(role: &str) -> Result<Command, String> {
        let own = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
        let mut command = Command::new(own);
        command.arg(role).env_remove("RUST_LOG").stderr(Stdio::null());
        Ok(command)
    }

    /// Our gateway, behind a relay.
    ///
    /// # Errors
    /// It does not start.
    pub fn gateway(&mut self, args: &[&str]) -> Result<Served, String> {
        let data = self.path("gateway");
        let mut command = Bench::ourselves("__gateway")?;
        command.args(["run", "--listen", "127.0.0.1:0", "--enrol", "open", "--data"]).arg(&data).args(args);
        self.serve("gateway", &mut command, Some(data))
    }

    /// The server with the plugtests' own resources, behind a relay.
    ///
    /// # Errors
    /// It does not start.
    pub fn testbed(&mut self) -> Result<Served, String> {
        self.serve("testbed", &mut Bench::ourselves("__testbed")?, None)
    }

    fn serve(&mut self, name: &str, command: &mut Command, data: Option<PathBuf>) -> Result<Served, String> {
        let mut process = Process::start(name, command)?;
        let address = process.wait(PATIENCE, |line| line.strip_prefix("listening on ").map(str::to_owned))?;
        let address: SocketAddr = address.trim().parse().map_err(|error| format!("{address}: {error}"))?;
        let relay = Relay::start(address)?;
        Ok(Served { process, relay, direct: address, data, python: self.python.clone(), aio: None })
    }

    /// Runs the device's command line to its end; gives its stdout.
    ///
    /// # Errors
    /// It fails.
    pub fn device(&self, args: &[&str]) -> Result<String, String> {
        run_well("device", Bench::ourselves("__device")?.stderr(Stdio::piped()).args(args))
    }

    /// Starts the device's command line.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_device(&self, args: &[&str]) -> Result<Process, String> {
        Process::start("device", Bench::ourselves("__device")?.args(args))
    }

    /// A Python script of ours, to be run.
    pub fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(python_folder().join(script));
        // What it would cache would lie among the sources.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// A program that is this one in a role, for scripts that want a path.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn launcher(&mut self, role: &str) -> Result<PathBuf, String> {
        let own = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
        let path = self.path(role);
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        std::fs::write(&path, format!("#!/bin/sh\nexec '{}' {role} \"$@\"\n", own.display())).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(path)
    }

    /// Starts a Python script of ours.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_python(&self, script: &str, args: &[&str]) -> Result<Process, String> {
        Process::start(script, self.python(script).args(args))
    }

    /// The body of a registration that `served` will take, and the state folder that finishes it.
    ///
    /// # Errors
    /// The device refuses.
    pub fn registration(&mut self, served: &Served, id: &str) -> Result<(Vec<u8>, String), String> {
        let state = self.path("state").display().to_string();
        let package = self.path("package");
        std::fs::write(&package, served.package()?).map_err(|error| error.to_string())?;
        let request = self.path("request");
        let (gateway, package, file) = (served.url(""), package.display().to_string(), request.display().to_string());
        let args = ["--state", &state, "register", "--gateway", &gateway, "--id", id];
        self.device(&[&args[..], &["--package", &package, "--print-request", &file]].concat())?;
        Ok((std::fs::read(&request).map_err(|error| error.to_string())?, state))
    }

    /// Keeps what went by for the report.
    pub fn keep(&mut self, served: &Served) {
        self.traffic.push(served.relay.seen());
    }
}

/// One of our servers at work.
pub struct Served {
    /// The server.
    pub process: Process,
    /// What stands before it.
    pub relay: Relay,
    /// Its own address.
    pub direct: SocketAddr,
    data: Option<PathBuf>,
    python: PathBuf,
    aio: Option<Process>,
}

impl Served {
    /// Its URL through the relay.
    pub fn url(&self, path: &str) -> String {
        format!("coap://{}{path}", self.relay.address())
    }

    /// The gateway's package, fetched past the relay.
    ///
    /// # Errors
    /// It gives none.
    pub fn package(&self) -> Result<Vec<u8>, String> {
        let mut client = crate::our_client::OurClient::new(self.direct, sga_coap::Config::default())?;
        let get = sga_coap::Request::new(sga_coap::Code::GET, ["register"]);
        Ok(client.ask(get, PATIENCE)?.payload)
    }

    /// Ends a gateway as a loss of power would, and starts it again at the same address.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> Result<(), String> {
        self.process.kill();
        let data = self.data.clone().ok_or("not a gateway")?;
        let mut command = Bench::ourselves("__gateway")?;
        command.args(["run", "--enrol", "open", "--listen", &self.direct.to_string(), "--data"]).arg(data);
        self.process = Process::start("gateway", &mut command)?;
        self.process.wait(PATIENCE, |line| line.strip_prefix("listening on ").map(|_| ()))
    }

    /// What the gateway's operator reads as its pin.
    ///
    /// # Errors
    /// The gateway does not say.
    pub fn pin(&self) -> Result<String, String> {
        let data = self.data.as_deref().ok_or("not a gateway")?;
        run_well("gateway pin", Bench::ourselves("__gateway")?.args(["pin", "--data"]).arg(data))
    }

    /// The folder of a gateway.
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// Asks as this client would, and says what it was told.
    ///
    /// # Errors
    /// The client does not start, or no response went by.
    pub fn ask(&mut self, bench: &mut Bench, client: Client, ask: &Ask) -> Result<Told, String> {
        let before = self.relay.seen().len();
        let (body, said) = match client {
            Client::Libcoap => self.ask_libcoap(bench, ask, &[])?,
            Client::Aiocoap => {
                let told = self.ask_aiocoap(ask, json!({}))?;
                let last = told.last().ok_or("aiocoap gave no response")?;
                (hex::decode(last["payload"].as_str().unwrap_or_default()).unwrap_or_default(), format!("{told:?}"))
            }
        };
        let seen = self.relay.seen();
        let response = seen.iter().skip(before).rev().find(|seen| seen.way == Way::Down && seen.is_response());
        let code = response.map(Seen::code).ok_or_else(|| format!("no response went by; the client says: {said}"))?;
        Ok(Told { code, body, said })
    }

    /// coap-client, with more arguments; its body and what it printed.
    ///
    /// # Errors
    /// It does not start.
    pub fn ask_libcoap(&mut self, bench: &mut Bench, ask: &Ask, more: &[&str]) -> Result<(Vec<u8>, String), String> {
        let output = bench.path("body");
        let mut command = Command::new("coap-client-notls");
        command.args(["-B", "25", "-m", &ask.method.to_ascii_lowercase(), "-o"]).arg(&output);
        if ask.non {
            command.arg("-N");
        }
        if let Some(format) = ask.accept {
            command.args(["-A", &format.to_string()]);
        }
        if let Some(format) = ask.content_format {
            command.args(["-t", &format.to_string()]);
        }
        if let Some(token) = ask.token {
            command.args(["-T", token]);
        }
        for (number, value) in &ask.options {
            let hex = if value.is_empty() { String::new() } else { format!("0x{}", hex::encode(value)) };
            command.args(["-O", &format!("{number},{hex}")]);
        }
        if let Some(exponent) = ask.block {
            command.args(["-b", &(16 << exponent).to_string()]);
        }
        if !ask.payload.is_empty() {
            let file = bench.path("payload");
            std::fs::write(&file, &ask.payload).map_err(|error| error.to_string())?;
            command.arg("-f").arg(file);
        }
        let result = run("coap-client-notls", command.args(more).arg(self.url(&ask.path)))?;
        let said = format!("{}{}", String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
        Ok((std::fs::read(&output).unwrap_or_default(), said))
    }

    /// aiocoap, with more of its script's fields; its responses.
    ///
    /// # Errors
    /// It does not start, or raises.
    pub fn ask_aiocoap(&mut self, ask: &Ask, more: Value) -> Result<Vec<Value>, String> {
        self.start_aiocoap(ask, more)?;
        let mut told = Vec::new();
        loop {
            let value = self.next_aiocoap()?;
            if value["done"].is_string() {
                return Ok(told);
            }
            told.push(value);
        }
    }

    /// The same, without waiting for anything.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_aiocoap(&mut self, ask: &Ask, more: Value) -> Result<(), String> {
        let mut spec = json!({ "method": ask.method, "uri": self.url(&ask.path), "non": ask.non });
        spec["payload"] = json!(hex::encode(&ask.payload));
        spec["accept"] = json!(ask.accept);
        spec["content_format"] = json!(ask.content_format);
        spec["block_exponent"] = json!(ask.block);
        spec["options"] = ask.options.iter().map(|(number, value)| json!([number, hex::encode(value)])).collect();
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        if self.aio.is_none() {
            let mut command = Command::new(&self.python);
            self.aio = Some(Process::start("aiocoap", command.arg(python_folder().join("aio_client.py")))?);
        }
        self.aio.as_mut().ok_or("no client")?.tell(&spec.to_string())
    }

    /// The next thing that aiocoap says.
    ///
    /// # Errors
    /// It says nothing, or raises.
    pub fn next_aiocoap(&mut self) -> Result<Value, String> {
        let aio = self.aio.as_mut().ok_or("no client")?;
        let value = aio.wait(PATIENCE, |line| serde_json::from_str::<Value>(line).ok())?;
        match value["error"].as_str() {
            Some(error) => Err(format!("aiocoap: {error}")),
            None => Ok(value),
        }
    }
}

/// The folder of the scripts.
pub fn python_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}
