//! Our own CoAP client on a socket: the same endpoint as the device's, to be sent against servers of others.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use sga_coap::{Config, Endpoint, Event, ExchangeId, IncomingResponse, Request};

/// A client of one server.
pub struct OurClient {
    endpoint: Endpoint<ChaCha12Rng>,
    socket: UdpSocket,
    server: SocketAddr,
    started: Instant,
    events: VecDeque<Event>,
}

impl OurClient {
    /// A client with a socket of its own.
    ///
    /// # Errors
    /// There is no socket, or no randomness, to be had.
    pub fn new(server: SocketAddr, config: Config) -> Result<OurClient, String> {
        let any: SocketAddr = if server.is_ipv4() { ([127, 0, 0, 1], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).map_err(|error| format!("our client's socket: {error}"))?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| format!("randomness: {error}"))?;
        let endpoint = Endpoint::new(config, ChaCha12Rng::from_seed(seed), [0; 32]);
        Ok(OurClient { endpoint, socket, server, started: now(), events: VecDeque::new() })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// There is none within `timeout`, or the exchange failed.
    pub fn ask(&mut self, request: Request, timeout: Duration) -> Result<IncomingResponse, String> {
        let id = self.start(request)?;
        self.next(id, timeout)
    }

    /// Asks without waiting.
    ///
    /// # Errors
    /// The endpoint does not take the request.
    pub fn start(&mut self, request: Request) -> Result<ExchangeId, String> {
        let id = self.endpoint.request(self.started.elapsed(), self.server, request).map_err(|e| e.to_string())?;
        self.flush()?;
        Ok(id)
    }

    /// The next answer or notification of an exchange.
    ///
    /// # Errors
    /// There is none within `timeout`, or the exchange failed.
    pub fn next(&mut self, id: ExchangeId, timeout: Duration) -> Result<IncomingResponse, String> {
        let until = self.started.elapsed() + timeout;
        loop {
            let at = self.events.iter().position(|event| match event {
                Event::Response { id: of, .. } | Event::Failed { id: of, .. } => *of == id,
                _ => false,
            });
            match at.and_then(|at| self.events.remove(at)) {
                Some(Event::Response { response, .. }) => return Ok(response),
                Some(Event::Failed { error, .. }) => return Err(error.to_string()),
                _ => {}
            }
            if self.started.elapsed() >= until {
                return Err(format!("no answer within {timeout:?}"));
            }
            self.step(until)?;
        }
    }

    /// Gives an observation up; the next notification is reset.
    ///
    /// # Errors
    /// The socket failed.
    pub fn cancel(&mut self, id: ExchangeId) -> Result<(), String> {
        self.endpoint.cancel(id);
        self.flush()
    }

    /// Serves the socket until `until` passes: resets, acknowledges and repeats, as is due.
    ///
    /// # Errors
    /// The socket failed.
    pub fn serve(&mut self, time: Duration) -> Result<(), String> {
        let until = self.started.elapsed() + time;
        while self.started.elapsed() < until {
            self.step(until)?;
        }
        Ok(())
    }

    /// One datagram, or one deadline.
    fn step(&mut self, until: Duration) -> Result<(), String> {
        let due = self.endpoint.poll_deadline().map_or(until, |(at, _)| at.min(until));
        let wait = due.saturating_sub(self.started.elapsed()).max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(wait)).map_err(|error| error.to_string())?;
        let mut buffer = [0; 2048];
        match self.socket.recv_from(&mut buffer) {
            Ok((len, peer)) => {
                let bytes = buffer.get(..len).unwrap_or_default();
                self.endpoint.handle_datagram(self.started.elapsed(), peer, bytes);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // The server is away, perhaps to come back.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(format!("our client's socket: {error}")),
        }
        self.endpoint.handle_timeout(self.started.elapsed());
        self.flush()
    }

    fn flush(&mut self) -> Result<(), String> {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let sent = self.socket.send_to(&transmit.bytes, transmit.peer);
            sent.map_err(|error| format!("our client's socket: {error}"))?;
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.events.push_back(event);
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the endpoint's time is this socket's")]
fn now() -> Instant {
    Instant::now()
}
