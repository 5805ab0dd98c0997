//! What the gateway's core refuses: of what exists, and of what does not.
//!
//! From the datagram to the answer, without the accelerator's part, which is the same work on other threads. What is looked up is
//! in memory, or known not to exist, in both classes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use sga_coap::option_number as number;
use sga_crypto::{PkPurpose, Secret, Seed, sha256, steps};
use sga_device::{DeviceId, Phase, SuiteSet};
use sga_gateway_core::{Enrolment, Rate, Settings};
use sga_schema::{
    A1, Attach, Half, Handle, Message, MessagePost, NegotiateSecret, Package, Profile, Proof, Register, RegisterSecret,
    Sealed, SealedId, Suite,
};

use super::clock::time;
use super::{Sampler, Samples};
use crate::sim::{Datagram, Verdict, World};

/// Datagrams of each class; they differ in what is random in them.
const VARIANTS: usize = 16;

/// Asked before it counts, so that all tables are as full as they get.
const WARM_UP: usize = 4_096;

/// A refused request.
const UNAUTHORIZED: u8 = 0x81;

/// Which request, and what of it exists or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A1 of a device with a wrong tag, or of no device.
    Inviter,
    /// A registration with a wrong enrolment proof, for a name that is taken or free.
    Name,
    /// The same with no proof.
    NameBare,
    /// The same with a wrong proof of the old key.
    NameRotated,
    /// An attach with a ticket of a device's and a wrong seal, or with a ticket of nobody's.
    Ticket,
    /// A Half of a session with a wrong seal, or of none.
    HalfHandle,
    /// A Message of a session with a wrong hop tag, or of none.
    MessageHandle,
}

fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

fn encoded<'a, M: Message<'a>>(message: &M) -> Vec<u8> {
    let mut bytes = vec![0; sga_schema::encoded_len(message)];
    let len = sga_schema::encode(message, &mut bytes).expect("the buffer has the encoded length");
    bytes.truncate(len);
    bytes
}

