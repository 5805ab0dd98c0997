//! A gateway that holds all keys and lies where the input says so, and all its peers.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_crypto::{GroupId, PkPurpose, Secret, Seed, sha256, steps};
use sga_device::{RequestKind, Role, Suite, SuiteSet};
use sga_schema::{self as wire, Handle, Message, Sealed, Tag8, decode};

use super::leg::{Element6, GatewaySide, Leg, aead, open, seal};
use super::victim::{REGISTERED_KEY, id};
use crate::fuzzing::nonces::{Name, Nonces};
use crate::fuzzing::parts::bend;
use crate::fuzzing::reader::Reader;

/// Plaintexts that parts are taken from.
const SEEN_MAX: usize = 12;
/// Items that wait for the device.
const ITEMS_MAX: usize = 40;
const LEGS_MAX: usize = 12;

pub(crate) type Reply = (u8, Vec<u8>);
pub(crate) const UNAUTHORIZED: Reply = (0x81, Vec::new());

pub(crate) struct Hostile {
    pub(crate) rng: ChaCha12Rng,
    pub(crate) side: GatewaySide,
    pub(crate) suite: Suite,
    pub(crate) suites: SuiteSet,
    pub(crate) generation: [u8; 4],
    pub(crate) generations: u32,
    /// Registered, and with which numbers.
    attach_number: u32,
    request_number: u32,
    attach: Option<[u8; 8]>,
    counter: u32,
    /// Kind and body of what waits, with its number.
    pub(crate) items: Vec<(u32, u32, Vec<u8>)>,
    pub(crate) next_item: u32,
    pub(crate) all_items: Vec<(u32, Vec<u8>)>,
    pub(crate) legs: Vec<Leg>,
    pub(crate) nonces: Nonces,
    /// The plaintext after so many more is changed by these choices.
    pub(crate) bend: Option<(u8, [u8; 6])>,
    pub(crate) element6: Element6,
    /// B6 comes as an item, not as the answer.
    pub(crate) later: bool,
    /// Attach and request numbers are not looked at: the device was set back.
    pub(crate) lenient: bool,
    /// Sessions were forgotten that the device may have.
    pub(crate) forgot: bool,
    /// The device may have anything for its keys.
    pub(crate) wild: bool,
    seen: Vec<Vec<u8>>,
}

pub(crate) fn encoded<'a, M: Message<'a>>(message: &M) -> Vec<u8> {
    let mut bytes = vec![0; wire::encoded_len(message)];
    wire::encode(message, &mut bytes).expect("as long as it said");
    bytes
}

impl Hostile {
    pub(crate) fn new(suite: Suite) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(3);
        let group = GroupId::Ristretto255;
        let secret = Seed::new(&mut rng);
        let public = group.exp_base(&secret);
        Self {
            rng,
            side: GatewaySide { group, secret, public },
            suite,
            suites: SuiteSet::ALL,
            generation: [1; 4],
            generations: 0,
            attach_number: 0,
            request_number: 0,
            attach: None,
            counter: 0,
            items: Vec::new(),
            next_item: 1,
            all_items: Vec::new(),
            legs: Vec::new(),
            nonces: Nonces::default(),
            bend: None,
            element6: Element6::Genuine,
            later: false,
            lenient: false,
            forgot: false,
            wild: false,
            seen: Vec::new(),
        }
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// What is there in any case, unless the device has been given other keys.
    fn must<T>(&self, what: Option<T>, why: &str) -> Option<T> {
        assert!(what.is_some() || self.wild, "not {why}");
        what
    }

    fn registered_key(&self) -> Secret<32> {
        Secret::new(REGISTERED_KEY)
    }

    pub(crate) fn package(&self) -> Vec<u8> {
        encoded(&wire::Package {
            profile: wire::Profile::Compact,
            public_key: self.side.public.as_bytes(),
            gateway_id: id("gate"),
            suites: self.suites,
            policy: wire::Policy::Open,
        })
    }

    pub(crate) fn pin(&self) -> [u8; 16] {
        steps::pin(wire::VERSION, wire::Profile::Compact.id(), self.side.public.as_bytes())
    }

    /// A plaintext on its way to being sealed: now it can be changed.
    pub(crate) fn shape(&mut self, mut plain: Vec<u8>) -> Vec<u8> {
        match self.bend {
            Some((0, choices)) => {
                self.bend = None;
                let mut reader = Reader::new(&choices);
                let other = self.seen.get(reader.index(self.seen.len().max(1))).cloned().unwrap_or_default();
                bend(&mut reader, &mut plain, &other);
            }
            Some((after, choices)) => self.bend = Some((after - 1, choices)),
            None => {}
        }
        if self.seen.len() == SEEN_MAX {
            self.seen.remove(0);
        }
        self.seen.push(plain.clone());
        plain
    }

