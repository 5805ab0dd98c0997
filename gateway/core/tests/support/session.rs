//! A device's side of a session: negotiation, key exchange and messages, equation by equation.

use sga_coap::Code;
use sga_crypto::{Secret, Seed, accelerator, sha256, steps};
use sga_schema::{
    A1, A1Refusal, A3, BRefusal, DeviceId, Half, HalfClassic, HalfCompact, Handle, HandlePlain, InvitationItem,
    MessagePost, NegotiateSecret, Profile, Role, Sealed, Suite, Tag8, VERSION, kind,
};

use super::device::aead;
use super::{Answer, Dev, GATE, World, encoded, open, seal_bytes};

/// What both ends of a session know.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) handle: [Handle; 2],
    pub(crate) key: [[u8; 16]; 2],
    pub(crate) suite: Suite,
    pub(crate) th_a: [u8; 32],
}

impl Session {
    pub(crate) fn key(&self, role: Role) -> Secret<16> {
        Secret::new(self.key[role as usize])
    }

    pub(crate) fn handle(&self, role: Role) -> Handle {
        self.handle[role as usize]
    }
}

/// An A1 that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) a1: A1,
    pub(crate) key: [u8; 16],
    pub(crate) request: Vec<u8>,
    pub(crate) answer: Answer,
}

impl Sent {
    pub(crate) fn handle(&self) -> Handle {
        assert_eq!(self.answer.code, Code::CREATED);
        let Sealed(sealed) = sga_schema::decode(&self.answer.payload).unwrap();
        let key = steps::a1_answer(aead(self.a1.suite), &Secret::new(self.key), &sha256(&self.request));
        let HandlePlain(handle) = sga_schema::decode(&open(key, sealed).expect("it opens")).unwrap();
        handle
    }

    pub(crate) fn refusal(&self) -> A1Refusal {
        let Sealed(sealed) = sga_schema::decode(&self.answer.payload).unwrap();
        let key = steps::a1_refusal(aead(self.a1.suite), &Secret::new(self.key), &sha256(&self.request));
        sga_schema::decode(&open(key, sealed).expect("the refusal is sealed")).unwrap()
    }
}

/// A Half as it was made, with what is inside.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) element: Vec<u8>,
    pub(crate) trapdoor: Vec<u8>,
    pub(crate) tag: [u8; 16],
    /// K'.
    pub(crate) key: [u8; 32],
    /// R.
    pub(crate) big_r: [u8; 32],
    pub(crate) request: Vec<u8>,
}

/// A run that is closed.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) run: u32,
    pub(crate) hop: [[u8; 32]; 2],
    pub(crate) made: [Made; 2],
    pub(crate) answer: Answer,
}

impl World {
    /// The next A1 of a device.
    pub(crate) fn invite(&mut self, dev: &mut Dev, peer: DeviceId) -> Sent {
        let suite = dev.suite;
        self.invite_with(dev, peer, suite)
    }

    pub(crate) fn invite_with(&mut self, dev: &mut Dev, peer: DeviceId, suite: Suite) -> Sent {
        dev.request_number += 1;
        let key = self.random();
        let a1 = self.a1(dev, peer, suite, key);
        let request = self.negotiate_bytes(&NegotiateSecret::Invite(a1));
        let answer = self.post(dev.addr, "negotiate", &request);
        Sent { a1, key, request, answer }
    }

    /// The last invitation in a device's inbox, which is emptied.
    pub(crate) fn invitation(&mut self, dev: &mut Dev) -> InvitationItem {
        let items = self.take(dev);
        let item = items.iter().rfind(|item| item.kind == kind::INVITATION).expect("an invitation");
        sga_schema::decode(&item.body).unwrap()
    }

    /// A3 with a right tag.
    pub(crate) fn a3(&mut self, dev: &Dev, item: &InvitationItem, suite: Option<Suite>, key: [u8; 16]) -> A3 {
        let nonce_j = self.random();
        let masked = steps::a3_mask(&dev.key(), &nonce_j, &key);
        let mut a3 = A3 { handle: item.handle, nonce_g: item.nonce_g, nonce_j, masked, suite, tag: [0; 8] };
        sign_a3(dev, item.id_i, &mut a3);
        a3
    }

    pub(crate) fn reply(&mut self, dev: &Dev, a3: A3) -> (Vec<u8>, Answer) {
        let request = self.negotiate_bytes(&NegotiateSecret::Reply(a3));
        let answer = self.post(dev.addr, "negotiate", &request);
        (request, answer)
    }

