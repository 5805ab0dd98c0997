//! Storage engines on the gateway's workload. One engine a build, so that the binary's size can be compared:
//! `tests/engines/run` builds each, runs each, and prints one table.
//!
//! A message stored is an item of 16 to 1,024 bytes in one of 10,000 mailboxes and a window record of 220 bytes; a message
//! acknowledged is a device's record of 180 bytes and the removal of the mailbox's items up to a number. Each group is made durable
//! before the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

#[cfg_attr(feature = "redb", path = "redb.rs")]
#[cfg_attr(feature = "fjall", path = "fjall.rs")]
#[cfg_attr(feature = "sqlite", path = "sqlite.rs")]
#[cfg_attr(feature = "ours", path = "ours.rs")]
#[cfg_attr(not(any(feature = "redb", feature = "fjall", feature = "sqlite", feature = "ours")), path = "none.rs")]
mod engine;

use engine::Engine;

pub enum Op {
    /// An item under a number, and the sender's window.
    Append { mailbox: u32, number: u32, body: Vec<u8>, window: Vec<u8> },
    /// The items up to a number go, and the device's record changes.
    Acknowledge { mailbox: u32, up_to: u32, device: Vec<u8> },
}

pub fn key(tag: u8, mailbox: u32, number: u32) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend_from_slice(&mailbox.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

const MAILBOXES: u32 = 10_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        // xorshift64*: a workload, not a secret.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

struct Workload {
    random: Random,
    next: Vec<u32>,
    acknowledged: Vec<u32>,
    waiting: std::collections::VecDeque<u32>,
}

impl Workload {
    fn new() -> Self {
        let zeros = vec![0; MAILBOXES as usize];
        Self { random: Random(7), next: zeros.clone(), acknowledged: zeros, waiting: Default::default() }
    }

    fn append(&mut self) -> Op {
        let mailbox = self.random.next() % MAILBOXES;
        self.next[mailbox as usize] += 1;
        let len = 16 + self.random.next() as usize % 1_009;
        self.waiting.push_back(mailbox);
        let (body, window) = (self.random.bytes(len), self.random.bytes(220));
        Op::Append { mailbox, number: self.next[mailbox as usize], body, window }
    }

    fn acknowledge(&mut self) -> Op {
        let mailbox = self.waiting.pop_front().expect("something waits");
        self.acknowledged[mailbox as usize] = self.next[mailbox as usize];
        Op::Acknowledge { mailbox, up_to: self.next[mailbox as usize], device: self.random.bytes(180) }
    }
}

/// Bytes that the disk below a folder was given to write, by anybody: what a process is said to have written counts whole
/// folios of the page cache where one block was changed.
fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let device = fs::metadata(folder).expect("a folder").dev();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    let text = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap_or_default();
    text.split_whitespace().nth(6).and_then(|sectors| sectors.parse::<u64>().ok()).unwrap_or(0) * 512
}

