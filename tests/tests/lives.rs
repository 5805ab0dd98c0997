//! Devices that start from older copies of their state, and gateways whose store is replaced (`docs/protocol.md` §4, §6, §7): no key and
//! nonce for two plaintexts on the wire; sessions that the gateway no longer has are made anew; nothing is lost in silence, nothing
//! comes twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use coap_lite::{CoapOption, Packet};
use sga_device::agent::{Image, Notice};
use sga_device::{DeviceId, Failure, Suite, SuiteSet};
use sga_gateway_core::Settings;
use sga_schema::{Half, Handle, MessagePost, Profile};
use sga_tests::sim::{Datagram, Faults, SimStore, Verdict, World};

const NAMES: [&str; 2] = ["alice", "bob"];

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

fn peer(at: usize) -> DeviceId {
    id(NAMES[1 - at])
}

/// What names one key and nonce: the leg, the run, the sequence (of a Message), the salt.
type Name = (Handle, u32, Option<u32>, Option<[u8; 8]>);

/// All that was sealed for runs and texts, as it went over the wire.
#[derive(Default)]
struct Recorder {
    sealed: HashMap<Name, Vec<u8>>,
    repeated: usize,
}

impl Recorder {
    fn record(&mut self, datagram: &Datagram) {
        let Ok(packet) = Packet::from_bytes(&datagram.bytes) else { return };
        if u8::from(packet.header.code) != 2 || packet.get_option(CoapOption::Block1).is_some() {
            return;
        }
        let path: Vec<_> = packet.get_option(CoapOption::UriPath).into_iter().flatten().collect();
        let (name, sealed) = if path == [b"kex"] {
            let Half { handle, run, body, salt } = sga_schema::decode(&packet.payload).expect("a Half");
            ((handle, run, None, salt), body)
        } else if path == [b"msg"]
            && let Ok(post) = sga_schema::decode::<MessagePost<'_>>(&packet.payload)
        {
            ((post.handle, post.run, Some(post.sequence), post.salt), post.ciphertext)
        } else {
            return;
        };
        let before = self.sealed.entry(name).or_insert_with(|| sealed.to_vec());
        assert_eq!(before, sealed, "a key and a nonce for two plaintexts: {name:?}");
        self.repeated += 1;
    }

    /// Halves, and texts, that another of the same run (and sequence) differs from by its salt alone.
    fn would_have_been_reused(&self) -> (usize, usize) {
        let mut names: HashMap<_, usize> = HashMap::new();
        for (handle, run, sequence, _) in self.sealed.keys() {
            *names.entry((handle, run, sequence)).or_default() += 1;
        }
        let count = |texts: bool| {
            names.iter().filter(|((.., sequence), count)| sequence.is_some() == texts && **count > 1).count()
        };
        (count(false), count(true))
    }
}

fn world(seed: u64) -> (World, Rc<RefCell<Recorder>>) {
    let mut world = World::new(seed, Settings::new(id("gw"), Profile::Compact));
    for name in NAMES {
        world.add(name, SuiteSet::ALL);
    }
    world.devices[0].want(peer(0), None);
    let recorder: Rc<RefCell<Recorder>> = Rc::default();
    let tape = recorder.clone();
    world.inspect(move |_, datagram| {
        tape.borrow_mut().record(datagram);
        Verdict::Pass
    });
    (world, recorder)
}

fn can_both_send(world: &World) -> bool {
    world.devices.iter().enumerate().all(|(at, node)| node.device().can_send(peer(at)))
}

