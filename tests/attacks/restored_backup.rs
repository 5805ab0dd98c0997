//! An older backup takes the place of the gateway's store.
//!
//! The attacker has recorded everything, has a backup made (or waits for one), and plays back what was said after it: to a gateway that
//! has forgotten it, all numbers are new. It wants a text delivered twice, mail lost, a session of its own, or two plaintexts under one
//! key and nonce. A store that is set back and does not know it: the last test. Devices whose state was set back are in `tests/tests/lives.rs`; revocations in `tests/tests/backup.rs`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sga_device::SuiteSet;
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Datagram, Verdict, World};

use crate::support::taped::{ALICE, BOB, id};

fn until(world: &mut World, what: &str, so: impl FnMut(&mut World) -> bool) {
    let end = world.now + Duration::from_secs(3_600);
    assert!(world.run_until(end, so), "{what}");
}

fn has(world: &World, at: usize, text: &[u8]) -> usize {
    world.devices[at].received.values().flatten().filter(|received| received.as_slice() == text).count()
}

#[test]
fn what_was_said_after_the_backup_changes_nothing_when_it_is_played_back() {
    for seed in 0..8 {
        let mut world = World::new(seed, Settings::new(id("gw"), Profile::Compact));
        world.add("alice", SuiteSet::ALL);
        world.add("bob", SuiteSet::ALL);
        world.devices.iter_mut().for_each(|node| node.sends_lost_again = true);
        world.devices[ALICE].want(id("bob"), None);
        world.devices[ALICE].text(id("bob"), b"before".to_vec());
        until(&mut world, "delivered", |world| has(world, BOB, b"before") == 1);
        let backup = world.gateway.store.clone();
        // All that is said from here on is recorded.
        let tape: Rc<RefCell<Vec<Datagram>>> = Rc::default();
        let recorder = tape.clone();
        let gateway = world.gateway.address;
        world.inspect(move |_, datagram| {
            if datagram.to == gateway {
                recorder.borrow_mut().push(datagram.clone());
            }
            Verdict::Pass
        });
        world.devices[ALICE].text(id("bob"), b"after the backup".to_vec());
        world.devices[ALICE].device_mut().rekey(id("bob")).expect("a session");
        until(&mut world, "delivered", |world| has(world, BOB, b"after the backup") == 1);
        world.devices[ALICE].text(id("bob"), b"under the newer run".to_vec());
        world.devices[BOB].text(id("alice"), b"and back".to_vec());
        until(&mut world, "delivered", |world| {
            has(world, BOB, b"under the newer run") == 1 && has(world, ALICE, b"and back") == 1
        });
        world.replace_store(Some(backup));
        // Before anybody notices, and again afterwards; as it came, from the addresses that it came from.
        let recorded: Vec<Datagram> = tape.borrow().clone();
        assert!(recorded.len() > 10, "{}", recorded.len());
        for datagram in &recorded {
            world.inject(datagram);
        }
        let end = world.now + Duration::from_secs(120);
        world.run_until(end, |_| false);
        for datagram in &recorded {
            world.inject(datagram);
        }
        world.devices[ALICE].text(id("bob"), b"afterwards".to_vec());
        world.devices[BOB].text(id("alice"), b"afterwards".to_vec());
        until(&mut world, "all goes on", |world| {
            has(world, BOB, b"afterwards") == 1 && has(world, ALICE, b"afterwards") == 1
        });
        for text in [&b"before"[..], b"after the backup", b"under the newer run", b"afterwards"] {
            assert_eq!(has(&world, BOB, text), 1, "seed {seed}: {}", String::from_utf8_lossy(text));
        }
        assert_eq!((has(&world, ALICE, b"and back"), has(&world, ALICE, b"afterwards")), (1, 1), "seed {seed}");
    }
}

/// The last of a journal can be lost without a trace. A device that is ahead of the store gets what comes next all the same.
#[test]
fn a_store_that_lost_its_last_without_noticing_delivers_what_comes_next() {
    for seed in 0..8 {
        let mut world = World::new(seed, Settings::new(id("gw"), Profile::Compact));
        world.add("alice", SuiteSet::ALL);
        world.add("bob", SuiteSet::ALL);
        world.devices[ALICE].want(id("bob"), None);
        world.devices[ALICE].text(id("bob"), b"before".to_vec());
        until(&mut world, "delivered", |world| has(world, BOB, b"before") == 1 && world.devices[ALICE].is_done());
        let copy = world.gateway.store.clone();
        for number in 0..10 {
            world.devices[ALICE].text(id("bob"), vec![number; 20]);
        }
        until(&mut world, "delivered", |world| has(world, BOB, &[9; 20]) == 1 && world.devices[ALICE].is_done());
        world.set_store_back(copy);
        world.devices[ALICE].text(id("bob"), b"afterwards".to_vec());
        until(&mut world, "the next arrives", |world| has(world, BOB, b"afterwards") == 1);
        world.devices[BOB].text(id("alice"), b"and back".to_vec());
        until(&mut world, "and so does an answer", |world| has(world, ALICE, b"and back") == 1);
        for number in 0..10 {
            assert_eq!(has(&world, BOB, &[number; 20]), 1, "seed {seed}: exactly once");
        }
    }
}
