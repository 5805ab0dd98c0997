//! A whole network under loss, duplication, reordering and restarts: every text arrives exactly once, in order.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what a seed did, for whoever replays it")]

use std::time::Duration;

use sga_device::{DeviceId, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Faults, World};

/// Simulated time after which a seed has failed.
const END: Duration = Duration::from_secs(4 * 3_600);

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

/// What one seed does.
struct Plan {
    /// Who sends to whom: positions.
    ways: Vec<(usize, usize)>,
    texts: usize,
    gateway_restarts: Vec<Duration>,
    device_restarts: Vec<(Duration, usize)>,
    rekeys: Vec<(Duration, usize, usize)>,
}

fn plan(world: &mut World) -> Plan {
    // Most seeds are through within seconds: what is to disturb them has to come early.
    let at = |world: &mut World| Duration::from_millis(u64::from(world.random(12_000)));
    let mut ways = vec![(0, 1), (1, 0)];
    if world.random(2) == 0 {
        ways.extend([(2, 0), (0, 2)]);
    }
    let gateway_restarts = (0..world.random(4)).map(|_| at(world)).collect();
    let device_restarts = (0..world.random(4)).map(|_| (at(world), world.random(3) as usize)).collect();
    let rekeys = (0..world.random(3))
        .map(|_| {
            let (from, to) = ways[world.random(ways.len() as u32) as usize];
            (at(world), from, to)
        })
        .collect();
    Plan { ways, texts: 2 + world.random(5) as usize, gateway_restarts, device_restarts, rekeys }
}

fn text(from: usize, to: usize, number: usize) -> Vec<u8> {
    let mut text = format!("{} to {}: {number}", NAMES[from], NAMES[to]).into_bytes();
    // Some do not fit a block.
    if number % 4 == 3 {
        text.resize(1_500, b'.');
    }
    text
}

fn start(seed: u64) -> (World, Plan) {
    let mut world = World::new(seed, Settings::new(id("gw"), Profile::Compact));
    world.faults = Faults { lost: world.random(200), doubled: world.random(100), late: world.random(100) };
    for name in NAMES {
        world.add(name, SuiteSet::ALL);
    }
    let plan = plan(&mut world);
    for &(from, to) in &plan.ways {
        // One end invites, or both do at the same time.
        if from < to || world.random(3) == 0 {
            world.devices[from].want(id(NAMES[to]), None);
        }
        for number in 0..plan.texts {
            world.devices[from].text(id(NAMES[to]), text(from, to, number));
        }
    }
    (world, plan)
}

/// Everything received so far is a beginning of what was sent: nothing twice, nothing out of order, nothing invented.
fn is_complete(world: &World, plan: &Plan, seed: u64) -> bool {
    let mut complete = true;
    for &(from, to) in &plan.ways {
        let none = Vec::new();
        let received = world.devices[to].received.get(&id(NAMES[from])).unwrap_or(&none);
        for (number, got) in received.iter().enumerate() {
            if *got != text(from, to, number) {
                explain(world);
                panic!(
                    "seed {seed}: text {number} of {} at {}: {}",
                    NAMES[from],
                    NAMES[to],
                    String::from_utf8_lossy(got)
                );
            }
        }
        complete &= received.len() == plan.texts;
    }
    complete
}

fn explain(world: &World) {
    for node in &world.devices {
        let received: Vec<_> = node.received.iter().map(|(peer, texts)| (peer, texts.len())).collect();
        eprintln!("{}: received {received:?}, attached {}", node.id, node.device().is_attached());
        node.device().sessions().for_each(|session| eprintln!("   {session:?}"));
        let from = node.notices.len().saturating_sub(30);
        node.notices[from..].iter().for_each(|notice| eprintln!("   {notice:?}"));
    }
}

/// What happened in all, to see that the seeds are no stroll.
#[derive(Debug, Default)]
struct Totals {
    texts: usize,
    datagrams: usize,
    lost: usize,
    doubled: usize,
    gateway_restarts: usize,
    device_restarts: usize,
    rekeys: usize,
}

fn run(seed: u64, totals: &mut Totals) {
    let (mut world, mut plan) = start(seed);
    let done = world.run_until(END, |world| {
        let now = world.now;
        if let Some(at) = plan.gateway_restarts.iter().position(|&at| at <= now) {
            plan.gateway_restarts.swap_remove(at);
            world.restart_gateway();
            totals.gateway_restarts += 1;
        }
        if let Some(at) = plan.device_restarts.iter().position(|&(at, _)| at <= now) {
            let (_, device) = plan.device_restarts.swap_remove(at);
            world.restart_device(device);
            totals.device_restarts += 1;
        }
        if let Some(at) = plan.rekeys.iter().position(|&(at, ..)| at <= now) {
            let (_, from, to) = plan.rekeys.swap_remove(at);
            // Without a session yet there is nothing to renew.
            totals.rekeys += usize::from(world.devices[from].device_mut().rekey(id(NAMES[to])).is_ok());
        }
        is_complete(world, &plan, seed) && world.devices.iter().all(|node| node.is_done())
    });
    if !done {
        explain(&world);
        panic!("seed {seed}: not everything was delivered; {} datagrams, time {:?}", world.sent(), world.now);
    }
    totals.texts += plan.ways.len() * plan.texts;
    totals.datagrams += world.sent();
    totals.lost += world.lost();
    totals.doubled += world.doubled();
}

#[test]
fn a_thousand_seeds_deliver_every_text_exactly_once_and_in_order() {
    // SGA_SEED replays one; SGA_SEEDS tries so many.
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = match number("SGA_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("SGA_SEEDS").unwrap_or(1_000)),
    };
    let mut totals = Totals::default();
    for seed in first..first + count {
        run(seed, &mut totals);
    }
    println!("{count} seeds, every text exactly once, in order: {totals:?}");
    if count > 1 {
        let Totals { lost, doubled, gateway_restarts, device_restarts, rekeys, .. } = totals;
        assert!(lost > 5_000 && doubled > 5_000, "the network was too kind");
        assert!(gateway_restarts > 500 && device_restarts > 500 && rekeys > 200, "too few restarts or rekeys happened");
    }
}
