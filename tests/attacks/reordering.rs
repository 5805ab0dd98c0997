//! Repair 8, sequences: what arrives in another order than it was sent. (Paper 5.5.)
//!
//! The attacker delays what it likes. Every order of a few messages at the gateway, of requests of a whole run, and of datagrams in
//! both directions: texts are handed up in the order in which they were sealed, each once, and nothing is taken before its time.

use std::time::Duration;

use sga_coap::Code;
use sga_device::SuiteSet;
use sga_gateway_core::Settings;
use sga_schema::{MessageItem, Profile, Role, kind};
use sga_tests::sim::{Faults, World};

use crate::support::script::{self, Kind, Step};
use crate::support::taped::{ALICE, BOB, id};
use crate::support::{attacker, is_refused};

/// All orders of `count` things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for order in orders(count - 1) {
        for at in 0..count {
            let mut longer = order.clone();
            longer.insert(at, count - 1);
            all.push(longer);
        }
    }
    all
}

#[test]
fn messages_in_every_order_are_stored_once_each() {
    let orders = orders(4);
    assert_eq!(orders.len(), 24);
    for order in orders {
        let mut world = script::gateway(Profile::Compact);
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        let session = world.agree(&mut amy, &mut bob);
        let run = world.close(&session, &amy, &bob, 1);
        let texts: Vec<_> =
            (0..4).map(|sequence| world.message(&session, &run, Role::Initiator, sequence, b"x")).collect();
        for &at in &order {
            assert_eq!(world.post(amy.addr, "msg", &texts[at]).code, Code::CHANGED);
            world.refused(attacker(), "msg", &texts[at], Code::CHANGED);
        }
        let items = world.take(&mut bob);
        let sequences: Vec<_> = items
            .iter()
            .filter(|item| item.kind == kind::MESSAGE)
            .map(|item| sga_schema::decode::<MessageItem<'_>>(&item.body).expect("item 6").sequence as usize)
            .collect();
        assert_eq!(sequences, order, "as they came, once each");
    }
}

/// Whether the one is nothing without the other: a message without its run, a run without its session, an A3 without its A1; and
/// what is made for an attach without that attach.
fn needs(later: &Step, earlier: &Step) -> bool {
    match (later.kind, earlier.kind) {
        (Kind::Message, Kind::Half) | (Kind::Half, Kind::A3) | (Kind::A3, Kind::A1) => true,
        (Kind::A1 | Kind::Ack, Kind::Register | Kind::Attach) => later.dev.id == earlier.dev.id,
        _ => false,
    }
}

/// How far ahead of its time a step is tried.
const AHEAD: usize = 30;

#[test]
fn a_step_before_its_time_is_refused() {
    let mut steps: Vec<Step> = Vec::new();
    script::run(&mut script::gateway(Profile::Compact), |_, step| steps.push(step.clone()));
    let (mut at, mut tried) = (0, 0);
    script::run(&mut script::gateway(Profile::Compact), |world, step| {
        assert_eq!(step.bytes, steps[at].bytes, "the same script makes the same bytes");
        for ahead in at + 1..steps.len().min(at + AHEAD) {
            let later = &steps[ahead];
            if !steps[at..ahead].iter().any(|earlier| needs(later, earlier)) {
                continue;
            }
            tried += 1;
            let rng = world.rng.clone();
            let answer = world.unchanged_any(|world| later.kind.send(world, attacker(), &later.bytes));
            world.rng = rng;
            assert!(is_refused(answer.code), "{:?} before {:?}: {answer:?}", later.kind, step.kind);
        }
        at += 1;
    });
    assert!(tried > 500, "{tried}");
}

#[test]
fn late_datagrams_change_no_order() {
    for seed in 1..=6 {
        let mut world = World::new(seed, Settings::new(id("gw"), Profile::Compact));
        world.add("alice", SuiteSet::ALL);
        world.add("bob", SuiteSet::ALL);
        // Every third datagram is overtaken by whatever is sent in the eight seconds after it.
        world.faults = Faults { lost: 0, doubled: 100, late: 333 };
        world.devices[ALICE].want(id("bob"), None);
        let said: Vec<_> = (0..12).map(|number| format!("text {number:02}").into_bytes()).collect();
        for text in &said {
            world.devices[ALICE].text(id("bob"), text.clone());
            world.devices[BOB].text(id("alice"), text.clone());
        }
        let has = |world: &World, at: usize, from| {
            let texts = world.devices[at].received.get(&id(from)).map_or(&[][..], Vec::as_slice);
            assert!(said.starts_with(texts), "seed {seed}: in order, once: {texts:?}");
            texts.len() == said.len()
        };
        let done =
            world.run_until(Duration::from_secs(86_400), |world| has(world, BOB, "alice") && has(world, ALICE, "bob"));
        assert!(done, "seed {seed}");
    }
}
