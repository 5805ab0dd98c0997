//! Keys that are replaced while sessions go on: a device's k_d, and the gateway's key pair (`docs/protocol.md` §3, §4).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sga_crypto::Secret;
use sga_device::agent::Notice;
use sga_device::{DeviceId, Failure, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Faults, Verdict, World};

const ALICE: usize = 0;
const BOB: usize = 1;
const NAMES: [&str; 2] = ["alice", "bob"];

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

fn world(seed: u64, profile: Profile) -> World {
    let mut world = World::new(seed, Settings::new(id("gw"), profile));
    for name in NAMES {
        world.add(name, SuiteSet::ALL);
    }
    world.faults = Faults { lost: 100, doubled: 50, late: 50 };
    world
}

/// Runs until it is so, for an hour at most.
fn until(world: &mut World, what: &str, so: impl FnMut(&mut World) -> bool) {
    let end = world.now + Duration::from_secs(3_600);
    assert!(world.run_until(end, so), "{what}");
}

fn can_both_send(world: &mut World) -> bool {
    (0..2).all(|at| world.devices[at].device().can_send(id(NAMES[1 - at])))
}

fn connect(world: &mut World) {
    until(world, "attached", |world| world.devices.iter().all(|node| node.device().is_attached()));
    world.devices[ALICE].device_mut().connect(id("bob"), None).expect("registered");
    until(world, "connected", can_both_send);
}

/// A text each way.
fn exchange(world: &mut World, text: &str) {
    for (at, name) in NAMES.iter().enumerate() {
        let peer = id(NAMES[1 - at]);
        world.devices[at].text(peer, text.as_bytes().to_vec());
        let want = text.as_bytes().to_vec();
        until(world, "delivered", |world| {
            world.devices[1 - at].received.get(&id(name)).is_some_and(|texts| texts.last() == Some(&want))
        });
    }
}

fn count(world: &World, at: usize, so: impl Fn(&Notice) -> bool) -> usize {
    world.devices[at].notices.iter().filter(|notice| so(notice)).count()
}

fn profile(seed: u64) -> Profile {
    if seed.is_multiple_of(8) { Profile::Classic } else { Profile::Compact }
}

#[test]
fn a_device_takes_another_key_whatever_the_network_and_the_power_do() {
    for seed in 0..32 {
        let mut world = world(seed, profile(seed));
        connect(&mut world);
        exchange(&mut world, "before");
        let before = world.devices[ALICE].image.clone();
        world.devices[ALICE].device_mut().rotate(Secret::new([seed as u8; 32])).expect("registered");
        // It stops after so many datagrams, with what it has on its medium.
        let stop_at = world.sent() + seed as usize % 9;
        until(&mut world, "under way", |world| world.sent() >= stop_at);
        if seed % 3 != 0 {
            world.restart_device(ALICE);
        }
        if seed % 4 == 0 {
            world.restart_gateway();
        }
        until(&mut world, "rotated", |world| {
            count(world, ALICE, |notice| matches!(notice, Notice::KeyRotated)) > 0
                && world.devices[ALICE].device().is_attached()
        });
        // The session is still there, and so is the way to a new run, whose Half is sealed under k_d.
        exchange(&mut world, "after");
        world.devices[ALICE].device_mut().rekey(id("bob")).expect("a session");
        exchange(&mut world, "under a new run");
        assert_eq!(count(&world, ALICE, |notice| matches!(notice, Notice::SessionGone(_))), 0, "seed {seed}");
        // The old key is retired: a device that still has it is not let in.
        world.set_back_device(ALICE, before);
        let refused = |notice: &Notice| matches!(notice, Notice::Failed(Failure::Registration { code: 0x81 | 0x89 }));
        until(&mut world, "the old key is refused", |world| count(world, ALICE, refused) > 0);
    }
}

