//! Damage of any byte: the store opens, keeps what was damaged, and never shows what was not stored.
#![expect(clippy::print_stdout, reason = "how much was tried")]

mod common;

use std::fs;
use std::path::Path;

use common::{append, commit, get, is_damage, item, items, names, open, options, put};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_gateway_core::{Change, Key, StoredItem};
use sga_gateway_store::{Finding, Folder, Options, examine};

const MAILBOXES: u32 = 5;
const NUMBERS: u32 = 60;

/// A store with something in the tables and something in each journal.
fn fill(folder: &Path) {
    let mut store = open(folder);
    for number in 1..=NUMBERS {
        for mailbox in 0..MAILBOXES {
            let changes = vec![append(mailbox, number), put(Key::Device(number * 8 + mailbox), &[number as u8; 90])];
            store.writer.apply(&[commit(changes)]).expect("durable");
        }
    }
    store.writer.apply(&[commit(vec![Change::Acknowledge { mailbox: 2, up_to: 10 }])]).expect("durable");
}

fn copy(from: &Path, to: &Path) {
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).expect("copied");
    }
}

/// What a reader shows: items as they were stored, or void; and how many of each.
fn count(folder: &Path, what: &str) -> (usize, usize, Vec<Finding>) {
    let store = open(folder);
    let (mut whole, mut void) = (0, 0);
    for mailbox in 0..MAILBOXES {
        for found in items(&store.reader, mailbox) {
            if found == item(mailbox, found.number) && found.number <= NUMBERS {
                whole += 1;
            } else {
                assert_eq!(found, StoredItem::void(found.number), "{what}: never stored");
                void += 1;
            }
        }
    }
    (whole, void, store.findings)
}

/// A panic that is caught on purpose is no news.
fn quiet() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !sga_gateway_store::is_guarded() {
            usual(info);
        }
    }));
}

fn damage(file: &Path, rng: &mut ChaCha12Rng) -> String {
    let mut bytes = fs::read(file).expect("readable");
    let at = rng.next_u64() as usize % bytes.len();
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let what = if rng.next_u32().is_multiple_of(4) {
        bytes.truncate(at);
        format!("{name} cut at {at}")
    } else {
        let bit = 1 << (rng.next_u32() % 8);
        bytes[at] ^= bit;
        format!("{name}, byte {at} ^ {bit}")
    };
    fs::write(file, &bytes).expect("written");
    what
}

/// 1,000 in the long form: `SGA_ROUNDS=1000`.
#[test]
fn a_flipped_byte_or_a_cut_is_never_fatal_and_never_shows_what_was_not_stored() {
    quiet();
    let rounds = std::env::var("SGA_ROUNDS").map_or(150, |rounds| rounds.parse().expect("a number"));
    let sound = tempfile::tempdir().expect("a folder");
    fill(sound.path());
    let all = (MAILBOXES * NUMBERS - 10) as usize;
    assert_eq!(count(sound.path(), "sound"), (all, 0, Vec::new()));
    let mut rng = ChaCha12Rng::seed_from_u64(11);
    let (mut harmless, mut told, mut lost_all, mut kept) = (0, 0, 0, 0);
    for round in 0..rounds {
        let folder = tempfile::tempdir().expect("a folder");
        copy(sound.path(), folder.path());
        let files = ["store.redb", "store.redb", "journal-0", "journal-1"];
        let what = damage(&folder.path().join(files[rng.next_u32() as usize % files.len()]), &mut rng);
        let damaged = fs::read(folder.path().join("store.redb")).expect("readable");
        let (whole, void, findings) = count(folder.path(), &what);
        kept += whole;
        if findings.is_empty() {
            assert_eq!((whole, void), (all, 0), "{what}: something is missing and nobody was told (round {round})");
            harmless += 1;
            continue;
        }
        assert!(findings.iter().all(is_damage));
        told += 1;
        lost_all += usize::from(whole == 0);
        assert!(matches!(findings[0], Finding::SetAside { .. }), "{what}: {findings:?}");
        if let Some(aside) = names(folder.path()).iter().find(|name| name.starts_with("store.redb.damaged-")) {
            assert!(fs::read(folder.path().join(aside)).expect("readable") == damaged, "{what}: kept as it was");
        }
        let (again, _, findings) = count(folder.path(), &what);
        assert_eq!((again, findings), (whole, Vec::new()), "{what}: the second start finds a sound store");
    }
    println!(
        "{rounds} rounds: {harmless} without effect, {told} told; of {} items {kept} were still there; {lost_all} rounds lost all",
        rounds * all
    );
    assert!(told > rounds / 4);
}

#[test]
fn a_store_that_is_no_store_is_set_aside() {
    for junk in [b"not a database".to_vec(), vec![0; 8_192], vec![0xa5; 100], Vec::new()] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("store.redb"), &junk).expect("written");
        let mut store = open(folder.path());
        assert!(store.set_back);
        assert!(
            matches!(store.findings.as_slice(), [Finding::SetAside { .. }, Finding::Empty]),
            "{:?}",
            store.findings
        );
        store.writer.apply(&[commit(vec![put(Key::Meta, b"m")])]).expect("that works");
        let aside = names(folder.path()).into_iter().find(|name| name.starts_with("store.redb.damaged-1700000000"));
        let kept = fs::read(folder.path().join(aside.expect("a dated name"))).expect("readable");
        assert_eq!(kept, junk);
    }
}

