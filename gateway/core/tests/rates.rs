//! How much anyone may ask: limits of each source, which whoever forges its address cannot use against it.

mod support;

use std::net::SocketAddr;

use sga_coap::Code;
use sga_gateway_core::limits::{INVITATIONS_RETRY_S, INVITATIONS_SENT_MAX};
use sga_gateway_core::{Rate, Rates, Settings};
use sga_schema::{MessagePost, NegotiateSecret, Profile, Proof, Role, Suite};
use support::{Dev, World, encoded, id, stored};

/// Another source than `support::addr`.
fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 9, 9, 9], port))
}

/// So few that a test reaches them though each request takes a second.
const FEW: u32 = 6;

fn world(set: impl FnOnce(&mut Rates)) -> World {
    let mut settings = Settings::new(id("gate"), Profile::Compact);
    set(&mut settings.rates);
    World::with(settings)
}

/// A message for a handle that nobody has.
fn guess(n: u8) -> Vec<u8> {
    let handle = sga_schema::Handle([0xee, 0, 0, n]);
    encoded(&MessagePost { handle, run: 1, sequence: 1, ciphertext: &[n; 24], hop_tag: [n; 8], salt: None })
}

#[test]
fn guesses_are_limited_for_each_source() {
    let mut world = world(|rates| rates.guesses_per_source = Rate(FEW));
    let guesser = elsewhere(1);
    let mut codes = Vec::new();
    for n in 0..40 {
        let answer = world.post(guesser, "msg", &guess(n));
        assert!(answer.code != Code::TOO_MANY_REQUESTS || answer.max_age > Some(0), "it says when");
        codes.push(answer.code);
    }
    let refused = codes.iter().filter(|&&code| code == Code::UNAUTHORIZED).count();
    // Two allowances, and what comes back in the 40 s.
    assert!((2 * FEW as usize..=2 * FEW as usize + 10).contains(&refused), "{codes:?}");
    assert_eq!(codes[39], Code::TOO_MANY_REQUESTS);
    let refused = (0..9).filter(|&n| world.post(elsewhere(2), "msg", &guess(n)).code == Code::UNAUTHORIZED).count();
    assert!(refused <= 2, "another port is the same source");
    let mut dev = world.device("d", 1);
    world.attach(&mut dev);
    world.pass(60);
    assert_eq!(world.post(guesser, "msg", &guess(1)).code, Code::UNAUTHORIZED, "and it is no lock");
}

/// Whoever forges the address of a site can use up what is allowed without Echo, and the site's devices still get through.
#[test]
fn a_forged_source_shuts_nobody_out() {
    let mut world = world(|rates| rates.guesses_per_source = Rate(FEW));
    let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
    let session = world.agree(&mut amy, &mut bob);
    let run = world.close(&session, &amy, &bob, 1);
    for n in 0..200 {
        let mut datagram = vec![0x40, 0x02, 0, n, 0xb3, b'm', b's', b'g', 0xff];
        datagram.extend(guess(n));
        let forged = SocketAddr::new(amy.addr.ip(), 9);
        world.gateway.handle_datagram(world.now, forged, &datagram);
        world.pump();
    }
    let answer = world.post(SocketAddr::new(amy.addr.ip(), 10), "msg", &guess(7));
    assert_eq!(answer.code, Code::UNAUTHORIZED, "with Echo it has an allowance of its own");
    let request = world.message(&session, &run, Role::Initiator, 0, b"still here");
    let answer = world.post(amy.addr, "msg", &request);
    assert_eq!((answer.code, answer.payload), (Code::CHANGED, stored(&session, &run, Role::Initiator, 0)));
    // In blocks as well: the first brings the Echo value.
    let request = world.message(&session, &run, Role::Initiator, 1, &[7; 5_000]);
    assert_eq!(world.post(amy.addr, "msg", &request).code, Code::CHANGED);
    assert!(!world.take(&mut bob).is_empty());
}

#[test]
fn public_key_work_is_limited_for_each_source_and_in_all() {
    let mut world = world(|rates| (rates.work_per_source, rates.work_total) = (Rate(FEW), Rate(4 * FEW)));
    let register = |world: &mut World, n: u8, from: SocketAddr| {
        let mut dev = Dev::new(&format!("d{n}"), n);
        dev.addr = from;
        let request = world.register_bytes(&dev, Proof::None);
        world.post(from, "register", &request)
    };
    let mut done = 0;
    for n in 0..20 {
        let answer = register(&mut world, n, elsewhere(1));
        let refused = answer.code == Code::TOO_MANY_REQUESTS && answer.max_age > Some(0);
        assert!(answer.code == Code::CREATED || refused, "{answer:?}");
        done += usize::from(!refused);
    }
    assert!((2 * FEW as usize..=2 * FEW as usize + 6).contains(&done), "{done}");
    assert_eq!(register(&mut world, 30, SocketAddr::from(([10, 8, 0, 1], 1))).code, Code::CREATED, "another source");
    let all =
        (0..60).filter(|&n| register(&mut world, 40 + n, SocketAddr::from(([10, 7, 0, n], 1))).code == Code::CREATED);
    assert!(all.count() < 45, "sources that did nothing before find that all together have had enough");
}

#[test]
fn one_device_has_so_many_invitations_open() {
    let mut world = World::compact();
    let mut dev = world.device("inviter", 200);
    for n in 0..=INVITATIONS_SENT_MAX {
        let peer = world.device(&format!("p{n}"), n as u8);
        dev.request_number += 1;
        let a1 = world.a1(&dev, peer.id, Suite::ALL[0], [1; 16]);
        let request = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
        let answer = world.post(dev.addr, "negotiate", &request);
        if n < INVITATIONS_SENT_MAX {
            assert_eq!(answer.code, Code::CREATED, "invitation {n}");
        } else {
            assert_eq!((answer.code, answer.max_age), (Code::TOO_MANY_REQUESTS, Some(INVITATIONS_RETRY_S)));
        }
    }
    // A second one for the same pair takes the place of the first.
    let a1 = world.a1(&dev, id("p0"), Suite::ALL[0], [2; 16]);
    let request = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
    assert_eq!(world.post(dev.addr, "negotiate", &request).code, Code::CREATED);
    // When they run out there is room again.
    for _ in 0..200 {
        world.pass(31);
    }
    world.attach(&mut dev);
    dev.request_number += 1;
    let a1 = world.a1(&dev, id("p64"), Suite::ALL[0], [3; 16]);
    let request = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
    assert_eq!(world.post(dev.addr, "negotiate", &request).code, Code::CREATED);
}
