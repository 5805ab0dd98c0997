//! A sender and its receivers: device cores on one line, so that one request of theirs is in flight.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_coap::{Code, Now};
use sga_device::{Accept, Device, DeviceId, Event, Handled, Secret, Suite, SuiteSet};

use super::clock::Clock;
use super::drain::Inlet;
use super::line::{Line, Reply};

/// Receivers that one sender may have.
pub(crate) const RECEIVERS_MAX: usize = 64;

/// The cipher of all devices and sessions: the shortest tag, as small devices would choose.
pub(crate) const SUITE: Suite = Suite::AesCcm8;

/// Times in a row that the gateway may say "later".
const REFUSALS_MAX: u32 = 10;

/// The first wait after that; it doubles.
const BACKOFF: Duration = Duration::from_millis(20);

/// Room for what the protocol adds to a text.
const SEALED_OVERHEAD: usize = 64;

/// The other end of a session: registered, and then absent.
pub(crate) struct Receiver {
    pub(crate) id: DeviceId,
    pub(crate) device: Box<Device<1>>,
    key: Secret<32>,
    inlet: Option<Inlet>,
    /// Texts that the gateway has confirmed.
    pub(crate) stored: u32,
    /// Of these, drained.
    pub(crate) drained: u32,
}

/// Whose request is in flight, or was last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Sender,
    Receiver(usize),
    Drain(usize),
}

pub(crate) struct Worker {
    pub(crate) line: Line,
    pub(crate) clock: Clock,
    pub(crate) sender: Box<Device<RECEIVERS_MAX>>,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) who: Who,
    /// The receiver that a plan is at, and how often it has turned from one end to the other there.
    pub(crate) at: usize,
    pub(crate) turns: u32,
    pub(crate) done: bool,
    pub(crate) not_before: Now,
    refusals: u32,
    rng: ChaCha12Rng,
    /// The sealed text in flight.
    kept: Vec<u8>,
    /// The attach in flight.
    attach: Option<Vec<u8>>,
    drain_up_to: u32,
}

/// What an answer brought.
#[derive(Default)]
pub(crate) struct Outcome {
    /// A text was stored; from its request to the answer.
    pub(crate) stored: Option<Duration>,
    /// Texts that a receiver opened.
    pub(crate) texts: Vec<(DeviceId, Vec<u8>)>,
}

fn id(kind: char, number: usize) -> Result<DeviceId, String> {
    DeviceId::new(format!("{kind}{number}").as_bytes()).map_err(|error| format!("device {number}: {error}"))
}

fn device<const PEERS: usize>(id: DeviceId, key: &Secret<32>) -> Result<Box<Device<PEERS>>, String> {
    let device = Device::new(id, key.duplicate(), SUITE, SuiteSet::ALL, Accept::All);
    device.map(Box::new).map_err(|error| format!("device {id}: {error}"))
}

impl Worker {
    /// Sender `number`, with receivers of these numbers.
    pub(crate) fn new(
        clock: Clock,
        gateway: std::net::SocketAddr,
        number: usize,
        receivers: std::ops::Range<usize>,
        rng: &mut ChaCha12Rng,
    ) -> Result<Self, String> {
        let line = Line::open(gateway, number, rng)?;
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let make = |number| {
            let (id, key) = (id('r', number)?, Secret::random(rng));
            Ok(Receiver { id, device: device(id, &key)?, key, inlet: None, stored: 0, drained: 0 })
        };
        let receivers = receivers.map(make).collect::<Result<_, String>>()?;
        Ok(Self {
            line,
            clock,
            sender: device(id('s', number)?, &Secret::random(rng))?,
            receivers,
            who: Who::Sender,
            at: 0,
            turns: 0,
            done: false,
            not_before: Now::ZERO,
            refusals: 0,
            rng: ChaCha12Rng::from_seed(seed),
            kept: Vec::new(),
            attach: None,
            drain_up_to: 0,
        })
    }

