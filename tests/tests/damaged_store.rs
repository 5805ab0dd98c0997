//! A store whose files are damaged: the gateway starts all the same, throws nothing away, and hands out nothing but what was
//! sent. A device may then get less than it was promised; it never gets something else. What is acknowledged from then on arrives.
//!
//! What lies below `--data` is the engine's own affair: any regular file there may be hit, but the keys and the enrolment.
//! `SGA_ROUNDS` says how many damages are tried; a run that has failed leaves its files where the message says.
#![expect(clippy::print_stderr, reason = "figures for who runs it with --nocapture")]

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_tests::fleet::{Fleet, Gateway, Node, Program, Reading, Verdict};

/// Without `SGA_ROUNDS`.
const ROUNDS: u32 = 40;
const PAIRS: usize = 4;
/// Texts that wait in each inbox.
const WAITING: usize = 40;
/// Texts that each device sends after the damage.
const AFTER: usize = 2;
const START_LIMIT: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(20);
/// Faulty rounds after which it is enough.
const FAULTY_MAX: usize = 20;

fn program() -> Program {
    Program::within(env!("CARGO_BIN_EXE_sga-kill"))
}

fn text_len(number: u32) -> usize {
    if number % 16 == 15 { 2_500 } else { 16 + (number % 8) as usize * 16 }
}

/// Devices whose mail waits, and the gateway's files: as a kill left them, and as a clean stop did.
struct Original {
    fleet: Fleet,
    stores: [PathBuf; 2],
}

fn make_original(folder: &Path) -> Original {
    let (data, log) = (folder.join("data"), folder.join("log"));
    let mut fleet = Fleet::new().expect("a fleet");
    let start = |fleet: &mut Fleet, listen: &str| {
        fleet.start(&program(), &data, listen, &log, START_LIMIT).expect("a start on a sound store")
    };
    let (gateway, address) = start(&mut fleet, "127.0.0.1:0");
    for _ in 0..PAIRS {
        fleet.add_pair(address, 7, text_len).expect("sockets");
    }
    fleet.establish(LIMIT).expect("sessions");
    fleet.calm(LIMIT).expect("acknowledged");
    fleet.read_all(LIMIT).expect("read");
    // From here on the mail stays.
    for node in &mut fleet.nodes {
        node.read(Reading::Off);
        node.sends = true;
    }
    let before: Vec<usize> = fleet.nodes.iter().map(|node| node.traffic.acknowledged()).collect();
    let enough = |nodes: &mut [Node]| {
        nodes.iter_mut().zip(&before).fold(true, |all, (node, before)| {
            node.sends = node.traffic.acknowledged() < before + WAITING;
            all && !node.sends
        })
    };
    assert!(fleet.run_until(LIMIT, enough), "no texts");
    fleet.calm(LIMIT).expect("acknowledged");
    gateway.kill().expect("killed");
    let killed = folder.join("killed");
    copy(&data, &killed);
    let (gateway, _) = start(&mut fleet, &address.to_string());
    assert!(gateway.stop().expect("stopped").success());
    let stopped = folder.join("stopped");
    copy(&data, &stopped);
    Original { fleet, stores: [killed, stopped] }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    fs::set_permissions(to, fs::metadata(from).expect("there").permissions()).expect("set");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().expect("known").is_file() {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// All regular files in a folder and below, in a fixed order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("readable");
        if entry.file_type().expect("known").is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.file_type().expect("known").is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn is_store(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The reserve holds zeros, to be given up when the disk is full.
    name != "gateway.key" && name != "reserve" && !name.starts_with("enrol.")
}

/// What was done to a store.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Flip { file: PathBuf, at: usize, bits: u8 },
    Cut { file: PathBuf, at: usize, of: usize },
}

impl Damage {
    fn file(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Flip { file, .. } | Self::Cut { file, .. } => Some(file),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::None => f.write_str("no damage"),
            Self::Flip { file, at, bits } => write!(f, "byte {at} of {} xor {bits:#04x}", name(file)),
            Self::Cut { file, at, of } => write!(f, "{} cut from {of} bytes to {at}", name(file)),
        }
    }
}

