//! One device: the core, a CoAP endpoint and a socket; its state is in memory, and its application sends and reads.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::net::UdpSocket;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_coap::{Code, Config, Endpoint, Event, ExchangeId, IncomingResponse, Now, Request};
use sga_crypto::Secret;
use sga_device::{
    Accept, Device, DeviceId, Event as DeviceEvent, Handled, Method, Outgoing, Phase, REQUEST_LEN_MAX, RequestKind,
    Suite, SuiteSet, snapshot_len_max,
};

use super::Traffic;

/// A request that was not dealt with is sent again after this: less than Max-Age says, to see when a gateway has recovered.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The first wait for an acknowledgement: long for loopback, short for a test that restarts the gateway hundreds of times.
const ACK_TIMEOUT: Duration = Duration::from_millis(150);

/// Answers that are kept for tests to look at.
const REFUSED_MAX: usize = 1_000;

/// What a device does about its inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing: its mail waits at the gateway.
    Off,
    /// It observes.
    On,
    /// It observes, and asks until an attach shows nothing more.
    ToTheEnd,
    /// It has come to the end.
    Done,
    /// It did not: it was refused, or not answered, too often.
    GivenUp(String),
}

/// An answer that was no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was asked.
    pub kind: RequestKind,
    /// The answer's code.
    pub code: Code,
    /// Its Max-Age.
    pub max_age: Option<u32>,
}

/// A sealed text that the gateway has not acknowledged.
struct Sealed {
    number: u32,
    run: u32,
    sequence: u32,
    bytes: Vec<u8>,
}

/// See the module's documentation.
pub struct Node {
    id: DeviceId,
    peer: DeviceId,
    device: Device<1>,
    endpoint: Endpoint<ChaCha12Rng>,
    rng: ChaCha12Rng,
    pub(super) socket: UdpSocket,
    gateway: SocketAddr,
    flight: Option<(ExchangeId, RequestKind)>,
    observation: Option<ExchangeId>,
    not_before: Now,
    kept: Option<Sealed>,
    /// Whether it seals new texts.
    pub sends: bool,
    /// Refusals in a row after which it gives up reading, or one request without an answer; without, it never does.
    pub patience: Option<u32>,
    in_a_row: u32,
    reading: Reading,
    /// The last exchange was an attach that succeeded.
    just_attached: bool,
    /// Attaches that succeeded.
    pub attached: u32,
    /// What it has sent.
    pub traffic: Traffic,
    /// What its application was handed, in order.
    pub received: Vec<Vec<u8>>,
    /// What it was refused, as far as there was room.
    pub refused: Vec<Refused>,
    /// It was told that its peer was revoked.
    pub peer_revoked: bool,
    /// What its core gave up: must not happen where the gateway keeps its promise.
    pub failures: Vec<String>,
    /// All datagrams that it sends, where somebody listens.
    pub tape: Option<Vec<Vec<u8>>>,
}

fn config() -> Config {
    Config { ack_timeout: ACK_TIMEOUT, response_wait: Duration::from_secs(5), ..Config::default() }
}

