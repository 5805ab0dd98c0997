//! Recovery that is cut short itself, and what a journal's end can tell.
//!
//! What is missing is told by one start at least: not to find it a second time is no excuse for the one that was cut short.

use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_gateway_core::{Change, Commit, Found, Key, Want};
use sga_gateway_store::{Disk, Finding, OpenError, Opened, Options, examine, open};
use sga_tests::sim::disk::{Fate, SimDisk};

const KEY: [u8; 32] = [7; 32];
const BLOCK: usize = 4_096;
/// A journal of twelve blocks.
const SEGMENT: usize = 48 << 10;
const RESERVE: usize = 512 << 10;

fn options() -> Options {
    let (segment_bytes, reserve_bytes) = (SEGMENT as u64, RESERVE as u64);
    Options { segment_bytes, reserve_bytes, cache_bytes: 1 << 20, ..Options::new(1, [9; 32]) }
}

fn try_open(disk: &SimDisk) -> Result<Opened, OpenError> {
    open(Arc::new(disk.clone()), &KEY, &options())
}

fn opened(disk: &SimDisk) -> Opened {
    try_open(disk).expect("a store always opens")
}

/// A group of so many blocks that says which one it is.
fn group(number: u32, blocks: usize) -> Vec<Commit> {
    let value = vec![number as u8; blocks * BLOCK - 500];
    vec![Commit { id: 0, changes: vec![Change::Put { key: Key::Device(number), value }] }]
}

fn apply(store: &mut Opened, numbers: impl IntoIterator<Item = u32>) {
    numbers.into_iter().for_each(|number| store.writer.apply(&group(number, 1)).expect("durable"));
}

fn devices(store: &Opened) -> Vec<u32> {
    let want = Want::Keys { from: Key::Device(0), to: Key::Device(u32::MAX), max: 1_000 };
    let keys = match store.reader.read(&[want]).expect("readable").pop() {
        Some(Found::Keys { keys, more: false }) => keys,
        other => panic!("{other:?}"),
    };
    keys.iter().filter_map(|key| if let Key::Device(number) = key { Some(*number) } else { None }).collect()
}

/// So many groups of one block as a kill leaves them: with twelve, a full journal and one in the other.
fn left_by_a_kill(groups: u32) -> SimDisk {
    let disk = SimDisk::default();
    let mut store = opened(&disk);
    apply(&mut store, 1..=groups);
    let left = disk.duplicate();
    drop(store);
    left
}

fn is_gap(finding: &Finding) -> bool {
    matches!(finding, Finding::JournalGap { .. })
}

fn told(store: &Opened) -> bool {
    store.set_back && store.findings.iter().any(is_gap)
}

/// The doctor and the next start come to the same.
fn doctor_agrees(disk: &SimDisk) -> bool {
    let sound = examine(disk, &KEY, &options()).expect("readable").wrong.is_empty();
    let store = opened(&disk.duplicate());
    assert_eq!(sound, store.findings.is_empty(), "{:?}", store.findings);
    sound
}

/// What a damage of the journals does is told, wherever the start that finds it ends.
fn told_whenever_it_ends(what: &str, left: &SimDisk) {
    assert!(!doctor_agrees(left), "{what}");
    let whole = left.duplicate();
    assert!(told(&opened(&whole)), "{what}");
    let mut marked = false;
    for sync in 1..=whole.syncs() {
        for fate in [Fate::Dropped, Fate::Kept, Fate::Torn(sync)] {
            let disk = left.duplicate();
            disk.stop_at(sync);
            let first = try_open(&disk).is_ok_and(|store| told(&store));
            let again = disk.after_power_cut(fate);
            let second = opened(&again);
            assert!(first || second.set_back, "{what}, sync {sync}, {fate:?}: nobody was told");
        }
        // A kill, which loses nothing.
        let disk = left.duplicate();
        disk.stop_at(sync);
        let first = try_open(&disk).is_ok_and(|store| told(&store));
        let killed = disk.duplicate();
        marked |= killed.content().contains_key("store.suspect");
        assert!(first || opened(&killed).set_back, "{what}, a kill at {sync}: nobody was told");
        assert!(!killed.content().contains_key("store.suspect"), "{what}, a kill at {sync}");
    }
    assert!(marked, "{what}: the tables are written with a mark in place");
}

#[test]
fn a_cut_or_missing_journal_is_told_wherever_the_recovery_ends() {
    for groups in [3, 12] {
        for name in ["journal-0", "journal-1"] {
            let left = left_by_a_kill(groups);
            left.damage(name, |bytes| bytes.truncate(2 * BLOCK));
            told_whenever_it_ends(&format!("{groups} groups, {name} cut"), &left);
            let left = left_by_a_kill(groups);
            left.remove(name).expect("there");
            told_whenever_it_ends(&format!("{groups} groups, {name} missing"), &left.duplicate());
        }
    }
}

