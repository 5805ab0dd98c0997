//! Revocation, with all that a network and power cuts do (`docs/protocol.md` §4, item 9): the peer is told once, nothing gets in or out,
//! and a device that is released makes its sessions anew.

use std::time::Duration;

use sga_device::agent::Notice;
use sga_device::{DeviceId, Failure, Phase, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Faults, World};

const ALICE: usize = 0;
const BOB: usize = 1;

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

fn world(seed: u64, profile: Profile) -> World {
    let mut world = World::new(seed, Settings::new(id("gw"), profile));
    world.add("alice", SuiteSet::ALL);
    world.add("bob", SuiteSet::ALL);
    world.faults = Faults { lost: 100, doubled: 50, late: 50 };
    world
}

/// Runs until it is so, for half an hour at most.
fn until(world: &mut World, what: &str, so: impl FnMut(&mut World) -> bool) {
    let end = world.now + Duration::from_secs(1_800);
    assert!(world.run_until(end, so), "{what}");
}

fn connect(world: &mut World) {
    until(world, "attached", |world| world.devices.iter().all(|node| node.device().is_attached()));
    world.devices[ALICE].device_mut().connect(id("bob"), None).expect("registered");
    until(world, "connected", |world| {
        let [alice, bob] = [&world.devices[ALICE], &world.devices[BOB]].map(|node| node.device());
        alice.can_send(id("bob")) && bob.can_send(id("alice"))
    });
}

fn ended(world: &World, at: usize) -> usize {
    world.devices[at]
        .notices
        .iter()
        .filter(|notice| matches!(notice, Notice::SessionEnded { revoked: true, .. }))
        .count()
}

#[test]
fn whatever_the_network_does() {
    for seed in 0..24 {
        let profile = if seed % 8 == 0 { Profile::Classic } else { Profile::Compact };
        let mut world = world(seed, profile);
        connect(&mut world);
        world.devices[ALICE].text(id("bob"), b"before".to_vec());
        until(&mut world, "delivered", |world| !world.devices[BOB].received.is_empty());
        // On its way when the order comes, or not even that.
        world.devices[ALICE].text(id("bob"), b"too late".to_vec());
        if seed % 2 == 0 {
            let at = world.sent() + 1;
            until(&mut world, "something is on its way", |world| world.sent() >= at);
        }
        world.revoke(&[id("bob")]);
        if seed % 3 == 0 {
            world.restart_gateway();
        }
        if seed % 5 == 0 {
            world.restart_device(ALICE);
        }
        until(&mut world, "alice is told", |world| ended(world, ALICE) > 0);
        assert_eq!(ended(&world, ALICE), 1, "seed {seed}");
        let session = world.devices[ALICE].device().session(id("bob"));
        assert!(session.is_none_or(|session| session.phase == Phase::Idle), "seed {seed}: {session:?}");
        assert!(!world.devices[ALICE].device().can_send(id("bob")));
        let shut_out = |notice: &Notice| matches!(notice, Notice::Failed(Failure::Attach { code: 0x83 }));
        until(&mut world, "bob is shut out", |world| world.devices[BOB].notices.iter().any(shut_out));
        let texts = world.devices[BOB].received[&id("alice")].len();
        assert!(texts <= 2, "seed {seed}");
        // Released: the gateway has nothing of the old session, and says so; a new one carries texts again.
        world.revoke(&[]);
        world.devices[BOB].device_mut().attach(true);
        until(&mut world, "bob is told", |world| ended(world, BOB) == 1);
        connect(&mut world);
        world.devices[BOB].text(id("alice"), b"again".to_vec());
        until(&mut world, "delivered again", |world| !world.devices[ALICE].received.is_empty());
        assert_eq!((ended(&world, ALICE), ended(&world, BOB)), (1, 1), "seed {seed}");
    }
}