    /// A1 to A4.
    pub(crate) fn agree(&mut self, amy: &mut Dev, bob: &mut Dev) -> Session {
        let sent = self.invite(amy, bob.id);
        let item = self.invitation(bob);
        let key_j = self.random();
        let a3 = self.a3(bob, &item, Some(item.suite), key_j);
        let (request, answer) = self.reply(bob, a3);
        assert_eq!(answer.code, Code::CHANGED);
        assert_eq!(answer.payload, a3_answer(key_j, &request));
        let th_a = steps::th_a(
            VERSION,
            self.settings.profile.id(),
            item.suite.id(),
            amy.id.as_bytes(),
            bob.id.as_bytes(),
            GATE,
            &item.nonce_i,
            &item.nonce_g,
            &a3.nonce_j,
        );
        Session { handle: [sent.handle(), item.handle], key: [sent.key, key_j], suite: item.suite, th_a }
    }

    /// A Half that is good.
    pub(crate) fn make(&mut self, session: &Session, dev: &Dev, role: Role, run: u32) -> Made {
        let (big_r, r) = (Seed::new(&mut self.rng), Seed::new(&mut self.rng));
        let pair = &self.keys.pair;
        let own = accelerator::make_half(pair.group, &pair.public, &big_r, &r);
        let (element, trapdoor) = (own.element.as_bytes().to_vec(), own.trapdoor.as_bytes().to_vec());
        let tag = steps::b_tag(&own.key, role.id(), run, &session.th_a, &element, &trapdoor);
        let key = *own.key.expose();
        let mut made = Made { element, trapdoor, tag, key, big_r: *big_r.expose(), request: Vec::new() };
        made.request = self.wrap(session, dev, role, run, &made);
        made
    }

    /// Puts what is in a Half, whatever it is, into valid seals.
    pub(crate) fn wrap(&self, session: &Session, dev: &Dev, role: Role, run: u32, made: &Made) -> Vec<u8> {
        self.wrap_in_life(session, dev, role, run, made, None)
    }

    /// The same with the salt of a later life.
    pub(crate) fn wrap_in_life(
        &self,
        session: &Session,
        dev: &Dev,
        role: Role,
        run: u32,
        made: &Made,
        salt: Option<[u8; 8]>,
    ) -> Vec<u8> {
        let life = salt.as_ref();
        let Made { element, trapdoor, tag, .. } = made;
        let tag8 = tag[..8].try_into().unwrap();
        let plain = match self.settings.profile {
            Profile::Compact => encoded(&HalfCompact { element, tag: tag8 }),
            _ => {
                let mut padded = vec![0; element.len()];
                steps::b_pad(&dev.key(), &session.th_a, run, role.id(), life, &mut padded);
                padded.iter_mut().zip(element).for_each(|(pad, byte)| *pad ^= byte);
                let key = steps::b_inner(aead(dev.suite), &dev.key(), &session.th_a, run, role.id(), trapdoor, life);
                encoded(&HalfClassic { sealed_element: &seal_bytes(key, &padded), trapdoor, tag: *tag })
            }
        };
        self.wrap_plain_in_life(session, dev, role, run, &plain, salt)
    }

    /// Puts bytes into the outer seal of a Half.
    pub(crate) fn wrap_plain(&self, session: &Session, dev: &Dev, role: Role, run: u32, plain: &[u8]) -> Vec<u8> {
        self.wrap_plain_in_life(session, dev, role, run, plain, None)
    }

    fn wrap_plain_in_life(
        &self,
        session: &Session,
        dev: &Dev,
        role: Role,
        run: u32,
        plain: &[u8],
        salt: Option<[u8; 8]>,
    ) -> Vec<u8> {
        let life = salt.as_ref();
        let suite = aead(session.suite);
        let key = match self.settings.profile {
            Profile::Compact => {
                steps::b_body_compact(suite, &session.key(role), &dev.key(), &session.th_a, role.id(), run, life)
            }
            _ => steps::b_outer(suite, &session.key(role), &session.th_a, run, role.id(), life),
        };
        encoded(&Half { handle: session.handle(role), run, body: &seal_bytes(key, plain), salt })
    }

    pub(crate) fn b_refusal(&self, session: &Session, role: Role, request: &[u8], answer: &Answer) -> BRefusal {
        let Sealed(sealed) = sga_schema::decode(&answer.payload).unwrap();
        let key = steps::b_refusal(aead(session.suite), &session.key(role), &sha256(request), role.id());
        sga_schema::decode(&open(key, sealed).expect("the refusal is sealed")).unwrap()
    }

    /// A whole run, opened by the initiator.
    pub(crate) fn close(&mut self, session: &Session, amy: &Dev, bob: &Dev, run: u32) -> Run {
        let first = self.make(session, amy, Role::Initiator, run);
        let answer = self.post(amy.addr, "kex", &first.request);
        assert_eq!(answer.code, Code::CREATED);
        assert_eq!(answer.payload, waiting(session, Role::Initiator, &first.request));
        self.close_second(session, first, bob, run)
    }