    fn sealed<'a, M: Message<'a>>(&mut self, key: sga_crypto::SealKey, message: &M) -> Vec<u8> {
        let plain = self.shape(encoded(message));
        seal(key, &plain)
    }

    /// What a gateway says to a request that it takes; `None` if it does not.
    pub(crate) fn answer(&mut self, kind: RequestKind, payload: &[u8]) -> Reply {
        let reply = match kind {
            RequestKind::Package => Some((0x45, self.package())),
            RequestKind::Register => self.register(payload),
            RequestKind::Attach { .. } => self.attach(payload),
            RequestKind::Ack => self.acknowledge(payload),
            RequestKind::Invite | RequestKind::Reply => self.negotiate(payload),
            RequestKind::Half => self.half(payload),
            RequestKind::Message => self.message(payload),
        };
        reply.unwrap_or(UNAUTHORIZED)
    }

    fn pk_open(&self, purpose: PkPurpose, bytes: &[u8]) -> Option<Vec<u8>> {
        let GatewaySide { group, secret, public } = &self.side;
        let mut out = vec![0; bytes.len()];
        let len = steps::pk_open(*group, secret, public, purpose, bytes, &mut out).ok()?;
        out.truncate(len);
        Some(out)
    }

    fn register(&mut self, payload: &[u8]) -> Option<Reply> {
        let request: wire::Register<'_> = decode(payload).ok()?;
        let purpose = PkPurpose::Register { package_hash: sha256(&self.package()) };
        // It may have been made for a package that was changed on its way.
        let plain = self.pk_open(purpose, request.sealed_key)?;
        let secret: wire::RegisterSecret = decode(&plain).expect("a device says what it is");
        self.must((secret.registered_key == REGISTERED_KEY).then_some(()), "its own key")?;
        let (attach_number, request_number) = (self.attach_number, self.request_number);
        let grant = wire::Grant { ticket: self.random(), attach_number, request_number, generation: self.generation };
        let nonce = self.random();
        let key = steps::registered(aead(self.suite), &self.registered_key(), &sha256(payload), &nonce);
        let sealed = self.sealed(key, &grant);
        Some((0x44, encoded(&wire::Registered { nonce, sealed: &sealed })))
    }

    fn attach(&mut self, payload: &[u8]) -> Option<Reply> {
        let request: wire::Attach<'_> = decode(payload).ok()?;
        let name = Name { what: "attach", key: request.nonce.to_vec(), numbers: [0; 2], salt: None };
        self.note_sealed(name, request.sealed);
        let key = steps::attach(aead(self.suite), &self.registered_key(), &request.nonce);
        let plain = self.must(open(key, request.sealed), "a device seals its attach under its own key")?;
        let secret: wire::AttachSecret = decode(&plain).expect("well formed");
        if secret.attach_number <= self.attach_number {
            assert!(self.lenient, "attach number {} after {}", secret.attach_number, self.attach_number);
            return None;
        }
        self.attach_number = secret.attach_number;
        (self.attach, self.counter) = (Some(request.nonce), 0);
        if secret.generation == self.generation {
            self.items.retain(|(number, ..)| *number > secret.cursor);
        }
        let next = wire::NextAttach { ticket: self.random(), generation: self.generation };
        Some((0x45, self.represent(Some(next))?))
    }

    fn represent(&mut self, next: Option<wire::NextAttach>) -> Option<Vec<u8>> {
        let nonce = self.attach?;
        let mut plain = vec![0; 20_000];
        let mut writer = wire::ItemsWriter::new(&mut plain, 16_000);
        for (number, kind, body) in &self.items {
            // A number or a body that the schema does not take cannot be written; other lies can.
            let _ = writer.push(*number, *kind, body);
        }
        let len = writer.finish(next);
        plain.truncate(len);
        let plain = self.shape(plain);
        let counter = self.counter;
        self.counter += 1;
        let key = steps::inbox(aead(self.suite), &self.registered_key(), &nonce, counter);
        Some(encoded(&wire::Inbox { counter, sealed: &seal(key, &plain) }))
    }

    pub(crate) fn notification(&mut self) -> Option<Vec<u8>> {
        self.represent(None)
    }

