//! Pair secrets in the whole system, in simulated time: the real gateway, a network that loses and doubles, restarts.

use std::time::Duration;

use sga_crypto::Secret;
use sga_device::agent::Notice;
use sga_device::{DeviceId, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Faults, World};

const NAMES: [&str; 2] = ["alice", "bob"];
const MINUTE: Duration = Duration::from_secs(60);

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

fn peer(at: usize) -> DeviceId {
    id(NAMES[1 - at])
}

fn world(seed: u64, profile: Profile) -> World {
    let mut world = World::new(seed, Settings::new(id("gw"), profile));
    world.faults = Faults { lost: 100, doubled: 50, late: 50 };
    for name in NAMES {
        world.add(name, SuiteSet::ALL);
    }
    world
}

fn pair(world: &mut World, at: usize, secret: Option<u8>) {
    let secret = secret.map(|byte| Secret::new([byte; 32]));
    world.devices[at].device_mut().set_pair_secret(peer(at), secret).expect("room for one peer");
}

/// Gives each end a text for the other.
fn texts(world: &mut World, text: &str) {
    for at in [0, 1] {
        world.devices[at].text(peer(at), format!("{text} from {}", NAMES[at]).into_bytes());
    }
}

fn received(world: &World, at: usize) -> Vec<String> {
    let received = world.devices[at].received.get(&peer(at)).cloned().unwrap_or_default();
    received.into_iter().map(|text| String::from_utf8(text).expect("UTF-8")).collect()
}

fn all_received(world: &World, count: usize) -> bool {
    [0, 1].into_iter().all(|at| received(world, at).len() == count)
}

fn reports(world: &World, at: usize) -> usize {
    world.devices[at].notices.iter().filter(|notice| matches!(notice, Notice::NotConfirmed { .. })).count()
}

fn highest_run(world: &World) -> u32 {
    world.devices[0].device().session(peer(0)).map_or(0, |session| session.highest_run)
}

#[test]
fn ends_that_share_no_secret_notice_it_and_send_nothing_whatever_the_network_does() {
    for seed in 0..60 {
        let profile = if seed % 20 == 0 { Profile::Classic } else { Profile::Compact };
        let mut world = world(seed, profile);
        pair(&mut world, 0, Some(1));
        pair(&mut world, 1, (seed % 2 == 0).then_some(2));
        world.devices[0].want(peer(0), None);
        if seed % 3 == 0 {
            world.devices[1].want(peer(1), None);
        }
        texts(&mut world, "secret");
        let noticed = world.run_until(30 * MINUTE, |world| reports(world, 0) > 0 && reports(world, 1) > 0);
        assert!(noticed, "seed {seed}: {:?}", world.devices[0].notices);
        // A day later nothing has come of it, and hardly a run was opened.
        let restarts = u32::from(seed % 4 == 0);
        if restarts > 0 {
            world.restart_device(1);
        }
        let day = world.now + 24 * 60 * MINUTE;
        world.faults = Faults::default();
        assert!(!world.run_until(day, |world| !all_received(world, 0)), "seed {seed}: a text got through");
        // Two tries; two more where a restarted end begins to count anew.
        assert!(highest_run(&world) <= 3 + 3 * restarts, "seed {seed}: run {}", highest_run(&world));
        assert!([0, 1].iter().all(|&at| reports(&world, at) <= 6), "seed {seed}");
        // The same secret at last: everything that waited is delivered.
        pair(&mut world, 1, Some(1));
        let end = world.now + 30 * MINUTE;
        assert!(world.run_until(end, |world| all_received(world, 1)), "seed {seed}: {:?}", world.devices[1].notices);
        assert_eq!(received(&world, 1), ["secret from alice"]);
    }
}

#[test]
fn a_secret_that_both_set_in_a_session_loses_nothing() {
    for seed in 100..140 {
        let mut world = world(seed, Profile::Compact);
        world.devices[0].want(peer(0), None);
        texts(&mut world, "first");
        assert!(world.run_until(30 * MINUTE, |world| all_received(world, 1)), "seed {seed}");
        for (text, secret) in [("second", Some(9)), ("third", Some(10)), ("fourth", None)] {
            let before = received(&world, 0).len();
            let at = world.random(2) as usize;
            pair(&mut world, at, secret);
            texts(&mut world, text);
            let later = world.now + Duration::from_millis(u64::from(world.random(90_000)));
            world.run_until(later, |_| false);
            if world.random(2) == 0 {
                world.restart_device(at);
            }
            pair(&mut world, 1 - at, secret);
            let end = world.now + 60 * MINUTE;
            let done = world.run_until(end, |world| all_received(world, before + 1));
            assert!(done, "seed {seed}, {text}: {:?}", world.devices.iter().map(|n| &n.notices).collect::<Vec<_>>());
        }
        let expected = ["first", "second", "third", "fourth"];
        for at in [0, 1] {
            assert_eq!(received(&world, at), expected.map(|text| format!("{text} from {}", NAMES[1 - at])));
        }
    }
}
