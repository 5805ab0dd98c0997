//! All workers in one loop, on one thread: what it takes of a core says how far it is from being the bottleneck.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sga_coap::Now;
use sga_device::Phase;

use super::clock::Clock;
use super::line::Reply;
use super::worker::{Outcome, RECEIVERS_MAX, Who, Worker};

/// How often timers of all workers are looked at.
const TICK: Duration = Duration::from_millis(10);

/// Turns from one end to the other that a pair may take to be able to talk. A handful is usual; a mailbox that is full of what came
/// before takes two for each block of it.
const TURNS_MAX: u32 = 256;

/// What workers are to do.
pub(crate) trait Plan {
    /// The line is free: makes the next request; `false` if there is none, ever.
    fn next(&mut self, now: Now, worker: &mut Worker) -> Result<bool, String>;

    /// Whether each request comes from another address.
    fn moves(&self) -> bool {
        false
    }

    /// What the last request brought.
    fn outcome(&mut self, _now: Now, _outcome: Outcome) -> Result<(), String> {
        Ok(())
    }
}

pub(crate) struct Drive {
    pub(crate) clock: Clock,
    poll: Poll,
    pub(crate) workers: Vec<Worker>,
    /// Workers that are not done with the plan.
    busy: usize,
    /// Times that one has moved.
    moves: u32,
}

impl Drive {
    /// So many senders, each with its part of the receivers, none of which the gateway knows yet.
    pub(crate) fn new(gateway: SocketAddr, senders: usize, receivers: usize) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot wait for sockets: {error}");
        if receivers.div_ceil(senders) > RECEIVERS_MAX {
            return Err(format!("{receivers} receivers are too many for {senders} senders"));
        }
        let (clock, poll) = (Clock::start(), Poll::new().map_err(failed)?);
        // Throw-away keys of devices that nobody has: the same in each run, so that runs can be compared.
        let mut rng = ChaCha12Rng::from_seed([7; 32]);
        let mut workers = Vec::new();
        for number in 0..senders {
            let part = receivers * number / senders..receivers * (number + 1) / senders;
            let mut worker = Worker::new(clock, gateway, number, part, &mut rng)?;
            let registry = poll.registry();
            registry.register(&mut worker.line.socket, Token(number), Interest::READABLE).map_err(failed)?;
            workers.push(worker);
        }
        Ok(Self { clock, poll, workers, busy: 0, moves: 0 })
    }

    /// Until all workers are done.
    pub(crate) fn run(&mut self, plan: &mut impl Plan) -> Result<(), String> {
        self.busy = self.workers.len();
        for at in 0..self.workers.len() {
            let worker = &mut self.workers[at];
            (worker.done, worker.at, worker.turns) = (false, 0, 0);
            self.step(plan, at)?;
        }
        let mut events = Events::with_capacity(1_024);
        let mut next_tick = self.clock.now() + TICK;
        while self.busy > 0 {
            match self.poll.poll(&mut events, Some(TICK)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("cannot wait for sockets: {error}")),
            }
            for event in &events {
                let Token(at) = event.token();
                let reply = self.workers[at].line.receive(self.clock)?;
                self.take(plan, at, reply)?;
            }
            let now = self.clock.now();
            if now >= next_tick {
                next_tick = now + TICK;
                for at in 0..self.workers.len() {
                    let reply = self.workers[at].line.tick(self.clock)?;
                    self.take(plan, at, reply)?;
                    self.step(plan, at)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, plan: &mut impl Plan, at: usize, reply: Option<Reply>) -> Result<(), String> {
        let Some(reply) = reply else { return Ok(()) };
        let outcome = self.workers[at].take(reply)?;
        plan.outcome(self.clock.now(), outcome)?;
        self.step(plan, at)
    }

    fn step(&mut self, plan: &mut impl Plan, at: usize) -> Result<(), String> {
        let (now, worker) = (self.clock.now(), &mut self.workers[at]);
        if worker.done || !worker.line.is_free() || now < worker.not_before {
            return Ok(());
        }
        // What the gateway put off goes first, whatever the plan wants next.
        if worker.ask()? {
            return Ok(());
        }
        if plan.moves() {
            self.moves += 1;
            worker.line.move_on(self.moves)?;
            let registered = self.poll.registry().register(&mut worker.line.socket, Token(at), Interest::READABLE);
            registered.map_err(|error| format!("cannot wait for a socket: {error}"))?;
        }
        if !plan.next(now, worker)? {
            worker.done = true;
            self.busy -= 1;
        }
        Ok(())
    }
}

/// Registers all devices and brings each sender together with its receivers, which then leave with an empty mailbox.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) requests: u64,
}

impl Plan for Setup {
    fn next(&mut self, _now: Now, worker: &mut Worker) -> Result<bool, String> {
        loop {
            let at = worker.at;
            let Some(receiver) = worker.receivers.get_mut(at) else { return Ok(false) };
            worker.turns += 1;
            if worker.turns > TURNS_MAX {
                return Err(format!("{} and {} do not come together", worker.sender.id(), receiver.id));
            }
            let phase = worker.sender.session(receiver.id).map_or(Phase::Idle, |session| session.phase);
            if !worker.sender.is_attached() {
                worker.sender.register();
                worker.who = Who::Sender;
            } else if !receiver.device.is_attached() {
                receiver.device.register();
                worker.who = Who::Receiver(at);
            } else if phase == Phase::Idle {
                let connected = worker.sender.connect(receiver.id, None);
                connected.map_err(|error| format!("{}: {error}", worker.sender.id()))?;
                worker.who = Who::Sender;
            } else if worker.who == Who::Sender {
                receiver.device.attach(false);
                worker.who = Who::Receiver(at);
            } else if worker.sender.can_send(receiver.id) {
                // The receiver was the last to look, so that nothing is left in its mailbox.
                (worker.at, worker.turns) = (at + 1, 0);
                continue;
            } else {
                worker.sender.attach(false);
                worker.who = Who::Sender;
            }
            if worker.ask()? {
                return Ok(true);
            }
        }
    }

    fn outcome(&mut self, _now: Now, _outcome: Outcome) -> Result<(), String> {
        self.requests += 1;
        Ok(())
    }
}
