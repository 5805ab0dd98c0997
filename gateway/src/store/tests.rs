//! The embedded store on real files.

use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use mio::{Poll, Token, Waker};
use sga_gateway_core::{Change, Commit, Found, Key, StoreError, StoredItem, Want};
use sga_schema::Handle;

use super::{Completion, Engine, Reader, Sealer, Store, open};
use crate::limits::GROUP_MAX;

fn sealer(byte: u8) -> Sealer {
    Sealer::new(&[byte; 32])
}

fn put(key: Key, value: &[u8]) -> Change {
    Change::Put { key, value: value.to_vec() }
}

fn append(mailbox: u32, number: u32, len: usize) -> Change {
    Change::Append { mailbox, item: StoredItem { number, kind: 6, body: vec![number as u8; len], stored_s: 7 } }
}

fn commit(changes: Vec<Change>) -> Commit {
    Commit { id: 1, changes }
}

fn numbers(found: &Found) -> Vec<u32> {
    match found {
        Found::Items(items) => items.iter().map(|item| item.number).collect(),
        Found::Index(metas) => metas.iter().map(|meta| meta.number).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keeps_a_group_over_a_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = b"a registered key, never in the clear";
    {
        let (mut engine, _) = open(folder.path(), sealer(1)).expect("opens");
        let first = commit(vec![put(Key::Device(1), secret), append(1, 1, 10), append(1, 2, 2_000), append(1, 3, 10)]);
        let second = commit(vec![append(2, 1, 5), Change::Void { mailbox: 1, number: 2 }]);
        engine.apply(&[first, second]).expect("durable");
    }
    let content = fs::read(folder.path().join("store.redb")).expect("the file");
    assert!(!content.windows(secret.len()).any(|window| window == secret), "sealed at rest");
    let (mut engine, reader) = open(folder.path(), sealer(1)).expect("opens again");
    let wants = [
        Want::Get(Key::Device(1)),
        Want::Get(Key::Device(2)),
        Want::ItemIndex { mailbox: 1 },
        Want::Items { mailbox: 1, from: 2, items_max: 8, bytes_max: 100 },
    ];
    let found = reader.read(&wants).expect("readable");
    assert_eq!(found[0], Found::Value(Some(secret.to_vec())));
    assert_eq!(found[1], Found::Value(None));
    assert_eq!((numbers(&found[2]), numbers(&found[3])), (vec![1, 2, 3], vec![2, 3]));
    let Found::Items(items) = &found[3] else { panic!("items") };
    assert_eq!(items[0], StoredItem::void(2));
    engine.apply(&[commit(vec![Change::Acknowledge { mailbox: 1, up_to: 2 }])]).expect("durable");
    let found = reader.read(&[Want::ItemIndex { mailbox: 1 }, Want::ItemIndex { mailbox: 2 }]).expect("readable");
    assert_eq!((numbers(&found[0]), numbers(&found[1])), (vec![3], vec![1]), "no other mailbox is touched");
}

#[test]
fn gives_what_fits_and_one_item_at_least() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut engine, reader) = open(folder.path(), sealer(1)).expect("opens");
    engine.apply(&[commit((1..=5).map(|number| append(9, number, 100)).collect())]).expect("durable");
    let ask = |from, items_max, bytes_max| {
        let want = Want::Items { mailbox: 9, from, items_max, bytes_max };
        numbers(&reader.read(&[want]).expect("readable")[0])
    };
    assert_eq!(ask(1, 8, 250), [1, 2]);
    assert_eq!(ask(1, 8, 10), [1], "one that is too large comes alone");
    assert_eq!(ask(3, 2, 10_000), [3, 4]);
    assert_eq!(ask(6, 2, 10_000), [0u32; 0]);
}

#[test]
fn finds_invitations_by_when_they_run_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut engine, reader) = open(folder.path(), sealer(1)).expect("opens");
    let key = |due_s, byte| Key::Pending { due_s, session: Handle([byte; 4]) };
    engine.apply(&[commit(vec![put(key(30, 3), b""), put(key(10, 1), b""), put(key(20, 2), b"")])]).expect("durable");
    let found = reader.read(&[Want::Pending { up_to_s: 20, max: 8 }]).expect("readable");
    assert_eq!(found[0], Found::Pending(vec![(10, Handle([1; 4])), (20, Handle([2; 4]))]));
}