    pub(crate) fn append(&mut self, kind: u32, body: Vec<u8>) {
        if self.items.len() < ITEMS_MAX {
            self.all_items.push((kind, body.clone()));
            self.items.push((self.next_item, kind, body));
            self.next_item = self.next_item.saturating_add(1);
        }
    }

    fn acknowledge(&mut self, payload: &[u8]) -> Option<Reply> {
        let request: wire::Ack<'_> = decode(payload).ok()?;
        let nonce = self.attach?;
        let key = steps::ack(aead(self.suite), &self.registered_key(), &nonce, request.counter);
        let plain = open(key, request.sealed)?;
        let name = Name { what: "ack", key: nonce.to_vec(), numbers: [request.counter, 0], salt: None };
        self.note_sealed(name, request.sealed);
        let wire::AckSecret { cursor } = decode(&plain).expect("well formed");
        self.items.retain(|(number, ..)| *number > cursor);
        Some((0x44, Vec::new()))
    }

    fn negotiate(&mut self, payload: &[u8]) -> Option<Reply> {
        let Sealed(sealed) = decode(payload).ok()?;
        let plain = self.must(self.pk_open(PkPurpose::Negotiate, sealed), "sealed for this gateway")?;
        match decode(&plain).expect("well formed") {
            wire::NegotiateSecret::Invite(a1) => self.invite(&a1, &sha256(payload)),
            wire::NegotiateSecret::Reply(a3) => self.reply(&a3, &sha256(payload)),
        }
    }

    fn invite(&mut self, a1: &wire::A1, request_hash: &[u8; 32]) -> Option<Reply> {
        if a1.request_number <= self.request_number {
            assert!(self.lenient, "request number {} after {}", a1.request_number, self.request_number);
            return None;
        }
        self.request_number = a1.request_number;
        let own_key = steps::a1_mask(&self.registered_key(), &a1.nonce_i, &a1.masked);
        let leg = Leg {
            peer: a1.id_j,
            role: Role::Initiator,
            handle: Handle(self.random()),
            suite: a1.suite,
            nonce_i: a1.nonce_i,
            nonce_g: self.random(),
            nonce_j: self.random(),
            own_key: Some(own_key),
            peer_key: self.random(),
            th_a: [0; 32],
            runs: Vec::new(),
        };
        let key = steps::a1_answer(aead(a1.suite), &Secret::new(own_key), request_hash);
        let sealed = self.sealed(key, &wire::HandlePlain(leg.handle));
        self.add(leg);
        Some((0x41, encoded(&Sealed(&sealed))))
    }

    /// A session from here on; the oldest is forgotten where there are too many.
    pub(crate) fn add(&mut self, mut leg: Leg) {
        leg.agree(id("mia"), wire::Profile::Compact.id());
        if self.legs.len() == LEGS_MAX {
            self.legs.remove(0);
            self.forgot = true;
        }
        self.legs.push(leg);
    }

    /// A refusal of the request that is to be answered, if it is one that has refusals.
    pub(crate) fn refusal(&mut self, kind: RequestKind, payload: &[u8], number: u8, detail: u32) -> Option<Reply> {
        let request_hash = sha256(payload);
        match kind {
            RequestKind::Invite => {
                let Sealed(sealed) = decode(payload).ok()?;
                let plain = self.pk_open(PkPurpose::Negotiate, sealed)?;
                let wire::NegotiateSecret::Invite(a1) = decode(&plain).ok()? else { return None };
                let own_key = steps::a1_mask(&self.registered_key(), &a1.nonce_i, &a1.masked);
                let reason = wire::A1Reason::ALL[usize::from(number) % wire::A1Reason::ALL.len()];
                let key = steps::a1_refusal(aead(a1.suite), &Secret::new(own_key), &request_hash);
                let sealed = self.sealed(key, &wire::A1Refusal { reason, detail });
                Some((0x96, encoded(&Sealed(&sealed))))
            }
            RequestKind::Half => {
                let half: wire::Half<'_> = decode(payload).ok()?;
                let leg = self.legs.iter().rev().find(|leg| leg.handle == half.handle)?;
                let key = steps::b_refusal(aead(leg.suite), &leg.own_key()?, &request_hash, leg.role.id());
                let reason = wire::BReason::ALL[usize::from(number) % 2];
                let sealed = self.sealed(key, &wire::BRefusal { reason, run: detail });
                Some((0x89, encoded(&Sealed(&sealed))))
            }
            _ => None,
        }
    }

