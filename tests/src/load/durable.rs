//! `sga-load durable`: how many messages a second become durable, beside Mosquitto and the bare disk.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sga_coap::Now;

use super::drive::{Drive, Plan, Setup};
use super::figures::{Cost, Latencies, Row};
use super::mosquitto::{self, Mosquitto, Persistence};
use super::process::{Folder, Gateway};
use super::worker::{Outcome, Worker};
use super::{Durable, floor, mqtt, say};

/// Messages of a mailbox before it is drained: the gateway takes 256, or 960 KiB.
const DRAIN_AT: u32 = 192;
const MAILBOX_BYTES: usize = 900 << 10;

/// How long the bare disk is measured for each size of block, at most.
const FLOOR_TIME: Duration = Duration::from_secs(3);

struct Sending {
    text: Vec<u8>,
    until: Now,
    drain_at: u32,
    latencies: Latencies,
}

impl Plan for Sending {
    fn next(&mut self, now: Now, worker: &mut Worker) -> Result<bool, String> {
        if now >= self.until {
            return Ok(false);
        }
        let receiver = &worker.receivers[0];
        if receiver.stored - receiver.drained >= self.drain_at {
            worker.drain(0)?;
        } else {
            worker.send(0, &self.text)?;
        }
        Ok(true)
    }

    fn outcome(&mut self, _now: Now, outcome: Outcome) -> Result<(), String> {
        if let Some(took) = outcome.stored {
            self.latencies.add(took);
        }
        Ok(())
    }
}

/// Runs it; all rows, for the caller to show.
pub(crate) fn run(options: &Durable, folder: &Folder) -> Result<serde_json::Value, String> {
    let time = Duration::from_secs_f64(options.seconds);
    let program = (!options.no_mosquitto).then(|| mosquitto::find(options.mosquitto.as_deref())).transpose()?;
    let drain_at = DRAIN_AT.min((MAILBOX_BYTES / (options.bytes + 64)) as u32).max(1);
    say(&format!(
        "{} s each, texts of {} bytes, in {}; each sender has one message in flight and waits for its confirmation",
        options.seconds,
        options.bytes,
        folder.path.display()
    ));
    say(&format!(
        "sga: a 2.04 means that the message is on disk; receivers are registered and absent; each sender's mailbox is emptied by \
         one attach after {drain_at} messages, which counts as time and not as a message"
    ));
    if program.is_some() {
        say(
            "mosquitto: QoS 1, a persistent subscriber that is away; its PUBACK does not mean that the message is on disk",
        );
    }
    let floor_time = time.min(FLOOR_TIME);
    let rows = [floor::measure(&folder.path, 256, floor_time)?, floor::measure(&folder.path, 4_096, floor_time)?];
    let floor = rows[0].per_s;
    let mut shown = Table { floor, rows: Vec::new() };
    say(&format!("\n{}", Row::HEAD));
    rows.into_iter().for_each(|row| shown.add(row));
    if rows_are_too_fast(floor) {
        say(
            "that is faster than any disk: this folder seems to be in memory, and the figures below are not about durability",
        );
    }
    for &senders in &options.senders {
        shown.add(sga(options, folder, senders, time, drain_at)?);
    }
    if let Some(program) = program {
        for persistence in [Persistence::EachChange, Persistence::Default] {
            for &senders in &options.senders {
                shown.add(broker(options, folder, &program, persistence, senders, time)?);
            }
        }
    }
    let rows: Vec<_> = shown.rows.iter().map(|row| row.json(floor)).collect();
    Ok(serde_json::json!({
        "command": "durable",
        "seconds": options.seconds,
        "bytes": options.bytes,
        "rows": rows,
    }))
}

/// A write that takes less than this did not go to a device.
fn rows_are_too_fast(per_s: f64) -> bool {
    per_s > 200_000.0
}

struct Table {
    floor: f64,
    rows: Vec<Row>,
}

impl Table {
    fn add(&mut self, row: Row) {
        say(&row.text(self.floor));
        self.rows.push(row);
    }
}

fn sga(options: &Durable, folder: &Folder, senders: usize, time: Duration, drain_at: u32) -> Result<Row, String> {
    let data = folder.inner(&format!("gateway-{senders}"))?;
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let gateway = Gateway::start(options.release_dir.as_deref(), &data, listen)?;
    let pid = gateway.server.pid();
    let mut drive = Drive::new(gateway.address, senders, senders)?;
    drive.run(&mut Setup::default())?;
    let before = Cost::so_far(Some(pid))?;
    let began = drive.clock.now();
    let text = vec![b'.'; options.bytes];
    let mut plan = Sending { text, until: began + time, drain_at, latencies: Latencies::default() };
    drive.run(&mut plan)?;
    let elapsed = drive.clock.now() - began;
    let row = plan.latencies.row("sga", senders, elapsed, Cost::since(before, Some(pid))?);
    drop(gateway);
    remove(&data)?;
    Ok(row)
}

fn broker(
    options: &Durable,
    folder: &Folder,
    program: &Path,
    persistence: Persistence,
    senders: usize,
    time: Duration,
) -> Result<Row, String> {
    let data = folder.inner(&format!("mosquitto-{}-{senders}", persistence.name()))?;
    let broker = Mosquitto::start(program, &data, persistence)?;
    let pid = broker.server.pid();
    mqtt::subscribe(broker.address)?;
    let mut publishers = mqtt::Publishers::connect(broker.address, senders, options.bytes)?;
    let before = Cost::so_far(Some(pid))?;
    let (latencies, elapsed) = publishers.run(time)?;
    let row =
        latencies.row(&format!("mosquitto, {}", persistence.name()), senders, elapsed, Cost::since(before, Some(pid))?);
    drop(broker);
    remove(&data)?;
    Ok(row)
}

fn remove(folder: &Path) -> Result<(), String> {
    std::fs::remove_dir_all(folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))
}
