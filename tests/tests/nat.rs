//! Addresses that change: a NAT forgets a mapping, a device wakes in another network. It attaches from where it is and gets its
//! mail once; the old observation ends, and nothing is sent to the old address for long.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sga_device::{DeviceId, Phase, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Datagram, Faults, Verdict, World};

const END: Duration = Duration::from_secs(7_200);
const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

/// CON of a notification at most: itself and MAX_RETRANSMIT.
const TRANSMISSIONS: usize = 5;

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

fn world(seed: u64) -> World {
    let mut world = World::new(seed, Settings::new(id("gw"), Profile::Compact));
    for name in ["alice", "bob", "carol"] {
        world.add(name, SuiteSet::ALL);
    }
    world.devices[ALICE].want(id("bob"), None);
    world.devices[ALICE].text(id("bob"), b"to bob 0".to_vec());
    world.devices[BOB].text(id("alice"), b"to alice 0".to_vec());
    world
}

fn has(world: &World, at: usize, from: &str, texts: &[&str]) -> bool {
    let received = world.devices[at].received.get(&id(from)).map_or(&[][..], Vec::as_slice);
    for (received, expected) in received.iter().zip(texts) {
        assert_eq!(received, expected.as_bytes(), "once, and in order");
    }
    assert!(received.len() <= texts.len(), "more than was sent");
    received.len() == texts.len() && world.devices.iter().all(|node| node.is_done())
}

fn is_settled(world: &World) -> bool {
    let established = |at: usize, peer: &str| {
        world.devices[at].device().session(id(peer)).is_some_and(|session| session.phase == Phase::Established)
    };
    established(ALICE, "bob") && established(BOB, "alice")
}

/// Another port of the same host, as a NAT gives one.
fn rebind(world: &mut World, at: usize) -> SocketAddr {
    let old = world.devices[at].address;
    world.devices[at].address.set_port(old.port() + 1);
    old
}

#[test]
fn an_address_may_change_between_any_two_datagrams() {
    let mut plain = world(1);
    assert!(plain.run_until(END, |world| has(world, BOB, "alice", &["to bob 0"]) && is_settled(world)));
    let count = plain.sent();
    assert!(count > 40, "a session takes more than {count} datagrams");
    for who in [ALICE, BOB] {
        for at in 0..count {
            let mut world = world(1);
            let mut waiting = true;
            let done = world.run_until(END, |world| {
                if waiting && world.sent() > at {
                    waiting = false;
                    rebind(world, who);
                }
                let both = has(world, BOB, "alice", &["to bob 0"]) && has(world, ALICE, "bob", &["to alice 0"]);
                !waiting && both && is_settled(world)
            });
            assert!(done, "device {who} moved after datagram {at}");
        }
    }
}

/// What went to an old address, and when its device was answered at the new one.
#[derive(Default)]
struct Moved {
    to_old: Vec<usize>,
    /// The last attach from the new address.
    attach: Option<(usize, u16)>,
    answered: Option<usize>,
}

impl Moved {
    fn see(&mut self, number: usize, datagram: &Datagram, old: SocketAddr, new: SocketAddr) {
        let mid = datagram.bytes.get(2..4).map_or(0, |mid| u16::from_be_bytes([mid[0], mid[1]]));
        let is_fetch = datagram.bytes.get(1) == Some(&0x05);
        if datagram.to == old {
            self.to_old.push(number);
        } else if datagram.from == new && is_fetch && self.answered.is_none() {
            self.attach = Some((number, mid));
        } else if datagram.to == new && self.attach.is_some_and(|(_, attach)| attach == mid) {
            self.answered.get_or_insert(number);
        }
    }
}

/// A sleeper's mail waits for it. `stranger`: another device has been given the old address meanwhile, and resets what comes there.
fn wakes_elsewhere(seed: u64, faults: Faults, stranger: bool) {
    let what = format!("seed {seed}, a stranger at the old address: {stranger}");
    let mut world = world(seed);
    let delivered = |world: &mut World| has(world, BOB, "alice", &["to bob 0"]) && is_settled(world);
    assert!(world.run_until(END, delivered), "{what}: not begun");
    let old = rebind(&mut world, BOB);
    let new = world.devices[BOB].address;
    if stranger {
        world.devices[CAROL].address = old;
    }
    let moved = Rc::new(RefCell::new(Moved::default()));
    let seen = moved.clone();
    world.inspect(move |number, datagram| {
        seen.borrow_mut().see(number, datagram, old, new);
        Verdict::Pass
    });
    world.faults = faults;
    world.devices[ALICE].text(id("bob"), b"to bob 1".to_vec());
    let until = world.now + END;
    let delivered = world.run_until(until, |world| has(world, BOB, "alice", &["to bob 0", "to bob 1"]));
    assert!(delivered, "{what}: the mail did not come");
    // A quarter of an hour more, in which everything that still could go to the old address would.
    world.faults = Faults::default();
    let quiet = world.now + Duration::from_secs(900);
    world.run_until(quiet, |_| false);
    assert!(has(&world, BOB, "alice", &["to bob 0", "to bob 1"]), "{what}");
    if stranger {
        // The old address is carol's own by now: what goes there is hers.
        return;
    }
    let moved = moved.borrow();
    let answered = moved.answered.expect("attached from the new address");
    let before = moved.to_old.iter().filter(|number| **number < answered).count();
    assert!(before <= TRANSMISSIONS, "{what}: {before} datagrams to the old address before the new one was known");
    let after = moved.to_old.len() - before;
    assert_eq!(after, 0, "{what}: {after} datagrams to the old address after that");
}

#[test]
fn a_sleeper_wakes_elsewhere_and_gets_its_mail_once() {
    for seed in 0..100 {
        for stranger in [false, true] {
            wakes_elsewhere(seed, Faults::default(), stranger);
            wakes_elsewhere(seed, Faults { lost: 150, doubled: 100, late: 0 }, stranger);
        }
    }
}
