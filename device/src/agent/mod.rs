//! A device with a network: the core, a CoAP endpoint, and what has to be on disk before anything else may happen.
//!
//! Still without socket, clock and disk: datagrams and the time go in; datagrams, an image of the durable state, texts and notices
//! come out. The round of whoever drives it:
//! 1. [`Agent::drive`];
//! 2. while [`Agent::poll_save`] gives an image: make it durable, call [`Agent::saved`], drive again;
//! 3. send what [`Agent::poll_transmit`] gives; hand up [`Agent::poll_text`] and confirm each with [`Agent::text_taken`];
//! 4. wait for a datagram or [`Agent::poll_deadline`].
//!
//! Survives a crash at any point: a text that was sealed is sent again as the same bytes, one that was opened is in the image
//! before it is handed up, and handed up again only if the crash came between that and the next image.

mod carried;
mod image;
mod notice;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_coap::{Code, Config, Endpoint, ExchangeId, IncomingResponse, Now, Request, Transmit};

use self::carried::Others;
use crate::{Device, DeviceError, DeviceId, Handled, Method, Outgoing, REQUEST_LEN_MAX, RequestKind, sealed_len_max};

pub use carried::{CarriedAnswer, CarriedRequest};
pub use image::{Image, ImageError, KeptText, ReceivedText};
pub use notice::Notice;

/// Peers that an agent's device has room for.
pub const PEERS: usize = 32;

/// The first wait after a request that was not dealt with, and the longest.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How soon an inbox that nobody observes is asked for again.
const CARRIED_REFRESH: Duration = Duration::from_millis(250);

/// Longest Max-Age that is believed: an error is not sealed, so it must not silence a device for long.
const MAX_AGE_MAX: Duration = Duration::from_secs(60);

/// Who carries a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carriage {
    Own(ExchangeId),
    Others(u64),
}

struct Flight {
    by: Carriage,
    kind: RequestKind,
    sent_len: usize,
    since: Now,
}

/// See the module's documentation.
pub struct Agent {
    device: Device<PEERS>,
    endpoint: Endpoint<ChaCha12Rng>,
    rng: ChaCha12Rng,
    gateway: SocketAddr,
    flight: Option<Flight>,
    observation: Option<ExchangeId>,
    /// Observe, and attach again this often.
    refresh: Option<Duration>,
    next_refresh: Now,
    not_before: Now,
    failures: u32,
    /// Sealed texts whose `Sent` has not come.
    kept: Vec<KeptText>,
    /// Opened texts that were not handed up yet; the first `safe` of them are on disk.
    received: VecDeque<ReceivedText>,
    safe: usize,
    changed: bool,
    notices: VecDeque<Notice>,
    block_szx: Option<u8>,
    last_step: Now,
    /// The last package that came over the network.
    package: Option<Vec<u8>>,
    /// Registration requests are not sent but put here.
    held: Option<Option<Vec<u8>>>,
    /// All requests go by somebody else's stack.
    others: Option<Others>,
}