    /// B3 to a B1 that was taken.
    pub(crate) fn close_second(&mut self, session: &Session, first: Made, bob: &Dev, run: u32) -> Run {
        let second = self.make(session, bob, Role::Responder, run);
        let answer = self.post(bob.addr, "kex", &second.request);
        assert_eq!(answer.code, Code::CHANGED);
        let th_b = steps::th_b(&session.th_a, run, &first.element, &second.element);
        let hop = [&first, &second].map(|made| *steps::hop_key(&Secret::new(made.key), &th_b).expose());
        let run = Run { run, hop, made: [first, second], answer };
        let Sealed(b6) = sga_schema::decode(&run.answer.payload).unwrap();
        self.check_b6(session, &run, Role::Responder, b6);
        run
    }

    /// B7 as far as the gateway is concerned: B6 opens and its tag is right.
    pub(crate) fn check_b6(&self, session: &Session, run: &Run, role: Role, sealed: &[u8]) {
        let [first, second] = &run.made;
        let own = &run.made[role as usize];
        let peer = &run.made[role.other() as usize];
        let key = steps::b6(aead(session.suite), &session.key(role), &session.th_a, run.run, role.id());
        let plain = open(key, sealed).expect("B6 opens");
        let b6: sga_schema::B6Secret<'_> = sga_schema::decode(&plain).unwrap();
        assert_eq!(b6.peer_hash, sga_crypto::short_hash(&peer.element));
        let th_b = steps::th_b(&session.th_a, run.run, &first.element, &second.element);
        assert_eq!(b6.tag, steps::b6_tag(&Secret::new(own.key), role.id(), run.run, &th_b, b6.element));
    }

    pub(crate) fn message(&self, session: &Session, run: &Run, role: Role, sequence: u32, text: &[u8]) -> Vec<u8> {
        let handle = session.handle(role);
        let hop = Secret::new(run.hop[role as usize]);
        let hop_tag = steps::hop_tag(&hop, &handle.0, run.run, sequence, text, None);
        encoded(&MessagePost { handle, run: run.run, sequence, ciphertext: text, hop_tag, salt: None })
    }

    /// A message of the initiator's with the salt of a later life, and its answer.
    pub(crate) fn message_in_life(
        &self,
        session: &Session,
        run: &Run,
        sequence: u32,
        text: &[u8],
        salt: [u8; 8],
    ) -> (Vec<u8>, Vec<u8>) {
        let handle = session.handle(Role::Initiator);
        let hop = Secret::new(run.hop[0]);
        let hop_tag = steps::hop_tag(&hop, &handle.0, run.run, sequence, text, Some(&salt));
        let post = MessagePost { handle, run: run.run, sequence, ciphertext: text, hop_tag, salt: Some(salt) };
        let stored = steps::stored_tag(&hop, &handle.0, run.run, sequence, Some(&salt));
        (encoded(&post), encoded(&Tag8(stored)))
    }
}

/// The answer to a message that is stored.
pub(crate) fn stored(session: &Session, run: &Run, role: Role, sequence: u32) -> Vec<u8> {
    let hop = Secret::new(run.hop[role as usize]);
    encoded(&Tag8(steps::stored_tag(&hop, &session.handle(role).0, run.run, sequence, None)))
}

/// The answer to a Half that waits for the other.
pub(crate) fn waiting(session: &Session, role: Role, request: &[u8]) -> Vec<u8> {
    encoded(&Tag8(steps::b_answer(&session.key(role), &sha256(request))))
}

pub(crate) fn a3_answer(key: [u8; 16], request: &[u8]) -> Vec<u8> {
    encoded(&Tag8(steps::a3_answer(&Secret::new(key), &sha256(request))))
}

pub(crate) fn sign_a3(dev: &Dev, inviter: DeviceId, a3: &mut A3) {
    let (i, j) = (inviter.as_bytes(), dev.id.as_bytes());
    let cid = a3.suite.map_or(0, Suite::id);
    a3.tag = steps::a3_tag(&dev.key(), &a3.handle.0, &a3.nonce_g, &a3.nonce_j, &a3.masked, cid, i, j, GATE);
}

/// The reason in a NotAgreed item.
pub(crate) fn not_agreed(sent: &Sent, body: &[u8]) -> sga_schema::A4Reason {
    let item: sga_schema::NotAgreedItem<'_> = sga_schema::decode(body).unwrap();
    let key = steps::a4_refusal(aead(sent.a1.suite), &Secret::new(sent.key), &sent.a1.nonce_i);
    sga_schema::decode(&open(key, item.sealed).expect("item 3 opens")).unwrap()
}

/// A sealed message that nobody asked for: used to forge.
pub(crate) fn sealed_bytes(bytes: &[u8]) -> Vec<u8> {
    encoded(&Sealed(bytes))
}
