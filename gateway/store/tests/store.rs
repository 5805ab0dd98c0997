//! The store on real files: what it keeps, finds, refuses and seals.

mod common;

use std::fs;
use std::sync::Arc;

use common::{append, commit, get, is_damage, item, items, names, numbers, open, options, put, try_open};
use redb::ReadableDatabase;
use sga_gateway_core::{Change, Found, Key, StoreError, StoredItem, Want};
use sga_gateway_store::{Finding, Folder, OpenError, Options, limits};
use sga_schema::Handle;

#[test]
fn keeps_what_was_applied_over_a_reopening_wherever_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = b"a registered key, never in the clear";
    // So many that the journals turn several times: some are in the tables, some in each journal.
    for number in 1..=2_000_u32 {
        let mut store = open(folder.path());
        assert_eq!(store.findings, []);
        let mut group = vec![commit(vec![put(Key::Device(number), secret), append(number % 7, number)])];
        if number % 3 == 0 {
            group.push(commit(vec![Change::Acknowledge { mailbox: number % 7, up_to: number.saturating_sub(21) }]));
        }
        store.writer.apply(&group).expect("durable");
        // Not at every one: opening takes longer than applying.
        let more = (1..40).map(|n| commit(vec![put(Key::Leg(Handle([n; 4])), &[n; 300])]));
        store.writer.apply(&more.collect::<Vec<_>>()).expect("durable");
        if number == 200 {
            break;
        }
    }
    let store = open(folder.path());
    for mailbox in 0..7 {
        let all = items(&store.reader, mailbox);
        assert!(!all.is_empty() && all.iter().all(|found| *found == item(mailbox, found.number)));
    }
    assert_eq!(get(&store.reader, Key::Device(150)), Some(secret.to_vec()));
    assert_eq!(get(&store.reader, Key::Leg(Handle([7; 4]))), Some(vec![7; 300]));
    for name in names(folder.path()) {
        let content = fs::read(folder.path().join(&name)).expect("readable");
        assert!(!content.windows(secret.len()).any(|window| window == secret), "in the clear in {name}");
    }
}

#[test]
fn gives_what_fits_and_one_item_at_least() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let body = |number| StoredItem { number, kind: 6, body: vec![0; 100], stored_s: 0 };
    let all = (1..=5).map(|number| Change::Append { mailbox: 9, item: body(number) }).collect();
    store.writer.apply(&[commit(all)]).expect("durable");
    let ask = |from, items_max, bytes_max| {
        let want = Want::Items { mailbox: 9, from, items_max, bytes_max };
        match store.reader.read(&[want]).expect("readable").pop() {
            Some(Found::Items(items)) => items.iter().map(|item| item.number).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(1, 8, 250), [1, 2]);
    assert_eq!(ask(1, 8, 10), [1], "one that is too large comes alone");
    assert_eq!(ask(3, 2, 10_000), [3, 4]);
    assert_eq!(ask(6, 2, 10_000), [0u32; 0]);
}

#[test]
fn finds_what_is_due_what_is_old_and_what_there_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let pending = |due_s, byte| Key::Pending { due_s, session: Handle([byte; 4]) };
    store.writer.apply(&[commit(vec![put(pending(30, 3), b""), put(pending(10, 1), b"")])]).expect("durable");
    let filler: Vec<_> = (0..400).map(|n| commit(vec![put(Key::Device(n), &[0; 300])])).collect();
    store.writer.apply(&filler[..200]).expect("durable");
    store.writer.apply(&filler[200..]).expect("durable");
    store.writer.apply(&[commit(vec![put(pending(20, 2), b""), append(4, 50), append(8, 3)])]).expect("durable");
    let ask = |want| store.reader.read(&[want]).expect("readable").remove(0);
    let handle = |byte| Handle([byte; 4]);
    assert_eq!(ask(Want::Pending { up_to_s: 20, max: 8 }), Found::Pending(vec![(10, handle(1)), (20, handle(2))]));
    assert_eq!(ask(Want::Pending { up_to_s: 99, max: 1 }), Found::Pending(vec![(10, handle(1))]));
    // Items of mailbox 4 are from second 50, those of 8 from second 3.
    assert_eq!(ask(Want::Aged { from: 0, before_s: 10 }), Found::Aged { mailbox: Some(8), next: Some(9) });
    assert_eq!(ask(Want::Aged { from: 0, before_s: 60 }), Found::Aged { mailbox: Some(4), next: Some(5) });
    assert_eq!(ask(Want::Aged { from: 9, before_s: 60 }), Found::Aged { mailbox: None, next: None });
    let devices = Want::Keys { from: Key::Device(100), to: Key::Device(u32::MAX), max: 2 };
    assert_eq!(ask(devices), Found::Keys { keys: vec![Key::Device(100), Key::Device(101)], more: true });
}

