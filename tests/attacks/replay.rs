//! Repair 3: whatever went over the network, sent again. (Paper 5.1, 5.5; "nothing is fresh".)
//!
//! The attacker has recorded everything and sends it again: at once, after days, after the gateway or a device was restarted, from
//! where it came from and from elsewhere, byte for byte or as a new request with the same payload. What has effects that were had
//! already gets the answer that it got; everything else is refused; nothing in the store or in a device changes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sga_coap::Code;
use sga_device::SuiteSet;
use sga_device::agent::Image;
use sga_gateway_core::Settings;
use sga_schema::Profile;
use sga_tests::sim::{Datagram, Verdict, World};

use crate::support::script::{self, Kind, Step};
use crate::support::taped::{ALICE, BOB, id};
use crate::support::{attacker, by_hand};

/// What a request that was taken once may get when it comes again. Of an attach and an Ack only the last are still known, and after a
/// restart none.
fn documented(kind: Kind) -> &'static [Code] {
    match kind {
        Kind::Register => &[Code::CHANGED],
        Kind::Attach => &[Code::CONTENT, Code::UNAUTHORIZED],
        Kind::Ack => &[Code::CHANGED, Code::UNAUTHORIZED],
        Kind::A1 => &[Code::CREATED, Code::UNAUTHORIZED],
        Kind::A3 => &[Code::CHANGED, Code::UNAUTHORIZED],
        // Under seal: the run is closed; or the same B6; or the session is forgotten.
        Kind::Half => &[Code::CREATED, Code::CHANGED, Code::CONFLICT, Code::UNAUTHORIZED],
        Kind::Message => &[Code::CHANGED, Code::CONFLICT, Code::UNAUTHORIZED],
    }
}

fn again(world: &mut by_hand::World, step: &Step, from: SocketAddr) -> Code {
    let code = world.unchanged_any(|world| step.kind.send(world, from, &step.bytes)).code;
    assert!(documented(step.kind).contains(&code), "{:?} of {} again: {code:?}", step.kind, step.dev.id);
    if step.kind == Kind::Attach && from != step.dev.addr {
        assert_eq!(code, Code::UNAUTHORIZED, "an inbox is shown to whoever asked for it first");
    }
    code
}

#[test]
fn every_request_again_at_once() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut last: Option<Step> = None;
        let done = script::run(&mut script::gateway(profile), |world, step| {
            if let Some(last) = &last {
                for from in [attacker(), last.dev.addr] {
                    again(world, last, from);
                }
            }
            last = Some(step.clone());
        });
        assert_eq!(done.runs.len(), 8);
    }
}

#[test]
fn every_request_again_much_later_and_after_restarts() {
    for profile in [Profile::Compact, Profile::Classic] {
        let mut world = script::gateway(profile);
        let mut steps: Vec<Step> = Vec::new();
        let mut done = script::run(&mut world, |_, step| steps.push(step.clone()));
        let mut taken = 0;
        for round in ["at the end", "after a restart", "after three days", "after both"] {
            match round {
                "after three days" => world.pass(3 * 86_400),
                "at the end" => {}
                _ => world.restart(),
            }
            for step in steps.iter().chain(steps.iter().rev()) {
                for from in [attacker(), step.dev.addr] {
                    taken += usize::from(again(&mut world, step, from).is_success());
                }
            }
        }
        assert!(taken > 0, "some are answered as they were");
        // Everybody goes on where they were.
        let (session, i, j) = done.sessions[3].clone();
        let next = world.close(&session, &done.devs[i], &done.devs[j], 3);
        let text = world.message(&session, &next, sga_schema::Role::Initiator, 0, b"still here");
        assert_eq!(world.post(done.devs[i].addr, "msg", &text).code, Code::CHANGED);
        for dev in &mut done.devs {
            world.attach(dev);
        }
    }
}

