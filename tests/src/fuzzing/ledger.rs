//! What must hold of an endpoint whatever is done to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sga_coap::{Config, Event, ExchangeId, IncomingRequest, Now, RequestId, Usage, limits};

use crate::script::wire::Message;

/// A message that was sent while its receiver was verified may be repeated for this long: MAX_TRANSMIT_WAIT of RFC 7252 §4.8.2, and
/// what timers are late.
const TRANSMIT_WAIT: Duration = Duration::from_secs(93 + 5 * super::world::LATE_MAX.as_secs());

#[derive(Debug, Default)]
struct Account {
    received: usize,
    /// While it was not verified.
    sent: usize,
    /// What it may be sent beside three times what it sent.
    extra: usize,
    verified_at: Option<Now>,
}

/// Everything that has happened, as far as something must follow from it.
#[derive(Debug)]
pub(crate) struct Ledger {
    config: Config,
    accounts: BTreeMap<SocketAddr, Account>,
    /// When each confirmable request was handed over, unless it was refused, and for how long it is remembered.
    handed_over: BTreeMap<(SocketAddr, u16), (Now, Duration)>,
    /// The message ID of each request.
    requests: BTreeMap<RequestId, u16>,
    /// Own exchanges that have not ended.
    pub(crate) exchanges: Vec<ExchangeId>,
    /// Whether nothing is forgotten before its time for want of room.
    roomy: bool,
}

impl Ledger {
    pub(crate) fn new(config: Config, roomy: bool) -> Self {
        let (handed_over, requests) = (BTreeMap::new(), BTreeMap::new());
        Self { config, accounts: BTreeMap::new(), handed_over, requests, exchanges: Vec::new(), roomy }
    }

    pub(crate) fn received(&mut self, peer: SocketAddr, len: usize) {
        self.accounts.entry(peer).or_default().received += len;
    }

    /// What a notification cost is given back with its acknowledgement: at most what its registration allowed.
    pub(crate) fn acknowledged(&mut self, peer: SocketAddr, registration_len: usize) {
        self.accounts.entry(peer).or_default().extra += limits::AMPLIFICATION * registration_len;
    }

    pub(crate) fn verified(&mut self, now: Now, peer: SocketAddr) {
        self.accounts.entry(peer).or_default().verified_at = Some(now);
    }

    /// An address that has not shown that it receives gets at most three times what it sent, and all that is sent is well formed.
    pub(crate) fn sent(&mut self, now: Now, peer: SocketAddr, bytes: &[u8]) -> Message {
        let message = Message::decode(bytes).unwrap_or_else(|why| panic!("sent {why}: {bytes:02x?}"));
        assert!(bytes.len() <= self.config.max_datagram, "a datagram of {} bytes", bytes.len());
        let account = self.accounts.entry(peer).or_default();
        if account.verified_at.is_none_or(|at| now > at + TRANSMIT_WAIT) {
            account.sent += bytes.len();
            let (sent, received) = (account.sent, account.received);
            let allowed = limits::AMPLIFICATION * received + account.extra;
            assert!(sent <= allowed, "{peer}: {sent} bytes for {received}: {}", message.describe());
        }
        message
    }

    /// What was refused has changed nothing: it may come again where room is short.
    pub(crate) fn answered(&mut self, request: &IncomingRequest, ran: bool) {
        if !ran && !self.roomy {
            let mid = self.requests.get(&request.id).copied().unwrap_or_default();
            self.handed_over.remove(&(request.peer, mid));
        }
    }

    /// A confirmable request reaches the application once. One that may run twice is forgotten early where room is short.
    pub(crate) fn handed_over(&mut self, now: Now, mid: u16, event: &Event) {
        let Event::Request(request) = event else { return };
        assert_eq!(self.requests.insert(request.id, mid), None, "{:?} was used before", request.id);
        if !request.confirmable {
            return;
        }
        let is_safe = matches!(request.method, sga_coap::Code::GET | sga_coap::Code::FETCH);
        let lifetime = match (self.roomy, is_safe) {
            (true, _) => self.config.exchange_lifetime,
            (false, true) => Duration::ZERO,
            (false, false) => self.config.dedup_protected,
        };
        if let Some((before, lifetime)) = self.handed_over.insert((request.peer, mid), (now, lifetime)) {
            assert!(now >= before + lifetime, "{} {mid}: handed over at {before:?} and {now:?}", request.peer);
        }
    }

    /// An exchange of the client's ends once, with an answer or a reason.
    pub(crate) fn told(&mut self, event: &Event) {
        let (id, ends) = match event {
            Event::Response { id, response } => (*id, response.observe.is_none()),
            Event::Failed { id, .. } => (*id, true),
            _ => return,
        };
        assert!(self.exchanges.contains(&id), "{id:?} had ended: {event:?}");
        if ends {
            self.exchanges.retain(|live| *live != id);
        }
    }

    /// Every table keeps its bound.
    pub(crate) fn check(&self, usage: &Usage) {
        let config = &self.config;
        // Requests with the application, separate answers, notifications, own exchanges and what they wait for.
        let timers = 2 * config.pending_max + config.observers_max + 2 * config.exchanges_max;
        for (name, used, bound) in [
            ("dedup", usage.dedup, config.dedup_max),
            ("pending", usage.pending, config.pending_max),
            ("upload_bytes", usage.upload_bytes, config.upload_bytes_max),
            ("snapshots", usage.snapshots, config.snapshots_max),
            ("observers", usage.observers, config.observers_max),
            ("verified", usage.verified, config.verified_max),
            ("exchanges", usage.exchanges, config.exchanges_max),
            ("timers", usage.timers, timers),
        ] {
            assert!(used <= bound, "{name}: {used} of {bound}");
        }
    }
}

/// Nothing is left.
pub(crate) fn check_empty(usage: &Usage) {
    let Usage { dedup, pending, upload_bytes, snapshots, observers, verified, exchanges, timers } = *usage;
    let all = [dedup, pending, upload_bytes, snapshots, observers, verified, exchanges, timers];
    assert_eq!(all, [0; 8], "{usage:?}");
}
