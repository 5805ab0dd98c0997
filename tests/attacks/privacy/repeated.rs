//! Strings that come twice: whatever two attaches, two sessions or two legs have in common would link them.
#![expect(clippy::print_stdout, reason = "the figures of docs/security.md")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use sga_schema::Profile;

use super::traffic::{NAMES, Recording, record};
use super::wire::{Kind, Label, Seen};

/// Bytes of the strings that are compared. Each n strings of random bytes have one pair in common with a probability of at most
/// n² / 2^(8 · 7 + 1); the test adds that up and wants less than one in ten thousand.
const LEN: usize = 7;
const CHANCE_MAX: f64 = 1e-4;

/// Two places (datagram, and where in it) that have a string in common which nothing explains.
struct Link {
    bytes: Vec<u8>,
    first: (usize, usize),
    again: (usize, usize),
}

/// Sent again as it is, by the same device or to it.
fn copies(one: &Seen, other: &Seen) -> bool {
    (one.device, one.to_gateway, &one.payload) == (other.device, other.to_gateway, &other.payload)
}

/// All pairs, and how many strings were compared.
fn links(seen: &[Seen]) -> (Vec<Link>, usize) {
    let mut places: HashMap<&[u8], (usize, usize)> = HashMap::new();
    let (mut links, mut compared) = (Vec::new(), 0);
    for (at, datagram) in seen.iter().enumerate() {
        for from in 0..datagram.bytes.len().saturating_sub(LEN - 1) {
            let labels = &datagram.labels[from..from + LEN];
            // With what is public beside it a string would be shorter than it looks.
            if labels.contains(&Label::Public) {
                continue;
            }
            compared += 1;
            let bytes = &datagram.bytes[from..from + LEN];
            let &mut (first, first_from) = places.entry(bytes).or_insert((at, from));
            if (first, first_from) == (at, from) || copies(&seen[first], datagram) {
                continue;
            }
            let scoped = !labels.contains(&Label::Fresh) && *labels == seen[first].labels[first_from..first_from + LEN];
            if !scoped {
                links.push(Link { bytes: bytes.to_vec(), first: (first, first_from), again: (at, from) });
            }
        }
    }
    (links, compared)
}

fn explain(links: &[Link], seen: &[Seen]) -> String {
    let Some(Link { bytes, first, again }) = links.first() else { return String::new() };
    let place = |(at, from): (usize, usize)| {
        let Seen { device, port, to_gateway, kind, block, .. } = &seen[at];
        format!("{at} of {device} {port}, to the gateway {to_gateway}, {kind:?}, block {block:?}, at {from}")
    };
    format!("{bytes:02x?} in {}; in {}", place(*first), place(*again))
}

/// Kinds of requests that were sent again as they are in another exchange, and those from another address. One that asks for the next
/// block of its answer belongs to the same exchange.
fn sent_again(seen: &[Seen]) -> (BTreeSet<Kind>, BTreeSet<Kind>) {
    let mut first: HashMap<_, &Seen> = HashMap::new();
    let (mut again, mut moved) = (BTreeSet::new(), BTreeSet::new());
    let requests = seen.iter().filter(|seen| seen.to_gateway && !seen.follows_up && seen.payload.len() >= LEN);
    for datagram in requests {
        let key = (datagram.device, &datagram.payload);
        let first = *first.entry(key).or_insert(datagram);
        if first.token != datagram.token {
            again.insert(datagram.kind);
            if first.port != datagram.port {
                moved.insert(datagram.kind);
            }
        }
    }
    (again, moved)
}