impl Agent {
    /// An agent for a device, with what an [`Image`] kept for it.
    pub fn new(device: Device<PEERS>, gateway: SocketAddr, seed: [u8; 32], kept: Image) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut derived = [0; 32];
        rng.fill_bytes(&mut derived);
        let endpoint = Endpoint::new(coap_config(), ChaCha12Rng::from_seed(derived), [0; 32]);
        let safe = kept.received.len();
        Self {
            device,
            endpoint,
            rng,
            gateway,
            flight: None,
            observation: None,
            refresh: None,
            next_refresh: Now::ZERO,
            not_before: Now::ZERO,
            failures: 0,
            kept: kept.kept,
            received: kept.received.into(),
            safe,
            changed: false,
            notices: VecDeque::new(),
            block_szx: None,
            last_step: Now::ZERO,
            package: None,
            held: None,
            others: None,
        }
    }

    /// The device, to ask.
    pub fn device(&self) -> &Device<PEERS> {
        &self.device
    }

    /// The device, to ask for something; call [`Self::drive`] afterwards.
    pub fn device_mut(&mut self) -> &mut Device<PEERS> {
        &mut self.device
    }

    /// Asks for blocks of 2^(szx + 4) bytes, for networks with small frames.
    pub fn set_block_szx(&mut self, szx: Option<u8>) {
        self.block_szx = szx;
    }

    /// Lets somebody else carry all requests: [`Self::poll_carried`] has the next, [`Self::carried`] takes its answer. Nobody
    /// observes for us, so that the inbox is asked for again and again while [`Self::listen`] holds.
    pub fn let_others_carry(&mut self) {
        self.others = Some(Others::default());
    }

    /// The next request for others to carry; each is given once, and one at a time.
    pub fn poll_carried(&mut self) -> Option<CarriedRequest> {
        self.others.as_mut()?.due.take()
    }

    /// What became of a carried request: its answer, or none. `false` if that is not the one under way.
    pub fn carried(&mut self, now: Now, number: u64, answer: Option<CarriedAnswer>) -> bool {
        let Some(flight) = self.flight.take_if(|flight| flight.by == Carriage::Others(number)) else {
            return false;
        };
        match answer {
            Some(answer) => self.answered(now, &flight, answer),
            None => self.unanswered(now, "it was not carried".into()),
        }
        if self.refresh.is_some() {
            self.next_refresh = self.next_refresh.min(now + CARRIED_REFRESH);
        }
        true
    }

    /// Lets somebody else carry registration requests: [`Self::held_registration`] has the next one.
    pub fn hold_registration(&mut self) {
        self.held = Some(None);
    }

    /// A registration request that was not sent.
    pub fn held_registration(&self) -> Option<&[u8]> {
        self.held.as_ref()?.as_deref()
    }

    /// The last package that came over the network.
    pub fn package(&self) -> Option<&[u8]> {
        self.package.as_deref()
    }

    /// All traffic keys, for checks that look whether they turn up where they must not.
    pub fn traffic_secrets(device: &Device<PEERS>) -> Vec<Vec<u8>> {
        let runs = device.slots.iter().flatten().flat_map(|slot| slot.runs.iter());
        runs.flat_map(|run| [Some(&run.send_key), run.receive_key.as_ref()].into_iter().flatten())
            .map(|key| key.expose()[..key.aead().key_len()].to_vec())
            .collect()
    }

    /// Opens the inbox and keeps it open: observes, and attaches again after `refresh`, so that a NAT keeps its way back and a
    /// gateway that forgot this device is found out.
    pub fn listen(&mut self, now: Now, refresh: Duration) {
        self.refresh = Some(refresh);
        self.next_refresh = now + refresh;
        self.device.attach(true);
    }

    /// Seals a text for a peer and sends it, again if need be until the gateway has said that it is stored.
    ///
    /// # Errors
    /// See [`Device::send`].
    pub fn send(&mut self, peer: DeviceId, text: &[u8]) -> Result<(u32, u32), DeviceError> {
        let mut bytes = vec![0; sealed_len_max(text.len())];
        let sealed = self.device.send(peer, text, &mut bytes)?;
        bytes.truncate(sealed.len);
        self.kept.retain(|kept| kept.peer != peer);
        self.kept.push(KeptText { peer, run: sealed.run, sequence: sealed.sequence, bytes });
        Ok((sealed.run, sealed.sequence))
    }

    /// Whether nothing is in flight and nothing is due.
    pub fn is_idle(&self) -> bool {
        self.flight.is_none() && !self.device.needs_save() && !self.changed && self.not_before == Now::ZERO
    }

    /// Takes a datagram from the gateway; from anybody else it is ignored.
    pub fn handle_datagram(&mut self, now: Now, peer: SocketAddr, bytes: &[u8]) {
        if peer == self.gateway {
            self.endpoint.handle_datagram(now, peer, bytes);
        }
        self.drive(now);
    }

    /// Does what is due, until something has to be saved or waited for.
    pub fn drive(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
        self.take_events(now);
        if self.refresh.is_some_and(|_| now >= self.next_refresh) && self.flight.is_none() {
            self.next_refresh = now + self.refresh.unwrap_or_default();
            self.device.attach(true);
        }
        if self.device.needs_save() || self.changed || self.flight.is_some() {
            return;
        }
        let mut buf = [0; REQUEST_LEN_MAX];
        let next = if now < self.not_before {
            // What was refused waits; what the inbox has brought meanwhile is acknowledged.
            self.device.poll_acknowledgement(&mut buf)
        } else {
            self.not_before = Now::ZERO;
            self.device.poll_request(&mut self.rng, &mut buf)
        };
        match next {
            Ok(Some(outgoing)) => self.request(now, &outgoing, &buf[..outgoing.len]),
            Ok(None) => {}
            Err(error) => self.notices.push_back(Notice::Trouble(error.to_string())),
        }
    }

    fn request(&mut self, now: Now, outgoing: &Outgoing, written: &[u8]) {
        let payload = match outgoing.stored {
            None => written.to_vec(),
            Some(stored) => match self.kept.iter().find(|kept| kept.is(&stored)) {
                Some(kept) => kept.bytes.clone(),
                None => {
                    // The image is written as a whole, so this is a state folder that somebody has changed.
                    self.device.handle_failure();
                    self.device.abandon(stored.peer);
                    self.notices
                        .push_back(Notice::Trouble(format!("a sealed text to {} is not in the state", stored.peer)));
                    return;
                }
            },
        };
        if outgoing.kind == RequestKind::Register
            && let Some(held) = &mut self.held
        {
            *held = Some(payload);
            return;
        }
        let sent_len = payload.len();
        if let RequestKind::Attach { .. } = outgoing.kind
            && let Some(old) = self.observation.take()
        {
            self.endpoint.cancel(old);
        }
        let method = match outgoing.method {
            Method::Get => Code::GET,
            Method::Post => Code::POST,
            Method::Fetch => Code::FETCH,
        };
        let mut request = Request::new(method, [outgoing.path]);
        request.payload = payload;
        // Two bytes saved on each /kex and /msg POST make them fit one frame; the format is optional there.
        request.content_format = outgoing
            .content_format
            .filter(|_| method == Code::FETCH || outgoing.path != "kex" && outgoing.path != "msg");
        request.observe = outgoing.observe.then_some(true);
        request.block_szx = self.block_szx;
        let by = match &mut self.others {
            Some(others) => {
                others.last += 1;
                let number = others.last;
                let Request { content_format, payload, .. } = request;
                others.due = Some(CarriedRequest { number, method, path: outgoing.path, content_format, payload });
                Carriage::Others(number)
            }
            None => match self.endpoint.request(now, self.gateway, request) {
                Ok(exchange) => Carriage::Own(exchange),
                Err(error) => return self.unanswered(now, error.to_string()),
            },
        };
        self.flight = Some(Flight { by, kind: outgoing.kind, sent_len, since: now });
    }

    fn unanswered(&mut self, now: Now, why: String) {
        self.notices.push_back(Notice::Trouble(why));
        self.device.handle_failure();
        self.back_off(now, None);
    }

    fn take_events(&mut self, now: Now) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                sga_coap::Event::Response { id, response } => self.take_response(now, id, response),
                sga_coap::Event::Failed { id, error } => self.take_failure(now, id, error),
                _ => {}
            }
        }
    }

    /// The answer to the request that was under way.
    fn answered(&mut self, now: Now, flight: &Flight, mut answer: CarriedAnswer) {
        self.notices.push_back(Notice::Exchange {
            kind: flight.kind,
            code: answer.code,
            sent_len: flight.sent_len,
            received_len: answer.payload.len(),
            took: now.saturating_sub(flight.since),
        });
        if flight.kind == RequestKind::Package {
            self.package = Some(answer.payload.clone());
        }
        let Self { device, received, notices, kept, changed, .. } = self;
        let mut sink = notice::sink(received, notices, kept, changed);
        let handled = device.handle_response(answer.code.0, &mut answer.payload, &mut sink);
        drop(sink);
        self.date_steps(now, now.saturating_sub(flight.since));
        match handled {
            Handled::Done => self.failures = 0,
            Handled::Retry => self.back_off(now, answer.max_age),
        }
    }

    fn take_response(&mut self, now: Now, id: ExchangeId, mut response: IncomingResponse) {
        let ends = response.observe.is_none();
        if let Some(flight) = self.flight.take_if(|flight| flight.by == Carriage::Own(id)) {
            if matches!(flight.kind, RequestKind::Attach { .. }) && !ends {
                self.observation = Some(id);
            }
            let IncomingResponse { code, max_age, payload, .. } = response;
            self.answered(now, &flight, CarriedAnswer { code, max_age, payload });
        } else if self.observation == Some(id) {
            if response.code.is_success() {
                let Self { device, received, notices, kept, changed, .. } = self;
                let mut sink = notice::sink(received, notices, kept, changed);
                device.handle_notification(&mut response.payload, &mut sink);
                drop(sink);
                self.date_steps(now, Duration::ZERO);
            }
            if ends {
                self.observation_over();
            }
        }
    }

    /// Says of steps just reported how long they took.
    fn date_steps(&mut self, now: Now, exchange: Duration) {
        for notice in self.notices.iter_mut().rev() {
            match notice {
                Notice::Step { code, took, .. } if took.is_zero() => {
                    *took = if *code == 0 { now.saturating_sub(self.last_step) } else { exchange };
                }
                Notice::Step { .. } | Notice::Exchange { .. } => break,
                _ => {}
            }
        }
        self.last_step = now;
    }

    fn take_failure(&mut self, now: Now, id: ExchangeId, error: sga_coap::ExchangeError) {
        if self.flight.take_if(|flight| flight.by == Carriage::Own(id)).is_some() {
            self.unanswered(now, error.to_string());
        } else if self.observation == Some(id) {
            self.observation_over();
        }
    }

    /// The gateway no longer notifies: whoever listens attaches again.
    fn observation_over(&mut self) {
        self.observation = None;
        if self.refresh.is_some() {
            self.device.attach(true);
        }
    }

    fn back_off(&mut self, now: Now, max_age_s: Option<u32>) {
        let doubled = BACKOFF_MIN.saturating_mul(1 << self.failures.min(16));
        let own = doubled.min(BACKOFF_MAX);
        let asked = max_age_s.map_or(Duration::ZERO, |seconds| Duration::from_secs(seconds.into()).min(MAX_AGE_MAX));
        self.not_before = now + own.max(asked);
        self.failures = self.failures.saturating_add(1);
    }

    /// The durable state, if it has changed: to be on disk before anything else leaves.
    pub fn poll_save(&self) -> Option<Image> {
        (self.device.needs_save() || self.changed).then(|| self.image())
    }

    /// The durable state as it is now.
    pub fn image(&self) -> Image {
        Image::of(&self.device, self.kept.clone(), self.received.iter().cloned().collect())
    }

    /// What [`Self::poll_save`] gave is on disk.
    pub fn saved(&mut self) {
        self.device.saved();
        self.changed = false;
        self.safe = self.received.len();
    }

    /// The next text to hand up, which is on disk; it stays until [`Self::text_taken`].
    pub fn poll_text(&self) -> Option<&ReceivedText> {
        self.received.front().filter(|_| self.safe > 0)
    }

    /// The first text was handed up; it will not be again once this is saved.
    pub fn text_taken(&mut self) {
        if self.safe > 0 && self.received.pop_front().is_some() {
            self.safe -= 1;
            self.changed = true;
        }
    }

    /// What happened.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.endpoint.poll_transmit()
    }

    /// When to drive again at the latest.
    pub fn poll_deadline(&self) -> Option<Now> {
        let endpoint = self.endpoint.poll_deadline().map(|(at, _)| at);
        let retry = (self.flight.is_none() && self.not_before > Now::ZERO).then_some(self.not_before);
        let refresh = self.refresh.filter(|_| self.flight.is_none()).map(|_| self.next_refresh);
        [endpoint, retry, refresh].into_iter().flatten().min()
    }
}

/// Short tokens: all answers that matter are sealed, and two bytes less make B1 fit one frame.
fn coap_config() -> Config {
    Config { token_len: 2, ..Config::default() }
}

/// A generator from a seed of the operating system's.
pub fn generator(seed: [u8; 32]) -> ChaCha12Rng {
    ChaCha12Rng::from_seed(seed)
}
