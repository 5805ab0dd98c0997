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

/// How long the bare disk is measured for each size of block, and before and after each line, at most.
const FLOOR_TIME: Duration = Duration::from_secs(3);
const FLOOR_BESIDE: Duration = Duration::from_millis(700);

/// What a commit's least write is taken to be.
const FLOOR_BLOCK: usize = 256;

/// Each sender sends one text after the other to its receiver, whose mailbox is emptied now and then.
pub(crate) struct Sending {
    pub(crate) text: Vec<u8>,
    pub(crate) until: Now,
    pub(crate) drain_at: u32,
    /// Each request from another address.
    pub(crate) moving: bool,
    pub(crate) latencies: Latencies,
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

    fn moves(&self) -> bool {
        self.moving
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
        "sga: a 2.04 means that the message is on disk; receivers are registered and absent; each sender's \
         mailbox is emptied by one attach after {drain_at} messages, which counts as time and not as a message"
    ));
    if program.is_some() {
        say(
            "mosquitto: QoS 1, a persistent subscriber that is away; a PUBACK does not mean that the message is on disk",
        );
    }
    say("raw sync: appends to a file written before, each with fdatasync; measured again before and after each line");
    say(&format!("\n{}", Row::HEAD));
    let mut table = Table { folder, beside: time.min(FLOOR_BESIDE), rows: Vec::new() };
    for block in [FLOOR_BLOCK, 4_096] {
        table.add(|| floor::measure(&folder.path, block, time.min(FLOOR_TIME)))?;
    }
    if table.rows[0].per_s > TOO_FAST {
        say(
            "that is faster than any disk: this folder seems to be in memory, and the figures are not about durability",
        );
    }
    for &senders in &options.senders {
        table.add(|| sga(options, folder, senders, time, drain_at))?;
    }
    if let Some(program) = program {
        for persistence in [Persistence::EachChange, Persistence::Default] {
            for &senders in &options.senders {
                table.add(|| broker(options, folder, &program, persistence, senders, time))?;
            }
        }
    }
    let rows: Vec<_> = table.rows.iter().map(Row::json).collect();
    Ok(serde_json::json!({
        "command": "durable",
        "seconds": options.seconds,
        "bytes": options.bytes,
        "rows": rows,
    }))
}

/// Raw syncs per second that no device does.
const TOO_FAST: f64 = 200_000.0;

struct Table<'a> {
    folder: &'a Folder,
    beside: Duration,
    rows: Vec<Row>,
}

impl Table<'_> {
    /// Measures a line between two looks at the bare disk.
    fn add(&mut self, measure: impl FnOnce() -> Result<Row, String>) -> Result<(), String> {
        let before = floor::measure(&self.folder.path, FLOOR_BLOCK, self.beside)?;
        let mut row = measure()?;
        let after = floor::measure(&self.folder.path, FLOOR_BLOCK, self.beside)?;
        row.floor = f64::midpoint(before.per_s, after.per_s);
        say(&row.text());
        self.rows.push(row);
        Ok(())
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
    let mut plan = Sending { text, until: began + time, drain_at, moving: false, latencies: Latencies::default() };
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
