//! What the gateway does of its own accord, while its store does not answer: it does not pile up.
#![allow(clippy::unwrap_used, reason = "what was asked is there")]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use sga_gateway_core::limits::{AGED_INTERVAL, AGED_TASKS_MAX, CENSUS_BATCH_MAX, CENSUS_HURRY_INTERVAL};
use sga_gateway_core::{Found, Key, Load, Settings, Want};
use sga_schema::{Handle, Profile};
use support::{World, id};

/// Takes the loads that were asked for.
fn loads(world: &mut World) -> Vec<Load> {
    std::iter::from_fn(|| world.gateway.poll_load()).collect()
}

fn later(world: &mut World, interval: Duration) -> Vec<Load> {
    world.now += interval;
    world.gateway.handle_timeout(world.now);
    loads(world)
}

fn is_census(load: &Load) -> bool {
    matches!(load.wants.as_slice(), [Want::Keys { .. }])
}

fn is_aged(load: &Load) -> bool {
    matches!(load.wants.as_slice(), [Want::Aged { .. }])
}

/// Answers that there is nothing.
fn nothing(load: &Load) -> Vec<Found> {
    let nothing = |want: &Want| match want {
        Want::ItemIndex { .. } => Found::Index(Vec::new()),
        Want::Items { .. } => Found::Items(Vec::new()),
        Want::Pending { .. } => Found::Pending(Vec::new()),
        Want::Aged { .. } => Found::Aged { mailbox: None, next: None },
        Want::Keys { .. } => Found::Keys { keys: Vec::new(), more: false },
        _ => Found::Value(None),
    };
    load.wants.iter().map(nothing).collect()
}

/// Until the gateway asks for nothing any more.
fn answer(world: &mut World, mut asked: Vec<Load>) {
    while !asked.is_empty() {
        for load in asked {
            world.gateway.handle_load_done(world.now, load.id, Ok(nothing(&load)));
        }
        asked = loads(world);
    }
}

#[test]
fn a_hurried_census_waits_for_its_store() {
    let mut world = World::compact();
    world.gateway.set_revoked(world.now, HashSet::from([id("lost")]));
    let mut asked = Vec::new();
    (0..100).for_each(|_| asked.extend(later(&mut world, CENSUS_HURRY_INTERVAL)));
    let at = asked.iter().position(is_census).expect("sessions are looked for");
    let census = asked.remove(at);
    assert!(!asked.iter().any(is_census), "one look at a time");
    let keys = (1..=CENSUS_BATCH_MAX as u32).map(|number| Key::Session(Handle(number.to_be_bytes()))).collect();
    let found = Ok(vec![Found::Keys { keys, more: true }]);
    world.gateway.handle_load_done(world.now, census.id, found);
    (0..100).for_each(|_| asked.extend(later(&mut world, CENSUS_HURRY_INTERVAL)));
    let sessions = |load: &&Load| matches!(load.wants.as_slice(), [Want::Get(Key::Session(_))]);
    assert_eq!(asked.iter().filter(sessions).count(), CENSUS_BATCH_MAX);
    assert!(!asked.iter().any(is_census), "no further before these are dealt with");
    answer(&mut world, asked);
    assert!(later(&mut world, CENSUS_HURRY_INTERVAL).iter().any(is_census), "then it goes on");
}

#[test]
fn mailboxes_with_old_items_are_a_few_at_a_time() {
    let mut settings = Settings::new(id("gate"), Profile::Compact);
    settings.mailbox_age = Duration::from_secs(60);
    let mut world = World::with(settings);
    let first = later(&mut world, Duration::ZERO);
    answer(&mut world, first);
    let mut waiting = Vec::new();
    let mut asked = later(&mut world, AGED_INTERVAL);
    let mut found = 0;
    while let Some(load) = asked.pop() {
        if is_aged(&load) {
            found += 1;
            assert!(found < 1_000, "it ends");
            let aged = Found::Aged { mailbox: Some(found), next: Some(found + 1) };
            world.gateway.handle_load_done(world.now, load.id, Ok(vec![aged]));
            asked.extend(loads(&mut world));
        } else {
            waiting.push(load);
        }
    }
    assert_eq!(found as usize, AGED_TASKS_MAX);
    assert!(!later(&mut world, Duration::from_secs(2)).iter().any(is_aged), "not before there is room");
    answer(&mut world, waiting);
    let asked = later(&mut world, Duration::from_secs(2));
    let from = asked.iter().find(|load| is_aged(load)).expect("it goes on soon");
    assert!(matches!(from.wants.as_slice(), [Want::Aged { from, .. }] if *from == found + 1));
}