fn bytes(rng: &mut ChaCha12Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

impl Node {
    /// A new device, which registers. Of two, the one with the lower name asks for the session.
    ///
    /// # Errors
    /// There is no socket.
    ///
    /// # Panics
    /// An id is not 1–16 bytes.
    pub fn new(
        id: &str,
        peer: &str,
        gateway: SocketAddr,
        seed: u64,
        text_len: fn(u32) -> usize,
    ) -> std::io::Result<Self> {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let own = DeviceId::new(id.as_bytes()).expect("an id");
        let mut device = Device::new(own, Secret::new(bytes(&mut rng)), Suite::AesCcm8, SuiteSet::ALL, Accept::All)
            .expect("its own suite");
        device.register();
        let peer = DeviceId::new(peer.as_bytes()).expect("an id");
        Self::with(device, peer, gateway, rng, Traffic::new(id.to_owned(), text_len))
    }

    fn with(
        device: Device<1>,
        peer: DeviceId,
        gateway: SocketAddr,
        mut rng: ChaCha12Rng,
        traffic: Traffic,
    ) -> std::io::Result<Self> {
        let endpoint = Endpoint::new(config(), ChaCha12Rng::from_seed(bytes(&mut rng)), [0; 32]);
        Ok(Self {
            id: device.id(),
            peer,
            device,
            endpoint,
            rng,
            socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?,
            gateway,
            flight: None,
            observation: None,
            not_before: Now::ZERO,
            kept: None,
            sends: false,
            patience: None,
            in_a_row: 0,
            reading: Reading::Off,
            just_attached: false,
            attached: 0,
            traffic,
            received: Vec::new(),
            refused: Vec::new(),
            peer_revoked: false,
            failures: Vec::new(),
            tape: None,
        })
    }

    /// The same device once more, as it is now, at another address and for another process of its gateway.
    ///
    /// # Errors
    /// There is no socket.
    ///
    /// # Panics
    /// A text is in flight: its bytes would be missing.
    pub fn twin(&self, gateway: SocketAddr, seed: u64) -> std::io::Result<Self> {
        assert!(self.kept.is_none(), "a text is in flight");
        let mut snapshot = vec![0; snapshot_len_max(1)];
        let len = self.device.snapshot(&mut snapshot).expect("snapshot_len_max is enough");
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let device = Device::restore(&snapshot[..len], &mut rng).expect("its own snapshot");
        let mut twin = Self::with(device, self.peer, gateway, rng, self.traffic.clone())?;
        twin.received.clone_from(&self.received);
        Ok(twin)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        self.id
    }

    /// What it does about its inbox.
    #[must_use]
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// One line about it, for a test that has failed.
    #[must_use]
    pub fn describe(&self) -> String {
        let last = self
            .refused
            .last()
            .map_or_else(String::new, |last| format!(", last refused {:?} {}", last.kind, last.code));
        let session = self.device.session(self.peer).map_or_else(String::new, |session| {
            format!(", session {:?}, confirmed run {:?}", session.phase, session.confirmed)
        });
        format!(
            "{} {:?}, attached {}, sent {}, in flight {:?}{session}{last}, failures {:?}",
            self.id(),
            self.reading(),
            self.device.is_attached(),
            self.is_sent(),
            self.flight,
            self.failures
        )
    }

    /// Begins to read, or stops.
    pub fn read(&mut self, reading: Reading) {
        match reading {
            Reading::On | Reading::ToTheEnd => self.attach(),
            Reading::Off | Reading::Done | Reading::GivenUp(_) => {
                // A notification that still comes is answered with Reset, so that the gateway knows.
                if let Some(old) = self.observation.take() {
                    self.endpoint.cancel(old);
                }
            }
        }
        self.in_a_row = 0;
        self.reading = reading;
    }

    fn attach(&mut self) {
        self.device.attach(true);
        self.just_attached = false;
    }

    /// Whether texts can be sent to the peer.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.device.session(self.peer).is_some_and(|session| session.established && session.confirmed.is_some())
    }

    /// Makes the session's next run due.
    ///
    /// # Panics
    /// There is no session.
    pub fn rekey(&mut self) {
        self.device.rekey(self.peer).expect("a session with numbers left");
    }

    /// Whether all that was sealed was acknowledged.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.kept.is_none()
    }

    /// The gateway is a new process: what the old one was asked is asked again at once, and the inbox is opened again.
    pub fn gateway_restarted(&mut self) {
        if let Some((exchange, _)) = self.flight.take() {
            self.endpoint.cancel(exchange);
            self.device.handle_failure();
        }
        if let Some(old) = self.observation.take() {
            self.endpoint.cancel(old);
        }
        self.not_before = Now::ZERO;
        if self.reading != Reading::Off {
            self.attach();
        }
    }

    /// Takes what has arrived, and does what is due until something has to be waited for.
    pub(super) fn work(&mut self, now: Now) {
        let mut buffer = [0; 2_048];
        while let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
            if from == self.gateway {
                self.endpoint.handle_datagram(now, from, &buffer[..len]);
            }
        }
        self.endpoint.handle_timeout(now);
        loop {
            self.take_events(now);
            let busy = self.flight.is_some() || now < self.not_before || !self.next_request(now);
            // A datagram that the socket does not take is one that was lost.
            while let Some(transmit) = self.endpoint.poll_transmit() {
                let _ = self.socket.send_to(&transmit.bytes, transmit.peer);
                if let Some(tape) = &mut self.tape {
                    tape.push(transmit.bytes);
                }
            }
            if busy {
                return;
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Now> {
        let endpoint = self.endpoint.poll_deadline().map(|(at, _)| at);
        let retry = (self.flight.is_none() && self.not_before > Now::ZERO).then_some(self.not_before);
        [endpoint, retry].into_iter().flatten().min()
    }

    /// Sends what is due; false if nothing is.
    fn next_request(&mut self, now: Now) -> bool {
        self.not_before = Now::ZERO;
        let mut buf = [0; REQUEST_LEN_MAX];
        if self.reading == Reading::ToTheEnd && self.kept.is_some() && self.device.is_attached() {
            // A text that is refused again and again is due for ever, and not what this is about.
            self.device.saved();
            if let Ok(Some(outgoing)) = self.device.poll_acknowledgement(&mut buf) {
                self.request(now, &outgoing, &buf[..outgoing.len]);
                return true;
            }
            if self.just_attached {
                self.read(Reading::Done);
                return false;
            }
            self.attach();
        }
        loop {
            // Memory is its medium.
            self.device.saved();
            match self.device.poll_request(&mut self.rng, &mut buf) {
                Ok(Some(outgoing)) => {
                    self.request(now, &outgoing, &buf[..outgoing.len]);
                    return true;
                }
                Ok(None) if self.device.needs_save() => {}
                Ok(None) if self.seal() => {}
                Ok(None) => return self.idle(),
                Err(error) => {
                    self.failures.push(error.to_string());
                    return false;
                }
            }
        }
    }

    /// Nothing is due: the application has its turn. True if there is something now.
    fn idle(&mut self) -> bool {
        if self.reading == Reading::ToTheEnd {
            if self.just_attached {
                self.read(Reading::Done);
                return false;
            }
            self.attach();
            return true;
        }
        let invites = self.device.is_attached() && self.sends && self.is_inviter() && self.phase() == Phase::Idle;
        invites && self.device.connect(self.peer, None).is_ok()
    }

    fn is_inviter(&self) -> bool {
        self.id.as_bytes() < self.peer.as_bytes()
    }

    fn phase(&self) -> Phase {
        self.device.session(self.peer).map_or(Phase::Idle, |session| session.phase)
    }

    /// Seals the next text, if it may. Only when nothing else is due: the core sends a text before an acknowledgement of its
    /// inbox, so that one that always had a text would never acknowledge anything.
    fn seal(&mut self) -> bool {
        if !self.sends || self.kept.is_some() || !self.device.can_send(self.peer) {
            return false;
        }
        let (number, text) = self.traffic.next();
        let mut bytes = vec![0; text.len() + 64];
        match self.device.send(self.peer, &text, &mut bytes) {
            Ok(sealed) => {
                bytes.truncate(sealed.len);
                self.kept = Some(Sealed { number, run: sealed.run, sequence: sealed.sequence, bytes });
                self.traffic.sealed();
                true
            }
            Err(error) => {
                self.failures.push(format!("text {number}: {error}"));
                false
            }
        }
    }

    fn request(&mut self, now: Now, outgoing: &Outgoing, written: &[u8]) {
        let payload = match (&outgoing.stored, &self.kept) {
            (None, _) => written.to_vec(),
            (Some(_), Some(kept)) => kept.bytes.clone(),
            (Some(stored), None) => {
                self.failures.push(format!("{stored:?} is wanted and not there"));
                self.device.handle_failure();
                self.device.abandon(self.peer);
                return;
            }
        };
        if let RequestKind::Attach { .. } = outgoing.kind
            && let Some(old) = self.observation.take()
        {
            self.endpoint.cancel(old);
        }
        self.just_attached = false;
        let method = match outgoing.method {
            Method::Get => Code::GET,
            Method::Post => Code::POST,
            Method::Fetch => Code::FETCH,
        };
        let mut request = Request::new(method, [outgoing.path]);
        request.payload = payload;
        request.content_format = outgoing.content_format;
        request.observe = outgoing.observe.then_some(true);
        match self.endpoint.request(now, self.gateway, request) {
            Ok(exchange) => self.flight = Some((exchange, outgoing.kind)),
            Err(error) => {
                self.failures.push(error.to_string());
                self.device.handle_failure();
                self.not_before = now + RETRY_AFTER;
            }
        }
    }

    fn take_events(&mut self, now: Now) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Response { id, response } => self.take_response(now, id, response),
                Event::Failed { id, error } => {
                    if let Some((_, kind)) = self.flight.take_if(|(exchange, _)| *exchange == id) {
                        self.device.handle_failure();
                        self.not_before = now + RETRY_AFTER;
                        // No answer is worse than a refusal: it has waited for long.
                        self.in_a_row = u32::MAX - 1;
                        self.refusal(format!("{kind:?}: {error}"));
                    } else if self.observation.take_if(|old| *old == id).is_some() && self.reading == Reading::On {
                        self.attach();
                    }
                }
                _ => {}
            }
        }
    }

    fn take_response(&mut self, now: Now, id: ExchangeId, mut response: IncomingResponse) {
        let goes_on = response.observe.is_some();
        if let Some((_, kind)) = self.flight.take_if(|(exchange, _)| *exchange == id) {
            if goes_on {
                self.observation = Some(id);
            }
            let handled = self.device.handle_response(
                response.code.0,
                &mut response.payload,
                &mut sink(
                    &mut self.kept,
                    &mut self.traffic,
                    &mut self.received,
                    &mut self.peer_revoked,
                    &mut self.failures,
                ),
            );
            if handled == Handled::Retry {
                self.not_before = now + RETRY_AFTER;
            }
            if response.code.is_success() {
                self.in_a_row = 0;
            } else {
                if self.refused.len() < REFUSED_MAX {
                    self.refused.push(Refused { kind, code: response.code, max_age: response.max_age });
                }
                self.refusal(format!("{kind:?}: {}", response.code));
            }
            if matches!(kind, RequestKind::Attach { .. }) && response.code == Code::CONTENT {
                self.attached += 1;
                self.just_attached = true;
            }
        } else if self.observation == Some(id) {
            if response.code.is_success() {
                self.device.handle_notification(
                    &mut response.payload,
                    &mut sink(
                        &mut self.kept,
                        &mut self.traffic,
                        &mut self.received,
                        &mut self.peer_revoked,
                        &mut self.failures,
                    ),
                );
            }
            if !goes_on {
                self.observation = None;
                if self.reading == Reading::On {
                    self.attach();
                }
            }
        }
    }

    fn refusal(&mut self, why: String) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.reading == Reading::ToTheEnd && self.patience.is_some_and(|patience| self.in_a_row >= patience) {
            self.read(Reading::GivenUp(why));
        }
    }
}

/// Sorts what the core reports.
fn sink(
    kept: &mut Option<Sealed>,
    traffic: &mut Traffic,
    received: &mut Vec<Vec<u8>>,
    peer_revoked: &mut bool,
    failures: &mut Vec<String>,
) -> impl FnMut(DeviceEvent<'_>) {
    move |event| match event {
        DeviceEvent::Text { text, .. } => received.push(text.to_vec()),
        DeviceEvent::Sent { run, sequence, .. } => {
            if let Some(sealed) = kept.take_if(|sealed| (sealed.run, sealed.sequence) == (run, sequence)) {
                traffic.acknowledge(sealed.number);
            }
        }
        DeviceEvent::SessionEnded { revoked, .. } => *peer_revoked |= revoked,
        DeviceEvent::Failed { what } => {
            if matches!(what, sga_device::Failure::TextLost { .. }) {
                *kept = None;
            }
            failures.push(format!("{what:?}"));
        }
        _ => {}
    }
}