#[test]
fn where_both_journals_are_gone_that_is_told_and_nothing_is_kept() {
    let left = left_by_a_kill(12);
    ["journal-0", "journal-1"].into_iter().for_each(|name| left.remove(name).expect("there"));
    told_whenever_it_ends("both missing", &left.duplicate());
    let store = opened(&left);
    let said = store.findings.first().expect("told").to_string();
    assert!(said.ends_with("(a part of the journal does not open)"), "{said}");
    assert!(!left.content().keys().any(|name| name.contains("damaged")));
}

#[test]
fn damage_in_the_middle_is_told_and_kept_wherever_the_recovery_ends() {
    let left = left_by_a_kill(5);
    left.damage("journal-1", |bytes| bytes[BLOCK + 100] ^= 1);
    told_whenever_it_ends("a flipped byte", &left);
    let before = left.content().remove("journal-1").expect("there");
    let whole = left.duplicate();
    drop(opened(&whole));
    for sync in 1..=whole.syncs() {
        let disk = left.duplicate();
        disk.stop_at(sync);
        drop(try_open(&disk));
        let again = disk.after_power_cut(Fate::Kept);
        let mut store = opened(&again);
        apply(&mut store, 20..40);
        let mut files = again.content();
        files.retain(|name, _| name.starts_with("journal-1.damaged-"));
        assert!(!files.is_empty() && files.values().all(|bytes| *bytes == before), "sync {sync}");
    }
}

/// A head can be read where its group does not open: a number above the next one was given only when that was confirmed.
#[test]
fn more_than_one_damaged_group_at_the_end_is_told() {
    let body = |bytes: &mut Vec<u8>, block: usize| bytes[block * BLOCK + 200] ^= 1;
    for count in 1..=4 {
        let left = left_by_a_kill(6);
        left.damage("journal-1", |bytes| (6 - count..6).for_each(|block| body(bytes, block)));
        assert_eq!(doctor_agrees(&left), count == 1, "{count} damaged");
        let store = opened(&left);
        assert_eq!(told(&store), count > 1, "{count} damaged: {:?}", store.findings);
        let gap = Finding::JournalGap { epoch: 1, from: 6 - count as u64, groups: count as u64 - 1 };
        assert_eq!(store.findings.contains(&gap), count > 1, "{:?}", store.findings);
        assert_eq!(devices(&store), (1..=6 - count as u32).collect::<Vec<_>>());
    }
}

/// The same where nothing of the newest journal opens, or only what an earlier use of its file has left.
#[test]
fn a_journal_of_which_nothing_opens_is_told() {
    for (groups, name, blocks) in [(6, "journal-1", 6), (14, "journal-0", 3), (26, "journal-1", 3)] {
        for all in [false, true] {
            let left = left_by_a_kill(groups);
            left.damage(name, |bytes| {
                (0..if all { blocks } else { blocks.min(2) }).for_each(|block| bytes[block * BLOCK + 200] ^= 1);
            });
            assert!(!doctor_agrees(&left), "{groups} groups");
            let mut store = opened(&left);
            assert!(told(&store), "{groups} groups: {:?}", store.findings);
            // And what is left of it counts for nothing later.
            apply(&mut store, 50..80);
            drop(store);
            assert_eq!(opened(&left).findings, [], "{groups} groups");
        }
    }
}

/// A bent head of an older journal's remains proves nothing.
#[test]
fn a_number_that_cannot_be_is_no_head() {
    let left = left_by_a_kill(3);
    // The number of the third group, far above the blocks before it: the last group is damaged, and that is all.
    left.damage("journal-1", |bytes| bytes[2 * BLOCK + 16] ^= 1);
    assert!(doctor_agrees(&left));
    assert_eq!(devices(&opened(&left)), [1, 2]);
}

/// Its commits were answered with an error.
#[test]
fn a_refused_group_does_not_come_back_when_the_journal_has_turned() {
    for blocks in [1, 2] {
        let disk = SimDisk::default();
        let mut store = opened(&disk);
        apply(&mut store, 1..=9);
        disk.fail_at(disk.syncs() + 1);
        assert!(store.writer.apply(&group(99, 1)).is_err(), "refused");
        // It does not fit any more, and goes into the other file.
        store.writer.apply(&group(10, 1 + blocks)).expect("durable");
        let left = disk.after_power_cut(Fate::Kept);
        drop(store);
        assert!(doctor_agrees(&left));
        let store = opened(&left);
        assert_eq!((devices(&store), &*store.findings), ((1..=10).collect(), &[][..]), "{blocks} blocks");
    }
}