fn random<const N: usize>(rng: &mut ChaCha12Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A gateway with two devices and a session, and somebody else who asks.
pub(crate) struct Bench {
    world: World,
    peer: SocketAddr,
    mid: u16,
    /// What alice showed last.
    ticket: [u8; 16],
    handle: Handle,
}

/// The last ticket and handle that went by.
type Shown = (Option<[u8; 16]>, Option<Handle>);

impl Bench {
    pub(crate) fn new() -> Self {
        let mut settings = Settings::new(id("gate"), Profile::Compact);
        // All that is asked here comes from one address.
        settings.rates.work_per_source = Rate(0);
        settings.rates.work_total = Rate(0);
        settings.rates.guesses_per_source = Rate(0);
        let mut world = World::new(5, settings);
        world.add("alice", SuiteSet::ALL);
        world.add("bob", SuiteSet::ALL);
        world.devices[0].want(id("bob"), None);
        let seen: Rc<RefCell<Shown>> = Rc::default();
        let (tape, alice) = (seen.clone(), world.devices[0].address);
        world.inspect(move |_, datagram: &Datagram| {
            if datagram.from == alice
                && let Some(at) = datagram.bytes.iter().position(|&byte| byte == 0xff)
            {
                let payload = &datagram.bytes[at + 1..];
                if let Ok(attach) = sga_schema::decode::<Attach<'_>>(payload) {
                    tape.borrow_mut().0 = Some(attach.ticket);
                } else if let Ok(post) = sga_schema::decode::<MessagePost<'_>>(payload) {
                    tape.borrow_mut().1 = Some(post.handle);
                }
            }
            Verdict::Pass
        });
        let done = world.run_until(Duration::from_secs(600), |world| {
            let session = world.devices[0].device().session(id("bob"));
            session.is_some_and(|session| session.phase == Phase::Established) && world.devices[0].is_done()
        });
        assert!(done, "a perfect network");
        // From here on names are not told to anybody.
        world.gateway.settings.enrolment = Enrolment::Token(vec![0x5a; 32]);
        world.restart_gateway();
        let (ticket, handle) = *seen.borrow();
        let (ticket, handle) = (ticket.expect("alice has attached"), handle.expect("alice has sent a message"));
        let mut bench = Self { world, peer: SocketAddr::from(([192, 0, 2, 9], 5_683)), mid: 0, ticket, handle };
        bench.verify();
        bench
    }

    /// Shows that the asker receives.
    fn verify(&mut self) {
        let ask = [&[0x40, 2, 0, 0, 0xb9][..], b"negotiate", &[0xff, 0x41, 0]].concat();
        self.world.gateway.core.handle_datagram(self.world.now, self.peer, &ask);
        let asked = self.world.gateway.core.poll_transmit().expect("an answer");
        let echo = &asked.bytes[6..18];
        let option = [&[0xd0 | 12, (number::ECHO - number::URI_PATH - 13) as u8][..], echo].concat();
        let again = [&[0x40, 2, 0, 1, 0xb9][..], b"negotiate", &option, &[0xff, 0x40]].concat();
        self.world.gateway.core.handle_datagram(self.world.now, self.peer, &again);
        self.answer();
        assert!(self.world.gateway.core.is_known(self.world.now, self.peer));
    }

    /// Does what the core has ordered, and takes its answer.
    fn answer(&mut self) -> Option<u8> {
        let now = self.world.now;
        let core = &mut self.world.gateway.core;
        if let Some(job) = core.poll_job() {
            let (id, outcome) = job.run();
            self.world.gateway.core.handle_job_done(now, id, outcome);
            return self.answer();
        }
        while let Some(load) = self.world.gateway.core.poll_load() {
            let found = self.world.gateway.store.read(&load);
            self.world.gateway.core.handle_load_done(now, load.id, Ok(found));
        }
        let mut code = None;
        while let Some(transmit) = self.world.gateway.core.poll_transmit() {
            code = transmit.bytes.get(1).copied();
        }
        code
    }

    fn pk(&self, rng: &mut ChaCha12Rng, purpose: PkPurpose, plain: &[u8]) -> Vec<u8> {
        let pair = &self.world.gateway.keys().pair;
        let mut out = vec![0; plain.len() + steps::pk_overhead(pair.group)];
        let len = steps::pk_seal(pair.group, &pair.public, &Seed::new(rng), purpose, plain, &mut out);
        out.truncate(len.expect("room for the overhead"));
        out
    }

    fn a1(&self, rng: &mut ChaCha12Rng, id_i: DeviceId) -> Vec<u8> {
        let a1 = A1 {
            request_number: 1 << 20,
            nonce_i: random(rng),
            masked: random(rng),
            id_i,
            id_j: id("bob"),
            suite: Suite::AesCcm8,
            tag: random(rng),
        };
        encoded(&Sealed(&self.pk(rng, PkPurpose::Negotiate, &encoded(&NegotiateSecret::Invite(a1)))))
    }

    fn register(&self, rng: &mut ChaCha12Rng, id: DeviceId, proof: Proof) -> Vec<u8> {
        let gateway = &self.world.gateway;
        let package = encoded(&Package {
            profile: Profile::Compact,
            public_key: gateway.keys().pair.public.as_bytes(),
            gateway_id: gateway.settings.gateway_id,
            suites: gateway.settings.suites,
            policy: gateway.settings.enrolment.policy(),
        });
        let key: [u8; 32] = random(rng);
        let secret = RegisterSecret { registered_key: key, suite: Suite::AesCcm8, suites: SuiteSet::ALL, proof };
        let purpose = PkPurpose::Register { package_hash: sha256(&package) };
        let sealed_key = self.pk(rng, purpose, &encoded(&secret));
        let aead = sga_crypto::Aead::from_id(Suite::AesCcm8.id()).expect("a suite");
        let mut name = encoded(&SealedId(id));
        let len = name.len();
        name.resize(len + 16, 0);
        let seal = steps::register_id(aead, &Secret::new(key), &sha256(&sealed_key));
        let len = seal.seal(&mut name, len).expect("room for the tag");
        encoded(&Register { sealed_key: &sealed_key, sealed_id: &name[..len] })
    }

    /// One datagram of a class: 0 of what exists, 1 of what does not.
    fn datagram(&self, question: Question, class: usize, rng: &mut ChaCha12Rng) -> Vec<u8> {
        let exists = class == 0;
        let name = id(if exists { "alice" } else { "nobdy" });
        let handle = if exists { self.handle } else { Handle([0xe1, 0xe2, 0xe3, 0xe4]) };
        let (code, path, payload) = match question {
            Question::Inviter => (2, "negotiate", self.a1(rng, name)),
            Question::Name => (2, "register", self.register(rng, name, Proof::Enrolment([9; 16]))),
            Question::NameBare => (2, "register", self.register(rng, name, Proof::None)),
            Question::NameRotated => (2, "register", self.register(rng, name, Proof::Rotation([9; 16]))),
            Question::Ticket => {
                let ticket = if exists { self.ticket } else { [0xe5; 16] };
                (5, "msg", encoded(&Attach { ticket, nonce: random(rng), sealed: &random::<20>(rng) }))
            }
            Question::HalfHandle => (2, "kex", encoded(&Half { handle, run: 2, body: &random::<52>(rng), salt: None })),
            Question::MessageHandle => {
                let hop_tag = random(rng);
                let ciphertext = &random::<32>(rng);
                (2, "msg", encoded(&MessagePost { handle, run: 1, sequence: 900, ciphertext, hop_tag, salt: None }))
            }
        };
        [&[0x40, code, 0, 0, 0xb0 | path.len() as u8], path.as_bytes(), &[0xff], &payload].concat()
    }

    /// Time of one request until its answer, without the accelerator's part.
    fn ask(&mut self, datagram: &mut [u8]) -> Duration {
        self.mid = self.mid.wrapping_add(1);
        datagram[2..4].copy_from_slice(&self.mid.to_be_bytes());
        let (now, peer) = (self.world.now, self.peer);
        let core = &mut self.world.gateway.core;
        let mut took = time(|| core.handle_datagram(now, peer, datagram));
        while let Some(job) = self.world.gateway.core.poll_job() {
            let (id, outcome) = job.run();
            let core = &mut self.world.gateway.core;
            took += time(|| core.handle_job_done(now, id, outcome));
        }
        let code = self.answer();
        assert_eq!(code, Some(UNAUTHORIZED), "both are refused");
        took
    }

    pub(crate) fn run(&mut self, question: Question, rng: &mut ChaCha12Rng, sampler: &mut Sampler) -> Samples {
        let pools = [0, 1].map(|class| (0..VARIANTS).map(|_| self.datagram(question, class, rng)).collect::<Vec<_>>());
        assert!(pools.iter().flatten().all(|datagram| datagram.len() == pools[0][0].len()), "as long as each other");
        let mut buffer = pools[0][0].clone();
        for n in 0..WARM_UP {
            buffer.copy_from_slice(&pools[n & 1][n / 2 % VARIANTS]);
            self.ask(&mut buffer);
        }
        sampler.run(|class| {
            // Always the same place in memory.
            buffer.copy_from_slice(&pools[class][rng.next_u32() as usize % VARIANTS]);
            self.ask(&mut buffer)
        })
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn every_question_is_asked_of_both_classes() {
        for question in [
            Question::Inviter,
            Question::Name,
            Question::NameBare,
            Question::NameRotated,
            Question::Ticket,
            Question::HalfHandle,
            Question::MessageHandle,
        ] {
            let mut rng = ChaCha12Rng::from_seed([1; 32]);
            let mut sampler = Sampler { each: 8, rng: ChaCha12Rng::from_seed([2; 32]) };
            let samples = Bench::new().run(question, &mut rng, &mut sampler);
            assert!(samples.iter().all(|times| times.len() == 8), "{question:?}");
        }
    }
}
