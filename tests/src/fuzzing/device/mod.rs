//! A device against a gateway that holds every key: lies below all seals, errors above them, and its own past.

mod hostile;
mod leg;
mod peer;
mod victim;

use std::collections::{BTreeMap, BTreeSet};

use sga_crypto::steps;
use sga_device::{Accept, DeviceId, Outgoing, RequestKind, Suite};
use sga_schema::{A4Reason, MessagePost};

use self::hostile::{Hostile, Reply};
use self::leg::{Element6, Run as HeldRun};
use self::victim::{Told, Victim};
use super::Reached;
use super::parts::bend;
use super::reader::Reader;

const STEPS_MAX: usize = 120;
/// Requests of one run; what is left of the input is not read then.
const REQUESTS_MAX: usize = 300;
/// Earlier answers and notifications that are kept to be repeated.
const REPLIES_MAX: usize = 12;
const CODES: [u8; 14] = [0x81, 0x81, 0x81, 0x83, 0x84, 0x89, 0x8d, 0x96, 0x9d, 0xa3, 0x80, 0x44, 0x41, 0x45];
/// What runs and sequences are moved by.
const MOVES: [i64; 8] = [0, 1, 1, 2, -1, 1_024, 1_025, 0xffff_ffff];

/// Reads what happens from `data`, and does it to a device.
///
/// # Panics
/// Something that must hold did not.
pub fn device(data: &[u8]) -> Reached {
    let mut reader = Reader::new(data);
    let mut run = Run::new(reader.byte());
    for _ in 0..STEPS_MAX {
        if reader.is_empty() || run.requests > REQUESTS_MAX {
            break;
        }
        run.step(&mut reader);
        run.check();
    }
    run.reached
}

struct Run {
    gateway: Hostile,
    victim: Victim,
    /// Texts of peers: of which session each is, of which of its runs (by place, since a number may come again), and the number of that
    /// run and its own.
    texts: BTreeMap<Vec<u8>, (usize, usize, u32, u32)>,
    opened: BTreeMap<(usize, usize), u32>,
    seen: BTreeSet<Vec<u8>>,
    /// The next to send and to receive, and the last that is confirmed, of each run.
    counters: BTreeMap<[u8; 32], (u32, u32, Option<u32>)>,
    replies: Vec<Reply>,
    requests: usize,
    given: u32,
    reached: Reached,
}

fn moved(reader: &mut Reader<'_>, number: u32) -> u32 {
    let sum = i64::from(number) + reader.pick(&MOVES);
    sum.clamp(0, u32::MAX.into()) as u32
}

fn peer(reader: &mut Reader<'_>) -> DeviceId {
    Hostile::peer(reader.byte())
}

fn choices(reader: &mut Reader<'_>) -> [u8; 6] {
    core::array::from_fn(|_| reader.byte())
}

impl Run {
    /// 0: registers without a pin. 1: with one. 2: has a session that it asked for. 3: has one that it was asked for.
    fn new(first: u8) -> Self {
        let suite = Suite::ALL[usize::from(first >> 2 & 3)];
        let gateway = Hostile::new(suite);
        let victim = Victim::new(suite, (first & 3 > 0).then(|| gateway.pin()));
        let (texts, opened, seen, counters) = Default::default();
        let mut run = Self {
            gateway,
            victim,
            texts,
            opened,
            seen,
            counters,
            replies: Vec::new(),
            requests: 0,
            given: 0,
            reached: Reached::new(),
        };
        match first & 3 {
            2 => run.converse(Hostile::peer(first >> 4), true, suite),
            3 => run.converse(Hostile::peer(first >> 4), false, suite),
            _ => {}
        }
        run
    }

