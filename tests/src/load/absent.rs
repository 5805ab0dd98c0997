//! `sga-load absent`: many messages for many devices that are away, and how the gateway starts again with them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;
use sga_coap::Now;
use sga_device::DeviceId;

use super::drive::{Drive, Plan, Setup};
use super::figures::mib;
use super::process::{Folder, Gateway};
use super::procfs::{self, Memory, Written};
use super::worker::{Outcome, RECEIVERS_MAX, Who, Worker};
use super::{Absent, say};

/// Senders, and with that messages in flight, unless there are so many receivers that more are needed.
const SENDERS: usize = 256;

/// Messages that a mailbox takes beside the confirmation of the key exchange, with some to spare.
const MAILBOX_MESSAGES: u64 = 250;

/// Bytes that they may have together.
const MAILBOX_BYTES: u64 = 900 << 10;

/// Lines of figures while messages are stored.
const REPORTS: u64 = 10;

/// Receivers that look at the end.
const WITNESSES: usize = 20;

struct Filling<'a> {
    each: usize,
    pid: u32,
    data: &'a Path,
    bytes: usize,
    stored: u64,
    report_every: u64,
    began: Now,
    before: Written,
    last: Memory,
}

/// What nobody else was sent.
fn text(to: DeviceId, number: usize, bytes: usize) -> Vec<u8> {
    let mut text = format!("{number} for {to} ").into_bytes();
    text.resize(bytes.max(text.len()), b'.');
    text
}

impl Plan for Filling<'_> {
    fn next(&mut self, _now: Now, worker: &mut Worker) -> Result<bool, String> {
        // From one receiver to the next, so that no mailbox is filled in one go.
        let to = worker.turns as usize % worker.receivers.len().max(1);
        let Some(receiver) = worker.receivers.get(to) else { return Ok(false) };
        let number = receiver.stored as usize;
        if number >= self.each {
            return Ok(false);
        }
        worker.turns += 1;
        let text = text(receiver.id, number, self.bytes);
        worker.send(to, &text)?;
        Ok(true)
    }

    fn outcome(&mut self, now: Now, outcome: Outcome) -> Result<(), String> {
        if outcome.stored.is_none() {
            return Ok(());
        }
        self.stored += 1;
        if self.stored.is_multiple_of(self.report_every) {
            self.last = procfs::memory(self.pid)?;
            say(&format!(
                "{:>10} messages {:>7.1} s   VmRSS {:>7.1} MiB   VmHWM {:>7.1} MiB   folder {:>8.1} MiB",
                self.stored,
                (now - self.began).as_secs_f64(),
                mib(self.last.now),
                mib(self.last.peak),
                mib(procfs::disk_bytes(self.data)?),
            ));
        }
        Ok(())
    }
}

/// Chosen receivers look at their mailboxes until there is nothing new.
struct Looking {
    chosen: Vec<DeviceId>,
    found: HashMap<DeviceId, Vec<Vec<u8>>>,
    /// Texts that a receiver had at its last look.
    looked: HashMap<DeviceId, usize>,
}

impl Plan for Looking {
    fn next(&mut self, _now: Now, worker: &mut Worker) -> Result<bool, String> {
        while let Some(receiver) = worker.receivers.get_mut(worker.at) {
            let found = self.found.get(&receiver.id).map_or(0, Vec::len);
            let news = self.looked.get(&receiver.id).is_none_or(|&before| found > before);
            if news && self.chosen.contains(&receiver.id) {
                self.looked.insert(receiver.id, found);
                receiver.device.attach(false);
                worker.who = Who::Receiver(worker.at);
                if worker.ask()? {
                    return Ok(true);
                }
            }
            worker.at += 1;
        }
        Ok(false)
    }

    fn outcome(&mut self, _now: Now, outcome: Outcome) -> Result<(), String> {
        for (id, text) in outcome.texts {
            self.found.entry(id).or_default().push(text);
        }
        Ok(())
    }
}

