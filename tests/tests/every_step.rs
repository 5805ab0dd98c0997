//! One fault at every place: each datagram of a whole session lost, each participant restarted between any two datagrams. Every
//! case ends with the session established and texts delivered both ways, exactly once.

use std::time::Duration;

use sga_device::{DeviceId, Phase, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Verdict, World};

const END: Duration = Duration::from_secs(3_600);
const ALICE: usize = 0;
const BOB: usize = 1;

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

/// Who is to be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Gateway,
    Device(usize),
}

/// Alice and bob, two texts each way.
fn world(seed: u64, both_invite: bool) -> World {
    let mut world = World::new(seed, Settings::new(id("gw"), Profile::Compact));
    world.add("alice", SuiteSet::ALL);
    world.add("bob", SuiteSet::ALL);
    world.devices[ALICE].want(id("bob"), None);
    if both_invite {
        world.devices[BOB].want(id("alice"), None);
    }
    for number in 0..2 {
        world.devices[ALICE].text(id("bob"), format!("to bob {number}").into_bytes());
        world.devices[BOB].text(id("alice"), format!("to alice {number}").into_bytes());
    }
    world
}

fn is_delivered(world: &World, more: usize) -> bool {
    let complete = |at: usize, from: &str| {
        let received = world.devices[at].received.get(&id(from)).map_or(&[][..], Vec::as_slice);
        let name = world.devices[at].id;
        for (number, text) in received.iter().enumerate() {
            assert_eq!(*text, format!("to {name} {number}").into_bytes(), "once, and in order");
        }
        received.len() == 2 + more
    };
    complete(BOB, "alice") && complete(ALICE, "bob") && world.devices.iter().all(|node| node.is_done())
}

fn is_established(world: &World) -> bool {
    let established = |at: usize, peer: &str| {
        world.devices[at].device().session(id(peer)).is_some_and(|session| session.phase == Phase::Established)
    };
    established(ALICE, "bob") && established(BOB, "alice")
}

fn finish(world: &mut World, what: &str) {
    assert!(world.run_until(END, |world| is_delivered(world, 0)), "{what}: not delivered");
    assert!(world.run_until(END, |world| is_established(world)), "{what}: not established");
}

/// Datagrams of a run in which nothing goes wrong.
fn datagrams(both_invite: bool) -> usize {
    let mut world = world(1, both_invite);
    finish(&mut world, "nothing wrong");
    world.sent()
}

#[test]
fn any_datagram_may_be_lost() {
    for both_invite in [false, true] {
        let count = datagrams(both_invite);
        assert!(count > 40, "a session takes more than {count} datagrams");
        for lost in 0..count {
            let mut world = world(1, both_invite);
            world.inspect(move |number, _| if number == lost { Verdict::Lose } else { Verdict::Pass });
            finish(&mut world, &format!("datagram {lost} lost, both invite: {both_invite}"));
            assert_eq!(world.lost(), 1);
        }
    }
}

#[test]
fn any_two_datagrams_in_a_row_may_be_lost() {
    for lost in 0..datagrams(false) {
        let mut world = world(1, false);
        world.inspect(move |number, _| if (lost..lost + 2).contains(&number) { Verdict::Lose } else { Verdict::Pass });
        finish(&mut world, &format!("datagrams {lost} and the next lost"));
    }
}

#[test]
fn anybody_may_restart_between_any_two_datagrams() {
    for both_invite in [false, true] {
        for who in [Who::Gateway, Who::Device(ALICE), Who::Device(BOB)] {
            for at in 0..datagrams(both_invite) {
                let mut world = world(1, both_invite);
                let mut waiting = true;
                let done = world.run_until(END, |world| {
                    if waiting && world.sent() > at {
                        waiting = false;
                        match who {
                            Who::Gateway => world.restart_gateway(),
                            Who::Device(device) => world.restart_device(device),
                        }
                    }
                    !waiting && is_delivered(world, 0) && is_established(world)
                });
                assert!(done, "{who:?} restarted after datagram {at}, both invite: {both_invite}");
            }
        }
    }
}

#[test]
fn everybody_may_restart_at_the_same_moment() {
    for at in 0..datagrams(false) {
        let mut world = world(1, false);
        let mut waiting = true;
        let done = world.run_until(END, |world| {
            if waiting && world.sent() > at {
                waiting = false;
                world.restart_gateway();
                world.restart_device(ALICE);
                world.restart_device(BOB);
            }
            !waiting && is_delivered(world, 0) && is_established(world)
        });
        assert!(done, "all restarted after datagram {at}");
    }
}

/// Both ends open the next run at the same moment, and any datagram of that is lost.
#[test]
fn both_ends_may_start_a_run_at_once() {
    let rekey = |lost: Option<usize>| {
        let mut world = world(1, false);
        finish(&mut world, "the first run");
        let before = world.sent();
        world.devices[ALICE].device_mut().rekey(id("bob")).expect("a session");
        world.devices[BOB].device_mut().rekey(id("alice")).expect("a session");
        world.devices[ALICE].text(id("bob"), b"to bob 2".to_vec());
        world.devices[BOB].text(id("alice"), b"to alice 2".to_vec());
        if let Some(lost) = lost {
            world.inspect(move |number, _| if number == before + lost { Verdict::Lose } else { Verdict::Pass });
        }
        assert!(world.run_until(END, |world| is_delivered(world, 1)), "{lost:?} lost: not delivered");
        assert!(world.run_until(END, |world| is_established(world)), "{lost:?} lost: not established");
        let run = |at: usize, peer: &str| world.devices[at].device().session(id(peer)).map_or(0, |session| session.run);
        assert_eq!(run(ALICE, "bob"), run(BOB, "alice"));
        assert!(run(ALICE, "bob") >= 2, "a new run");
        world.sent() - before
    };
    for lost in 0..rekey(None) {
        rekey(Some(lost));
    }
}

/// A receiver that is away for long finds everything in its mailbox.
#[test]
fn texts_wait_for_a_receiver_that_is_away() {
    let mut world = world(1, false);
    finish(&mut world, "the first texts");
    world.inspect(|_, datagram| {
        let bob = "2001:db8::3".parse::<std::net::IpAddr>().expect("an address");
        let away = datagram.to.ip() == bob || datagram.from.ip() == bob;
        if away { Verdict::Lose } else { Verdict::Pass }
    });
    for number in 2..7 {
        world.devices[ALICE].text(id("bob"), format!("to bob {number}").into_bytes());
    }
    assert!(world.run_until(END, |world| world.devices[ALICE].is_done()), "stored without the receiver");
    world.inspect(|_, _| Verdict::Pass);
    world.restart_device(BOB);
    let done = world.run_until(END * 2, |world| world.devices[BOB].received[&id("alice")].len() == 7);
    assert!(done, "fetched after waking up");
}