    fn step(&mut self, reader: &mut Reader<'_>) {
        match reader.byte() & 31 {
            0 | 1 => self.exchange(|gateway, out, payload| Some((gateway.answer(out.kind, payload), true))),
            2 | 3 => {
                self.gateway.bend = Some((reader.byte() & 7, choices(reader)));
                self.settle(1 + reader.index(4));
            }
            4 => {
                let choices = choices(reader);
                self.exchange(|gateway, out, payload| {
                    let (code, genuine) = gateway.answer(out.kind, payload);
                    let mut bent = genuine.clone();
                    bend(&mut Reader::new(&choices), &mut bent, payload);
                    let same = bent == genuine;
                    Some(((code, bent), same))
                });
            }
            5 => {
                let (code, with_text) = (reader.pick(&CODES), reader.byte());
                let text =
                    if with_text & 1 == 0 { Vec::new() } else { reader.bytes(usize::from(with_text >> 3)).to_vec() };
                self.exchange(|_, _, _| Some(((code, text), false)));
            }
            // It arrives, but the answer does not; or neither.
            6 => {
                let arrives = reader.flag();
                self.exchange(|gateway, out, payload| {
                    if arrives {
                        gateway.answer(out.kind, payload);
                    }
                    None
                });
            }
            7 => {
                if let Some(reply) = self.replies.get(reader.index(REPLIES_MAX)).cloned() {
                    self.exchange(|_, _, _| Some((reply, true)));
                }
            }
            8 => {
                let (number, detail) = (reader.byte(), self.any_run(reader));
                self.exchange(|gateway, out, payload| {
                    Some(match gateway.refusal(out.kind, payload, number, detail) {
                        Some(refusal) => (refusal, true),
                        None => (gateway.answer(out.kind, payload), true),
                    })
                });
            }
            9 | 10 => self.notify(reader),
            11 => {
                let suite = Suite::ALL[reader.index(4)];
                self.gateway.invitation(peer(reader), suite);
            }
            12 => {
                let (at, run) = (self.any_leg(reader), self.any_run(reader));
                self.gateway.wanted(at, run);
            }
            13 | 14 => self.peer_text(reader),
            15 => {
                let (at, back, last) = (self.any_leg(reader), reader.index(3), reader.pick(&[0, 1, 2, 900, 1 << 20]));
                self.gateway.peer_confirms(at, back, last);
            }
            16 => {
                let at = self.any_leg(reader);
                let refused = A4Reason::ALL.get(reader.index(6)).copied();
                self.gateway.agreed(at, refused);
            }
            17 => self.odd_item(reader),
            18 => self.application(reader),
            19 | 20 => self.send(reader),
            21 => self.restart(reader),
            22 => self.gateway_changes(reader),
            23 => {
                let suite = Suite::ALL[reader.index(4)];
                let peer = peer(reader);
                let invites = reader.flag();
                self.converse(peer, invites, suite);
            }
            24 => self.gateway.later ^= true,
            25 => {
                let all = [Element6::Genuine, Element6::Identity, Element6::NotCanonical, Element6::OwnHalf];
                self.gateway.element6 = reader.pick(&all);
            }
            _ => self.settle(1 + reader.index(12)),
        }
    }

    fn any_leg(&self, reader: &mut Reader<'_>) -> usize {
        let count = self.gateway.legs.len().max(1);
        count - 1 - reader.index(count)
    }

    /// A run near the newest one of a session.
    fn any_run(&self, reader: &mut Reader<'_>) -> u32 {
        let at = self.any_leg(reader);
        let newest = self.gateway.legs.get(at).map_or(0, |leg| leg.newest_run());
        moved(reader, newest)
    }

    /// The next request and what becomes of it: an answer and whether the gateway made it for this request, or none.
    fn exchange(&mut self, answer: impl FnOnce(&mut Hostile, &Outgoing, &[u8]) -> Option<(Reply, bool)>) {
        let polled = self.victim.poll();
        self.hear();
        let Some((out, payload)) = polled else { return };
        self.requests += 1;
        self.reached.insert(request_name(out.kind));
        self.gateway.lenient = self.victim.wild || self.victim.set_back;
        self.gateway.wild = self.victim.wild;
        let Some(((code, answer), genuine)) = answer(&mut self.gateway, &out, &payload) else {
            return self.victim.device.handle_failure();
        };
        if genuine {
            self.replies.truncate(REPLIES_MAX - 1);
            self.replies.insert(0, (code, answer.clone()));
        }
        let (before, heard) = (self.victim.snapshot(), self.victim.told.len());
        let _ = self.victim.respond(code, answer);
        let changed = self.victim.snapshot() != before;
        assert!(!changed || self.victim.device.needs_save(), "changed and not to be saved: {:?}", out.kind);
        // A package is not sealed: the first one that a device without a pin sees is the one it trusts.
        if !genuine && changed && out.kind != RequestKind::Package {
            self.check_excused(out.kind, heard);
        }
        self.hear();
    }

