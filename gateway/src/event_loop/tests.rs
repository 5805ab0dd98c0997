use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use sga_gateway_core::{Boot, Commit, Found, Key, Settings, StoreError, Want};
use sga_schema::{Handle, Profile};

use super::*;
use crate::entropy;
use crate::keys::Wanted;
use crate::store::{Answers, Engine};

#[test]
fn a_wake_up_takes_in_so_much_and_says_that_there_is_more() {
    let mut waiting = 0..DONE_MAX + 10;
    let mut taken = 0;
    assert!(at_most(DONE_MAX, || waiting.next(), |_| taken += 1));
    assert_eq!(taken, DONE_MAX);
    assert!(!at_most(DONE_MAX, || waiting.next(), |_| taken += 1));
    assert_eq!(taken, DONE_MAX + 10);
}

struct Willing;

impl Engine for Willing {
    fn admit(&mut self, _: &Commit) -> Result<(), StoreError> {
        Ok(())
    }

    fn apply(&mut self, _: &[Commit]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Sessions that one look of the census finds here.
const SESSIONS: u32 = 64;

/// Says which sessions there are, and does not come to look at one of them while the test has the lock.
struct Stalled(Arc<Mutex<()>>);

impl Answers for Stalled {
    fn read(&self, wants: &[Want]) -> Result<Vec<Found>, StoreError> {
        let answer = |want: &Want| match want {
            Want::Pending { .. } => Found::Pending(Vec::new()),
            Want::Keys { from: Key::Session(_), .. } => {
                let keys = (1..=SESSIONS).map(|number| Key::Session(Handle(number.to_be_bytes()))).collect();
                Found::Keys { keys, more: false }
            }
            Want::Keys { .. } => Found::Keys { keys: Vec::new(), more: false },
            _ => {
                drop(self.0.lock());
                Found::Value(None)
            }
        };
        Ok(wants.iter().map(answer).collect())
    }
}

fn shell(data: &std::path::Path, reader: Stalled, queue_max: usize) -> Shell {
    let keys = Keys::open(data, Wanted { profile: Some(Profile::Compact), id: None }).expect("new keys");
    let mut settings = Settings::new(keys.id, keys.profile);
    // The census is in a hurry.
    settings.revoked = HashSet::from(["lost".parse().expect("an id")]);
    let reactor = Reactor::new().expect("an event loop");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Shell {
        clock: Clock::start(),
        sockets: Sockets::bind(&[any], reactor.registry()).expect("a socket"),
        store: Store::with(Willing, reader, reactor.waker(), queue_max).expect("threads"),
        accelerator: Accelerator::start(1, reactor.waker()).expect("a thread"),
        gateway: Gateway::new(settings, keys.gateway.clone(), Boot::fresh([1; 4]), entropy::generator().expect("seed")),
        ordered: channel().1,
        data: data.to_owned(),
        reactor,
    }
}

#[test]
fn more_work_than_the_store_takes_waits_and_is_done_when_there_is_room() {
    let data = tempfile::tempdir().expect("a folder");
    let gate = Arc::new(Mutex::new(()));
    let mut shell = shell(data.path(), Stalled(gate.clone()), 4);
    let mut events = Events::with_capacity(16);
    let mut turn = |shell: &mut Shell| {
        shell.wait(&mut events, Some(Duration::from_millis(100))).expect("the loop goes on");
        let now = shell.clock.now();
        shell.take_in(now);
        shell.gateway.handle_timeout(now);
        shell.hand_out().expect("a full queue ends nothing");
    };
    let stalled = gate.lock().expect("not poisoned");
    for _ in 0..10 {
        turn(&mut shell);
    }
    assert_eq!(shell.gateway.usage().tasks, SESSIONS as usize, "one look, none of whose sessions is answered");
    drop(stalled);
    // The census comes by again and again; in between nothing is left.
    let done = (0..1_000).any(|_| {
        turn(&mut shell);
        shell.gateway.is_idle()
    });
    assert!(done, "what waited is done");
    shell.store.stop();
}