#[test]
fn the_newest_whole_snapshot_takes_the_place_of_a_damaged_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = |date: u64, store: &mut sga_gateway_store::Opened| {
        let path = folder.path().join(format!("snapshot-{date:012}.sga"));
        store.backups.write(&mut fs::File::create(path).expect("a file")).expect("a backup");
    };
    let mut store = open(folder.path());
    for number in 1..=3 {
        store.writer.apply(&[commit(vec![append(1, number), put(Key::Device(number), b"d")])]).expect("durable");
        snapshot(u64::from(number), &mut store);
    }
    store.writer.apply(&[commit(vec![append(1, 4), put(Key::Device(4), b"d")])]).expect("durable");
    drop(store);
    // Somebody's own copy, which sorts behind all of them.
    let first = folder.path().join("snapshot-000000000001.sga");
    fs::copy(first, folder.path().join("snapshot-of-monday.sga")).expect("copied");
    // The newest is damaged, too.
    let newest = folder.path().join("snapshot-000000000003.sga");
    let mut bytes = fs::read(&newest).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&newest, bytes).expect("written");
    fs::write(folder.path().join("store.redb"), b"gone").expect("written");
    let store = open(folder.path());
    let [Finding::SetAside { .. }, Finding::FromSnapshot { file, .. }] = store.findings.as_slice() else {
        panic!("{:?}", store.findings)
    };
    assert_eq!(file, "snapshot-000000000002.sga");
    assert_eq!(common::numbers(&store.reader, 1), [1, 2], "not what the journal has of later");
    assert_eq!((store.set_back, store.highest_device), (true, Some(2)));
    assert_eq!(get(&store.reader, Key::Device(3)), None);
    drop(store);
    // Until the new generation is in the tables, every start says that the store was set back.
    let mut store = open(folder.path());
    assert!(store.set_back && store.findings.is_empty());
    let filler: Vec<_> = (0..150).map(|n| commit(vec![put(Key::Device(n), &[0; 300])])).collect();
    (0..4).for_each(|_| store.writer.apply(&filler).expect("durable"));
    drop(store);
    assert!(!open(folder.path()).set_back);
}

/// Every gateway asks for it first, also where tables are too long to be read through at each start.
#[test]
fn a_record_that_every_start_needs_is_found_damaged_by_the_start_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    store.writer.apply(&[commit(vec![put(Key::Meta, b"m"), put(Key::Device(7), b"d")])]).expect("durable");
    let filler: Vec<_> = (0..150).map(|n| commit(vec![put(Key::Device(100 + n), &[0; 300])])).collect();
    (0..4).for_each(|_| store.writer.apply(&filler).expect("durable"));
    drop(store);
    let database = redb::Database::open(folder.path().join("store.redb")).expect("opens");
    let transaction = database.begin_write().expect("begins");
    {
        let table: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("records");
        let mut table = transaction.open_table(table).expect("a table");
        table.insert(Key::Meta.to_bytes().as_slice(), &[0; 60][..]).expect("put").expect("was in the tables");
    }
    transaction.commit().expect("committed");
    drop(database);
    let unread = Options { check_bytes: 0, ..options() };
    let store = common::try_open(folder.path(), &unread).expect("one start is enough");
    assert!(store.set_back && store.findings.iter().any(is_damage), "{:?}", store.findings);
    assert_eq!(get(&store.reader, Key::Meta), None);
    assert_eq!((get(&store.reader, Key::Device(7)), store.highest_device), (Some(b"d".to_vec()), Some(249)));
}

#[test]
fn the_doctor_names_what_is_damaged_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path());
    let look = || examine(&Folder::new(folder.path()), &common::KEY, &options()).expect("readable");
    let sound = look();
    assert!(sound.wrong.is_empty() && sound.groups > 0 && sound.items > 0, "{sound}");
    assert_eq!(sound.mailboxes, u64::from(MAILBOXES));
    let journal = folder.path().join("journal-0");
    let mut bytes = fs::read(&journal).expect("readable");
    bytes[5_000] ^= 1;
    fs::write(&journal, &bytes).expect("written");
    let tables = folder.path().join("store.redb");
    let whole = fs::read(&tables).expect("readable");
    let needle = Key::Item { mailbox: 1, number: 3 }.to_bytes();
    let at = whole.windows(needle.len()).rposition(|window| window == needle).expect("in the tables");
    let mut bent = whole;
    bent[at + needle.len() + 2] ^= 1;
    fs::write(&tables, &bent).expect("written");
    let before: Vec<_> = names(folder.path());
    let found = look();
    assert!(!found.wrong.is_empty(), "{found}");
    assert_eq!(names(folder.path()), before);
    assert!(fs::read(&tables).expect("readable") == bent);
}
