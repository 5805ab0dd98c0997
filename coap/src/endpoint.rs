//! The endpoint: front door, queues and timers.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use rand_core::Rng;

use crate::Now;
use crate::client::Client;
use crate::code::Code;
use crate::config::Config;
use crate::dedup::Dedup;
use crate::echo::Echo;
use crate::event::{Event, ExchangeError, ExchangeId, GoneReason, RequestId};
use crate::limits;
use crate::message::Response;
use crate::observers::Observers;
use crate::outgoing::{Due, Outgoing, Purpose};
use crate::reply::ReplyTo;
use crate::snapshot::Snapshots;
use crate::token::Token;
use crate::upload::Uploads;
use crate::wire::{self, Header, Kind, Malformed, Message};

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub peer: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// How full an endpoint's tables are: for metrics, and for tests of the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Remembered message IDs.
    pub dedup: usize,
    /// Requests that wait for the application.
    pub pending: usize,
    /// Bytes of unfinished uploads.
    pub upload_bytes: usize,
    /// Answers kept for Block2 follow-ups.
    pub snapshots: usize,
    /// Observers.
    pub observers: usize,
    /// Verified addresses.
    pub verified: usize,
    /// Own exchanges and observations.
    pub exchanges: usize,
    /// Timers set.
    pub timers: usize,
}

/// What a request has to show before anything is done for it: less for peers that are welcome, more under attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Demand {
    /// What [`Config::needs_verified_address`] says.
    #[default]
    Usual,
    /// That its address receives, shown now or not long ago.
    Verified,
    /// That its address receives, shown by this very request. What comes from a forged address cannot show it, not even if the
    /// address has.
    Proven,
}

/// Why the endpoint wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deadline {
    /// A confirmable message of ours has not been acknowledged.
    Retransmit {
        /// Where it went.
        peer: SocketAddr,
        /// Its message ID.
        mid: u16,
    },
    /// The application has not answered a request; it will be acknowledged empty.
    SeparateAck(RequestId),
    /// The application has not answered a request within its lifetime; it is given up.
    Abandoned(RequestId),
    /// A separate response has not come.
    ResponseOverdue(ExchangeId),
    /// Something remembered has outlived its use.
    Expiry,
}

/// Why a notification was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyError {
    /// There is no such observer.
    Unknown,
}

/// Why a request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// Too many exchanges with this peer or in all.
    Full,
    /// A body larger than `Config::max_body`.
    TooLarge,
    /// A path or query part of more than 255 bytes, options that leave no room for a block, or a block size above 6.
    Invalid,
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotifyError::Unknown => "no such observer",
        })
    }
}

impl std::error::Error for NotifyError {}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestError::Full => "too many exchanges",
            RequestError::TooLarge => "the body is too large",
            RequestError::Invalid => "a part of the request cannot be encoded",
        })
    }
}

impl std::error::Error for RequestError {}

/// A CoAP server and client. See the crate's documentation.
///
/// Call [`Endpoint::handle_datagram`] and [`Endpoint::handle_timeout`] as things happen; after these, and after every
/// other call that takes `&mut self`, empty [`Endpoint::poll_event`] and [`Endpoint::poll_transmit`] and look at
/// [`Endpoint::poll_deadline`] again.
pub struct Endpoint<R> {
    pub(crate) config: Config,
    pub(crate) rng: R,
    pub(crate) echo: Echo,
    pub(crate) dedup: Dedup,
    pub(crate) outgoing: Outgoing,
    pub(crate) uploads: Uploads,
    pub(crate) snapshots: Snapshots,
    pub(crate) observers: Observers,
    pub(crate) client: Client,
    pub(crate) pending: BTreeMap<RequestId, ReplyTo>,
    pub(crate) pending_per_peer: BTreeMap<SocketAddr, usize>,
    pub(crate) timers: BTreeSet<(Now, Deadline)>,
    pub(crate) events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    last_id: u64,
    /// The last time that was given, for calls that are given none.
    pub(crate) latest: Now,
    /// Of the datagram in hand.
    pub(crate) demand: Demand,
}

