//! `sga-load flood`: how long an established session's messages take, quiet and while strangers flood the gateway.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command};
use std::time::Duration;

use serde_json::{Value, json};

use super::drive::{Drive, Setup};
use super::durable::Sending;
use super::figures::{Cost, Latencies, Row, mib};
use super::flooder::{FLOODER, Variant};
use super::process::{Folder, Gateway, Server, log_end};
use super::{Flood, procfs, say};

/// Bytes of a text.
const TEXT_LEN: usize = 64;

/// Messages after which a receiver's mailbox is emptied.
const DRAIN_AT: u32 = 192;

/// How much longer the flood goes on than it is measured.
const FLOOD_MARGIN: Duration = Duration::from_millis(300);

/// The threads for public-key work: their names begin so.
const ACCELERATOR: &str = "accelerator";

/// A flood under way.
struct Flooding {
    server: Server,
    stdout: BufReader<ChildStdout>,
    log: std::path::PathBuf,
}

impl Flooding {
    fn start(
        options: &Flood,
        folder: &Folder,
        gateway: SocketAddr,
        variant: Variant,
        time: Duration,
    ) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(own);
        let time = (time + FLOOD_MARGIN).as_secs_f64();
        let args = [FLOODER, &gateway.to_string(), variant.name(), &time.to_string(), &options.pps.to_string()];
        command.args(args);
        let log = folder.path.join("flood.log");
        let (server, stdout) = Server::spawn(command, &log)?;
        let stdout = BufReader::new(stdout.ok_or("the flood has no output")?);
        let mut flooding = Self { server, stdout, log };
        match flooding.line()?.as_str() {
            "flooding" => Ok(flooding),
            _ => Err(format!("the flood did not begin:\n{}", log_end(&flooding.log))),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(|error| format!("the flood's output: {error}"))?;
        Ok(line.trim().to_owned())
    }

    /// What it sent.
    fn end(mut self) -> Result<Value, String> {
        let line = self.line()?;
        drop(self.server);
        serde_json::from_str(&line).map_err(|_| format!("the flood ended early:\n{}", log_end(&self.log)))
    }
}

fn measure(drive: &mut Drive, pid: u32, time: Duration) -> Result<Row, String> {
    let before = Cost::so_far(Some(pid))?;
    let began = drive.clock.now();
    let latencies = Latencies::default();
    let mut plan = Sending { text: vec![b'.'; TEXT_LEN], until: began + time, drain_at: DRAIN_AT, latencies };
    drive.run(&mut plan)?;
    let (elapsed, senders) = (drive.clock.now() - began, drive.workers.len());
    Ok(plan.latencies.row("sga", senders, elapsed, Cost::since(before, Some(pid))?))
}

pub(crate) fn run(options: &Flood, folder: &Folder) -> Result<Value, String> {
    let time = Duration::from_secs_f64(options.seconds);
    let data = folder.inner("gateway")?;
    let gateway = Gateway::start(options.release_dir.as_deref(), &data, SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let pid = gateway.server.pid();
    let mut drive = Drive::new(gateway.address, options.senders, options.senders)?;
    drive.run(&mut Setup::default())?;
    say(&format!(
        "{} established sessions, texts of {TEXT_LEN} bytes, {} s quiet and {} s flooded each; latencies of messages that became durable",
        options.senders, options.seconds, options.seconds
    ));
    say(
        "flood      sent/s  sources  dropped   quiet p50    p99  flooded p50    p99  x p50  x p99  messages/s (quiet)  \
         accelerator woken  VmRSS MiB  gateway CPU  others' CPU quiet, flooded",
    );
    let mut rows = Vec::new();
    for &variant in &options.variants {
        let quiet = measure(&mut drive, pid, time)?;
        let (woken, dropped) = (procfs::wakes(pid, ACCELERATOR)?, procfs::dropped(gateway.address.port())?);
        let flooding = Flooding::start(options, folder, gateway.address, variant, time)?;
        let flood_pid = flooding.server.pid();
        let before = procfs::cpu(flood_pid)?;
        let flooded = measure(&mut drive, pid, time)?;
        let flood_share = (procfs::cpu(flood_pid)?.saturating_sub(before)).as_secs_f64() / options.seconds;
        let memory = procfs::memory(pid)?;
        let sent = flooding.end()?;
        let woken = procfs::wakes(pid, ACCELERATOR)? - woken;
        let dropped = procfs::dropped(gateway.address.port())? - dropped;
        let per_s = sent["sent"].as_f64().unwrap_or(0.0) / sent["seconds"].as_f64().unwrap_or(1.0);
        let times = |flooded: f64, quiet: f64| if quiet > 0.0 { flooded / quiet } else { 0.0 };
        let (p50, p99) = (times(flooded.p50_ms, quiet.p50_ms), times(flooded.p99_ms, quiet.p99_ms));
        say(&format!(
            "{:<9} {per_s:>7.0} {:>8} {dropped:>8} {:>11.3} {:>6.3} {:>12.3} {:>6.3} {p50:>6.2} {p99:>6.2} {:>11.0} ({:>5.0}) {woken:>18} {:>10.1} {:>9.0} % {:>14.0} % {:>7.0} %",
            variant.name(),
            sent["sources"],
            quiet.p50_ms,
            quiet.p99_ms,
            flooded.p50_ms,
            flooded.p99_ms,
            flooded.per_s,
            quiet.per_s,
            mib(memory.now),
            flooded.server_share * 100.0,
            quiet.others_share * 100.0,
            // The flood itself is no stranger to the machine: it takes a core.
            (flooded.others_share - flood_share) * 100.0,
        ));
        rows.push(json!({
            "variant": variant.name(),
            "sent": sent["sent"],
            "sent_per_s": per_s,
            "sources": sent["sources"],
            "dropped": dropped,
            "quiet": quiet.json(),
            "flooded": flooded.json(),
            "flood_cpu": flood_share,
            "p50_ratio": p50,
            "p99_ratio": p99,
            "accelerator_woken": woken,
            "rss": memory.now,
        }));
    }
    Ok(json!({ "command": "flood", "seconds": options.seconds, "pps": options.pps, "rows": rows }))
}