/// An A1 that is older than the last one is nothing, an old run is nothing: the numbers only rise.
#[test]
fn old_numbers_are_refused() {
    let mut world = script::gateway(Profile::Compact);
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let old = world.invite(&mut amy, bob.id);
    let session = world.agree(&mut amy, &mut bob);
    world.refused(attacker(), "negotiate", &old.request, Code::UNAUTHORIZED);
    // In a new encryption, as the device itself could have made it.
    let again = world.negotiate_bytes(&sga_schema::NegotiateSecret::Invite(old.a1));
    world.refused(attacker(), "negotiate", &again, Code::UNAUTHORIZED);
    let first = world.close(&session, &amy, &bob, 1);
    world.close(&session, &amy, &bob, 2);
    for made in &first.made {
        world.refused(attacker(), "kex", &made.request, Code::CONFLICT);
    }
    // An A1 that the network has kept back means nothing once its device has attached again.
    amy.request_number += 1;
    let key = world.random();
    let a1 = world.a1(&amy, bob.id, amy.suite, key);
    let kept_back = world.negotiate_bytes(&sga_schema::NegotiateSecret::Invite(a1));
    world.attach(&mut amy);
    world.refused(amy.addr, "negotiate", &kept_back, Code::UNAUTHORIZED);
    amy.request_number -= 1;
    world.agree(&mut amy, &mut bob);
}

const END: Duration = Duration::from_secs(3_600);

fn outsider() -> SocketAddr {
    "[2001:db8::66]:6666".parse().expect("an address")
}

fn is_said(world: &World, texts: usize) -> bool {
    let has = |at: usize, from| world.devices[at].received.get(&id(from)).map_or(0, Vec::len) == texts;
    has(BOB, "alice") && has(ALICE, "bob") && world.devices.iter().all(|node| node.is_done())
}

/// alice and bob, who say one thing each; with all that went over the network.
fn recorded(each: impl Fn(&mut World, &Datagram)) -> (World, Vec<Datagram>) {
    let mut world = World::new(7, Settings::new(id("gw"), Profile::Compact));
    world.add("alice", SuiteSet::ALL);
    world.add("bob", SuiteSet::ALL);
    let taped: Rc<RefCell<Vec<Datagram>>> = Rc::default();
    let tape = taped.clone();
    world.inspect(move |_, datagram| {
        tape.borrow_mut().push(datagram.clone());
        Verdict::Pass
    });
    world.devices[ALICE].want(id("bob"), None);
    say(&mut world);
    let mut at = 0;
    let done = world.run_until(END, |world| {
        loop {
            let next = taped.borrow().get(at).cloned();
            let Some(datagram) = next else { break };
            at += 1;
            if datagram.from != outsider() && datagram.to != outsider() {
                each(world, &datagram);
            }
        }
        is_said(world, 1)
    });
    assert!(done);
    let taped = taped.borrow().iter().filter(|datagram| datagram.to != outsider()).cloned().collect();
    (world, taped)
}

fn say(world: &mut World) {
    world.devices[ALICE].text(id("bob"), b"to bob".to_vec());
    world.devices[BOB].text(id("alice"), b"to alice".to_vec());
}

/// What somebody can send with a recorded datagram, and where to.
fn copies(world: &World, datagram: &Datagram) -> Vec<Datagram> {
    let to = if datagram.to == world.gateway.address { vec![datagram.to] } else { addresses(world) };
    let from = [datagram.from, outsider()];
    to.iter().flat_map(|&to| from.map(|from| Datagram { from, to, ..datagram.clone() })).collect()
}

fn addresses(world: &World) -> Vec<SocketAddr> {
    world.devices.iter().map(|node| node.address).collect()
}

fn images(world: &World) -> Vec<(Image, usize)> {
    let texts = |node: &sga_tests::sim::DeviceNode| node.received.values().map(Vec::len).sum();
    world.devices.iter().map(|node| (node.image.clone(), texts(node))).collect()
}