    /// What is not sealed changes nothing that is stored, but for what the protocol says of a store that was replaced, of a device that
    /// finds out that it was set back, and of a text that is refused again and again and has a newer run above it.
    fn check_excused(&self, kind: RequestKind, heard: usize) {
        let told = &self.victim.told[heard..];
        let gone = told.contains(&Told::SessionGone);
        let lost = told.contains(&Told::TextLost);
        let astray = self.victim.restarted && self.victim.device.counters().unknown_handles > 0;
        let replaced = self.gateway.generations > 0 || astray || self.victim.wild;
        assert!(
            gone && replaced || lost && kind == RequestKind::Message,
            "{kind:?}: a bare answer changed what is stored"
        );
    }

    fn settle(&mut self, times: usize) {
        for _ in 0..times {
            let before = self.requests;
            self.exchange(|gateway, out, payload| Some((gateway.answer(out.kind, payload), true)));
            if !self.gateway.items.is_empty()
                && let Some(payload) = self.gateway.notification()
            {
                self.victim.notify(payload);
                self.hear();
            } else if self.requests == before {
                return;
            }
        }
    }

    /// A whole conversation, as an honest gateway and peer have it, as far as the device goes along.
    fn converse(&mut self, peer: DeviceId, invites: bool, suite: Suite) {
        self.settle(6);
        if invites {
            let _ = self.victim.device.connect(peer, Some(suite));
            self.settle(2);
            self.gateway.agreed(self.gateway.legs.len().wrapping_sub(1), None);
            self.settle(3);
        } else {
            self.gateway.invitation(peer, suite);
            self.settle(3);
            self.gateway.wanted(self.gateway.legs.len() - 1, 1);
            self.settle(3);
        }
        self.gateway.peer_confirms(self.gateway.legs.len().wrapping_sub(1), 0, 0);
        self.settle(3);
    }

    fn notify(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.byte();
        let genuine = choice & 3 == 0;
        let mut payload = match choice & 3 {
            3 => self
                .replies
                .get(usize::from(choice >> 2) % REPLIES_MAX)
                .map(|(_, payload)| payload.clone())
                .unwrap_or_default(),
            _ => match self.gateway.notification() {
                Some(payload) => payload,
                None => return,
            },
        };
        let sent = payload.clone();
        if choice & 3 == 1 || choice & 3 == 2 {
            bend(reader, &mut payload, &[]);
        }
        let unsealed = !genuine && payload != sent;
        let before = self.victim.snapshot();
        self.victim.notify(payload);
        if unsealed {
            assert!(self.victim.snapshot() == before, "a notification that is not sealed changed what is stored");
        }
        self.hear();
    }

    fn peer_text(&mut self, reader: &mut Reader<'_>) {
        let (at, back, choice) = (self.any_leg(reader), reader.index(3), reader.byte());
        let Some(leg) = self.gateway.legs.get(at) else { return };
        let Some(place) = leg.runs.len().checked_sub(back + 1) else { return };
        let (number, next) = (leg.runs[place].run, leg.runs[place].next);
        let sequence = match choice & 7 {
            0..=3 => next,
            4 => moved(reader, next),
            5 => 0,
            6 => (1 << 20) - 1,
            _ => next.saturating_sub(1),
        };
        let sequence = sequence.min((1 << 20) - 1);
        let salt = (choice & 8 != 0).then_some([choice; 8]);
        self.given += 1;
        let mut text = self.given.to_be_bytes().to_vec();
        text.resize(4 + usize::from(choice >> 4) * 8, b'.');
        let session = u32::from_be_bytes(leg.handle.0) as usize;
        if self.gateway.peer_message(at, back, sequence, salt, &text) {
            self.texts.insert(text, (session, place, number, sequence));
        }
    }