/// Strings that are too short to be compared like that, and stay the same for a while: whose they are.
fn short_names(seen: &[Seen]) -> HashMap<(Kind, &[u8]), BTreeSet<std::net::IpAddr>> {
    let mut names: HashMap<_, BTreeSet<_>> = HashMap::new();
    for datagram in seen.iter().filter(|datagram| datagram.to_gateway) {
        let scoped = |label: &Label| matches!(label, Label::Within(_));
        let mut from = 0;
        for run in datagram.labels.chunk_by(|one, other| one == other) {
            if scoped(&run[0]) && run.len() < LEN {
                let name = &datagram.bytes[from..from + run.len()];
                names.entry((datagram.kind, name)).or_default().insert(datagram.device);
            }
            from += run.len();
        }
    }
    names
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// The worlds of all tests here, one after the other.
fn worlds() -> impl Iterator<Item = (u64, Recording)> {
    let compact = (0..10).map(|seed| (seed, Profile::Compact));
    let classic = (10..13).map(|seed| (seed, Profile::Classic));
    let all = compact.chain(classic).chain([(13, Profile::Classic3072)]);
    all.map(|(seed, profile)| (seed, record(seed, profile, 240)))
}

#[test]
fn nothing_that_two_messages_have_in_common_links_them() {
    let (mut chance, mut compared, mut datagrams, mut handles) = (0.0, 0, 0, 0);
    let (mut again, mut moved) = (BTreeSet::new(), BTreeSet::new());
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for (seed, recording) in worlds() {
        let (links, count) = links(&recording.seen);
        assert!(links.is_empty(), "seed {seed}: {} links: {}", links.len(), explain(&links, &recording.seen));
        let names = short_names(&recording.seen);
        assert!(names.values().all(|devices| devices.len() == 1), "seed {seed}: a handle that two devices have");
        handles += names.keys().filter(|(kind, _)| *kind == Kind::Message).count();
        chance += (count as f64).powi(2) / 2f64.powi(8 * LEN as i32 + 1);
        compared += count;
        datagrams += recording.seen.len();
        let (here, elsewhere) = sent_again(&recording.seen);
        again.extend(here);
        moved.extend(elsewhere);
        recording.seen.iter().for_each(|seen| *kinds.entry(seen.kind).or_default() += 1);
        // Nothing that names a device or is its key.
        for (node, name) in recording.world.devices.iter().zip(NAMES) {
            let secrets: [&[u8]; 2] = [name.as_bytes(), node.registered_key.expose()];
            for datagram in &recording.datagrams {
                assert!(!secrets.iter().any(|secret| contains(&datagram.bytes, secret)), "seed {seed}: {name}");
            }
        }
        assert!(
            recording.world.devices.iter().any(|node| node.received.values().any(|texts| texts.len() > 3)),
            "seed {seed}: hardly anything was said"
        );
    }
    println!(
        "{datagrams} datagrams {kinds:?}, {handles} handles, {compared} strings of {LEN} bytes, chance of a false link {chance:.1e}"
    );
    println!("sent again as they are: {again:?}, from another address: {moved:?}");
    assert!(chance < CHANCE_MAX);
    assert!(kinds.values().all(|count| *count > 20), "{kinds:?}: some are hardly there");
    // What is under way when the address changes comes from both. Otherwise only what must not change is sent again: Messages and,
    // within one life, Halves. An acknowledgement is small enough to be made anew each time.
    let list = BTreeSet::from([Kind::Register, Kind::Attach, Kind::Negotiate, Kind::Half, Kind::Message]);
    assert!(again.is_subset(&list) && moved.is_subset(&list), "{again:?} {moved:?}");
}

/// Copies bytes of one datagram into another of the same kind, so that something is there to be found.
fn plant(seen: &mut [Seen], kind: Kind, len: usize) -> bool {
    let mut of_kind = (0..seen.len()).filter(|&at| {
        let datagram = &seen[at];
        datagram.kind == kind && datagram.to_gateway && datagram.payload.len() > 2 * len
    });
    let Some(from) = of_kind.next() else { return false };
    let Some(to) = of_kind.find(|&to| !copies(&seen[from], &seen[to]) && seen[to].device != seen[from].device) else {
        return false;
    };
    let tail = seen[from].bytes.len() - len..;
    let planted = seen[from].bytes[tail].to_vec();
    let place = seen[to].bytes.len() - len..;
    seen[to].bytes[place].copy_from_slice(&planted);
    true
}

#[test]
fn what_would_link_is_found() {
    let recording = record(0, Profile::Compact, 120);
    assert!(links(&recording.seen).0.is_empty());
    for kind in [Kind::Attach, Kind::Ack, Kind::Negotiate, Kind::Half, Kind::Message] {
        let mut seen = recording.seen.clone();
        assert!(plant(&mut seen, kind, LEN), "{kind:?}: nowhere to plant it");
        assert!(!links(&seen).0.is_empty(), "{kind:?}");
    }
    // A ticket that is shown in two attaches, a handle that two devices have, a salt that two sessions have: all are labelled as
    // what may repeat within its scope only.
    let scopes = |seen: &[Seen]| -> BTreeMap<u64, usize> {
        let mut scopes = BTreeMap::new();
        for label in seen.iter().flat_map(|seen| &seen.labels) {
            if let Label::Within(scope) = label {
                *scopes.entry(*scope).or_insert(0) += 1;
            }
        }
        scopes
    };
    assert!(scopes(&recording.seen).len() > 50);
    let mut seen = recording.seen.clone();
    let mut hasher = DefaultHasher::new();
    "elsewhere".hash(&mut hasher);
    let last = seen.iter_mut().rfind(|seen| seen.kind == Kind::Ack && seen.to_gateway).expect("an Ack");
    for label in &mut last.labels {
        if matches!(label, Label::Within(_)) {
            *label = Label::Within(hasher.finish());
        }
    }
    assert!(!links(&seen).0.is_empty(), "a ticket out of its scope");
}