/// One seed: texts both ways, runs opened, and again and again a device that starts from some older copy.
fn set_back_at_random(seed: u64) -> (usize, usize) {
    let (mut world, recorder) = world(seed);
    world.faults = Faults { lost: world.random(100), doubled: world.random(100), late: world.random(100) };
    let mut copies: [Vec<Image>; 2] = Default::default();
    let mut looked_at = [0; 2];
    let mut next = Duration::from_secs(1);
    let mut number = 0_u32;
    let end = Duration::from_secs(400);
    world.run_until(end, |world| {
        for at in [0, 1] {
            let node = &mut world.devices[at];
            if copies[at].last() != Some(&node.image) {
                copies[at].push(node.image.clone());
            }
            // A text for which the gateway has another is given up with its run.
            let mut new = node.notices[looked_at[at]..].iter();
            let refused = new.any(|notice| matches!(notice, Notice::Failed(Failure::Text { .. })));
            looked_at[at] = node.notices.len();
            if refused {
                // There is no session to rekey if it was set back to before it.
                let _ = node.device_mut().rekey(peer(at));
            }
        }
        if world.now >= next {
            next = world.now + Duration::from_millis(500 + u64::from(world.random(4_000)));
            let at = world.random(2) as usize;
            number += 1;
            match world.random(8) {
                0..3 if copies[at].len() > 1 => {
                    // Mostly one of the last few: what was sealed since is sealed anew.
                    let len = copies[at].len() as u32;
                    let back = if world.random(4) == 0 { world.random(len) } else { world.random(len.min(12)) };
                    let image = copies[at][(len - 1 - back) as usize].clone();
                    world.set_back_device(at, image);
                }
                3 => drop(world.devices[at].device_mut().rekey(peer(at))),
                _ => world.devices[at].text(peer(at), number.to_be_bytes().to_vec()),
            }
        }
        false
    });
    // However it was left: a new session, and texts get through both ways.
    world.faults = Faults::default();
    for attempt in 0..20_usize {
        for at in [0, 1] {
            world.devices[at].device_mut().abandon(peer(at));
        }
        let until = world.now + Duration::from_secs(120);
        if world.run_until(until, |world| can_both_send(world) && world.devices.iter().all(|node| node.is_done())) {
            let last = |from: usize| format!("last of {} {attempt}", NAMES[from]).into_bytes();
            for at in [0, 1] {
                world.devices[at].text(peer(at), last(at));
            }
            let until = world.now + Duration::from_secs(60);
            let came = world.run_until(until, |world| {
                let has = |at: usize| world.devices[at].received.get(&peer(at)).and_then(|texts| texts.last());
                has(0) == Some(&last(1)) && has(1) == Some(&last(0))
            });
            if came {
                return recorder.borrow().would_have_been_reused();
            }
        }
        let suite = Suite::ALL[attempt % 4];
        let _ = world.devices[attempt % 2].device_mut().connect(peer(attempt % 2), Some(suite));
    }
    panic!("seed {seed}: {}", told(&world));
}

/// What there is to say when something did not come about.
fn told(world: &World) -> String {
    let worth = |notice: &&Notice| !matches!(notice, Notice::Exchange { .. } | Notice::Attached);
    let mut text = String::new();
    for (at, node) in world.devices.iter().enumerate() {
        let notices: Vec<_> = node.notices.iter().filter(worth).collect();
        text += &format!("\n{at} {:?}", node.device().session(peer(at)));
        for notice in &notices[notices.len().saturating_sub(25)..] {
            text += &format!("\n   {notice:?}");
        }
    }
    text
}

#[test]
fn no_key_and_nonce_is_used_twice_however_often_a_device_is_set_back() {
    let mut reused = (0, 0);
    for seed in 0..60 {
        let (halves, texts) = set_back_at_random(seed);
        reused = (reused.0 + halves, reused.1 + texts);
    }
    // Without salts each of these would have been one key and nonce for two plaintexts.
    assert!(reused.0 > 50 && reused.1 > 50, "too few: {reused:?}");
}

/// How the gateway's store is replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Replaced {
    /// By a copy from when the session was there, some runs ago.
    InSession,
    /// By a copy from when the devices had registered and nothing more.
    BeforeSession,
    /// By a copy in which the invitation waits for its answer.
    Invited,
    /// By an empty one.
    Empty,
}

fn numbered(from: usize, numbers: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    numbers.map(|number| format!("{} {number}", NAMES[from]).into_bytes()).collect()
}

fn have_received(world: &World, count: usize) -> bool {
    [0, 1].into_iter().all(|at| world.devices[at].received.get(&peer(at)).is_some_and(|texts| texts.len() >= count))
        && world.devices.iter().all(|node| node.is_done())
}

fn send_and_wait(world: &mut World, senders: &[usize], numbers: std::ops::Range<usize>, what: &str) {
    for &at in senders {
        for text in numbered(at, numbers.clone()) {
            world.devices[at].text(peer(at), text);
        }
    }
    let until = world.now + Duration::from_secs(1_800);
    let came = world.run_until(until, |world| {
        let has = |at: usize| world.devices[1 - at].received.get(&id(NAMES[at])).map_or(0, Vec::len);
        senders.iter().all(|&at| has(at) >= numbers.end) && world.devices.iter().all(|node| node.is_done())
    });
    assert!(came, "{what}: not everything came{}", told(world));
}