#[test]
fn devices_follow_the_gateways_new_key_pair() {
    for seed in 0..32 {
        let mut world = world(seed, profile(seed));
        connect(&mut world);
        let pin = world.devices[ALICE].device().pin();
        // A run is under way when the pair changes, at another moment each time.
        world.devices[ALICE].device_mut().rekey(id("bob")).expect("a session");
        let at = world.sent() + seed as usize % 12;
        until(&mut world, "under way", |world| world.sent() >= at);
        world.rotate_keys(Duration::from_secs(86_400));
        if seed % 3 == 0 {
            world.restart_gateway();
        }
        if seed % 4 == 0 {
            world.restart_device(BOB);
        }
        let told = |notice: &Notice| matches!(notice, Notice::PackageChanged { .. });
        until(&mut world, "told", |world| (0..2).all(|at| count(world, at, told) > 0));
        until(&mut world, "connected", can_both_send);
        exchange(&mut world, "after");
        let pins = [ALICE, BOB].map(|at| world.devices[at].device().pin());
        assert!(pins[0] == pins[1] && pins[0] != pin, "seed {seed}");
        assert_eq!((count(&world, ALICE, told), count(&world, BOB, told)), (1, 1), "seed {seed}");
        assert!(world.gateway.has_previous_pair());
        // After the overlap all is done under the new pair.
        let end = world.now + Duration::from_secs(90_000);
        world.run_until(end, |world| !world.gateway.has_previous_pair());
        assert!(!world.gateway.has_previous_pair(), "seed {seed}");
        world.devices[BOB].device_mut().register();
        world.devices[ALICE].device_mut().rekey(id("bob")).expect("a session");
        exchange(&mut world, "under the new pair alone");
        assert_eq!(count(&world, BOB, |notice| matches!(notice, Notice::Failed(_))), 0, "seed {seed}");
    }
}

#[test]
fn who_was_away_follows_at_its_next_attach_even_after_the_overlap() {
    let mut world = world(5, Profile::Compact);
    connect(&mut world);
    let away = Rc::new(Cell::new(true));
    let (bob, is_away) = (world.devices[BOB].address, away.clone());
    world.inspect(move |_, datagram| {
        let lost = is_away.get() && (datagram.from == bob || datagram.to == bob);
        if lost { Verdict::Lose } else { Verdict::Pass }
    });
    world.rotate_keys(Duration::from_secs(60));
    let end = world.now + Duration::from_secs(7_200);
    world.run_until(end, |_| false);
    assert!(!world.gateway.has_previous_pair());
    away.set(false);
    let told = |notice: &Notice| matches!(notice, Notice::PackageChanged { .. });
    until(&mut world, "told", |world| count(world, BOB, told) == 1);
    until(&mut world, "connected", can_both_send);
    exchange(&mut world, "after");
}

#[test]
fn registering_with_the_old_pin_works_during_the_overlap_and_says_what_to_do_after_it() {
    for over in [false, true] {
        let mut world = world(9, Profile::Compact);
        world.faults = Faults::default();
        connect(&mut world);
        let old = world.devices[BOB].image.clone();
        let overlap = Duration::from_secs(if over { 60 } else { 1_000_000 });
        world.rotate_keys(overlap);
        let end = world.now + Duration::from_secs(3_600);
        world.run_until(end, |world| over && !world.gateway.has_previous_pair());
        // From a copy of before, and it registers before it attaches: with the package that it has.
        world.set_back_device(BOB, old);
        let new_pin = world.devices[ALICE].device().pin();
        world.devices[BOB].notices.clear();
        world.devices[BOB].device_mut().register();
        let mismatch = |notice: &Notice| matches!(notice, Notice::Failed(Failure::PinMismatch));
        if over {
            until(&mut world, "refused", |world| count(world, BOB, mismatch) > 0);
            // The operator confirms the new pin.
            world.devices[BOB].device_mut().set_pin(new_pin);
            world.devices[BOB].device_mut().register();
        }
        let mut registered = false;
        until(&mut world, "registered", |world| {
            registered |= count(world, BOB, |notice| matches!(notice, Notice::Registered)) > 0;
            registered && world.devices[BOB].device().is_attached()
        });
        until(&mut world, "connected", can_both_send);
        exchange(&mut world, "after");
        assert_eq!(world.devices[BOB].device().pin(), new_pin);
    }
}
