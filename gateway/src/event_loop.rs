//! The loop: one thread that owns the core and never waits for anything but events.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token, Waker};
use rand_chacha::ChaCha12Rng;
use sga_gateway_core::{Gateway, Now};

use crate::accelerator::Accelerator;
use crate::admission::Admission;
use crate::clock::Clock;
use crate::control::Order;
use crate::error::Error;
use crate::keys::Keys;
use crate::limits::{DONE_MAX, STOP_WAIT};
use crate::socket::{Recipient, Sockets};
use crate::store::{Completion, Store};

const WAKER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);

/// What the loop is made of before it has a store.
pub(crate) struct Reactor {
    poll: Poll,
    waker: Arc<Waker>,
    signals: UnixStream,
}

impl Reactor {
    /// SIGTERM and SIGINT are events from here on.
    pub(crate) fn new() -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::new(format!("cannot start the event loop: {error}"));
        let poll = Poll::new().map_err(failed)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(failed)?);
        let (mut signals, sender) = UnixStream::pair().map_err(failed)?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE).map_err(failed)?;
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            let sender = duplicate(&sender).map_err(failed)?;
            signal_hook::low_level::pipe::register(signal, sender).map_err(failed)?;
        }
        Ok(Self { poll, waker, signals })
    }

    pub(crate) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    pub(crate) fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }
}

/// The core, at one moment.
struct Inlet<'a> {
    gateway: &'a mut Gateway<ChaCha12Rng>,
    now: Now,
}

impl Recipient for Inlet<'_> {
    fn knows(&self, peer: SocketAddr) -> bool {
        self.gateway.is_known(self.now, peer)
    }

    fn take(&mut self, peer: SocketAddr, bytes: &[u8]) {
        self.gateway.handle_datagram(self.now, peer, bytes);
    }
}

/// Takes so many, or all that there are; true if there may be more.
fn at_most<T>(max: usize, mut poll: impl FnMut() -> Option<T>, mut take: impl FnMut(T)) -> bool {
    for _ in 0..max {
        match poll() {
            Some(one) => take(one),
            None => return false,
        }
    }
    true
}

fn duplicate(stream: &UnixStream) -> std::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::AsFd;
    stream.as_fd().try_clone_to_owned()
}

/// Everything that the loop owns.
pub(crate) struct Shell {
    pub(crate) reactor: Reactor,
    pub(crate) clock: Clock,
    pub(crate) sockets: Sockets,
    pub(crate) store: Store,
    pub(crate) accelerator: Accelerator,
    pub(crate) gateway: Gateway<ChaCha12Rng>,
    /// The operator's orders.
    pub(crate) ordered: Receiver<Order>,
    /// The folder with the keys.
    pub(crate) data: PathBuf,
}