    fn odd_item(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.byte();
        match choice & 7 {
            0 => self.gateway.all_again(),
            1 => {
                let (at, run) = (self.any_leg(reader), self.any_run(reader));
                self.gateway.expired(at, run, u32::from(choice));
            }
            // Numbers jump.
            2 => self.gateway.next_item = moved(reader, self.gateway.next_item).max(1),
            3 => {
                let len = usize::from(reader.byte() & 31);
                self.gateway.append(u32::from(choice >> 3), reader.bytes(len).to_vec());
            }
            _ => {
                let Some((kind, mut body)) = self.gateway.all_items.last().cloned() else { return };
                let other = self.gateway.all_items[reader.index(self.gateway.all_items.len())].1.clone();
                bend(reader, &mut body, &other);
                self.gateway.append(kind, body);
            }
        }
    }

    fn application(&mut self, reader: &mut Reader<'_>) {
        let peer = peer(reader);
        let device = &mut self.victim.device;
        let choice = reader.byte();
        match choice & 15 {
            0..=2 => drop(device.connect(peer, None)),
            3 => drop(device.connect(peer, Some(Suite::ALL[usize::from(choice >> 6)]))),
            4..=6 => drop(device.rekey(peer)),
            7 => device.abandon(peer),
            8 => device.attach(choice & 16 == 0),
            9 => device.register(),
            10 => device.set_accept([Accept::All, Accept::Known, Accept::None][usize::from(choice >> 4) % 3]),
            11 => drop(device.set_allowed(&[peer][..usize::from(choice >> 7)])),
            12 => drop(device.set_pair_secret(peer, (choice & 16 != 0).then(|| sga_device::Secret::new([choice; 32])))),
            13 => device.handle_failure(),
            // Nobody has asked for it.
            _ => {
                let _ = self.victim.respond(reader.pick(&CODES), Vec::new());
            }
        }
    }

    /// A text is sealed under an established run only.
    fn send(&mut self, reader: &mut Reader<'_>) {
        let (peer, choice) = (peer(reader), reader.byte());
        // Most have no session with this one: the first that takes a text, then.
        let ready = self.victim.device.sessions().find(|session| self.victim.device.can_send(session.peer));
        let peer = ready.map_or(peer, |session| session.peer);
        self.given += 1;
        let mut text = self.given.to_be_bytes().to_vec();
        text.resize([4, 16, 200, 8_192][usize::from(choice & 3)], b'-');
        let Some(bytes) = self.victim.send(peer, &text) else { return };
        self.reached.insert("sealed a text");
        let post = sga_schema::decode::<MessagePost<'_>>(&bytes);
        assert!(post.is_ok() || self.victim.wild, "not well formed: {bytes:02x?}");
        let Ok(post) = post else { return };
        // Of a session that the gateway has forgotten nothing is known.
        let Some(leg) = self.gateway.legs.iter().rev().find(|leg| leg.handle == post.handle && leg.peer == peer) else {
            return;
        };
        let sealed_under = |run: &HeldRun| {
            let tag =
                steps::hop_tag(&run.hop, &leg.handle.0, run.run, post.sequence, post.ciphertext, post.salt.as_ref());
            run.run == post.run && tag == post.hop_tag
        };
        let found = leg.runs.iter().rev().find(|run| run.run == post.run);
        let Some(run) = found else { return };
        if self.victim.wild || self.victim.set_back && !sealed_under(run) {
            return;
        }
        assert!(sealed_under(run), "a text was sealed under a run {} that another has replaced", post.run);
        assert!(run.offered && run.confirmed, "a text was sealed under run {} before it was established", post.run);
    }