/// Runs it; the figures for the last line.
pub(crate) fn run(options: &Absent, folder: &Folder) -> Result<serde_json::Value, String> {
    let devices = options.devices;
    let each = options.messages / devices as u64;
    if each == 0 || each > MAILBOX_MESSAGES || each * (options.bytes as u64 + 64) > MAILBOX_BYTES {
        return Err(format!(
            "{each} messages of {} bytes for each device: at least 1, and a mailbox takes {MAILBOX_MESSAGES} messages \
             and {} KiB",
            options.bytes,
            MAILBOX_BYTES >> 10
        ));
    }
    let messages = each * devices as u64;
    let senders = devices.min(SENDERS).max(devices.div_ceil(RECEIVERS_MAX));
    let data = folder.inner("gateway")?;
    let release = options.release_dir.as_deref();
    let gateway = Gateway::start(release, &data, SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let pid = gateway.server.pid();
    let mut drive = Drive::new(gateway.address, senders, devices)?;
    say(&format!(
        "{messages} texts of {} bytes, {each} for each of {devices} devices, from {senders} senders with one message \
         in flight each, in {}",
        options.bytes,
        folder.path.display()
    ));
    let fresh = procfs::memory(pid)?;
    let mut setup = Setup::default();
    drive.run(&mut setup)?;
    let setup_s = drive.clock.now().as_secs_f64();
    let ready = procfs::memory(pid)?;
    say(&format!(
        "fresh: VmRSS {:.1} MiB; after {} registrations and {devices} key exchanges ({} requests, {setup_s:.1} s): \
         {:.1} MiB, folder {:.1} MiB",
        mib(fresh.now),
        senders + devices,
        setup.requests,
        mib(ready.now),
        mib(procfs::disk_bytes(&data)?),
    ));

    let (cpu_before, own_before) = (procfs::cpu(pid)?, procfs::cpu(std::process::id())?);
    let mut filling = Filling {
        each: each as usize,
        pid,
        data: &data,
        bytes: options.bytes,
        stored: 0,
        report_every: (messages / REPORTS).max(1),
        began: drive.clock.now(),
        before: procfs::written(pid)?,
        last: ready,
    };
    drive.run(&mut filling)?;
    let fill = (drive.clock.now() - filling.began).as_secs_f64();
    let cpu = procfs::cpu(pid)?.saturating_sub(cpu_before).as_secs_f64();
    let own = procfs::cpu(std::process::id())?.saturating_sub(own_before).as_secs_f64();
    let (full, written) = (procfs::memory(pid)?, procfs::written(pid)?);
    let each_of = |after: u64, before: u64| (after - before) as f64 / messages as f64;
    let storage_each = each_of(written.storage, filling.before.storage);
    let calls_each = each_of(written.calls, filling.before.calls);
    let disk = procfs::disk_bytes(&data)?;
    say(&format!(
        "stored at {:.0} messages/s; written per message: {storage_each:.0} bytes to storage, {calls_each:.0} bytes \
         by write calls (datagrams not counted); folder {:.0} bytes per message; gateway CPU {:.0} % of a core, driver {:.0} %",
        messages as f64 / fill,
        disk as f64 / messages as f64,
        cpu / fill * 100.0,
        own / fill * 100.0,
    ));

    let address = gateway.address;
    drop(gateway);
    let gateway = Gateway::start(release, &data, address)?;
    let again = procfs::memory(gateway.server.pid())?;
    say(&format!(
        "killed and started again: listening after {:.3} s, VmRSS {:.1} MiB",
        gateway.took.as_secs_f64(),
        mib(again.now)
    ));
    let witnesses = look(&mut drive, options, each as usize)?;
    let after = procfs::memory(gateway.server.pid())?;
    say(&format!(
        "{witnesses} devices came back and found all of their {each} messages; VmRSS {:.1} MiB",
        mib(after.now)
    ));
    Ok(json!({
        "command": "absent",
        "devices": devices,
        "messages": messages,
        "bytes": options.bytes,
        "setup_s": setup_s,
        "fill_s": fill,
        "per_s": messages as f64 / fill,
        "rss_fresh": fresh.now,
        "rss_ready": ready.now,
        "rss_full": full.now,
        "rss_peak": full.peak,
        "disk": disk,
        "storage_bytes_per_message": storage_each,
        "write_call_bytes_per_message": calls_each,
        "restart_s": gateway.took.as_secs_f64(),
        "rss_restarted": again.now,
        "witnesses": witnesses,
    }))
}

/// Some receivers come back: all of their messages have to be there.
fn look(drive: &mut Drive, options: &Absent, each: usize) -> Result<usize, String> {
    let ids: Vec<DeviceId> = drive.workers.iter().flat_map(|worker| &worker.receivers).map(|r| r.id).collect();
    let mut rng = ChaCha12Rng::from_seed([8; 32]);
    let mut chosen = Vec::new();
    while chosen.len() < WITNESSES.min(ids.len()) {
        let id = ids[(rng.next_u64() % ids.len() as u64) as usize];
        if !chosen.contains(&id) {
            chosen.push(id);
        }
    }
    let mut plan = Looking { chosen, found: HashMap::new(), looked: HashMap::new() };
    drive.run(&mut plan)?;
    let Looking { chosen, mut found, .. } = plan;
    for &id in &chosen {
        let texts = found.remove(&id).unwrap_or_default();
        let expected: Vec<_> = (0..each).map(|number| text(id, number, options.bytes)).collect();
        if texts != expected {
            return Err(format!("{id} found {} of {each} messages, or others than it was sent", texts.len()));
        }
    }
    Ok(chosen.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_differ_and_have_their_length() {
        let id = DeviceId::new(b"r1").expect("an id");
        assert_eq!(text(id, 3, 64).len(), 64);
        assert_ne!(text(id, 3, 64), text(id, 4, 64));
    }
}