/// Each datagram comes again as soon as it was sent, also from somewhere else, and to both devices.
#[test]
fn every_datagram_again_at_once() {
    let (mut world, tape) = recorded(|world, datagram| {
        copies(world, datagram).iter().for_each(|copy| world.inject(copy));
    });
    assert!(tape.len() > 40, "a session takes more than {} datagrams", tape.len());
    say(&mut world);
    assert!(world.run_until(END, |world| is_said(world, 2)), "once each, and the session goes on");
}

#[test]
fn every_datagram_again_much_later_and_after_restarts() {
    let (mut world, tape) = recorded(|_, _| {});
    for round in ["now", "in three days", "gateway restarted", "devices restarted"] {
        match round {
            "in three days" => {
                let end = world.now + Duration::from_secs(3 * 86_400);
                world.run_until(end, |_| false);
            }
            "gateway restarted" => world.restart_gateway(),
            "devices restarted" => [ALICE, BOB].into_iter().for_each(|at| world.restart_device(at)),
            _ => {}
        }
        // Everybody is back where they were, and nothing is under way.
        let calm = world.now + Duration::from_secs(10);
        world.run_until(calm, |_| false);
        let attached = |world: &mut World| world.devices.iter().all(|node| node.device().is_attached());
        let end = world.now + END;
        assert!(world.run_until(end, attached));
        let (store, before) = (world.gateway.store.clone(), images(&world));
        // All in one moment: nobody has anything of their own to do.
        for datagram in tape.iter().chain(tape.iter().rev()) {
            for copy in copies(&world, datagram) {
                world.inject(&copy);
                assert_eq!(images(&world), before, "{round}: a device has changed by {copy:?}");
            }
        }
        // What the gateway has to fetch or to compute for it takes time; the devices are away meanwhile.
        let away = std::mem::take(&mut world.devices);
        let end = world.now + Duration::from_secs(5);
        world.run_until(end, |_| false);
        assert_eq!(world.gateway.store, store, "{round}: the store has changed");
        world.devices = away;
    }
    say(&mut world);
    let end = world.now + END;
    assert!(world.run_until(end, |world| is_said(world, 2)), "the session goes on");
}

/// Each recorded payload in a new request of somebody who answers Echo as anyone may.
#[test]
fn every_payload_again_from_a_verified_address() {
    let (mut world, tape) = recorded(|_, _| {});
    let calm = world.now + Duration::from_secs(10);
    world.run_until(calm, |_| false);
    let away = std::mem::take(&mut world.devices);
    let gateway = world.gateway.address;
    for restart in [false, true] {
        if restart {
            world.restart_gateway();
        }
        let store = world.gateway.store.clone();
        let mut asked = 0;
        for datagram in tape.iter().filter(|datagram| datagram.to == gateway) {
            let Some(request) = request_of(&datagram.bytes) else { continue };
            world.ask(outsider(), request);
            asked += 1;
            assert_eq!(world.gateway.store, store, "{datagram:?}");
        }
        assert!(asked > 15, "{asked} requests");
    }
    world.devices = away;
    say(&mut world);
    let end = world.now + END;
    assert!(world.run_until(end, |world| is_said(world, 2)), "the session goes on");
}

/// The request in a datagram, to be sent by another client.
fn request_of(bytes: &[u8]) -> Option<sga_coap::Request> {
    use coap_lite::{CoapOption, MessageClass, Packet, RequestType};
    let packet = Packet::from_bytes(bytes).expect("CoAP");
    let MessageClass::Request(method) = packet.header.code else { return None };
    let method = match method {
        RequestType::Post => Code::POST,
        RequestType::Fetch => Code::FETCH,
        _ => return None,
    };
    let segments = packet.get_option(CoapOption::UriPath)?;
    let path = String::from_utf8(segments.front()?.clone()).expect("text");
    Some(sga_coap::Request::new(method, [path.as_str()]).with_payload(60, packet.payload.clone()))
}