#[test]
fn items_in_all_are_bounded_and_room_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options();
    options.item_bytes_max = 20_000;
    let mut store = try_open(folder.path(), &options).expect("opens");
    let body = |number, kind| StoredItem { number, kind, body: vec![7; 1_000], stored_s: 0 };
    let message = |number| commit(vec![Change::Append { mailbox: 1, item: body(number, 6) }]);
    let mut stored = 0;
    while store.writer.admit(&message(stored + 1)).is_ok() {
        stored += 1;
        store.writer.apply(&[message(stored)]).expect("durable");
        assert!(stored < 100, "there is no bound");
    }
    assert!((18..=20).contains(&stored), "{stored} messages");
    assert_eq!(store.writer.admit(&message(99)), Err(StoreError::Full));
    let own = commit(vec![Change::Append { mailbox: 1, item: body(99, 5) }]);
    assert_eq!(store.writer.admit(&own), Ok(()), "the protocol's own items have a reserve");
    assert_eq!(store.writer.admit(&commit(vec![put(Key::Device(1), &[0; 100])])), Ok(()));
    store.writer.apply(&[commit(vec![Change::Acknowledge { mailbox: 1, up_to: 10 }])]).expect("durable");
    // The first that finds it full has what was fetched taken out of the tables.
    let _ = store.writer.admit(&message(30));
    assert_eq!(store.writer.admit(&message(30)), Ok(()), "what was fetched makes room");
    // The same over a restart, and where the items are in the tables by then.
    drop(store);
    let mut store = try_open(folder.path(), &options).expect("opens");
    while store.writer.admit(&message(stored + 1)).is_ok() {
        stored += 1;
        store.writer.apply(&[message(stored)]).expect("durable");
    }
    let filler: Vec<_> = (0..150).map(|n| commit(vec![put(Key::Device(n), &[0; 300])])).collect();
    (0..4).for_each(|_| store.writer.apply(&filler).expect("durable"));
    store.writer.apply(&[commit(vec![Change::Acknowledge { mailbox: 1, up_to: stored }])]).expect("durable");
    let refused = store.writer.admit(&message(stored + 1));
    assert_eq!((refused, store.writer.admit(&message(stored + 1))), (Err(StoreError::Full), Ok(())));
}

#[test]
fn one_gateway_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Folder::new(folder.path());
    let first = disk.lock().expect("a lock").expect("nobody has it");
    assert!(disk.lock().expect("no error").is_none());
    drop(first);
    assert!(disk.lock().expect("a lock").is_some());
}

#[test]
fn a_store_of_the_first_format_is_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let old =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1/store.redb")).expect("the fixture");
    fs::write(folder.path().join("store.redb"), &old).expect("written");
    for opening in 0..2 {
        let store = open(folder.path());
        let migrated = matches!(store.findings.as_slice(), [Finding::Migrated { .. }]);
        assert_eq!((migrated, store.set_back), (opening == 0, false), "{:?}", store.findings);
        let id = sga_schema::DeviceId::new(b"sensor-1").expect("an id");
        let handle = Handle([1, 2, 3, 4]);
        for (key, value) in [
            (Key::Meta, &b"the counters"[..]),
            (Key::Name(id), &[0, 0, 0, 1]),
            (Key::Device(1), b"a device's record"),
            (Key::Session(handle), b"a session's record"),
            (Key::Window(handle), b"a window"),
            (Key::Pending { due_s: 30, session: handle }, b""),
            (Key::Retired([7; 16]), b""),
        ] {
            assert_eq!(get(&store.reader, key).as_deref(), Some(value), "{key:?}");
        }
        let kept = |number: u32, len| StoredItem { number, kind: 6, body: vec![number as u8; len], stored_s: 7 };
        assert_eq!(items(&store.reader, 1), [kept(3, 60), kept(4, 1_024)]);
        assert_eq!(items(&store.reader, 2), [StoredItem::void(1)]);
    }
    let kept = names(folder.path()).into_iter().find(|name| name.starts_with("store.redb.format-1-")).expect("kept");
    let database = redb::Database::open(folder.path().join(kept)).expect("opens");
    let table: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("records");
    let table = database.begin_read().expect("begins").open_table(table).expect("a table");
    assert_eq!(table.get(&b"!format"[..]).expect("readable").map(|value| value.value().to_vec()), Some(b"1".to_vec()));
}

