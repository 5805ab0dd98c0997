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

/// Sessions, from addresses that have shown that they receive.
fn established(options: &Flood, gateway: SocketAddr) -> Result<Drive, String> {
    let mut drive = Drive::new(gateway, options.senders, options.senders)?;
    drive.run(&mut Setup::default())?;
    Ok(drive)
}

/// What is measured again and again.
struct Bench<'a> {
    options: &'a Flood,
    folder: &'a Folder,
    gateway: Gateway,
    drive: Drive,
}

impl Bench<'_> {
    fn measure(&mut self, variant: Variant) -> Result<Row, String> {
        let (pid, drive) = (self.gateway.server.pid(), &mut self.drive);
        let before = Cost::so_far(Some(pid))?;
        let began = drive.clock.now();
        let mut plan = Sending {
            text: vec![b'.'; TEXT_LEN],
            until: began + Duration::from_secs_f64(self.options.seconds),
            drain_at: DRAIN_AT,
            moving: variant == Variant::Moved,
            latencies: Latencies::default(),
        };
        drive.run(&mut plan)?;
        let (elapsed, senders) = (drive.clock.now() - began, drive.workers.len());
        Ok(plan.latencies.row("sga", senders, elapsed, Cost::since(before, Some(pid))?))
    }

    /// One line of the table: quiet, then flooded. Said at once; and how many times the quiet p99 the other is.
    fn line(&mut self, variant: Variant) -> Result<(Value, f64), String> {
        let (pid, port) = (self.gateway.server.pid(), self.gateway.address.port());
        let time = Duration::from_secs_f64(self.options.seconds);
        let quiet = self.measure(variant)?;
        let (woken, dropped) = (procfs::wakes(pid, ACCELERATOR)?, procfs::dropped(port)?);
        let flooding = Flooding::start(self.options, self.folder, self.gateway.address, variant, time)?;
        let flood_pid = flooding.server.pid();
        let before = procfs::cpu(flood_pid)?;
        let flooded = self.measure(variant)?;
        let flood_share = (procfs::cpu(flood_pid)?.saturating_sub(before)).as_secs_f64() / self.options.seconds;
        let memory = procfs::memory(pid)?;
        let sent = flooding.end()?;
        let woken = procfs::wakes(pid, ACCELERATOR)? - woken;
        let dropped = procfs::dropped(port)? - dropped;
        if variant == Variant::Moved {
            // A seal says who sent it and not whether he receives there: without this the next line would be a stranger's as well.
            self.drive = established(self.options, self.gateway.address)?;
        }
        let per_s = sent["sent"].as_f64().unwrap_or(0.0) / sent["seconds"].as_f64().unwrap_or(1.0);
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
        let row = json!({
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
        });
        Ok((row, p99))
    }
}

/// Nothing measured is as bad as can be.
fn times(flooded: f64, quiet: f64) -> f64 {
    if flooded > 0.0 && quiet > 0.0 { flooded / quiet } else { f64::MAX }
}

/// Each variant once, and again if it is above the bound; which were above it twice, and by how much.
fn lines(
    variants: &[Variant],
    at_most: f64,
    mut line: impl FnMut(Variant) -> Result<(Value, f64), String>,
) -> Result<(Vec<Value>, Vec<String>), String> {
    let (mut rows, mut missed) = (Vec::new(), Vec::new());
    for &variant in variants {
        let (row, first) = line(variant)?;
        rows.push(row);
        if first <= at_most || variant == Variant::Moved {
            continue;
        }
        say(&format!("above {at_most} times: once more, since another program may have been in the way"));
        let (row, second) = line(variant)?;
        rows.push(row);
        if second > at_most {
            missed.push(format!("{} ({first:.1} and {second:.1} times)", variant.name()));
        }
    }
    Ok((rows, missed))
}

pub(crate) fn run(options: &Flood, folder: &Folder) -> Result<Value, String> {
    let data = folder.inner("gateway")?;
    let gateway = Gateway::start(options.release_dir.as_deref(), &data, SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let drive = established(options, gateway.address)?;
    say(&format!(
        "{} established sessions, texts of {TEXT_LEN} bytes, {} s quiet and {} s flooded each; latencies of messages that became durable",
        options.senders, options.seconds, options.seconds
    ));
    say(
        "flood      sent/s  sources  dropped   quiet p50    p99  flooded p50    p99  x p50  x p99  messages/s (quiet)  \
         accelerator woken  VmRSS MiB  gateway CPU  others' CPU quiet, flooded",
    );
    let mut bench = Bench { options, folder, gateway, drive };
    let (rows, missed) = lines(&options.variants, options.at_most, |variant| bench.line(variant))?;
    let figures = json!({
        "command": "flood",
        "seconds": options.seconds,
        "pps": options.pps,
        "at_most": options.at_most,
        "missed": missed,
        "rows": rows,
    });
    if missed.is_empty() {
        return Ok(figures);
    }
    say(&figures.to_string());
    Err(format!(
        "an established session's p99 under flood is above {} times the quiet one: {}",
        options.at_most,
        missed.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_miss_once() {
        let mut ratios = [1.0, 3.1, 2.9, 3.1, 4.0, 900.0].into_iter();
        let variants = [Variant::A1, Variant::Register, Variant::Junk, Variant::Moved];
        let line = |variant: Variant| Ok((json!(variant.name()), ratios.next().expect("no more lines")));
        let (rows, missed) = lines(&variants, 3.0, line).expect("measured");
        assert_eq!(rows, ["a1", "register", "register", "junk", "junk", "moved"]);
        assert_eq!(missed, ["junk (3.1 and 4.0 times)"]);
    }

    #[test]
    fn a_session_that_gets_nothing_through_is_above_any_bound() {
        assert!(times(0.0, 1.0) > 1e9 && times(1.0, 0.0) > 1e9);
        assert!((times(3.0, 2.0) - 1.5).abs() < 1e-9);
    }
}
