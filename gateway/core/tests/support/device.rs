//! A device's side of registration, inbox and A1, equation by equation.

use std::net::SocketAddr;

use sga_coap::Code;
use sga_crypto::{Aead, PkPurpose, SealKey, Secret, Seed, sha256, steps};
use sga_schema::{
    A1, Accept, Ack, AckSecret, Attach, AttachSecret, DeviceId, Grant, Inbox, InboxSecret, Message, NegotiateSecret,
    Package, Proof, Register, RegisterSecret, Registered, Sealed, SealedId, Suite, SuiteSet,
};

use super::{Answer, GATE, GENERATION, World, addr, id};

pub(crate) fn encoded<'a, M: Message<'a>>(message: &M) -> Vec<u8> {
    let mut bytes = vec![0; sga_schema::encoded_len(message)];
    sga_schema::encode(message, &mut bytes).unwrap();
    bytes
}

pub(crate) fn aead(suite: Suite) -> Aead {
    Aead::from_id(suite.id()).unwrap()
}

pub(crate) fn seal<'a, M: Message<'a>>(key: SealKey, message: &M) -> Vec<u8> {
    seal_bytes(key, &encoded(message))
}

pub(crate) fn seal_bytes(key: SealKey, plain: &[u8]) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    bytes.resize(plain.len() + 16, 0);
    let len = key.seal(&mut bytes, plain.len()).unwrap();
    bytes.truncate(len);
    bytes
}

