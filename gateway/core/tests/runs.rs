//! What runs may cost (`docs/limits.md`): public-key work is done only for a Half that there is room for, and not without end, whoever
//! sends it and from wherever it is sent again.

mod support;

use std::net::SocketAddr;

use sga_coap::Code;
use sga_gateway_core::{Rate, Settings};
use sga_schema::{Profile, Role};
use support::{Dev, Session, World, addr, id};

use Role::{Initiator, Responder};

/// So few that a test reaches them though each request takes a second.
const FEW: u32 = 6;

fn agreed_in(mut world: World) -> (World, Dev, Dev, Session) {
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    (world, amy, bob, session)
}

fn limited() -> World {
    World::with(Settings { runs_per_leg: Rate(FEW), ..Settings::new(id("gate"), Profile::Compact) })
}

/// A Half with good seals and a tag inside that is wrong: it ends its run.
fn bad_half(world: &mut World, session: &Session, dev: &Dev, role: Role, run: u32) -> Vec<u8> {
    let mut made = world.make(session, dev, role, run);
    made.tag[0] ^= 1;
    world.wrap(session, dev, role, run, &made)
}

/// The same bytes from other addresses, under other message IDs, by somebody who does not receive there.
fn forge(world: &mut World, half: &[u8], times: u8) {
    for n in 0..times {
        let mut datagram = vec![0x40, 0x02, 7, n, 0xb3, b'k', b'e', b'x', 0xff];
        datagram.extend_from_slice(half);
        world.gateway.handle_datagram(world.now, SocketAddr::from(([10, 66, 0, n], 9)), &datagram);
        world.pump();
    }
}

#[test]
fn a_half_that_there_is_no_room_for_costs_no_public_key_work() {
    for second in [false, true] {
        let (mut world, amy, mut bob, session) = agreed_in(World::compact());
        // The session's share of the mailbox is used up by what opens runs.
        let mut run = 0;
        let half = loop {
            run += 1;
            let half = world.make(&session, &amy, Initiator, run).request;
            let answer = world.post(amy.addr, "kex", &half);
            if answer.code == Code::SERVICE_UNAVAILABLE {
                break half;
            }
            assert_eq!(answer.code, Code::CREATED);
        };
        let (half, from) = if second {
            // A run whose second Half finds no room for what goes to the first: bob's, opened by amy in the other direction.
            let opened = world.make(&session, &bob, Responder, run).request;
            assert_eq!(world.post(bob.addr, "kex", &opened).code, Code::CREATED);
            (world.make(&session, &amy, Initiator, run).request, amy.addr)
        } else {
            (half, amy.addr)
        };
        let jobs = world.jobs;
        world.refused(from, "kex", &half, Code::SERVICE_UNAVAILABLE);
        forge(&mut world, &half, 100);
        assert_eq!(world.jobs, jobs, "no work, however often it comes");
        world.take(&mut bob);
        let taken = world.post(from, "kex", &half);
        assert_eq!(taken.code, if second { Code::CHANGED } else { Code::CREATED }, "it is taken once there is room");
        assert_eq!(world.jobs, jobs + 1);
    }
}

#[test]
fn a_session_has_so_many_runs_and_others_go_on() {
    let (mut world, mut amy, bob, session) = agreed_in(limited());
    let mut zoe = world.device("zoe", 3);
    let other = world.agree(&mut amy, &mut zoe);
    let (jobs, commits) = (world.jobs, world.commits);
    let mut refused = 0;
    for run in 1..=40 {
        let half = bad_half(&mut world, &session, &amy, Initiator, run);
        let answer = world.post(amy.addr, "kex", &half);
        let limited = answer.code == Code::TOO_MANY_REQUESTS && answer.max_age > Some(0);
        assert!(limited || answer.code == Code::UNPROCESSABLE_ENTITY, "{answer:?}");
        refused += u32::from(limited);
    }
    // Two allowances, and what comes back in the 40 s.
    assert!(
        world.jobs - jobs <= 2 * FEW as usize + 8 && world.jobs - jobs >= 2 * FEW as usize,
        "{}",
        world.jobs - jobs
    );
    assert!(world.commits - commits <= 2 * FEW as usize + 8 && refused >= 40 - 2 * FEW - 8);
    // Nobody else has to wait, and in a minute nobody at all.
    world.close(&other, &amy, &zoe, 1);
    let opened = world.make(&session, &bob, Responder, 41).request;
    assert_eq!(world.post(bob.addr, "kex", &opened).code, Code::CREATED, "the other end");
    world.pass(60);
    world.close(&session, &amy, &bob, 42);
}

#[test]
fn what_does_not_even_decode_inside_is_counted_as_well() {
    let (mut world, amy, _, session) = agreed_in(limited());
    let commits = world.commits;
    for run in 1..=40 {
        let half = world.wrap_plain(&session, &amy, Initiator, run, &[0x80]);
        world.post(amy.addr, "kex", &half);
    }
    assert!(world.commits - commits <= 2 * FEW as usize + 8, "{}", world.commits - commits);
}

/// While the store takes nothing a Half that was recorded is as good as new each time. Whoever sends it from forged addresses costs the
/// device an Echo.
#[test]
fn recorded_halves_use_up_what_may_come_from_anywhere_and_no_more() {
    let (mut world, amy, bob, session) = agreed_in(limited());
    let half = world.make(&session, &amy, Initiator, 1);
    world.failing = true;
    assert_eq!(world.post(amy.addr, "kex", &half.request).code, Code::SERVICE_UNAVAILABLE);
    let jobs = world.jobs;
    forge(&mut world, &half.request, 100);
    assert!(world.jobs - jobs <= FEW as usize, "{}", world.jobs - jobs);
    world.failing = false;
    // Its own is over as well; it is asked for Echo, and taken.
    let answer = world.post(amy.addr, "kex", &half.request);
    assert_eq!((answer.code, answer.max_age), (Code::TOO_MANY_REQUESTS, Some(1)));
    forge(&mut world, &half.request, 100);
    assert_eq!(world.post(amy.addr, "kex", &half.request).code, Code::CREATED);
    world.close_second(&session, half, &bob, 1);
    assert_eq!(
        world.post(addr(77), "msg", &[0]).code,
        Code::BAD_REQUEST,
        "who asks for something else answers an Echo, too"
    );
}
