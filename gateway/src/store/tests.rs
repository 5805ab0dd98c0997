//! The threads of the store.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use mio::{Poll, Token, Waker};
use sga_gateway_core::{Change, Commit, Found, Key, StoreError, Want};

use super::threads::{Answers, Engine};
use super::{Completion, Store};
use crate::limits::GROUP_MAX;

const REFUSED: u64 = u64::MAX;

/// Says which groups it was given, and waits to be let go.
struct Slow {
    groups: Arc<Mutex<Vec<usize>>>,
    entered: Sender<()>,
    go: Receiver<()>,
}

impl Engine for Slow {
    fn admit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        if commit.changes.is_empty() { Ok(()) } else { Err(StoreError::Full) }
    }

    fn apply(&mut self, group: &[Commit]) -> Result<(), StoreError> {
        self.groups.lock().expect("not poisoned").push(group.len());
        let _ = self.entered.send(());
        let _ = self.go.recv();
        Ok(())
    }
}

struct Nothing;

impl Answers for Nothing {
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
    let mut store = Store::with(engine, Nothing, &waker, 2 * GROUP_MAX).expect("threads");
    let mut submit = |id, changes| {
        let mut commit = Some(Commit { id, changes });
        store.commits().fill(|| commit.take()).expect("a thread");
        assert!(commit.is_none(), "room");
    };
    submit(0, Vec::new());
    is_in.recv().expect("the first sync runs");
    (1..=GROUP_MAX as u64 + 3).for_each(|id| submit(id, Vec::new()));
    // One that is refused is answered without the others waiting for it.
    submit(REFUSED, vec![Change::Delete(Key::Meta)]);
    for _ in 0..3 {
        go.send(()).expect("waits");
    }
    let mut done = Vec::new();
    while done.len() < GROUP_MAX + 5 {
        match store.poll_done() {
            Some(Completion::Commit(id, result)) => {
                assert_eq!(result, if id == REFUSED { Err(StoreError::Full) } else { Ok(()) });
                done.push(id);
            }
            Some(Completion::Load(..)) => panic!("nothing was asked"),
            None => std::thread::yield_now(),
        }
    }
    done.retain(|&id| id != REFUSED);
    assert!(done.is_sorted(), "in the order of submission");
    assert_eq!(*groups.lock().expect("not poisoned"), [1, GROUP_MAX, 3], "and in groups, of a bounded size");
    store.stop();
}