fn damage(data: &Path, rng: &mut ChaCha12Rng) -> Damage {
    let mut below = |bound: usize| rng.next_u64() as usize % bound.max(1);
    let candidates: Vec<_> = files(data).into_iter().filter(|path| is_store(path)).collect();
    assert!(!candidates.is_empty(), "there is no store");
    let file = candidates[below(candidates.len())].clone();
    let mut bytes = fs::read(&file).expect("readable");
    if bytes.is_empty() {
        return Damage::None;
    }
    // Files are mostly zeros where nothing was written yet; three times out of four it is to be where something was.
    let mut at = below(bytes.len());
    if below(4) > 0 {
        for _ in 0..256 {
            if bytes[at] != 0 {
                break;
            }
            at = below(bytes.len());
        }
    }
    if below(2) == 0 {
        let bits = 1 << below(8);
        bytes[at] ^= bits;
        fs::write(&file, bytes).expect("written");
        Damage::Flip { file, at, bits }
    } else {
        fs::File::options().write(true).open(&file).expect("opened").set_len(at as u64).expect("cut");
        Damage::Cut { file, at, of: bytes.len() }
    }
}

/// What a round has shown.
struct Outcome {
    round: u32,
    damage: Damage,
    verdict: Verdict,
    /// Devices that could not read to the end, and why; that is allowed.
    refused: Vec<String>,
    faults: Vec<String>,
}

fn round(original: &Original, folder: &Path, round: u32) -> Outcome {
    let mut rng = ChaCha12Rng::seed_from_u64(u64::from(round));
    let place = folder.join(format!("round-{round}"));
    let (data, log, held) = (place.join("data"), place.join("log"), place.join("held"));
    copy(&original.stores[round as usize % 2], &data);
    let damage = if round < 2 { Damage::None } else { damage(&data, &mut rng) };
    if let Some(file) = damage.file() {
        // A second name for the damaged file: if it is the only one left afterwards, the gateway has thrown it away.
        fs::hard_link(file, &held).expect("linked");
    }
    let mut outcome = Outcome { round, damage, verdict: Verdict::default(), refused: Vec::new(), faults: Vec::new() };
    let mut fleet = Fleet::new().expect("a fleet");
    match fleet.start(&program(), &data, "127.0.0.1:0", &log, START_LIMIT) {
        Err(why) => outcome.faults.push(why),
        Ok((gateway, address)) => {
            for node in &original.fleet.nodes {
                let mut twin = node.twin(address, rng.next_u64()).expect("a socket");
                twin.patience = Some(3);
                fleet.add(twin).expect("a socket");
            }
            look(&mut fleet, gateway, &mut outcome);
        }
    }
    if let Some(file) = outcome.damage.file() {
        outcome.faults.extend(missing(&data, file, &held));
    }
    if outcome.faults.is_empty() {
        fs::remove_dir_all(&place).expect("removed");
    }
    outcome
}

/// Lets all devices send once more, those that still can, and read again: what was acknowledged now must have arrived.
fn go_on(fleet: &mut Fleet, outcome: &mut Outcome) {
    let before: Vec<_> = fleet.nodes.iter().map(|node| (node.traffic.count(), node.refused.len())).collect();
    let has_given_up = |node: &Node| matches!(node.reading(), Reading::GivenUp(_));
    for node in fleet.nodes.iter_mut().filter(|node| !has_given_up(node)) {
        // A session that the store has forgotten comes about again only between two that read.
        node.read(Reading::On);
        node.sends = true;
    }
    let is_alone: Vec<bool> = (0..fleet.nodes.len()).map(|at| has_given_up(&fleet.nodes[at ^ 1])).collect();
    let has_sealed = |node: &Node, count: u32| (node.traffic.count() - count) as usize >= AFTER;
    let is_over = |node: &Node, &(count, refused): &(u32, usize)| {
        let refused = !node.failures.is_empty() || node.refused.len() > refused + 3;
        refused || (node.is_sent() && (!node.sends || has_sealed(node, count)))
    };
    let all = fleet.run_until(LIMIT, |nodes| {
        nodes.iter_mut().zip(&before).zip(&is_alone).fold(true, |all, ((node, before), is_alone)| {
            node.sends &= !has_sealed(node, before.0);
            all && (is_over(node, before) || *is_alone)
        })
    });
    if !all {
        let waiting: Vec<String> = fleet
            .nodes
            .iter()
            .zip(&before)
            .zip(&is_alone)
            .filter(|((node, before), is_alone)| !is_over(node, before) && !**is_alone)
            .map(|((node, _), _)| node.describe())
            .collect();
        outcome.faults.push(format!("texts are neither taken nor refused: {}", waiting.join("; ")));
    }
    fleet.nodes.iter_mut().for_each(|node| node.sends = false);
    outcome.faults.extend(fleet.read_all(LIMIT).err());
    fleet.verdicts();
    for (node, (count, _)) in fleet.nodes.iter().zip(before) {
        let lost: Vec<u32> = node.traffic.lost().into_iter().filter(|&number| number >= count).collect();
        if !lost.is_empty() {
            outcome.faults.push(format!("texts {lost:?} of {} were acknowledged after the damage and lost", node.id()));
        }
    }
}

