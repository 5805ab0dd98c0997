//! An honest run of three devices, made by hand and stopped before each message that it sends: two sessions between amy and bob, one
//! between amy and zoe, one the other way round, each with its own suite and two runs, and messages both ways.

use std::net::SocketAddr;

use sga_coap::{Code, Request};
use sga_crypto::steps;
use sga_schema::{NegotiateSecret, Profile, Proof, Role, Suite, VERSION};

use super::by_hand::{Answer, Dev, GATE, Made, Run, Session, World, id};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Register,
    Attach,
    Ack,
    A1,
    A3,
    Half,
    Message,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Register, Self::Attach, Self::Ack, Self::A1, Self::A3, Self::Half, Self::Message];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::A1 | Self::A3 => "negotiate",
            Self::Half => "kex",
            Self::Attach | Self::Ack | Self::Message => "msg",
        }
    }

    /// Sends bytes as if they were such a message.
    pub(crate) fn send(self, world: &mut World, from: SocketAddr, bytes: &[u8]) -> Answer {
        let method = if self == Self::Attach { Code::FETCH } else { Code::POST };
        world.request(from, Request::new(method, [self.path()]).with_payload(60, bytes))
    }
}

/// A message that is about to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    /// Whose.
    pub(crate) dev: Dev,
    pub(crate) bytes: Vec<u8>,
    /// What is inside the encryption to the gateway, of A1 and A3.
    pub(crate) inside: Option<NegotiateSecret>,
}

/// What comes before each message.
pub(crate) type Before<'a> = &'a mut dyn FnMut(&mut World, &Step);

/// Somebody at work.
pub(crate) struct Author<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) before: Before<'a>,
}

impl Author<'_> {
    /// Sends a message, which has to be taken.
    pub(crate) fn send(&mut self, kind: Kind, dev: &Dev, bytes: Vec<u8>, inside: Option<NegotiateSecret>) -> Answer {
        let step = Step { kind, dev: dev.clone(), bytes, inside };
        (self.before)(self.world, &step);
        let answer = kind.send(self.world, dev.addr, &step.bytes);
        assert!(answer.code.is_success(), "the honest {kind:?} of {}: {answer:?}", dev.id);
        answer
    }

    pub(crate) fn register(&mut self, dev: &mut Dev) {
        let bytes = self.world.register_bytes(dev, Proof::None);
        let answer = self.send(Kind::Register, dev, bytes.clone(), None);
        dev.ticket = self.world.grant(dev, &bytes, &answer).ticket;
    }

    /// Attaches, and acknowledges what there is; the bodies of one kind.
    pub(crate) fn fetch(&mut self, dev: &mut Dev, kind: u32) -> Vec<Vec<u8>> {
        dev.attach_number += 1;
        dev.nonce = self.world.random();
        dev.counter = 0;
        let bytes = self.world.attach_bytes(dev);
        let answer = self.send(Kind::Attach, dev, bytes, None);
        let items = self.world.open_inbox(dev, &answer).1;
        if let Some(last) = items.last() {
            let ack = self.world.ack_bytes(dev, last.number);
            self.send(Kind::Ack, dev, ack, None);
            dev.cursor = last.number;
        }
        items.into_iter().filter(|item| item.kind == kind).map(|item| item.body).collect()
    }

    /// A1 to A4.
    pub(crate) fn agree(&mut self, i: &mut Dev, j: &mut Dev, suite: Suite) -> Session {
        i.request_number += 1;
        let key_i = self.world.random();
        let a1 = self.world.a1(i, j.id, suite, key_i);
        let secret = NegotiateSecret::Invite(a1);
        let request = self.world.negotiate_bytes(&secret);
        let answer = self.send(Kind::A1, i, request.clone(), Some(secret));
        let handle = super::by_hand::Sent { a1, key: key_i, request, answer }.handle();
        let bodies = self.fetch(j, sga_schema::kind::INVITATION);
        let item: sga_schema::InvitationItem = sga_schema::decode(bodies.last().expect("A2")).unwrap();
        let key_j = self.world.random();
        let a3 = self.world.a3(j, &item, Some(suite), key_j);
        let secret = NegotiateSecret::Reply(a3);
        let request = self.world.negotiate_bytes(&secret);
        self.send(Kind::A3, j, request, Some(secret));
        self.fetch(i, sga_schema::kind::AGREED);
        let (id_i, id_j) = (i.id.as_bytes(), j.id.as_bytes());
        let profile = self.world.settings.profile.id();
        let th_a =
            steps::th_a(VERSION, profile, suite.id(), id_i, id_j, GATE, &item.nonce_i, &item.nonce_g, &a3.nonce_j);
        Session { handle: [handle, item.handle], key: [key_i, key_j], suite, th_a }
    }

    /// B1 to B6 of a run, opened by one of the two.
    pub(crate) fn close(&mut self, session: &Session, devs: [&Dev; 2], opener: Role, run: u32) -> Run {
        let [mut first, mut second]: [Option<Made>; 2] = [None, None];
        let mut last = None;
        for role in [opener, opener.other()] {
            let dev = devs[role as usize];
            let made = self.world.make(session, dev, role, run);
            last = Some(self.send(Kind::Half, dev, made.request.clone(), None));
            *(if role == Role::Initiator { &mut first } else { &mut second }) = Some(made);
        }
        let (Some(first), Some(second), Some(answer)) = (first, second, last) else { unreachable!("both were made") };
        let th_b = steps::th_b(&session.th_a, run, &first.element, &second.element);
        let hop = [&first, &second].map(|made| *steps::hop_key(&sga_crypto::Secret::new(made.key), &th_b).expose());
        Run { run, hop, made: [first, second], answer }
    }

    /// A message; its "ciphertext" is the gateway's to carry, whatever it is.
    pub(crate) fn say(&mut self, session: &Session, run: &Run, dev: &Dev, role: Role, sequence: u32, text: &[u8]) {
        let bytes = self.world.message(session, run, role, sequence, text);
        self.send(Kind::Message, dev, bytes, None);
    }
}