impl<R: Rng> Endpoint<R> {
    /// `rng` gives message IDs, tokens and jitter; for a server on the open network it must be cryptographic, since
    /// tokens and message IDs are what a forger off the path has to guess. `echo_key` must be secret and random.
    pub fn new(config: Config, rng: R, echo_key: [u8; 32]) -> Self {
        Endpoint {
            config,
            rng,
            echo: Echo::new(&echo_key),
            dedup: Dedup::new(),
            outgoing: Outgoing::new(),
            uploads: Uploads::new(),
            snapshots: Snapshots::new(),
            observers: Observers::new(),
            client: Client::new(),
            pending: BTreeMap::new(),
            pending_per_peer: BTreeMap::new(),
            timers: BTreeSet::new(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            last_id: 0,
            latest: Now::ZERO,
            demand: Demand::Usual,
        }
    }

    /// Takes a datagram. Never fails; what is dropped says why in the log.
    pub fn handle_datagram(&mut self, now: Now, peer: SocketAddr, bytes: &[u8]) {
        self.handle_demanding(now, peer, bytes, Demand::Usual);
    }

    /// The same, with more asked of requests other than GET: those that do not show it are answered with an Echo value.
    pub fn handle_demanding(&mut self, now: Now, peer: SocketAddr, bytes: &[u8], demand: Demand) {
        self.demand = demand;
        self.latest = now;
        if peer.port() == 0 || peer.ip().is_unspecified() || peer.ip().is_multicast() {
            log::debug!("{peer}: dropped, no one can be answered there");
            return;
        }
        let header = match wire::header(bytes) {
            Ok(header) => header,
            Err(why) => return log::debug!("{peer}: dropped {} bytes: {why}", bytes.len()),
        };
        if bytes.len() > self.config.max_datagram {
            return self.refuse_long(now, peer, header, bytes);
        }
        match wire::decode(header, bytes) {
            Ok(message) => self.dispatch(now, peer, message, bytes.len()),
            Err(why) => self.reject(peer, header.kind, header.mid, why),
        }
    }

    fn dispatch(&mut self, now: Now, peer: SocketAddr, message: Message, len: usize) {
        let code = message.code;
        match message.kind {
            Kind::Con | Kind::Non if code.is_request() => self.handle_request(now, peer, message, len),
            Kind::Con | Kind::Non if code.is_response() => self.handle_response(now, peer, message),
            Kind::Con => {
                log::debug!("{peer}: reset of {} (ping, or a reserved class)", message.mid);
                self.transmit(peer, Message::empty(Kind::Rst, message.mid).encode());
            }
            Kind::Ack if code == Code::EMPTY => self.handle_ack(now, peer, message.mid),
            Kind::Ack if code.is_response() => self.handle_piggybacked(now, peer, message),
            Kind::Rst if code == Code::EMPTY => self.handle_reset(now, peer, message.mid),
            kind => log::debug!("{peer}: dropped {kind:?} {code}"),
        }
    }

    /// A format error: Reset for what was confirmable, silence for the rest (RFC 7252 §4.2, §4.3).
    fn reject(&mut self, peer: SocketAddr, kind: Kind, mid: u16, why: Malformed) {
        log::debug!("{peer}: malformed {kind:?} {mid}: {why}");
        if kind == Kind::Con {
            self.transmit(peer, Message::empty(Kind::Rst, mid).encode());
        }
    }

    /// A datagram past the limit: 4.13 where it is a request whose token can be read.
    fn refuse_long(&mut self, now: Now, peer: SocketAddr, header: Header, bytes: &[u8]) {
        let token = bytes.get(4..4 + usize::from(header.token_len)).and_then(Token::new);
        match (header.kind, token) {
            (Kind::Con, Some(token)) if header.code.is_request() => {
                log::debug!("{peer}: {} bytes are past the limit", bytes.len());
                let message = Message::new(header.kind, header.code, header.mid, token);
                let mut to = ReplyTo::new(peer, &message, bytes.len());
                to.size1 = Some(self.config.max_body as u32);
                let problem = Response::problem(Code::REQUEST_ENTITY_TOO_LARGE, "datagram too large", "use Block1");
                self.reply(now, &to, problem);
            }
            (kind, _) => self.reject(peer, kind, header.mid, Malformed::TooLong),
        }
    }

    fn handle_ack(&mut self, now: Now, peer: SocketAddr, mid: u16) {
        match self.stop_retransmitting((peer, mid)) {
            Some(Purpose::Notification { token, id }) => self.notification_acked(now, peer, token, id),
            Some(Purpose::Exchange(id)) => self.await_separate(now, id),
            Some(Purpose::Separate) => {}
            None => log::debug!("{peer}: unsolicited ACK {mid}"),
        }
    }

    fn handle_reset(&mut self, now: Now, peer: SocketAddr, mid: u16) {
        match self.stop_retransmitting((peer, mid)) {
            Some(Purpose::Notification { token, .. }) => self.observer_gone(peer, token, GoneReason::Reset),
            Some(Purpose::Exchange(id)) => self.fail(now, id, ExchangeError::Reset),
            Some(Purpose::Separate) => log::debug!("{peer}: our separate response {mid} was reset"),
            None => match self.observers.by_non(peer, mid) {
                Some(token) => self.observer_gone(peer, token, GoneReason::Reset),
                None => log::debug!("{peer}: unsolicited RST {mid}"),
            },
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// When [`Endpoint::handle_timeout`] is due next, and why.
    pub fn poll_deadline(&self) -> Option<(Now, Deadline)> {
        let expiries = [
            self.dedup.next_expiry(),
            self.outgoing.next_expiry(),
            self.uploads.next_expiry(),
            self.snapshots.next_expiry(),
            self.echo.next_expiry(),
            self.client.seen.next_expiry(),
            self.observers.next_idle(),
        ];
        let expiry = expiries.into_iter().flatten().min().map(|time| (time, Deadline::Expiry));
        self.timers.first().copied().into_iter().chain(expiry).min()
    }

    /// Does what is due at `now`, as much as one call may do: what is left makes [`Endpoint::poll_deadline`] lie in the past.
    pub fn handle_timeout(&mut self, now: Now) {
        self.latest = now;
        for _ in 0..limits::MAX_TIMERS_AT_ONCE {
            let Some(&(time, deadline)) = self.timers.first().filter(|(time, _)| *time <= now) else { break };
            self.timers.remove(&(time, deadline));
            match deadline {
                Deadline::Retransmit { peer, mid } => self.retransmit(now, peer, mid),
                Deadline::SeparateAck(id) => self.acknowledge_pending(now, id),
                Deadline::Abandoned(id) => {
                    if let Some(to) = self.take_pending(id) {
                        log::warn!("{}: the application never answered {id:?}", to.peer);
                    }
                }
                Deadline::ResponseOverdue(id) => self.fail(now, id, ExchangeError::TimedOut),
                Deadline::Expiry => {}
            }
        }
        self.dedup.expire(now);
        self.outgoing.expire(now);
        self.uploads.expire(now);
        self.snapshots.expire(now);
        self.echo.expire(now);
        self.client.seen.drop_expired(now, |_, _| {});
        for _ in 0..limits::MAX_TIMERS_AT_ONCE {
            let Some((peer, token)) = self.observers.pop_idle(now, &self.config) else { break };
            self.events.push_back(Event::ObserverIdle { peer, token });
        }
    }

    fn retransmit(&mut self, now: Now, peer: SocketAddr, mid: u16) {
        if self.send_newer(now, peer, mid) {
            return;
        }
        match self.outgoing.due(now, &(peer, mid)) {
            Some(Due::Again { bytes, due }) => {
                self.timers.insert((due, Deadline::Retransmit { peer, mid }));
                self.transmit(peer, bytes);
            }
            Some(Due::GivenUp(Purpose::Notification { token, .. })) => {
                self.observer_gone(peer, token, GoneReason::TimedOut);
            }
            Some(Due::GivenUp(Purpose::Exchange(id))) => self.fail(now, id, ExchangeError::TimedOut),
            Some(Due::GivenUp(Purpose::Separate)) => {
                log::debug!("{peer}: separate response {mid} given up")
            }
            None => {}
        }
    }

    /// Sends a confirmable message and keeps it until it is acknowledged.
    pub(crate) fn send_confirmable(&mut self, now: Now, peer: SocketAddr, message: &Message, why: Purpose, again: u32) {
        let bytes = message.encode();
        let mid = message.mid;
        self.transmit(peer, bytes.clone());
        let due = self.outgoing.insert(now, (peer, mid), (why, bytes), again, (&mut self.rng, &self.config));
        self.timers.insert((due, Deadline::Retransmit { peer, mid }));
    }

    /// Forgets a confirmable message of ours; says what it was for.
    pub(crate) fn stop_retransmitting(&mut self, key: (SocketAddr, u16)) -> Option<Purpose> {
        let waiting = self.outgoing.remove(&key)?;
        self.timers.remove(&(waiting.due, Deadline::Retransmit { peer: key.0, mid: key.1 }));
        Some(waiting.purpose)
    }

    pub(crate) fn transmit(&mut self, peer: SocketAddr, bytes: Vec<u8>) {
        self.transmits.push_back(Transmit { peer, bytes });
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The application knows that this address receives (it opened a sealed request, say).
    pub fn mark_verified(&mut self, peer: SocketAddr, now: Now) {
        self.echo.mark_verified(now, peer, None, &self.config);
    }

    /// Whether this address has shown, not long ago, that it receives.
    pub fn is_verified(&self, peer: SocketAddr, now: Now) -> bool {
        self.echo.is_verified(now, peer)
    }

    /// How full the tables are.
    pub fn usage(&self) -> Usage {
        Usage {
            dedup: self.dedup.len(),
            pending: self.pending.len(),
            upload_bytes: self.uploads.bytes(),
            snapshots: self.snapshots.len(),
            observers: self.observers.len(),
            verified: self.echo.verified_count(),
            exchanges: self.client.len(),
            timers: self.timers.len(),
        }
    }
}