/// Reads all inboxes, as far as they are to be had.
fn look(fleet: &mut Fleet, gateway: Gateway, outcome: &mut Outcome) {
    outcome.faults.extend(fleet.read_all(LIMIT).err());
    outcome.verdict = fleet.verdicts().into_iter().sum();
    if outcome.faults.is_empty() {
        go_on(fleet, outcome);
    }
    let verdicts = fleet.verdicts();
    for (node, verdict) in fleet.nodes.iter().zip(&verdicts) {
        if !verdict.is_true() {
            outcome.faults.push(format!("texts of {}: {verdict}", node.id()));
        }
        match node.reading() {
            Reading::GivenUp(why) if why.contains("in time") => {
                outcome.faults.push(format!("{} got no answer: {why}", node.id()));
            }
            Reading::GivenUp(why) => outcome.refused.push(format!("{}: {why}", node.id())),
            _ => {}
        }
    }
    let log = gateway.log();
    let panics: Vec<_> = log.lines().skip_while(|line| !line.contains("panicked")).take(2).collect();
    if !panics.is_empty() {
        outcome.faults.push(panics.join(" "));
    }
    gateway.kill().expect("killed");
}

/// What is wrong with where the damaged file is now.
fn missing(data: &Path, file: &Path, held: &Path) -> Option<String> {
    let inode = fs::metadata(held).expect("held").ino();
    let now = files(data).into_iter().find(|path| fs::metadata(path).is_ok_and(|meta| meta.ino() == inode));
    let Some(now) = now else { return Some(format!("{} is gone", file.display())) };
    let name = now.strip_prefix(data).unwrap_or(&now).to_string_lossy().into_owned();
    let digits = name.split(|c: char| !c.is_ascii_digit() && c != '-').map(|part| part.replace('-', "").len()).max();
    (now != file && digits < Some(8)).then(|| format!("{} was set aside as {name}, without a date", file.display()))
}

#[test]
fn a_damaged_store_starts_keeps_what_it_set_aside_and_hands_out_nothing_false() {
    let rounds = std::env::var("SGA_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let original = make_original(folder.path());
    let next = AtomicU32::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&number| number < rounds) {
                    let outcome = round(&original, folder.path(), number);
                    let mut outcomes = outcomes.lock().expect("whole");
                    outcomes.push(outcome);
                    if outcomes.iter().filter(|outcome: &&Outcome| !outcome.faults.is_empty()).count() >= FAULTY_MAX {
                        return;
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("whole");
    outcomes.sort_by_key(|outcome| outcome.round);
    for sound in outcomes.iter().filter(|outcome| matches!(outcome.damage, Damage::None)) {
        assert!(
            sound.verdict.is_whole() && sound.faults.is_empty(),
            "without damage: {} {:?}",
            sound.verdict,
            sound.faults
        );
    }
    let full = outcomes.iter().filter(|outcome| outcome.verdict.lost == 0 && outcome.refused.is_empty()).count();
    let refused = outcomes.iter().filter(|outcome| !outcome.refused.is_empty()).count();
    let faulty: Vec<_> = outcomes.iter().filter(|outcome| !outcome.faults.is_empty()).collect();
    let all: Verdict = outcomes.iter().map(|outcome| outcome.verdict).sum();
    eprintln!(
        "{} rounds, {full} in which nothing was missing, {refused} with refusals, {} faulty; {} of {} texts delivered",
        outcomes.len(),
        faulty.len(),
        all.delivered,
        all.acknowledged
    );
    let report: Vec<String> = faulty
        .iter()
        .map(|outcome| {
            let store = ["killed", "stopped"][outcome.round as usize % 2];
            format!("round {}, store {store}, {}: {}", outcome.round, outcome.damage, outcome.faults.join("; "))
        })
        .collect();
    if !report.is_empty() {
        panic!("{}\nthe files are in {}", report.join("\n"), folder.keep().display());
    }
}