    fn restart(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.byte();
        match choice & 7 {
            0..=2 => self.victim.restart(),
            3 | 4 => {
                self.victim.set_back(usize::from(choice >> 3));
                self.reached.insert("set back");
            }
            5 => self.victim.restart_cut(usize::from(reader.u16())),
            _ => {
                let mut snapshot = self.victim.stored_snapshot();
                bend(reader, &mut snapshot, &self.victim.snapshot());
                self.reached.extend(self.victim.restart_bent(snapshot).then_some("wild"));
            }
        }
    }

    fn gateway_changes(&mut self, reader: &mut Reader<'_>) {
        match reader.byte() & 7 {
            0..=3 => {
                self.gateway.generation = self.gateway.random();
                self.gateway.generations += 1;
                self.reached.insert("generation");
            }
            4 => {
                self.gateway.legs.clear();
                self.gateway.forgot = true;
            }
            5 => self.gateway.suites = sga_device::SuiteSet::of(&[self.gateway.suite]),
            6 => self.gateway.next_item = 1,
            _ => self.gateway.items.clear(),
        }
    }

    /// What the device has reported since the last time.
    fn hear(&mut self) {
        // What was not stored has not happened: after a crash it comes again.
        if self.victim.device.needs_save() {
            return;
        }
        for told in std::mem::take(&mut self.victim.told) {
            match told {
                Told::Text { peer, run, sequence, text } => self.heard_text(peer, run, sequence, &text),
                Told::Established { peer, run } => {
                    let mut runs = self.gateway.legs.iter().filter(|leg| leg.peer == peer).flat_map(|leg| &leg.runs);
                    let offered = runs.any(|held| held.run == run && held.offered);
                    let known = self.victim.wild || self.gateway.forgot;
                    assert!(offered || known, "run {run} is established, and {peer} has not confirmed it");
                    self.reached.insert("established");
                }
                Told::Keys { peer } => {
                    let run = self.victim.device.session(peer).map_or(0, |session| session.run);
                    let mut runs = self.gateway.legs.iter().filter(|leg| leg.peer == peer).flat_map(|leg| &leg.runs);
                    let sound = runs.any(|held| held.run == run && !held.is_false);
                    let known = self.victim.wild || self.gateway.forgot;
                    assert!(sound || known, "run {run} has keys from an element that is none");
                    self.reached.insert("keys");
                }
                Told::TextLost | Told::SessionGone => {}
            }
        }
    }

    fn heard_text(&mut self, peer: DeviceId, run: u32, sequence: u32, text: &[u8]) {
        self.reached.insert("opened a text");
        let sent = self.texts.get(text);
        assert!(sent.is_some() || self.victim.wild, "nobody sent {text:02x?}");
        let Some(&(session, place, of_run, of_sequence)) = sent else { return };
        assert_eq!((of_run, of_sequence), (run, sequence), "a text of {peer} under another number");
        if self.victim.wild || self.victim.set_back {
            return;
        }
        assert!(self.seen.insert(text.to_vec()), "a text of {peer} was opened twice");
        let last = self.opened.insert((session, place), sequence);
        assert!(last.is_none_or(|last| last < sequence), "run {run}: {sequence} after {last:?}");
    }

    /// What must hold at any time.
    fn check(&mut self) {
        let strict = !self.victim.wild && !self.victim.set_back;
        if self.victim.device.needs_save() {
            return;
        }
        for session in self.victim.device.sessions() {
            // What names a run for good.
            let Some(code) = session.comparison_code else { continue };
            let now = (session.next_send, session.next_receive, session.confirmed);
            let before = self.counters.insert(code, now).unwrap_or_default();
            let rises = before.0 <= now.0 && before.1 <= now.1 && before.2 <= now.2;
            assert!(rises || !strict, "{} run {}: {now:?} after {before:?}", session.peer, session.run);
        }
    }
}

fn request_name(kind: RequestKind) -> &'static str {
    match kind {
        RequestKind::Package => "package",
        RequestKind::Register => "register",
        RequestKind::Attach { .. } => "attach",
        RequestKind::Ack => "ack",
        RequestKind::Invite => "A1",
        RequestKind::Reply => "A3",
        RequestKind::Half => "half",
        RequestKind::Message => "message",
    }
}