/// Whatever failed syncs and power cuts leave behind the last confirmed group is no damage, and does not count; but for one group that
/// was refused since, of which nobody knows.
#[test]
fn refused_groups_and_power_cuts_are_no_damage() {
    let mut rng = ChaCha12Rng::seed_from_u64(5);
    let mut disk = SimDisk::default();
    let (mut confirmed, mut number, mut refusals) = (Vec::new(), 0, 0);
    for round in 0..120 {
        let mut store = opened(&disk);
        assert_eq!((&*store.findings, store.set_back), (&[][..], false), "round {round}");
        let mut refused = Vec::new();
        for _ in 0..rng.next_u32() % 12 {
            number += 1;
            if rng.next_u32().is_multiple_of(4) {
                disk.fail_at(disk.syncs() + 1);
            }
            if store.writer.apply(&group(number, 1 + rng.next_u32() as usize % 4)).is_ok() {
                confirmed.push(number);
                refused.clear();
            } else {
                refused.push(number);
                refusals += 1;
            }
        }
        assert_eq!(devices(&store), confirmed, "round {round}");
        let fate = [Fate::Dropped, Fate::Kept, Fate::Torn(round)][rng.next_u32() as usize % 3];
        disk = disk.after_power_cut(fate);
        drop(store);
        let found = devices(&opened(&disk.duplicate()));
        if found != confirmed {
            let more = refused.iter().find(|number| found.last() == Some(number)).expect("refused since");
            confirmed.push(*more);
            assert_eq!(found, confirmed, "round {round}, {fate:?}");
        }
    }
    assert!(refusals > 50 && confirmed.len() > 200, "{refusals} refused, {} confirmed", confirmed.len());
}

/// The reserve is there for what must go on; a damaged store must.
#[test]
fn a_damaged_store_starts_on_a_full_disk_with_what_was_put_by() {
    let journals = left_by_a_kill(12);
    journals.damage("journal-1", |bytes| bytes[BLOCK + 100] ^= 1);
    let missing = left_by_a_kill(12);
    missing.remove("journal-0").expect("there");
    let tables = left_by_a_kill(30);
    tables.damage("store.redb", |bytes| bytes.truncate(bytes.len() / 2));
    for (what, left) in [("journals", journals), ("missing", missing.duplicate()), ("tables", tables)] {
        left.leave(Some(0));
        let mut store = opened(&left);
        assert!(store.set_back && !store.findings.is_empty(), "{what}: {:?}", store.findings);
        assert!(!devices(&store).is_empty(), "{what}");
        assert!(!left.content().contains_key("reserve"), "{what}");
        store.writer.apply(&group(1, 1)).expect("devices go on");
        drop(store);
        left.leave(None);
        assert_eq!(opened(&left).findings, [], "{what}");
        assert!(left.content().contains_key("reserve"), "{what}: put by again");
    }
}

#[test]
fn without_any_room_a_damaged_store_is_left_as_it_is_and_the_error_says_what_to_do() {
    for damage in ["journal", "tables"] {
        let left = left_by_a_kill(30);
        match damage {
            "journal" => left.damage("journal-0", |bytes| bytes[BLOCK + 100] ^= 1),
            _ => left.damage("store.redb", |bytes| bytes.truncate(bytes.len() / 2)),
        }
        left.remove("reserve").expect("there");
        let before = left.content();
        left.leave(Some(0));
        for _ in 0..3 {
            let error = try_open(&left).expect_err("no room").to_string();
            assert!(error.contains("the disk is full") && error.contains("free"), "{error}");
            let now = left.content();
            let kept = |name: &str, bytes: &Vec<u8>| {
                // Tables that open are written to: the mark, which needs no room.
                name == "store.redb" && damage == "journal"
                    || now.iter().any(|(other, now)| other.starts_with(name) && now == bytes)
            };
            assert!(before.iter().all(|(name, bytes)| kept(name, bytes)), "{damage}");
            assert!(!now.keys().any(|name| name.ends_with(".new")), "{damage}: nothing half made takes the room");
            let asides = now.keys().filter(|name| name.starts_with("journal-0.damaged-")).count();
            assert!(asides <= 1, "{damage}: kept {asides} times");
        }
        left.leave(None);
        let store = opened(&left);
        assert!(store.set_back && !devices(&store).is_empty(), "{damage}");
    }
}