impl Shell {
    /// Serves until a signal asks to stop; then waits for what the store has in hand.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(256);
        let mut readable = vec![true; self.sockets.len()];
        self.gateway.handle_timeout(self.clock.now());
        self.hand_out()?;
        // Whether threads have done more than one wake-up takes in.
        let mut left = false;
        // Whether datagrams wait for the turn of their source.
        let mut waiting = false;
        let mut admission = Admission::new();
        loop {
            let more = left || waiting || readable.iter().any(|&readable| readable);
            self.wait(&mut events, if more { Some(Duration::ZERO) } else { self.until_deadline() })?;
            // Read once: everything that this wake-up does happens at the same time.
            let now = self.clock.now();
            for event in &events {
                match event.token() {
                    SIGNALS => return self.stop(),
                    WAKER => {}
                    Token(at) => {
                        if event.is_readable() {
                            readable[at] = true;
                        }
                        if event.is_writable() {
                            self.sockets.writable(at);
                        }
                    }
                }
            }
            for (at, readable) in readable.iter_mut().enumerate() {
                if *readable {
                    *readable = self.sockets.read(at, now, &mut admission, &Inlet { gateway: &mut self.gateway, now });
                }
            }
            waiting = self.sockets.deal(now, &admission, &mut Inlet { gateway: &mut self.gateway, now });
            let unread = readable.iter().any(|&readable| readable);
            admission.turn(now, unread || waiting);
            if let Some(shed) = admission.take_shed(now) {
                log::warn!(
                    "more datagrams come than can be dealt with; {shed} were thrown away, those of unknown addresses first"
                );
            }
            left = self.take_in(now);
            if self.gateway.poll_deadline().is_some_and(|(at, _)| at <= now) {
                self.gateway.handle_timeout(now);
            }
            self.hand_out()?;
        }
    }

    fn until_deadline(&self) -> Option<Duration> {
        // Rounded up: the poller counts in milliseconds, and one too early would only come back.
        let (at, _) = self.gateway.poll_deadline()?;
        Some(at.saturating_sub(self.clock.now()) + Duration::from_millis(1))
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> Result<(), Error> {
        match self.reactor.poll.poll(events, timeout) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            Err(error) => Err(Error::new(format!("the event loop failed: {error}"))),
        }
    }

    /// What threads have done; true if there may be more of it.
    fn take_in(&mut self, now: Now) -> bool {
        let Self { store, accelerator, gateway, .. } = self;
        let stored = at_most(
            DONE_MAX,
            || store.poll_done(),
            |completion| match completion {
                Completion::Commit(id, result) => gateway.handle_commit_done(now, id, result),
                Completion::Load(id, found) => gateway.handle_load_done(now, id, found),
            },
        );
        let computed =
            at_most(DONE_MAX, || accelerator.poll_done(), |(id, outcome)| gateway.handle_job_done(now, id, outcome));
        while let Ok(order) = self.ordered.try_recv() {
            match order {
                Order::Revoked(revoked) => {
                    log::info!("{} devices are revoked", revoked.len());
                    self.gateway.set_revoked(now, revoked);
                }
                Order::Uptime(reply) => {
                    // Who asked may have given up.
                    let _ = reply.send(self.gateway.uptime_s(now));
                }
                Order::Keys(keys) => {
                    self.gateway.set_keys(now, keys.gateway.pair.clone(), keys.rotations, keys.previous.clone());
                }
            }
        }
        stored || computed
    }

    /// What the core wants done, as far as there is room for it; an error if a thread has stopped, without which nothing goes on.
    fn hand_out(&mut self) -> Result<(), Error> {
        if self.gateway.poll_overlap_over() {
            let data = self.data.clone();
            let erase = move || match Keys::end_overlap(&data) {
                Ok(_) => log::info!("the previous key pair is erased"),
                Err(error) => log::error!("the previous key pair is not erased: {error}"),
            };
            // It waits for the disk.
            if let Err(error) = std::thread::Builder::new().name("keys".to_owned()).spawn(erase) {
                log::error!(
                    "the previous key pair is not erased before the next start: cannot start a thread: {error}"
                );
            }
        }
        self.store.loads().fill(|| self.gateway.poll_load())?;
        self.store.commits().fill(|| self.gateway.poll_commit())?;
        self.accelerator.jobs().fill(|| self.gateway.poll_job())?;
        while let Some(transmit) = self.gateway.poll_transmit() {
            self.sockets.send(transmit);
        }
        Ok(())
    }

    /// Takes no more datagrams; answers what was committed, writes the counters, and lets the store finish.
    fn stop(mut self) -> Result<(), Error> {
        log::info!("stopping");
        let mut byte = [0; 16];
        let _ = self.reactor.signals.read(&mut byte);
        let until = self.clock.now() + STOP_WAIT;
        self.gateway.shutdown_commit(self.clock.now());
        self.hand_out()?;
        let mut events = Events::with_capacity(16);
        while !self.gateway.is_idle() {
            let now = self.clock.now();
            if now >= until {
                log::warn!("some requests were not finished; their senders ask again");
                break;
            }
            self.wait(&mut events, Some(until - now))?;
            let now = self.clock.now();
            while self.take_in(now) {}
            self.hand_out()?;
        }
        self.store.stop();
        log::info!("stopped");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