fn proc_value(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Messages stored `group` at a time; with `live`, each is acknowledged 64 messages later.
fn phase(folder: &Path, engine: &mut Engine, work: &mut Workload, messages: usize, group: usize, live: bool) {
    let name = format!("{} x{group}", if live { "delivered" } else { "absent" });
    let (start, written) = (Instant::now(), disk_bytes(folder));
    let mut latencies = Vec::new();
    let mut done = 0;
    while done < messages {
        let mut ops: Vec<Op> = (0..group).map(|_| work.append()).collect();
        if live {
            while work.waiting.len() > 64 {
                ops.push(work.acknowledge());
            }
        } else {
            work.waiting.clear();
        }
        let at = Instant::now();
        engine.apply(&ops);
        latencies.push(at.elapsed());
        done += group;
    }
    latencies.sort();
    let bytes = disk_bytes(folder) - written;
    println!(
        "{name}\t{:.0}\t{:.1}\t{:.1}",
        done as f64 / start.elapsed().as_secs_f64(),
        bytes as f64 / done as f64 / 1_000.0,
        latencies[latencies.len() * 99 / 100].as_secs_f64() * 1_000.0,
    );
}

fn fill(folder: &Path) -> (Engine, Workload) {
    let (mut engine, mut work) = (Engine::open(folder), Workload::new());
    for _ in 0..200 {
        let ops: Vec<Op> = (0..256).map(|_| work.append()).collect();
        engine.apply(&ops);
    }
    (engine, work)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let folder = PathBuf::from(arguments.get(2).expect("usage: sga-engines bench|fill|open|check FOLDER"));
    fs::create_dir_all(&folder).expect("a folder");
    match arguments[1].as_str() {
        "bench" => {
            println!("phase\tmessages/s\tKB written a message\tp99 ms of a group");
            let (mut engine, mut work) = (Engine::open(&folder), Workload::new());
            for (group, messages) in [(1, 3_000), (16, 32_000), (256, 64_000)] {
                phase(&folder, &mut engine, &mut work, messages, group, false);
            }
            for (group, messages) in [(1, 3_000), (16, 32_000), (256, 64_000)] {
                phase(&folder, &mut engine, &mut work, messages, group, true);
            }
            println!("memory\t{} KB at most", proc_value("status", "VmHWM:"));
            let me = std::env::current_exe().expect("a name");
            // A store of 51,200 messages whose process is killed while it writes.
            let killed = folder.join("killed");
            let mut child = Command::new(&me).arg("fill").arg(&killed).stdout(Stdio::piped()).spawn().expect("starts");
            let mut ready = String::new();
            use std::io::BufRead;
            std::io::BufReader::new(child.stdout.take().expect("piped")).read_line(&mut ready).expect("a line");
            child.kill().expect("killed");
            child.wait().expect("gone");
            let output = Command::new(&me).arg("open").arg(&killed).output().expect("runs");
            print!("after a kill\t{}", String::from_utf8_lossy(&output.stdout));
            // A byte of the largest file flips.
            let (mut same, mut refused, mut silent, mut missing) = (0, 0, 0, 0);
            for round in 0..40_u64 {
                let flipped = folder.join(format!("flipped-{round}"));
                copy(&killed, &flipped);
                flip(&flipped, round);
                let output = Command::new(&me).arg("check").arg(&flipped).output().expect("runs");
                match (output.status.success(), String::from_utf8_lossy(&output.stdout).trim()) {
                    (true, "sound") => same += 1,
                    (true, "missing") => missing += 1,
                    (true, _) => silent += 1,
                    (false, _) => refused += 1,
                }
                fs::remove_dir_all(&flipped).expect("removed");
            }
            println!("40 flipped bytes\t{same} without effect, {refused} refused or set aside, {missing} with items missing, {silent} with false items");
        }
        "fill" => {
            let (mut engine, mut work) = fill(&folder);
            println!("ready");
            loop {
                let ops: Vec<Op> = (0..16).map(|_| work.append()).collect();
                engine.apply(&ops);
            }
        }
        "open" => {
            let start = Instant::now();
            let engine = Engine::open(&folder);
            let count = engine.read(0).len();
            println!("{:.0} ms to open and read one mailbox ({count} items)", start.elapsed().as_secs_f64() * 1_000.0);
        }
        "check" => {
            let engine = Engine::open(&folder);
            // What the first 51,200 messages were is known from the seed.
            let mut work = Workload::new();
            let mut expected = std::collections::HashMap::new();
            for _ in 0..200 * 256 {
                if let Op::Append { mailbox, number, body, .. } = work.append() {
                    expected.insert((mailbox, number), body);
                }
            }
            let mut found = std::collections::HashMap::new();
            for mailbox in 0..MAILBOXES {
                found.extend(engine.read(mailbox).into_iter().map(|(number, body)| ((mailbox, number), body)));
            }
            let false_ones = found.iter().any(|(at, body)| expected.get(at).is_some_and(|expected| expected != body));
            let missing = expected.keys().any(|at| !found.contains_key(at));
            println!("{}", if false_ones { "false" } else if missing { "missing" } else { "sound" });
        }
        other => panic!("{other}: not a command"),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            files(&entry.path(), out);
        } else {
            out.push(entry.path());
        }
    }
}

fn flip(folder: &Path, round: u64) {
    let mut all = Vec::new();
    files(folder, &mut all);
    all.sort();
    let largest = all.iter().max_by_key(|file| fs::metadata(file).map_or(0, |meta| meta.len())).expect("a file");
    let mut bytes = fs::read(largest).expect("readable");
    let mut random = Random(round * 77 + 5);
    random.next();
    // Where something is: most of a file that was made long beforehand is empty.
    let len = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0) + 1;
    let at = (u64::from(random.next()) * len as u64 >> 32) as usize;
    bytes[at] ^= 1 << (random.next() % 8);
    fs::write(largest, bytes).expect("written");
}