    fn reply(&mut self, a3: &wire::A3, request_hash: &[u8; 32]) -> Option<Reply> {
        let key = steps::a3_mask(&self.registered_key(), &a3.nonce_j, &a3.masked);
        let answer = steps::a3_answer(&Secret::new(key), request_hash);
        let leg = self.legs.iter_mut().rev().find(|leg| leg.handle == a3.handle)?;
        if a3.suite.is_some() && leg.role == Role::Responder {
            (leg.own_key, leg.nonce_j) = (Some(key), a3.nonce_j);
            leg.agree(id("mia"), wire::Profile::Compact.id());
        }
        Some((0x44, encoded(&Tag8(answer))))
    }

    /// A device with changed storage does not know what it has sealed.
    fn note_sealed(&mut self, name: Name, sealed: &[u8]) {
        if !self.wild {
            self.nonces.record(name, sealed);
        }
    }

    fn half(&mut self, payload: &[u8]) -> Option<Reply> {
        let half: wire::Half<'_> = decode(payload).ok()?;
        let registered_key = self.registered_key();
        let life = half.salt.as_ref();
        // One that was told a lie of its session seals for another one.
        let (at, plain) =
            self.legs.iter().enumerate().rev().filter(|(_, leg)| leg.handle == half.handle).find_map(|(at, leg)| {
                let role = leg.role.id();
                let key = steps::b_body_compact(
                    aead(leg.suite),
                    &leg.own_key()?,
                    &registered_key,
                    &leg.th_a,
                    role,
                    half.run,
                    life,
                );
                Some((at, open(key, half.body)?))
            })?;
        let key = self.legs[at].own_key?.to_vec();
        self.note_sealed(Name { what: "half", key, numbers: [half.run, 0], salt: half.salt }, half.body);
        let inner: wire::HalfCompact<'_> = decode(&plain).expect("well formed");
        let held = self.legs[at].run_mut(half.run).map(|run| run.body.clone());
        if held.as_ref().is_none_or(|body| body != half.body) {
            let (element6, leg) = (self.element6, &mut self.legs[at]);
            let closed =
                leg.close(&self.side, half.run, half.body, (inner.element, &inner.tag), element6, &mut self.rng);
            self.must(closed, "a device's Half verifies")?;
        }
        if self.later {
            self.key_item(at, half.run);
            let tag = steps::b_answer(&self.legs[at].own_key()?, &sha256(payload));
            return Some((0x41, encoded(&Tag8(tag))));
        }
        let sealed = self.sealed_b6(at, half.run)?;
        Some((0x44, encoded(&Sealed(&sealed))))
    }

    fn sealed_b6(&mut self, at: usize, run: u32) -> Option<Vec<u8>> {
        let leg = &mut self.legs[at];
        let (suite, th_a, role, own_key) = (aead(leg.suite), leg.th_a, leg.role.id(), leg.own_key()?);
        let (element, peer_hash, tag) = leg.run_mut(run)?.b6.clone();
        let secret = wire::B6Secret { element: &element, peer_hash, tag };
        Some(self.sealed(steps::b6(suite, &own_key, &th_a, run, role), &secret))
    }

    fn key_item(&mut self, at: usize, run: u32) {
        let handle = self.legs[at].handle;
        if let Some(sealed) = self.sealed_b6(at, run) {
            self.append(wire::kind::KEY, encoded(&wire::KeyItem { handle, run, sealed: &sealed }));
        }
    }

    fn message(&mut self, payload: &[u8]) -> Option<Reply> {
        let post: wire::MessagePost<'_> = self.must(decode(payload).ok(), "well formed")?;
        let life = post.salt.as_ref();
        let handle = post.handle;
        let run = self.legs.iter_mut().rev().filter(|leg| leg.handle == handle).flat_map(|leg| &mut leg.runs).find(
            |run| {
                run.run == post.run
                    && steps::hop_tag(&run.hop, &handle.0, post.run, post.sequence, post.ciphertext, life)
                        == post.hop_tag
            },
        )?;
        let name = Name {
            what: "message",
            key: run.from_device.expose().to_vec(),
            numbers: [post.run, post.sequence],
            salt: post.salt,
        };
        run.confirmed |= post.sequence == 0;
        let tag = steps::stored_tag(&run.hop, &handle.0, post.run, post.sequence, life);
        self.note_sealed(name, post.ciphertext);
        Some((0x44, encoded(&Tag8(tag))))
    }
}