pub(crate) fn open(key: SealKey, sealed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = sealed.to_vec();
    let len = key.open(&mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

/// What one device keeps.
#[derive(Clone, Debug)]
pub(crate) struct Dev {
    pub(crate) id: DeviceId,
    pub(crate) key: [u8; 32],
    pub(crate) suite: Suite,
    pub(crate) suites: SuiteSet,
    pub(crate) addr: SocketAddr,
    pub(crate) accept: Accept,
    pub(crate) attach_number: u32,
    pub(crate) request_number: u32,
    pub(crate) ticket: [u8; 16],
    pub(crate) nonce: [u8; 8],
    pub(crate) counter: u32,
    pub(crate) cursor: u32,
    pub(crate) generation: [u8; 4],
}

impl Dev {
    pub(crate) fn new(name: &str, number: u8) -> Self {
        Self {
            id: id(name),
            key: [number; 32],
            suite: Suite::ALL[1],
            suites: SuiteSet::ALL,
            addr: addr(1_000 + u16::from(number)),
            accept: Accept::All,
            attach_number: 0,
            request_number: 0,
            ticket: [0; 16],
            nonce: [0; 8],
            counter: 0,
            cursor: 0,
            generation: GENERATION,
        }
    }

    pub(crate) fn key(&self) -> Secret<32> {
        Secret::new(self.key)
    }
}

/// An item of an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedItem {
    pub(crate) number: u32,
    pub(crate) kind: u32,
    pub(crate) body: Vec<u8>,
}

impl World {
    pub(crate) fn package(&self) -> Vec<u8> {
        encoded(&Package {
            profile: self.settings.profile,
            public_key: self.keys.pair.public.as_bytes(),
            gateway_id: self.settings.gateway_id,
            suites: self.settings.suites,
            policy: self.settings.enrolment.policy(),
        })
    }

    pub(crate) fn pk(&mut self, purpose: PkPurpose, plain: &[u8]) -> Vec<u8> {
        let e = Seed::new(&mut self.rng);
        let pair = &self.keys.pair;
        let mut out = vec![0; plain.len() + steps::pk_overhead(pair.group)];
        let len = steps::pk_seal(pair.group, &pair.public, &e, purpose, plain, &mut out).unwrap();
        out.truncate(len);
        out
    }

    pub(crate) fn register_bytes(&mut self, dev: &Dev, proof: Proof) -> Vec<u8> {
        let hash = sha256(&self.package());
        self.register_under(hash, dev, proof)
    }

    pub(crate) fn register_under(&mut self, package_hash: [u8; 32], dev: &Dev, proof: Proof) -> Vec<u8> {
        let secret = RegisterSecret { registered_key: dev.key, suite: dev.suite, suites: dev.suites, proof };
        let a = self.pk(PkPurpose::Register { package_hash }, &encoded(&secret));
        let b = seal(steps::register_id(aead(dev.suite), &dev.key(), &sha256(&a)), &SealedId(dev.id));
        encoded(&Register { sealed_key: &a, sealed_id: &b })
    }

    pub(crate) fn enrol_proof(&self, secret: &[u8], dev: &Dev) -> Proof {
        let hash = sha256(&self.package());
        let (x, set) = (dev.suite.id(), dev.suites.bits());
        Proof::Enrolment(steps::enrol_proof(secret, &hash, &dev.key(), x, set, dev.id.as_bytes()))
    }

    pub(crate) fn rotation_proof(&self, old: &Dev, new: &Dev) -> Proof {
        let hash = sha256(&self.package());
        let (x, set) = (new.suite.id(), new.suites.bits());
        Proof::Rotation(steps::rotation_proof(&old.key(), &hash, &new.key(), x, set, new.id.as_bytes()))
    }

    /// Opens the answer to a registration.
    pub(crate) fn grant(&self, dev: &Dev, request: &[u8], answer: &Answer) -> Grant {
        let registered: Registered<'_> = sga_schema::decode(&answer.payload).unwrap();
        let key = steps::registered(aead(dev.suite), &dev.key(), &sha256(request), &registered.nonce);
        sga_schema::decode(&open(key, registered.sealed).expect("G opens")).unwrap()
    }

    pub(crate) fn register_with(&mut self, dev: &mut Dev, proof: Proof, code: Code) {
        let request = self.register_bytes(dev, proof);
        let answer = self.post(dev.addr, "register", &request);
        assert_eq!(answer.code, code);
        dev.ticket = self.grant(dev, &request, &answer).ticket;
    }

    /// A device that is registered and attached.
    pub(crate) fn device(&mut self, name: &str, number: u8) -> Dev {
        let mut dev = Dev::new(name, number);
        self.register_with(&mut dev, Proof::None, Code::CREATED);
        self.attach(&mut dev);
        dev
    }

    /// An attach with the device's numbers as they stand.
    pub(crate) fn attach_bytes(&mut self, dev: &Dev) -> Vec<u8> {
        let secret = AttachSecret {
            attach_number: dev.attach_number,
            cursor: dev.cursor,
            generation: dev.generation,
            accept: dev.accept,
        };
        let sealed = seal(steps::attach(aead(dev.suite), &dev.key(), &dev.nonce), &secret);
        encoded(&Attach { ticket: dev.ticket, nonce: dev.nonce, sealed: &sealed })
    }

    /// The next attach of a device; what it brought.
    pub(crate) fn attach(&mut self, dev: &mut Dev) -> Vec<OwnedItem> {
        dev.attach_number += 1;
        dev.nonce = self.random();
        dev.counter = 0;
        let request = self.attach_bytes(dev);
        let answer = self.fetch(dev.addr, &request);
        assert_eq!(answer.code, Code::CONTENT, "the attach is good");
        self.open_inbox(dev, &answer).1
    }

    /// c and the items of an inbox.
    pub(crate) fn open_inbox(&mut self, dev: &mut Dev, answer: &Answer) -> (u32, Vec<OwnedItem>) {
        let inbox: Inbox<'_> = sga_schema::decode(&answer.payload).unwrap();
        let key = steps::inbox(aead(dev.suite), &dev.key(), &dev.nonce, inbox.counter);
        let plain = open(key, inbox.sealed).expect("the inbox opens");
        let secret: InboxSecret<'_> = sga_schema::decode(&plain).unwrap();
        if let Some(next) = secret.next {
            dev.ticket = next.ticket;
        }
        let item =
            |item: sga_schema::Item<'_>| OwnedItem { number: item.number, kind: item.kind, body: item.body.to_vec() };
        (inbox.counter, secret.items.iter().map(item).collect())
    }

    pub(crate) fn ack_bytes(&mut self, dev: &mut Dev, cursor: u32) -> Vec<u8> {
        dev.counter += 1;
        let key = steps::ack(aead(dev.suite), &dev.key(), &dev.nonce, dev.counter);
        let sealed = seal(key, &AckSecret { cursor });
        encoded(&Ack { ticket: dev.ticket, counter: dev.counter, sealed: &sealed })
    }

    /// Everything in the inbox, acknowledged.
    pub(crate) fn take(&mut self, dev: &mut Dev) -> Vec<OwnedItem> {
        let mut all = Vec::new();
        loop {
            let items = self.attach(dev);
            let Some(last) = items.last() else { return all };
            let request = self.ack_bytes(dev, last.number);
            assert_eq!(self.post(dev.addr, "msg", &request).code, Code::CHANGED);
            dev.cursor = last.number;
            all.extend(items);
        }
    }

    /// A1 with a right tag; k_t^i is what `key` says.
    pub(crate) fn a1(&mut self, dev: &Dev, peer: DeviceId, suite: Suite, key: [u8; 16]) -> A1 {
        let nonce_i = self.random();
        let masked = steps::a1_mask(&dev.key(), &nonce_i, &key);
        let request_number = dev.request_number;
        let mut a1 = A1 { request_number, nonce_i, masked, id_i: dev.id, id_j: peer, suite, tag: [0; 8] };
        sign_a1(dev, &mut a1, GATE);
        a1
    }

    pub(crate) fn negotiate_bytes(&mut self, secret: &NegotiateSecret) -> Vec<u8> {
        let sealed = self.pk(PkPurpose::Negotiate, &encoded(secret));
        encoded(&Sealed(&sealed))
    }
}

pub(crate) fn sign_a1(dev: &Dev, a1: &mut A1, gateway: &[u8]) {
    let (i, j) = (a1.id_i, a1.id_j);
    let (number, attach, cid) = (a1.request_number, dev.attach_number, a1.suite.id());
    a1.tag =
        steps::a1_tag(&dev.key(), number, attach, &a1.nonce_i, &a1.masked, i.as_bytes(), j.as_bytes(), cid, gateway);
}