/// Made by `SGA_WRITE_FIXTURE=1`; what is committed stays what this version has to read.
#[test]
fn a_store_of_the_second_format_is_read() {
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-2");
    let fill = |folder: &std::path::Path| {
        let mut store = open(folder);
        for number in 1..=120 {
            let changes = vec![append(number % 3, number), put(Key::Device(number), &[9; 400])];
            store.writer.apply(&[commit(changes)]).expect("durable");
        }
        store.writer.apply(&[commit(vec![Change::Acknowledge { mailbox: 1, up_to: 40 }])]).expect("durable");
    };
    if std::env::var_os("SGA_WRITE_FIXTURE").is_some() {
        fs::create_dir_all(&fixture).expect("a folder");
        fill(&fixture);
    }
    let folder = tempfile::tempdir().expect("a folder");
    for name in names(&fixture) {
        fs::copy(fixture.join(&name), folder.path().join(&name)).expect("copied");
    }
    let store = open(folder.path());
    assert_eq!(store.findings, []);
    assert_eq!(get(&store.reader, Key::Device(120)), Some(vec![9; 400]));
    assert_eq!(numbers(&store.reader, 1), (43..=118).step_by(3).collect::<Vec<_>>());
    assert!(items(&store.reader, 0).iter().all(|found| *found == item(0, found.number)));
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let path = folder.path().join("store.redb");
    let database = redb::Database::open(&path).expect("opens");
    let transaction = database.begin_write().expect("begins");
    {
        let table: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("records");
        let mut table = transaction.open_table(table).expect("a table");
        table.insert(&b"!format"[..], &b"3"[..]).expect("put");
    }
    transaction.commit().expect("committed");
    drop(database);
    let error = try_open(folder.path(), &options()).expect_err("refused").to_string();
    assert!(error.contains("format \"3\"") && error.contains("newer"), "{error}");
    assert!(!names(folder.path()).iter().any(|name| name.contains("damaged")));
}

#[test]
fn another_key_is_refused_and_everything_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = || Arc::new(Folder::new(folder.path()));
    // The engine notes in its own file that it was opened; the journals are as they were.
    let content = || {
        let journals = ["journal-0", "journal-1"].map(|name| fs::read(folder.path().join(name)).expect("there"));
        (names(folder.path()), journals)
    };
    // With nothing in it, with one group in the journal, which alone could as well be a write that was cut short, and with more.
    for round in 0..3 {
        let mut store = open(folder.path());
        for number in 0..round {
            store.writer.apply(&[commit(vec![append(1, 10 * round + number)])]).expect("stored");
        }
        drop(store);
        let before = content();
        let error = sga_gateway_store::open(disk(), &[9; 32], &options()).expect_err("refused");
        assert!(matches!(error, OpenError::Key) && error.to_string().contains("put that key back"), "{error}");
        assert!(content() == before, "round {round}");
        let found = sga_gateway_store::examine(&Folder::new(folder.path()), &[9; 32], &options()).expect("readable");
        assert!(found.to_string().contains("another gateway.key"), "{found}");
    }
    assert_eq!(items(&open(folder.path()).reader, 1).len(), 3);
}

/// One mark that does not open is a flipped byte, not another key.
#[test]
fn a_damaged_mark_of_the_key_does_not_keep_a_store_from_opening() {
    for gone in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = open(folder.path());
        store.writer.apply(&[commit(vec![append(1, 1)])]).expect("stored");
        drop(store);
        let database = redb::Database::open(folder.path().join("store.redb")).expect("opens");
        let transaction = database.begin_write().expect("begins");
        {
            let table: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("records");
            let mut table = transaction.open_table(table).expect("a table");
            if gone {
                // As in a store from before there were marks.
                table.remove(&b"!mark-0"[..]).expect("removed").expect("was there");
                table.remove(&b"!mark-1"[..]).expect("removed").expect("was there");
            } else {
                table.insert(&b"!mark-0"[..], &[0; 40][..]).expect("put").expect("was there");
            }
        }
        transaction.commit().expect("committed");
        drop(database);
        assert_eq!(items(&open(folder.path()).reader, 1), [item(1, 1)]);
    }
}

/// Damage over both marks looks like another key as long as nobody has read the tables through.
#[test]
fn damage_over_both_marks_is_found_to_be_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let file = folder.path().join("store.redb");
    let marks = {
        let database = redb::Database::open(&file).expect("opens");
        let table: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("records");
        let table = database.begin_read().expect("begins").open_table(table).expect("a table");
        [b"!mark-0", b"!mark-1"].map(|key| table.get(&key[..]).expect("readable").expect("there").value().to_vec())
    };
    let mut bytes = fs::read(&file).expect("readable");
    for mark in marks {
        let places: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(&mark)).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at] ^= 1);
    }
    fs::write(&file, bytes).expect("written");
    let unread = Options { check_bytes: 0, ..options() };
    let store = try_open(folder.path(), &unread).expect("opens");
    assert!(store.findings.iter().any(is_damage), "{:?}", store.findings);
}

#[test]
fn a_group_that_no_journal_holds_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let large = commit(vec![put(Key::Device(1), &vec![0; 70 << 10])]);
    assert!(matches!(store.writer.apply(&[large]), Err(StoreError::Failed(_))));
    store.writer.apply(&[commit(vec![put(Key::Device(1), b"small")])]).expect("goes on");
    assert_eq!(get(&store.reader, Key::Device(1)).as_deref(), Some(&b"small"[..]));
    const { assert!(limits::GROUP_BYTES_MAX as u64 * 2 < limits::SEGMENT_BYTES) };
    assert!(!store.findings.iter().any(is_damage));
}
