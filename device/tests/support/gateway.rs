//! A gateway of one file, made from sga-crypto's functions: it keeps everything in memory and trusts nobody's order.

use std::collections::HashMap;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sga_crypto::{Aead, Element, GroupId, PkPurpose, SealKey, Secret, Seed, accelerator, sha256, short_hash, steps};
use sga_device::{DeviceId, RequestKind, SuiteSet};

use super::id;
use sga_schema as wire;
use sga_schema::{Handle, Message, Sealed, Suite, Tag8, kind, padding};

pub(crate) fn encoded<'a, M: Message<'a>>(message: &M) -> Vec<u8> {
    let mut bytes = vec![0; wire::encoded_len(message)];
    wire::encode(message, &mut bytes).unwrap();
    bytes
}

fn aead(suite: Suite) -> Aead {
    Aead::from_id(suite.id()).unwrap()
}

fn seal<'a, M: Message<'a>>(key: SealKey, message: &M) -> Vec<u8> {
    seal_bytes(key, &encoded(message))
}

fn seal_bytes(key: SealKey, plain: &[u8]) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    bytes.resize(plain.len() + 16, 0);
    let len = key.seal(&mut bytes, plain.len()).unwrap();
    bytes.truncate(len);
    bytes
}

fn pad(plain: &mut Vec<u8>, to: usize) {
    let len = plain.len();
    plain.resize(to, 0);
    padding::pad(plain, len, to).unwrap();
}

