//! Padded and plain devices together, in simulated time: loss, duplication, restarts, rekeys; every text arrives as it was.

use std::time::Duration;

use sga_device::{DeviceId, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_schema::padding::PADDED_TEXT_LEN_MAX;
use sga_tests::sim::{Faults, World};

const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const WAYS: [(usize, usize); 4] = [(0, 1), (1, 0), (2, 0), (0, 2)];
const TEXTS: usize = 6;

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

/// Lengths at and around the classes, and texts that end as padding does.
fn text(seed: u64, from: usize, number: usize) -> Vec<u8> {
    let lengths = [0, 22, 23, 24, 32, 64, 120, 1_015, 1_500, PADDED_TEXT_LEN_MAX];
    let len = lengths[(seed as usize + 3 * from + number) % lengths.len()];
    let mut text = vec![b'a' + from as u8; len];
    if number.is_multiple_of(3) {
        text.iter_mut().rev().take(9).for_each(|byte| *byte = 0);
        if let Some(byte) = text.iter_mut().rev().nth(9) {
            *byte = 0x80;
        }
    }
    text
}

#[test]
fn texts_arrive_as_they_were_whoever_pads() {
    for seed in 0..60 {
        let mut world = World::new(seed, Settings::new(id("gw"), Profile::Compact));
        world.faults = Faults { lost: world.random(150), doubled: world.random(100), late: world.random(100) };
        let mut pads = [false; 3];
        for (at, name) in NAMES.iter().enumerate() {
            world.add(name, SuiteSet::ALL);
            pads[at] = world.random(3) > 0;
            world.devices[at].set_pad(pads[at]);
        }
        for (from, to) in WAYS {
            if from < to {
                world.devices[from].want(id(NAMES[to]), None);
            }
            for number in 0..TEXTS {
                world.devices[from].text(id(NAMES[to]), text(seed, from, number));
            }
        }
        let mut events: Vec<(Duration, u32, usize)> = (0..8)
            .map(|_| {
                (Duration::from_millis(u64::from(world.random(20_000))), world.random(4), world.random(3) as usize)
            })
            .collect();
        let done = world.run_until(Duration::from_secs(4 * 3_600), |world| {
            while let Some(at) = events.iter().position(|(at, ..)| *at <= world.now) {
                let (_, what, device) = events.swap_remove(at);
                match what {
                    0 => world.restart_gateway(),
                    1 => world.restart_device(device),
                    // Somebody changes their mind: it counts for what is sealed from then on.
                    2 => {
                        pads[device] = !pads[device];
                        world.devices[device].set_pad(pads[device]);
                    }
                    _ => drop(world.devices[0].device_mut().rekey(id(NAMES[1 + device % 2]))),
                }
            }
            WAYS.iter().all(|&(from, to)| {
                world.devices[to].received.get(&id(NAMES[from])).is_some_and(|received| received.len() == TEXTS)
            })
        });
        assert!(done, "seed {seed}: {:?}", world.devices.iter().map(|node| &node.notices).collect::<Vec<_>>());
        for (from, to) in WAYS {
            let received = &world.devices[to].received[&id(NAMES[from])];
            for (number, got) in received.iter().enumerate() {
                assert!(*got == text(seed, from, number), "seed {seed}: text {number} of {}", NAMES[from]);
            }
        }
        for node in &world.devices {
            assert_eq!(node.device().counters().malformed_items, 0, "seed {seed}");
        }
    }
}