/// Three devices with suites of their own.
pub(crate) fn devices() -> [Dev; 3] {
    let names = [("amy", 1), ("bob", 2), ("zoe", 3)];
    let mut at = 0;
    names.map(|(name, number)| {
        let dev = Dev { suite: Suite::ALL[at], ..Dev::new(name, number) };
        at += 1;
        dev
    })
}

/// What the run has left.
pub(crate) struct Done {
    pub(crate) devs: [Dev; 3],
    pub(crate) sessions: Vec<(Session, usize, usize)>,
    pub(crate) runs: Vec<Run>,
}

/// The whole run.
pub(crate) fn run(world: &mut World, mut before: impl FnMut(&mut World, &Step)) -> Done {
    let mut author = Author { world, before: &mut before };
    let mut devs = devices();
    for dev in &mut devs {
        author.register(dev);
        author.fetch(dev, 0);
    }
    // amy has lost count, and asks again.
    author.register(&mut devs[0]);
    author.fetch(&mut devs[0], 0);
    let (mut sessions, mut runs) = (Vec::new(), Vec::new());
    let pairs = [(0, 1, 1), (0, 1, 2), (0, 2, 3), (2, 1, 0)];
    for (i, j, suite) in pairs {
        let [mut dev_i, mut dev_j] = [devs[i].clone(), devs[j].clone()];
        let session = author.agree(&mut dev_i, &mut dev_j, Suite::ALL[suite]);
        for (number, opener) in [(1, Role::Initiator), (2, Role::Responder)] {
            let run = author.close(&session, [&dev_i, &dev_j], opener, number);
            for sequence in 0..2 {
                author.say(&session, &run, &dev_i, Role::Initiator, sequence, b"from d_i to d_j");
                author.say(&session, &run, &dev_j, Role::Responder, sequence, b"from d_j to d_i");
            }
            author.fetch(&mut dev_i, 0);
            author.fetch(&mut dev_j, 0);
            runs.push(run);
        }
        (devs[i], devs[j]) = (dev_i, dev_j);
        sessions.push((session, i, j));
    }
    Done { devs, sessions, runs }
}

/// A gateway of a profile.
pub(crate) fn gateway(profile: Profile) -> World {
    World::with(sga_gateway_core::Settings::new(id("gate"), profile))
}
