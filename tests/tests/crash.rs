//! The power goes at every sync: of a scenario, and of the recovery that follows.
//!
//! What a sync has not confirmed is dropped, kept or torn by sectors. Whatever happens, the store must then hold exactly what it
//! held after a whole number of groups: all that were confirmed, and at most the one more that was in the making.
#![expect(clippy::print_stdout, reason = "how much was tried")]

use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_gateway_core::{Change, Commit, Key, StoredItem};
use sga_gateway_store::{Opened, Options, open};
use sga_schema::Handle;
use sga_tests::sim::disk::{Fate, SimDisk};
use sga_tests::sim::model::{DEVICES, MAILBOXES, Model};

const KEY: [u8; 32] = [7; 32];

/// Small files, so that a few groups fill one.
fn options() -> Options {
    Options { segment_bytes: 48 << 10, reserve_bytes: 4 << 10, cache_bytes: 1 << 20, ..Options::new(1, [9; 32]) }
}

/// Groups of commits like the gateway's, and what is there after each.
struct Scenario {
    groups: Vec<Vec<Commit>>,
    states: Vec<Model>,
}

impl Scenario {
    fn new(seed: u64, groups: usize) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut state = Model::default();
        let mut scenario = Self { groups: Vec::new(), states: vec![state.clone()] };
        let mut numbers = [0; MAILBOXES as usize];
        for _ in 0..groups {
            let commits = (0..=rng.next_u32() % 3).map(|id| Commit {
                id: id.into(),
                changes: (0..=rng.next_u32() % 3).map(|_| change(&mut rng, &mut numbers)).collect(),
            });
            let commits: Vec<Commit> = commits.collect();
            commits.iter().flat_map(|commit| &commit.changes).for_each(|change| state.apply(change));
            scenario.groups.push(commits);
            scenario.states.push(state.clone());
        }
        scenario
    }

    /// Applies groups from one on until the end or the power cut; how many were confirmed in all.
    fn run(&self, opened: &mut Opened, from: usize) -> usize {
        for (at, group) in self.groups.iter().enumerate().skip(from) {
            if opened.writer.apply(group).is_err() {
                return at;
            }
        }
        self.groups.len()
    }
}

fn change(rng: &mut ChaCha12Rng, numbers: &mut [u32; MAILBOXES as usize]) -> Change {
    let mailbox = rng.next_u32() % MAILBOXES;
    let last = &mut numbers[mailbox as usize];
    let some = rng.next_u32() % (*last + 1);
    let mut bytes = vec![0; (rng.next_u32() % 900) as usize];
    rng.fill_bytes(&mut bytes);
    match rng.next_u32() % 10 {
        0..5 => {
            *last += 1;
            let item = StoredItem { number: *last, kind: 6, body: bytes, stored_s: u64::from(*last) };
            Change::Append { mailbox, item }
        }
        5 | 6 => Change::Put { key: Key::Device(rng.next_u32() % DEVICES), value: bytes },
        7 => Change::Delete(if some == 0 {
            Key::Leg(Handle((rng.next_u32() % DEVICES).to_be_bytes()))
        } else {
            Key::Item { mailbox, number: some }
        }),
        8 => Change::Void { mailbox, number: some },
        _ => Change::Acknowledge { mailbox, up_to: some },
    }
}

fn opened(disk: &SimDisk) -> Option<Opened> {
    let opened = open(Arc::new(disk.clone()), &KEY, &options()).ok()?;
    assert_eq!(opened.findings, [], "a power cut is no damage");
    assert!(!opened.set_back);
    Some(opened)
}

fn fates(point: u64) -> [Fate; 3] {
    [Fate::Dropped, Fate::Kept, Fate::Torn(point)]
}

/// Opens what a power cut has left and looks; returns how many groups are there.
fn check(disk: &SimDisk, scenario: &Scenario, confirmed: usize, what: &str) -> usize {
    let opened = opened(disk).expect("a store always opens");
    let found = Model::read(&opened.reader).expect("readable");
    let one_more = scenario.states.get(confirmed + 1).is_some_and(|state| *state == found);
    assert!(
        one_more || found == scenario.states[confirmed],
        "{what}: neither the {confirmed} confirmed groups nor one more"
    );
    if found == scenario.states[confirmed] { confirmed } else { confirmed + 1 }
}

/// The power goes during the recovery, at each of its syncs, and again at the first sync after it.
fn cut_recovery(left: &SimDisk, scenario: &Scenario, confirmed: usize, point: u64) -> u64 {
    let whole = left.duplicate();
    drop(opened(&whole));
    let mut points = 0;
    for sync in 1..=whole.syncs() {
        for fate in fates(point ^ sync << 32) {
            let disk = left.duplicate();
            disk.stop_at(sync);
            // The last syncs are those of closing it.
            drop(opened(&disk));
            assert!(disk.is_dead());
            let what = format!("sync {point}, then sync {sync} of the recovery, {fate:?}");
            check(&disk.after_power_cut(fate), scenario, confirmed, &what);
            points += 1;
        }
    }
    points
}

#[test]
fn what_was_confirmed_is_there_after_a_power_cut_at_any_sync() {
    let scenario = Scenario::new(3, 90);
    let whole = SimDisk::default();
    let mut store = opened(&whole).expect("a new store");
    assert_eq!(scenario.run(&mut store, 0), scenario.groups.len());
    assert!(Model::read(&store.reader).expect("readable") == *scenario.states.last().expect("the last state"));
    drop(store);
    let syncs = whole.syncs();
    let mut points = 0;
    for sync in 1..=syncs {
        for fate in fates(sync) {
            let disk = SimDisk::default();
            disk.stop_at(sync);
            let confirmed = opened(&disk).map_or(0, |mut store| scenario.run(&mut store, 0));
            assert!(disk.is_dead(), "sync {sync} does not come");
            let left = disk.after_power_cut(fate);
            let there = check(&left.duplicate(), &scenario, confirmed, &format!("sync {sync}, {fate:?}"));
            points += 1 + cut_recovery(&left, &scenario, confirmed, sync);
            // And life goes on.
            let mut store = opened(&left).expect("opens");
            assert_eq!(scenario.run(&mut store, there), scenario.groups.len());
            assert!(
                Model::read(&store.reader).expect("readable") == *scenario.states.last().expect("the last state"),
                "sync {sync}, {fate:?}: not the same end"
            );
        }
    }
    println!(
        "{points} power cuts, at each of {syncs} syncs of {} groups and at each sync of every recovery",
        scenario.groups.len()
    );
    assert!(points > 1_000);
}

/// The engine can end the process where it writes into damage that nobody has seen. The next start must not come to the same place.
#[test]
fn a_process_that_ends_while_it_writes_the_tables_has_them_read_through() {
    let scenario = Scenario::new(4, 90);
    let whole = SimDisk::default();
    scenario.run(&mut opened(&whole).expect("a new store"), 0);
    assert!(!whole.content().contains_key("store.suspect"));
    let mut marked = 0;
    for sync in 1..=whole.syncs() {
        let disk = SimDisk::default();
        disk.stop_at(sync);
        let confirmed = opened(&disk).map_or(0, |mut store| scenario.run(&mut store, 0));
        // What the process has done, and nothing of what it would have done later.
        let left = disk.duplicate();
        if left.content().contains_key("store.suspect") {
            marked += 1;
            check(&left, &scenario, confirmed, &format!("sync {sync}"));
            assert!(!left.content().contains_key("store.suspect"), "read through, and in order");
        }
    }
    assert!(marked > 0);
}