    /// Sends the next request of the end whose turn it is; `false` if nothing is due there.
    pub(crate) fn ask(&mut self) -> Result<bool, String> {
        let Self { line, clock, sender, receivers, rng, kept, .. } = self;
        let asked = match self.who {
            Who::Sender => line.ask(*clock, sender, rng, kept)?,
            Who::Receiver(at) => line.ask(*clock, &mut receivers[at].device, rng, &[])?,
            Who::Drain(_) => None,
        };
        self.attach = asked.as_ref().and_then(|asked| asked.attach.clone());
        Ok(asked.is_some())
    }

    /// Seals a text for a receiver and sends it.
    pub(crate) fn send(&mut self, to: usize, text: &[u8]) -> Result<(), String> {
        let peer = self.receivers[to].id;
        self.kept.resize(text.len() + SEALED_OVERHEAD, 0);
        let sealed = self.sender.send(peer, text, &mut self.kept);
        let sealed = sealed.map_err(|error| format!("{} to {peer}: {error}", self.sender.id()))?;
        self.kept.truncate(sealed.len);
        (self.who, self.at) = (Who::Sender, to);
        if self.ask()? { Ok(()) } else { Err(format!("{}: a sealed text is not sent", self.sender.id())) }
    }

    /// Empties a receiver's mailbox.
    pub(crate) fn drain(&mut self, at: usize) -> Result<(), String> {
        let receiver = &mut self.receivers[at];
        let inlet = receiver.inlet.as_mut().ok_or("a receiver was never attached")?;
        self.drain_up_to = receiver.stored;
        // Each message takes one number in its mailbox, and nobody else writes to this one.
        let payload = inlet.attach(receiver.device.cursor() + receiver.stored, &mut self.rng)?;
        self.who = Who::Drain(at);
        self.line.request(self.clock, Code::FETCH, "msg", Some(60), &payload)
    }

    /// Takes the answer to the request in flight.
    pub(crate) fn take(&mut self, mut reply: Reply) -> Result<Outcome, String> {
        let mut outcome = Outcome::default();
        let mut trouble = None;
        let (mut stored, mut texts) = (false, Vec::new());
        let mut sink = |event: Event<'_>| match event {
            Event::Sent { .. } => stored = true,
            Event::Text { text, .. } => texts.push(text.to_vec()),
            Event::Failed { .. } | Event::Refused { .. } | Event::Gap { .. } | Event::Expired { .. } => {
                trouble = Some(format!("{event:?}"));
            }
            _ => {}
        };
        let handled = match self.who {
            Who::Sender => self.sender.handle_response(reply.code, &mut reply.payload, &mut sink),
            Who::Receiver(at) => {
                let receiver = &mut self.receivers[at];
                if let Some(request) = self.attach.take().filter(|_| reply.code == Code::CONTENT.0) {
                    receiver.inlet = Some(Inlet::after(&receiver.key, &request, &reply.payload)?);
                }
                receiver.device.handle_response(reply.code, &mut reply.payload, &mut sink)
            }
            Who::Drain(at) => {
                if reply.code != Code::CONTENT.0 {
                    return Err(format!("a drain was answered with {}", Code(reply.code)));
                }
                let receiver = &mut self.receivers[at];
                receiver.inlet.as_mut().ok_or("a receiver was never attached")?.answered(&reply.payload)?;
                receiver.drained = self.drain_up_to;
                Handled::Done
            }
        };
        if let Some(trouble) = trouble {
            return Err(format!("{:?} of {}: {trouble}", self.who, self.sender.id()));
        }
        match handled {
            Handled::Done => self.refusals = 0,
            Handled::Retry => self.back_off(reply.code)?,
        }
        if stored {
            self.receivers[self.at].stored += 1;
            outcome.stored = Some(reply.took);
        }
        if let Who::Receiver(at) = self.who {
            let id = self.receivers[at].id;
            outcome.texts = texts.into_iter().map(|text| (id, text)).collect();
        }
        Ok(outcome)
    }

    fn back_off(&mut self, code: u8) -> Result<(), String> {
        self.refusals += 1;
        if self.refusals > REFUSALS_MAX {
            return Err(format!("the gateway says {} again and again to {}", Code(code), self.sender.id()));
        }
        self.not_before = self.clock.now() + BACKOFF * (1 << self.refusals.min(6));
        Ok(())
    }
}