fn open(key: SealKey, sealed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = sealed.to_vec();
    let len = key.open(&mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

struct Known {
    key: [u8; 32],
    suite: Suite,
    attach_number: u32,
    request_number: u32,
    cursor: u32,
    next_item: u32,
    items: Vec<(u32, u32, Vec<u8>)>,
    nonce: [u8; 8],
    counter: u32,
    observing: bool,
    pad: bool,
    shown: u32,
}

struct Leg {
    id: DeviceId,
    handle: Handle,
    nonce: [u8; 8],
    key: Option<[u8; 16]>,
}

struct Session {
    legs: [Leg; 2],
    suite: Suite,
    nonce_g: [u8; 8],
    th_a: [u8; 32],
    run: u32,
    closed: bool,
    first: Option<(usize, Vec<u8>, [u8; 32])>,
    bodies: [Vec<u8>; 2],
    answers: [Vec<u8>; 2],
    /// N_i, N_j and R_s of the last run that was closed, which an honest gateway would have erased.
    elements: [Vec<u8>; 2],
    session_secret: Option<Seed>,
    hops: HashMap<(usize, u32), [u8; 32]>,
    stored: HashMap<(usize, u32, u32), [u8; 8]>,
}

pub(crate) struct Gateway {
    pub(crate) rng: ChaCha20Rng,
    pub(crate) group: GroupId,
    pub(crate) profile: wire::Profile,
    secret: Seed,
    public: Element,
    pub(crate) generation: [u8; 4],
    devices: HashMap<Vec<u8>, Known>,
    tickets: HashMap<[u8; 16], DeviceId>,
    sessions: Vec<Session>,
    /// All items that there ever were.
    sent: Vec<(DeviceId, u32, Vec<u8>)>,
    sealed: HashMap<KeyAndNonce, Vec<u8>>,
    /// What takes the place of Y and of h(N of the peer) in a B6, by the role of who gets it.
    pub(crate) lie: Option<B6Lie>,
    /// It sits in the middle of B5.
    pub(crate) middle: Option<Middle>,
    /// It does not follow the protocol: the next message that it hands on is another.
    pub(crate) bend_next_message: bool,
    /// It does that to the next Inbox's plaintext.
    pub(crate) bend_inbox: Option<fn(&mut Vec<u8>)>,
}

/// A gateway that gives each end a Y of its own making and has a root with each; texts are opened under the one and sealed anew
/// under the other.
#[derive(Default)]
pub(crate) struct Middle {
    roots: HashMap<(usize, u32, usize), [u8; 32]>,
    /// What it has read.
    pub(crate) read: Vec<Vec<u8>>,
    /// Texts that did not open under the root that it thinks it has with their sender.
    pub(crate) unread: usize,
}

/// Changes Y and h(N) of the B6 for this role; the tag is over the true th_B and over the Y that is sent.
pub(crate) type B6Lie = fn(usize, &mut Vec<u8>, &mut [u8; 16]);

/// What names a key and a nonce: leg, run, sequence of a message, salt.
type KeyAndNonce = (Handle, u32, Option<u32>, Option<[u8; 8]>);

pub(crate) type Reply = (u8, Vec<u8>);
const UNAUTHORIZED: Reply = (0x81, Vec::new());

impl Gateway {
    pub(crate) fn new(profile: wire::Profile, seed: u8) -> Self {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let group = GroupId::from_profile(profile.id()).unwrap();
        let secret = Seed::new(&mut rng);
        let public = group.exp_base(&secret);
        Self {
            rng,
            group,
            profile,
            secret,
            public,
            generation: [1; 4],
            devices: HashMap::new(),
            tickets: HashMap::new(),
            sessions: Vec::new(),
            sealed: HashMap::new(),
            sent: Vec::new(),
            lie: None,
            middle: None,
            bend_next_message: false,
            bend_inbox: None,
        }
    }

    /// Whatever is sealed under one key and nonce is the same each time.
    fn record(&mut self, handle: Handle, run: u32, sequence: Option<u32>, salt: Option<[u8; 8]>, sealed: &[u8]) {
        let before = self.sealed.entry((handle, run, sequence, salt)).or_insert_with(|| sealed.to_vec());
        assert_eq!(before, sealed, "a nonce was used again: {handle} {run} {sequence:?} {salt:?}");
    }

    /// Salts on what was sealed so far, and how many pieces had none.
    pub(crate) fn lives(&self) -> (std::collections::HashSet<[u8; 8]>, usize) {
        let salts = || self.sealed.keys().map(|(.., salt)| *salt);
        (salts().flatten().collect(), salts().filter(Option::is_none).count())
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn package(&self) -> Vec<u8> {
        encoded(&wire::Package {
            profile: self.profile,
            public_key: self.public.as_bytes(),
            gateway_id: id("gate"),
            suites: SuiteSet::ALL,
            policy: wire::Policy::Open,
        })
    }

    pub(crate) fn pin(&self) -> [u8; 16] {
        steps::pin(wire::VERSION, self.profile.id(), self.public.as_bytes())
    }

    fn ticket(&mut self, device: DeviceId) -> [u8; 16] {
        let ticket = self.random();
        self.tickets.insert(ticket, device);
        ticket
    }

    /// Halves without a salt.
    pub(crate) fn unsalted_halves(&self) -> usize {
        self.sealed.keys().filter(|(_, _, sequence, salt)| sequence.is_none() && salt.is_none()).count()
    }

    /// All that ever waited for a device waits for it once more, but for invitations.
    pub(crate) fn again(&mut self, device: DeviceId) {
        let again: Vec<_> =
            self.sent.iter().filter(|item| item.0 == device && item.1 != kind::INVITATION).cloned().collect();
        again.into_iter().for_each(|(device, kind, body)| self.append(device, kind, body));
    }

    /// What waits for a device: numbers, kinds and bodies.
    pub(crate) fn items(&mut self, device: DeviceId) -> &mut Vec<(u32, u32, Vec<u8>)> {
        &mut self.known(device).items
    }

    /// Bodies of all items of one kind that a device was ever sent.
    pub(crate) fn bodies(&self, device: DeviceId, kind: u32) -> Vec<Vec<u8>> {
        self.sent.iter().filter(|item| item.0 == device && item.1 == kind).map(|item| item.2.clone()).collect()
    }

    fn known(&mut self, device: DeviceId) -> &mut Known {
        self.devices.get_mut(device.as_bytes()).unwrap()
    }

    /// What a gateway that has kept everything can try: roots from every element within two exponentiations of what it has, with this
    /// pair secret. How many of the recorded texts (beyond message 0) open.
    pub(crate) fn try_roots(&self, pair: Option<&Secret<32>>, session: usize) -> usize {
        let session = &self.sessions[session];
        let n = session.elements.clone().map(|n| Element::parse(self.group, &n).unwrap());
        let peer = |end: usize| steps::peer_key(&Secret::new(session.legs[end].key.unwrap()));
        let peers = [peer(0), peer(1)];
        let th_b = steps::th_b(&session.th_a, session.run, n[0].as_bytes(), n[1].as_bytes());
        let secrets = [&self.secret, session.session_secret.as_ref().unwrap()];
        let mut reach = vec![self.public.clone(), n[0].clone(), n[1].clone()];
        for _ in 0..2 {
            let further: Vec<_> = reach.iter().flat_map(|base| secrets.map(|by| self.group.exp(base, by))).collect();
            reach.extend(further);
        }
        let mut opened = 0;
        for (device, kind, body) in &self.sent {
            let Ok(item) = wire::decode::<wire::MessageItem<'_>>(body) else { continue };
            if *kind != kind::MESSAGE || item.sequence == 0 {
                continue;
            }
            let sender = if *device == session.legs[1].id { 0 } else { 1 };
            for element in &reach {
                let root = steps::root(element, &peers[0], &peers[1], pair, &th_b);
                let key = steps::traffic(&root, aead(session.suite), sender);
                opened += usize::from(key.open(item.run, item.sequence, &mut item.ciphertext.to_vec()).is_ok());
            }
        }
        opened
    }

    /// Forgets who is attached, as a restart does.
    pub(crate) fn restart(&mut self) {
        for known in self.devices.values_mut() {
            known.nonce = [0; 8];
            known.observing = false;
        }
    }

    pub(crate) fn handle(&mut self, kind: RequestKind, payload: &[u8]) -> Reply {
        match kind {
            RequestKind::Package => (0x45, self.package()),
            RequestKind::Register => self.register(payload),
            RequestKind::Attach { observe } => self.attach(payload, observe),
            RequestKind::Ack => self.ack(payload),
            RequestKind::Invite | RequestKind::Reply => self.negotiate(payload),
            RequestKind::Half => self.half(payload),
            RequestKind::Message => self.message(payload),
        }
    }

    fn pk_open(&self, purpose: PkPurpose, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; bytes.len()];
        let len = steps::pk_open(self.group, &self.secret, &self.public, purpose, bytes, &mut out).ok()?;
        out.truncate(len);
        Some(out)
    }

    fn register(&mut self, payload: &[u8]) -> Reply {
        let request: wire::Register<'_> = wire::decode(payload).unwrap();
        let purpose = PkPurpose::Register { package_hash: sha256(&self.package()) };
        let Some(plain) = self.pk_open(purpose, request.sealed_key) else { return UNAUTHORIZED };
        let secret: wire::RegisterSecret = wire::decode(&plain).unwrap();
        let key = Secret::new(secret.registered_key);
        let name = open(steps::register_id(aead(secret.suite), &key, &sha256(request.sealed_key)), request.sealed_id);
        let name = name.unwrap();
        let fits = request.sealed_id.len() == padding::ID_SEALED_LEN;
        let (wire::SealedId(device), padded) = padding::decode_padded(&name, fits).unwrap();
        let new = !self.devices.contains_key(device.as_bytes());
        let known = self.devices.entry(device.as_bytes().to_vec()).or_insert(Known {
            key: secret.registered_key,
            suite: secret.suite,
            attach_number: 0,
            request_number: 0,
            cursor: 0,
            next_item: 1,
            items: Vec::new(),
            nonce: [0; 8],
            counter: 0,
            observing: false,
            pad: false,
            shown: 0,
        });
        if known.key != secret.registered_key {
            return (0x89, Vec::new());
        }
        let (attach_number, request_number) = (known.attach_number, known.request_number);
        let grant =
            wire::Grant { ticket: self.ticket(device), attach_number, request_number, generation: self.generation };
        let nonce = self.random();
        let mut plain = encoded(&grant);
        if padded {
            pad(&mut plain, padding::GRANT_SEALED_LEN - secret.suite.tag_len());
        }
        let sealed = seal_bytes(steps::registered(aead(secret.suite), &key, &sha256(payload), &nonce), &plain);
        (if new { 0x41 } else { 0x44 }, encoded(&wire::Registered { nonce, sealed: &sealed }))
    }

    fn attach(&mut self, payload: &[u8], observe: bool) -> Reply {
        let request: wire::Attach<'_> = wire::decode(payload).unwrap();
        let Some(&device) = self.tickets.get(&request.ticket) else { return UNAUTHORIZED };
        let generation = self.generation;
        let known = self.known(device);
        let key = steps::attach(aead(known.suite), &Secret::new(known.key), &request.nonce);
        let Some(plain) = open(key, request.sealed) else { return UNAUTHORIZED };
        let fits = request.sealed.len() == padding::ATTACH_SEALED_LEN;
        let (secret, padded): (wire::AttachSecret, bool) = padding::decode_padded(&plain, fits).unwrap();
        if secret.attach_number <= known.attach_number {
            return UNAUTHORIZED;
        }
        known.attach_number = secret.attach_number;
        known.nonce = request.nonce;
        known.counter = 0;
        known.observing = observe;
        known.pad = padded;
        known.shown = 0;
        if secret.generation == generation {
            known.cursor = known.cursor.max(secret.cursor);
        }
        let next = wire::NextAttach { ticket: self.ticket(device), generation };
        (0x45, self.represent(device, Some(next)))
    }

    fn represent(&mut self, device: DeviceId, next: Option<wire::NextAttach>) -> Vec<u8> {
        let bend = self.bend_inbox.take();
        let known = self.known(device);
        known.items.retain(|item| item.0 > known.cursor);
        let mut plain = vec![0; 20_000];
        let mut writer = wire::ItemsWriter::new(&mut plain, 16_000);
        for (number, kind, body) in &known.items {
            assert!(writer.push(*number, *kind, body));
            known.shown = *number;
        }
        let len = writer.finish(next);
        plain.truncate(len);
        if known.pad {
            let tag_len = known.suite.tag_len();
            pad(&mut plain, padding::inbox_sealed_len(len + 1 + tag_len) - tag_len);
        }
        if let Some(bend) = bend {
            bend(&mut plain);
        }
        let counter = known.counter;
        known.counter += 1;
        let key = steps::inbox(aead(known.suite), &Secret::new(known.key), &known.nonce, counter);
        let sealed = seal_bytes(key, &plain);
        encoded(&wire::Inbox { counter, sealed: &sealed })
    }

    /// A notification, if the device observes and has not been shown all.
    pub(crate) fn notification(&mut self, device: DeviceId) -> Option<Vec<u8>> {
        let known = self.devices.get(device.as_bytes())?;
        let newest = known.items.last()?.0;
        (known.observing && newest > known.shown).then(|| self.represent(device, None))
    }

    fn ack(&mut self, payload: &[u8]) -> Reply {
        let request: wire::Ack<'_> = wire::decode(payload).unwrap();
        let Some(&device) = self.tickets.get(&request.ticket) else { return UNAUTHORIZED };
        let known = self.known(device);
        let key = steps::ack(aead(known.suite), &Secret::new(known.key), &known.nonce, request.counter);
        let Some(plain) = open(key, request.sealed) else { return UNAUTHORIZED };
        let fits = request.sealed.len() == padding::ACK_SEALED_LEN;
        let (wire::AckSecret { cursor }, _) = padding::decode_padded(&plain, fits).unwrap();
        known.cursor = known.cursor.max(cursor);
        (0x44, Vec::new())
    }

    pub(crate) fn append(&mut self, device: DeviceId, kind: u32, body: Vec<u8>) {
        self.sent.push((device, kind, body.clone()));
        let known = self.known(device);
        known.items.push((known.next_item, kind, body));
        known.next_item += 1;
    }

    fn negotiate(&mut self, payload: &[u8]) -> Reply {
        let Sealed(sealed) = wire::decode(payload).unwrap();
        let Some(plain) = self.pk_open(PkPurpose::Negotiate, sealed) else { return UNAUTHORIZED };
        match padding::decode_padded(&plain, plain.len() == padding::A1_LEN).unwrap().0 {
            wire::NegotiateSecret::Invite(a1) => self.invite(&a1, &sha256(payload)),
            wire::NegotiateSecret::Reply(a3) => self.reply(&a3, &sha256(payload)),
        }
    }

    fn invite(&mut self, a1: &wire::A1, request_hash: &[u8; 32]) -> Reply {
        let known = self.known(a1.id_i);
        if a1.request_number <= known.request_number {
            return UNAUTHORIZED;
        }
        known.request_number = a1.request_number;
        let k_d = Secret::new(known.key);
        let (i, j) = (a1.id_i, a1.id_j);
        let (number, attach) = (a1.request_number, known.attach_number);
        let expected = steps::a1_tag(
            &k_d,
            number,
            attach,
            &a1.nonce_i,
            &a1.masked,
            i.as_bytes(),
            j.as_bytes(),
            a1.suite.id(),
            b"gate",
        );
        assert_eq!(expected, a1.tag);
        let key = steps::a1_mask(&k_d, &a1.nonce_i, &a1.masked);
        let secret = Secret::new(key);
        if !self.devices.contains_key(j.as_bytes()) {
            let refusal = wire::A1Refusal { reason: wire::A1Reason::NoSuchPeer, detail: 0 };
            let sealed = seal(steps::a1_refusal(aead(a1.suite), &secret, request_hash), &refusal);
            return (0x84, encoded(&Sealed(&sealed)));
        }
        let (handle_i, handle_j, nonce_g) = (Handle(self.random()), Handle(self.random()), self.random());
        let item = wire::InvitationItem {
            handle: handle_j,
            nonce_i: a1.nonce_i,
            nonce_g,
            peer_key: *steps::peer_key(&secret).expose(),
            id_i: i,
            suite: a1.suite,
        };
        self.append(j, kind::INVITATION, encoded(&item));
        self.sessions.push(Session {
            legs: [
                Leg { id: i, handle: handle_i, nonce: a1.nonce_i, key: Some(key) },
                Leg { id: j, handle: handle_j, nonce: [0; 8], key: None },
            ],
            suite: a1.suite,
            nonce_g,
            th_a: [0; 32],
            run: 0,
            closed: false,
            first: None,
            bodies: Default::default(),
            answers: Default::default(),
            elements: Default::default(),
            session_secret: None,
            hops: HashMap::new(),
            stored: HashMap::new(),
        });
        let sealed = seal(steps::a1_answer(aead(a1.suite), &secret, request_hash), &wire::HandlePlain(handle_i));
        (0x41, encoded(&Sealed(&sealed)))
    }

    fn leg(&self, handle: Handle) -> Option<(usize, usize)> {
        self.sessions.iter().enumerate().find_map(|(index, session)| {
            session.legs.iter().position(|leg| leg.handle == handle).map(|role| (index, role))
        })
    }

    fn reply(&mut self, a3: &wire::A3, request_hash: &[u8; 32]) -> Reply {
        let Some((index, 1)) = self.leg(a3.handle) else { return UNAUTHORIZED };
        let j = self.sessions[index].legs[1].id;
        let k_d = Secret::new(self.known(j).key);
        let key = steps::a3_mask(&k_d, &a3.nonce_j, &a3.masked);
        let profile = self.profile.id();
        let session = &mut self.sessions[index];
        let [leg_i, leg_j] = &mut session.legs;
        let first = leg_j.key.is_none();
        if !first && leg_j.key != Some(key) {
            return UNAUTHORIZED;
        }
        leg_j.key = Some(key);
        leg_j.nonce = a3.nonce_j;
        let (i, suite, handle_i) = (leg_i.id, session.suite, leg_i.handle);
        let (nonce_i, nonce_g) = (leg_i.nonce, session.nonce_g);
        let k_i = Secret::new(leg_i.key.unwrap());
        session.th_a = steps::th_a(
            wire::VERSION,
            profile,
            suite.id(),
            i.as_bytes(),
            j.as_bytes(),
            b"gate",
            &nonce_i,
            &nonce_g,
            &a3.nonce_j,
        );
        let answer = steps::a3_answer(&Secret::new(key), request_hash);
        if first && a3.suite.is_some() {
            let secret = wire::A4Secret { nonce_j: a3.nonce_j, peer_key: *steps::peer_key(&Secret::new(key)).expose() };
            let sealed = seal(steps::a4(aead(suite), &k_i, &nonce_i, &nonce_g), &secret);
            let item = wire::AgreedItem { handle: handle_i, nonce_g, sealed: &sealed };
            self.append(i, kind::AGREED, encoded(&item));
        } else if first {
            let sealed = seal(steps::a4_refusal(aead(suite), &k_i, &nonce_i), &wire::A4Reason::Refused);
            let item = wire::NotAgreedItem { handle: handle_i, sealed: &sealed };
            self.append(i, kind::NOT_AGREED, encoded(&item));
        }
        (0x44, encoded(&Tag8(answer)))
    }

    /// N, F and tag of a Half.
    fn open_half(&mut self, index: usize, role: usize, half: &wire::Half<'_>) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let device = self.sessions[index].legs[role].id;
        let (k_d, x) = {
            let known = self.known(device);
            (Secret::new(known.key), known.suite)
        };
        let session = &self.sessions[index];
        let k_t = Secret::new(session.legs[role].key.unwrap());
        let (suite, th_a, id, life) = (aead(session.suite), &session.th_a, role as u8, half.salt.as_ref());
        if self.group.is_compact() {
            let key = steps::b_body_compact(suite, &k_t, &k_d, th_a, id, half.run, life);
            let plain = open(key, half.body).expect("the body opens");
            let inner: wire::HalfCompact<'_> = wire::decode(&plain).unwrap();
            return (inner.element.to_vec(), Vec::new(), inner.tag.to_vec());
        }
        let plain = open(steps::b_outer(suite, &k_t, th_a, half.run, id, life), half.body).expect("the body opens");
        let outer: wire::HalfClassic<'_> = wire::decode(&plain).unwrap();
        let key = steps::b_inner(aead(x), &k_d, th_a, half.run, id, outer.trapdoor, life);
        let mut element = open(key, outer.sealed_element).expect("E opens");
        let mut pad = vec![0; element.len()];
        steps::b_pad(&k_d, th_a, half.run, id, life, &mut pad);
        element.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
        (element, outer.trapdoor.to_vec(), outer.tag.to_vec())
    }

    fn half(&mut self, payload: &[u8]) -> Reply {
        let half: wire::Half<'_> = wire::decode(payload).unwrap();
        self.record(half.handle, half.run, None, half.salt, half.body);
        let Some((index, role)) = self.leg(half.handle) else { return UNAUTHORIZED };
        let (element, trapdoor, tag) = self.open_half(index, role, &half);
        let th_a = self.sessions[index].th_a;
        let verified = accelerator::verify_half(
            self.group,
            &self.secret,
            &self.public,
            &element,
            &trapdoor,
            &tag,
            role as u8,
            half.run,
            &th_a,
        )
        .expect("the Half verifies");
        let r_s = Seed::new(&mut self.rng);
        let group = self.group;
        let session = &mut self.sessions[index];
        let k_t = Secret::new(session.legs[role].key.unwrap());
        let suite = aead(session.suite);
        let request_hash = sha256(payload);
        let waiting = encoded(&Tag8(steps::b_answer(&k_t, &request_hash)));
        if half.run < session.run || (half.run == session.run && session.closed) {
            if half.run == session.run && session.bodies[role] == half.body {
                return (0x44, encoded(&Sealed(&session.answers[role])));
            }
            let refusal = wire::BRefusal { reason: wire::BReason::Closed, run: session.run };
            let sealed = seal(steps::b_refusal(suite, &k_t, &request_hash, role as u8), &refusal);
            return (0x89, encoded(&Sealed(&sealed)));
        }
        if half.run > session.run {
            session.run = half.run;
            session.closed = false;
            session.first = Some((role, element, *verified.key.expose()));
            session.bodies[role] = half.body.to_vec();
            let other = &session.legs[1 - role];
            let key = steps::b2(suite, &Secret::new(other.key.unwrap()), &th_a, half.run, 1 - role as u8);
            let sealed = seal(key, &wire::Wanted);
            let item = encoded(&wire::WantedItem { handle: other.handle, run: half.run, sealed: &sealed });
            let device = other.id;
            self.append(device, kind::WANTED, item);
            return (0x41, waiting);
        }
        let (first_role, first_element, first_key) = session.first.clone().unwrap();
        if first_role == role {
            if session.bodies[role] == half.body {
                return (0x41, waiting);
            }
            // Its state was set back.
            let refusal = wire::BRefusal { reason: wire::BReason::Closed, run: session.run };
            let sealed = seal(steps::b_refusal(suite, &k_t, &request_hash, role as u8), &refusal);
            return (0x89, encoded(&Sealed(&sealed)));
        }
        session.bodies[role] = half.body.to_vec();
        session.closed = true;
        let mut n = [first_element.clone(), element.clone()];
        let mut keys = [first_key, *verified.key.expose()];
        if role == 0 {
            n.swap(0, 1);
            keys.swap(0, 1);
        }
        let parsed = n.clone().map(|n| Element::parse(group, &n).unwrap());
        let (y_i, y_j) = accelerator::session_halves(group, &parsed[0], &parsed[1], &r_s);
        let th_b = steps::th_b(&th_a, half.run, &n[0], &n[1]);
        session.elements = n.clone();
        session.session_secret = Some(r_s.duplicate());
        let peer = |end: usize| steps::peer_key(&Secret::new(session.legs[end].key.unwrap()));
        let peers = [peer(0), peer(1)];
        for (end, mut y) in [(0, y_i), (1, y_j)] {
            let key = Secret::new(keys[end]);
            if let Some(middle) = &mut self.middle {
                // Y = g^a: what the end makes of it is N^a.
                let a = Seed::new(&mut self.rng);
                y = group.exp_base(&a);
                let root = steps::root(&group.exp(&parsed[end], &a), &peers[0], &peers[1], None, &th_b);
                middle.roots.insert((index, half.run, end), *root.expose());
            }
            let (mut element, mut peer_hash) = (y.as_bytes().to_vec(), short_hash(&n[1 - end]));
            if let Some(lie) = self.lie {
                lie(end, &mut element, &mut peer_hash);
            }
            let tag = steps::b6_tag(&key, end as u8, half.run, &th_b, &element);
            let secret = wire::B6Secret { element: &element, peer_hash, tag };
            let k_t = Secret::new(session.legs[end].key.unwrap());
            session.answers[end] = seal(steps::b6(suite, &k_t, &th_a, half.run, end as u8), &secret);
            session.hops.insert((end, half.run), *steps::hop_key(&key, &th_b).expose());
        }
        let other = &session.legs[1 - role];
        let sealed = session.answers[1 - role].clone();
        let item = encoded(&wire::KeyItem { handle: other.handle, run: half.run, sealed: &sealed });
        let (device, answer) = (other.id, encoded(&Sealed(&session.answers[role])));
        self.append(device, kind::KEY, item);
        (0x44, answer)
    }

    fn message(&mut self, payload: &[u8]) -> Reply {
        let post: wire::MessagePost<'_> = wire::decode(payload).unwrap();
        self.record(post.handle, post.run, Some(post.sequence), post.salt, post.ciphertext);
        let Some((index, role)) = self.leg(post.handle) else { return UNAUTHORIZED };
        let session = &mut self.sessions[index];
        let Some(hop) = session.hops.get(&(role, post.run)) else { return UNAUTHORIZED };
        let hop = Secret::new(*hop);
        let expected =
            steps::hop_tag(&hop, &post.handle.0, post.run, post.sequence, post.ciphertext, post.salt.as_ref());
        assert_eq!(expected, post.hop_tag);
        let answer =
            encoded(&Tag8(steps::stored_tag(&hop, &post.handle.0, post.run, post.sequence, post.salt.as_ref())));
        if let Some(stored) = session.stored.insert((role, post.run, post.sequence), post.hop_tag) {
            if stored == post.hop_tag {
                return (0x44, answer);
            }
            // Its state was set back.
            session.stored.insert((role, post.run, post.sequence), stored);
            return (0x89, Vec::new());
        }
        let other = &session.legs[1 - role];
        let suite = aead(session.suite);
        let mut ciphertext = post.ciphertext.to_vec();
        if let Some(middle) = &mut self.middle {
            let key = |end: usize| {
                let root = Secret::new(middle.roots[&(index, post.run, end)]);
                let key = steps::traffic(&root, suite, role as u8);
                post.salt.map_or(key.duplicate(), |salt| key.in_life(&salt))
            };
            let mut text = ciphertext.clone();
            if let Ok(len) = key(role).open(post.run, post.sequence, &mut text) {
                // In the place of the sender's own, which is as long.
                ciphertext[..len].copy_from_slice(&text[..len]);
                let sealed = key(1 - role).seal(post.run, post.sequence, &mut ciphertext, len).unwrap();
                assert_eq!(sealed, ciphertext.len());
                if post.sequence > 0 {
                    middle.read.push(text[..len].to_vec());
                }
            } else {
                middle.unread += 1;
            }
        }
        ciphertext[0] ^= u8::from(std::mem::take(&mut self.bend_next_message));
        let item = wire::MessageItem {
            handle: other.handle,
            run: post.run,
            sequence: post.sequence,
            ciphertext: &ciphertext,
            salt: post.salt,
        };
        let (device, item) = (other.id, encoded(&item));
        self.append(device, kind::MESSAGE, item);
        (0x44, answer)
    }
}