#[test]
fn a_sealed_record_opens_under_its_own_key_and_name_only() {
    let one = sealer(1);
    let sealed = one.seal(Key::Device(1), b"k_d").expect("sealed");
    assert_eq!(one.open(Key::Device(1), &sealed).as_deref(), Ok(&b"k_d"[..]));
    for (sealer, key) in [(sealer(1), Key::Device(2)), (sealer(2), Key::Device(1))] {
        assert!(matches!(sealer.open(key, &sealed), Err(StoreError::Failed(_))));
    }
    for at in 0..sealed.len() {
        let mut bent = sealed.clone();
        bent[at] ^= 1;
        assert!(one.open(Key::Device(1), &bent).is_err(), "byte {at}");
        assert!(one.open(Key::Device(1), &sealed[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_kept() {
    for damage in [b"not a database".to_vec(), Vec::from([0; 8_192]), vec![0xa5; 100]] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("store.redb"), &damage).expect("written");
        let (mut engine, _) = open(folder.path(), sealer(1)).expect("a new store");
        engine.apply(&[commit(vec![put(Key::Meta, b"m")])]).expect("that works");
        let kept = fs::read_dir(folder.path())
            .expect("readable")
            .filter_map(Result::ok)
            .find(|entry| entry.file_name().to_string_lossy().starts_with("store.redb.damaged-"))
            .expect("set aside under a dated name");
        assert_eq!(fs::read(kept.path()).expect("readable"), damage);
    }
}

#[test]
fn one_gateway_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = open(folder.path(), sealer(1)).expect("opens");
    let error = open(folder.path(), sealer(1)).err().expect("refused").to_string();
    assert!(error.contains("in use"), "{error}");
}

/// Says which groups it was given, and waits to be let go.
struct Slow {
    groups: Arc<Mutex<Vec<usize>>>,
    entered: Sender<()>,
    go: Receiver<()>,
}

impl Engine for Slow {
    fn apply(&mut self, group: &[Commit]) -> Result<(), StoreError> {
        self.groups.lock().expect("not poisoned").push(group.len());
        let _ = self.entered.send(());
        let _ = self.go.recv();
        Ok(())
    }
}

struct Nothing;

impl Reader for Nothing {
    fn read(&self, wants: &[Want]) -> Result<Vec<Found>, StoreError> {
        Ok(wants.iter().map(|_| Found::Value(None)).collect())
    }
}

#[test]
fn what_comes_during_a_sync_goes_into_the_next_and_is_done_in_order() {
    let poll = Poll::new().expect("a poller");
    let waker = Arc::new(Waker::new(poll.registry(), Token(0)).expect("a waker"));
    let groups = Arc::new(Mutex::new(Vec::new()));
    let ((entered, is_in), (go, may_go)) = (channel(), channel());
    let engine = Slow { groups: groups.clone(), entered, go: may_go };
    let store = Store::start(engine, Nothing, &waker).expect("threads");
    let submit = |id| store.submit(Commit { id, changes: Vec::new() }).expect("room");
    submit(0);
    is_in.recv().expect("the first sync runs");
    (1..=GROUP_MAX as u64 + 3).for_each(submit);
    for _ in 0..3 {
        go.send(()).expect("waits");
    }
    let mut done = Vec::new();
    while done.len() < GROUP_MAX + 4 {
        match store.poll_done() {
            Some(Completion::Commit(id, result)) => {
                assert_eq!(result, Ok(()));
                done.push(id);
            }
            Some(Completion::Load(..)) => panic!("nothing was asked"),
            None => std::thread::yield_now(),
        }
    }
    assert!(done.is_sorted(), "in the order of submission");
    assert_eq!(*groups.lock().expect("not poisoned"), [1, GROUP_MAX, 3], "and in groups, of a bounded size");
    store.stop();
}
