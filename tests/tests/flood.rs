//! A hundred thousand requests from forged addresses, in simulated time: no public-key work is done for them, nothing is kept, and an
//! established session's message takes as long as without them.
//!
//! `sga-load flood` does the same over real sockets, and looks at real time.

use std::net::SocketAddr;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_crypto::{GroupId, PkPurpose, Seed, steps};
use sga_device::{DeviceId, Phase, SuiteSet};
use sga_gateway_core::{Now, Settings};
use sga_schema::{Handle, Message, MessagePost, Profile, Sealed};
use sga_tests::sim::World;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const REQUESTS: u32 = 100_000;

/// Requests in a millisecond of simulated time.
const AT_ONCE: u32 = 100;

/// What the flood may make the gateway allocate at a time. It keeps nothing for A1; the rest is what is in hand with one datagram.
const KEPT_FOR_A1: usize = 256 << 10;

/// Messages for handles that nobody has are remembered by their message IDs, 65,536 at most, and looked up, 256 at a time.
const KEPT_FOR_MESSAGES: usize = 96 << 20;

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

fn encoded<'a, M: Message<'a>>(message: &M) -> Vec<u8> {
    let mut bytes = vec![0; sga_schema::encoded_len(message)];
    sga_schema::encode(message, &mut bytes).expect("the buffer has the encoded length");
    bytes
}

fn post(path: &str, mid: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = mid.to_be_bytes();
    let head = [0x40, 0x02, high, low, 0xb0 | path.len() as u8];
    [&head, path.as_bytes(), &[0xff], payload].concat()
}

/// An A1 that only public-key work would show to be worthless.
fn a1(rng: &mut ChaCha12Rng) -> Vec<u8> {
    let group = GroupId::Ristretto255;
    let public = group.exp_base(&Seed::new(rng));
    let plain = [7; 52];
    let mut sealed = vec![0; plain.len() + steps::pk_overhead(group)];
    let len = steps::pk_seal(group, &public, &Seed::new(rng), PkPurpose::Negotiate, &plain, &mut sealed);
    sealed.truncate(len.expect("room for the overhead"));
    encoded(&Sealed(&sealed))
}

/// One of as many addresses as there are requests.
fn source(n: u32) -> SocketAddr {
    let [_, b, c, d] = n.to_be_bytes();
    SocketAddr::from(([100, 64 + b, c, d], 1_024 + (n % 50_000) as u16))
}

struct Outcome {
    /// From the text's sending until it was received.
    took: Now,
    jobs: u64,
    peak: usize,
    got: usize,
    back: usize,
}

/// Alice sends bob one text, in an established session, while what `flood` makes arrives.
fn run(mut flood: impl FnMut(u32) -> Option<Vec<u8>>) -> Outcome {
    let mut world = World::new(11, Settings::new(id("gw"), Profile::Compact));
    let (alice, bob) = (world.add("alice", SuiteSet::ALL), world.add("bob", SuiteSet::ALL));
    world.devices[alice].want(id("bob"), None);
    let up = |world: &mut World| {
        let established = |at: usize, peer: &str| {
            let session = world.devices[at].device().session(id(peer));
            session.is_some_and(|session| session.phase == Phase::Established) && world.devices[at].is_done()
        };
        established(0, "bob") && established(1, "alice")
    };
    assert!(world.run_until(Duration::from_secs(600), up), "a perfect network");
    let (began, jobs) = (world.now, world.gateway.jobs);
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    world.devices[alice].text(id("bob"), b"through".to_vec());
    let (mut got, mut received) = (0, None);
    for n in 0..REQUESTS {
        if let Some(bytes) = flood(n) {
            got += bytes.len();
            world.forge(source(n), &bytes);
        }
        if n % AT_ONCE == AT_ONCE - 1 {
            let end = began + Duration::from_millis(u64::from(n / AT_ONCE) + 1);
            let arrived =
                |world: &mut World| received.is_none() && world.devices[bob].received.contains_key(&id("alice"));
            if world.run_until(end, arrived) {
                received = Some(world.now);
                world.run_until(end, |_| false);
            }
        }
    }
    Outcome {
        took: received.expect("the text is received meanwhile") - began,
        jobs: world.gateway.jobs - jobs,
        peak: ALLOCATOR.peak_usage().saturating_sub(before),
        got,
        back: world.wasted(),
    }
}

/// One test, since the allocator counts for all threads.
#[test]
#[expect(clippy::print_stdout, reason = "what was measured")]
fn a_flood_from_forged_addresses_changes_nothing_for_a_session() {
    let mut rng = ChaCha12Rng::from_seed([3; 32]);
    let payloads: Vec<_> = (0..64).map(|_| a1(&mut rng)).collect();
    let quiet = run(|_| None);
    let flooded = run(|n| Some(post("negotiate", n as u16, &payloads[n as usize % payloads.len()])));
    let looked_up = run(|n| {
        let mut handle = [0; 4];
        rng.fill_bytes(&mut handle);
        let message = MessagePost {
            handle: Handle(handle),
            run: 1,
            sequence: 1,
            ciphertext: &[1; 32],
            hop_tag: [1; 8],
            salt: None,
        };
        Some(post("msg", n as u16, &encoded(&message)))
    });
    for (name, outcome) in [("quiet", &quiet), ("A1", &flooded), ("Message", &looked_up)] {
        let Outcome { took, jobs, peak, got, back } = outcome;
        println!("{name}: {took:?} from end to end, {jobs} jobs, {} KiB, {back} bytes back for {got}", peak >> 10);
        assert_eq!(*jobs, 0, "{name}: a message of an established session needs none either");
        assert_eq!(*took, quiet.took, "{name}");
    }
    assert!(flooded.back <= flooded.got && looked_up.back <= 3 * looked_up.got);
    assert!(flooded.peak <= quiet.peak + KEPT_FOR_A1, "{} bytes", flooded.peak);
    assert!(looked_up.peak <= quiet.peak + KEPT_FOR_MESSAGES, "{} bytes", looked_up.peak);
}