fn replaced(seed: u64, how: Replaced, first: usize) {
    let what = format!("{how:?}, {} sends first, seed {seed}", NAMES[first]);
    let (mut world, recorder) = world(seed);
    world.faults = Faults { lost: world.random(60), doubled: world.random(60), late: world.random(60) };
    for node in &mut world.devices {
        node.sends_lost_again = true;
    }
    let mut copy: Option<SimStore> = None;
    let end = Duration::from_secs(600);
    match how {
        Replaced::BeforeSession => {
            world.run_until(end, |world| {
                let both = world.devices.iter().all(|node| node.device().is_registered());
                if both && copy.is_none() {
                    copy = Some(world.gateway.store.clone());
                }
                both
            });
        }
        Replaced::Invited => {
            world.run_until(end, |world| {
                let invited = world.devices[1].notices.contains(&Notice::Invited(peer(1)));
                if invited && copy.is_none() {
                    copy = Some(world.gateway.store.clone());
                }
                invited
            });
        }
        Replaced::InSession | Replaced::Empty => {}
    }
    send_and_wait(&mut world, &[0, 1], 0..3, &what);
    if how == Replaced::InSession {
        copy = Some(world.gateway.store.clone());
    }
    // What the copy has not: texts, a run, and texts under that.
    send_and_wait(&mut world, &[0, 1], 3..5, &what);
    let run = world.devices[0].device().session(peer(0)).expect("a session").run;
    world.devices[0].device_mut().rekey(peer(0)).expect("a session");
    let rekeyed = world.run_until(world.now + Duration::from_secs(300), |world| {
        can_both_send(world) && world.devices[0].device().session(peer(0)).is_some_and(|session| session.run > run)
    });
    assert!(rekeyed, "{what}");
    send_and_wait(&mut world, &[0, 1], 5..7, &what);
    assert!(have_received(&world, 7), "{what}");

    assert_eq!(copy.is_none(), how == Replaced::Empty);
    let lost_before = world.devices.iter().map(|node| node.notices.len()).collect::<Vec<_>>();
    // Whoever finds the session gone may be told at first that there is no such peer: until that one has registered again.
    world.devices[1].want(peer(1), None);
    world.replace_store(copy);
    if seed.is_multiple_of(3) {
        // One learns of it after a restart.
        world.restart_device(1 - first);
    }
    // One sends, then both.
    send_and_wait(&mut world, &[first], 7..8, &what);
    send_and_wait(&mut world, &[1 - first], 7..8, &what);
    send_and_wait(&mut world, &[0, 1], 8..12, &what);
    for at in [0, 1] {
        let received = &world.devices[at].received[&peer(at)];
        assert_eq!(*received, numbered(1 - at, 0..12), "{what}: what {} has received", NAMES[at]);
        let since = &world.devices[at].notices[lost_before[at]..];
        let gaps = since.iter().filter(|notice| matches!(notice, Notice::Gap { .. })).count();
        // A text that was given up with its session and sent again under the next is missing under its old number at most.
        assert!(gaps <= 1, "{what}: {since:#?}");
    }
    let gone = world.devices.iter().flat_map(|node| &node.notices);
    let gone = gone.filter(|notice| matches!(notice, Notice::SessionGone(_))).count();
    assert!(gone <= 2, "{what}: gone {gone} times");
    if matches!(how, Replaced::Empty | Replaced::BeforeSession) {
        assert!(gone >= 1, "{what}");
    }
    assert!(recorder.borrow().repeated > 0);
}

#[test]
fn a_session_goes_on_after_the_store_was_replaced_by_an_older_copy_that_has_it() {
    for seed in 0..12 {
        replaced(seed, Replaced::InSession, seed as usize % 2);
    }
}

#[test]
fn a_session_is_made_anew_after_the_store_was_replaced_by_one_that_has_it_not() {
    for how in [Replaced::BeforeSession, Replaced::Invited, Replaced::Empty] {
        for seed in 0..12 {
            replaced(seed, how, seed as usize % 2);
        }
    }
}
