//! Device cores in front of the gateway's core, with somebody between them who sees and may change every payload.

use std::net::SocketAddr;

use sga_coap::{Code, Request};
use sga_crypto::Secret;
use sga_device::{Accept, Device, DeviceId, Handled, Method, Outgoing, RequestKind, Suite, SuiteSet};
use sga_schema::Profile;

use super::by_hand::{World, addr};
use super::ends::{End, Reply};
use super::script;

/// What went over the network.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) who: usize,
    pub(crate) out: Outgoing,
    pub(crate) request: Vec<u8>,
    pub(crate) reply: Reply,
}

/// Sees each answer before its device does; what it leaves is what arrives.
pub(crate) type OnPath<'a> = &'a mut dyn FnMut(&mut Link, &Exchange) -> Reply;

pub(crate) const AMY: usize = 0;
pub(crate) const BOB: usize = 1;

/// More requests than any device has due at a time here.
const REQUESTS_MAX: usize = 400;
/// More rounds than anything here takes.
const ROUNDS_MAX: usize = 60;

pub(crate) struct Link {
    pub(crate) world: World,
    pub(crate) ends: Vec<End>,
    pub(crate) tape: Vec<Exchange>,
}

pub(crate) fn id(name: &str) -> DeviceId {
    DeviceId::new(name.as_bytes()).expect("an id")
}

/// Where a device is.
pub(crate) fn home(who: usize) -> SocketAddr {
    addr(2_000 + who as u16)
}

pub(crate) fn device(name: &str, seed: u8) -> Device<3> {
    Device::new(id(name), Secret::new([seed; 32]), Suite::AesCcm8, SuiteSet::ALL, Accept::All).expect("its own suite")
}

impl Link {
    /// Nobody has registered yet.
    pub(crate) fn new(profile: Profile) -> Self {
        Self::in_front_of(script::gateway(profile))
    }

    pub(crate) fn in_front_of(world: World) -> Self {
        let ends = [("amy", 1), ("bob", 2)].map(|(name, seed)| End::new(device(name, seed), seed));
        Self { world, ends: ends.into(), tape: Vec::new() }
    }

    /// amy and bob, registered.
    pub(crate) fn registered(profile: Profile) -> Self {
        let mut link = Self::new(profile);
        link.ends.iter_mut().for_each(|end| end.device.register());
        link.settle();
        assert!(link.ends.iter().all(|end| end.device.is_attached()));
        link
    }

    /// amy and bob with a session under way or complete, whichever has come so far.
    pub(crate) fn established(profile: Profile) -> Self {
        let mut link = Self::registered(profile);
        link.ends[AMY].device.connect(id("bob"), None).expect("a peer");
        link.settle();
        assert!(link.can_talk(), "{:?} {:?}", link.ends[AMY].log, link.ends[BOB].log);
        link
    }

    pub(crate) fn can_talk(&self) -> bool {
        self.ends[AMY].device.can_send(id("bob")) && self.ends[BOB].device.can_send(id("amy"))
    }

    /// Carries a request as it is.
    pub(crate) fn ask(&mut self, who: usize, out: &Outgoing, request: &[u8]) -> Reply {
        self.ask_from(home(who), out, request)
    }

    pub(crate) fn ask_from(&mut self, from: SocketAddr, out: &Outgoing, payload: &[u8]) -> Reply {
        let method = match out.method {
            Method::Get => Code::GET,
            Method::Post => Code::POST,
            Method::Fetch => Code::FETCH,
        };
        let mut request = Request::new(method, [out.path]);
        if method != Code::GET {
            request = request.with_payload(60, payload);
        }
        let answer = self.world.request(from, request);
        (answer.code.0, answer.payload)
    }

    /// The next request of a device, carried and answered; false if there was none.
    pub(crate) fn step_by(&mut self, who: usize, on_path: OnPath<'_>) -> bool {
        let Some((out, request)) = self.ends[who].poll() else { return false };
        let reply = self.ask(who, &out, &request);
        let exchange = Exchange { who, out, request, reply };
        self.tape.push(exchange.clone());
        let reply = on_path(self, &exchange);
        let _: Handled = self.ends[who].respond(reply);
        true
    }

    /// Everything that is due, and what the inboxes bring, until nothing more comes.
    pub(crate) fn settle_by(&mut self, on_path: OnPath<'_>) {
        for _ in 0..ROUNDS_MAX {
            let before = self.happened();
            for who in 0..self.ends.len() {
                for _ in 0..REQUESTS_MAX {
                    if !self.step_by(who, on_path) {
                        break;
                    }
                }
                // Nobody observes here: who wants to know asks.
                self.ends[who].device.attach(false);
                while self.step_by(who, on_path) {}
            }
            if self.happened() == before {
                return;
            }
        }
        panic!("it never ends: {:?} {:?}", self.ends[AMY].log, self.ends[BOB].log);
    }

    pub(crate) fn settle(&mut self) {
        self.settle_by(&mut |_, exchange| exchange.reply.clone());
    }

    /// What was reported, but for attaches.
    fn happened(&self) -> usize {
        self.ends.iter().flat_map(|end| &end.log).filter(|line| !line.starts_with("Attached")).count()
    }

    /// A text, and whether it is the last that the other end was handed.
    pub(crate) fn say(&mut self, from: usize, text: &[u8]) {
        self.ends[from].send(if from == AMY { id("bob") } else { id("amy") }, text);
        self.settle();
        assert_eq!(self.ends[1 - from].texts.last().map(Vec::as_slice), Some(text), "{:?}", self.ends[1 - from].log);
    }

    /// That it all works, and that nothing has come that nobody said.
    pub(crate) fn talk(&mut self) {
        if !self.can_talk() {
            self.ends[AMY].device.connect(id("bob"), None).expect("a peer");
            self.settle();
        }
        let before = [self.ends[AMY].texts.len(), self.ends[BOB].texts.len()];
        self.say(AMY, b"to bob");
        self.say(BOB, b"to amy");
        assert_eq!([self.ends[AMY].texts.len(), self.ends[BOB].texts.len()], [before[0] + 1, before[1] + 1]);
    }

    /// What a device would have after a restart.
    pub(crate) fn stored(&self, who: usize) -> Vec<u8> {
        let mut buf = vec![0; sga_device::snapshot_len_max(3)];
        let len = self.ends[who].device.snapshot(&mut buf).expect("room");
        buf.truncate(len);
        buf
    }

    /// Recorded exchanges of one kind.
    pub(crate) fn recorded(&self, who: usize, kind: impl Fn(&RequestKind) -> bool) -> Vec<Exchange> {
        self.tape.iter().filter(|exchange| exchange.who == who && kind(&exchange.out.kind)).cloned().collect()
    }
}
