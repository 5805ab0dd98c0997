//! One device's way to the gateway: a socket of its own, as devices have, and one request at a time.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::UdpSocket;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_coap::{Code, Config, Endpoint, Event, ExchangeId, Now, Request};
use sga_device::{Device, Method, REQUEST_LEN_MAX, RequestKind};

use super::clock::Clock;

/// More than any datagram of the gateway's.
const DATAGRAM_LEN_MAX: usize = 2_048;

/// The answer to the request in flight.
pub(crate) struct Reply {
    pub(crate) code: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) took: Duration,
}

/// What was sent.
pub(crate) struct Asked {
    /// The payload, if it was an attach.
    pub(crate) attach: Option<Vec<u8>>,
}

fn bind(own: IpAddr, gateway: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(own, 0))?;
    socket.connect(gateway)?;
    Ok(socket)
}

/// A socket, and what is under way.
pub(crate) struct Line {
    pub(crate) socket: UdpSocket,
    endpoint: Endpoint<ChaCha12Rng>,
    gateway: SocketAddr,
    flight: Option<(ExchangeId, Now)>,
}

impl Line {
    /// `number`: each line has an address of its own, as far as loopback has some, since the gateway limits what comes from one.
    pub(crate) fn open(gateway: SocketAddr, number: usize, rng: &mut ChaCha12Rng) -> Result<Self, String> {
        let failed = |error: std::io::Error| {
            format!("cannot open a socket ({error}); with many senders the limit on open files may have to be raised")
        };
        let own = match gateway.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => {
                IpAddr::from([127, 0, 1 + (number / 250) as u8, 1 + (number % 250) as u8])
            }
            ip => ip,
        };
        let socket = bind(own, gateway).map_err(failed)?;
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let endpoint = Endpoint::new(Config::default(), ChaCha12Rng::from_seed(seed), [0; 32]);
        Ok(Self { socket, endpoint, gateway, flight: None })
    }

    /// From another address, as far as loopback has some, or at least another port. `number`: of all moves.
    pub(crate) fn move_on(&mut self, number: u32) -> Result<(), String> {
        let own = match self.gateway.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => {
                let [_, b, c, d] = number.to_be_bytes();
                IpAddr::from([127, 32 | (b & 31), c, d.max(1)])
            }
            ip => ip,
        };
        self.socket = bind(own, self.gateway).map_err(|error| format!("cannot move to {own}: {error}"))?;
        Ok(())
    }

    pub(crate) fn is_free(&self) -> bool {
        self.flight.is_none()
    }

    /// Sends a device's next request, if one is due. `kept`: what [`Device::send`] wrote last.
    pub(crate) fn ask<const PEERS: usize>(
        &mut self,
        clock: Clock,
        device: &mut Device<PEERS>,
        rng: &mut ChaCha12Rng,
        kept: &[u8],
    ) -> Result<Option<Asked>, String> {
        let mut buffer = [0; REQUEST_LEN_MAX];
        loop {
            // No device outlives this process, so nothing has to be written down for it.
            device.saved();
            let polled = device.poll_request(rng, &mut buffer);
            let Some(outgoing) = polled.map_err(|error| format!("device {:?}: {error}", device.id()))? else {
                if device.needs_save() {
                    continue;
                }
                return Ok(None);
            };
            let method = match outgoing.method {
                Method::Get => Code::GET,
                Method::Post => Code::POST,
                Method::Fetch => Code::FETCH,
            };
            // Never an observer: receivers are to be absent, and senders look when they know that there is something.
            let payload = if outgoing.stored.is_some() { kept } else { &buffer[..outgoing.len] };
            self.request(clock, method, outgoing.path, outgoing.content_format, payload)?;
            let attach = matches!(outgoing.kind, RequestKind::Attach { .. }).then(|| payload.to_vec());
            return Ok(Some(Asked { attach }));
        }
    }

    pub(crate) fn request(
        &mut self,
        clock: Clock,
        method: Code,
        path: &str,
        content_format: Option<u16>,
        payload: &[u8],
    ) -> Result<(), String> {
        let mut request = Request::new(method, [path]);
        request.payload = payload.to_vec();
        request.content_format = content_format;
        let now = clock.now();
        let exchange = self.endpoint.request(now, self.gateway, request);
        self.flight = Some((exchange.map_err(|error| format!("{path}: {error}"))?, now));
        self.flush()
    }

    fn flush(&mut self) -> Result<(), String> {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            match self.socket.send(&transmit.bytes) {
                Ok(_) => {}
                // As good as lost: it is sent again. The second is what a gateway that is being restarted looks like.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {}
                Err(error) => return Err(format!("sending: {error}")),
            }
        }
        Ok(())
    }

    /// Reads until there is nothing more to read; the answer, if it was among that.
    pub(crate) fn receive(&mut self, clock: Clock) -> Result<Option<Reply>, String> {
        let mut buffer = [0; DATAGRAM_LEN_MAX];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(len) => self.endpoint.handle_datagram(clock.now(), self.gateway, &buffer[..len]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted | ErrorKind::ConnectionRefused => {}
                    _ => return Err(format!("receiving: {error}")),
                },
            }
        }
        self.flush()?;
        self.reply(clock)
    }

    /// Does what is due: sends again what was lost.
    pub(crate) fn tick(&mut self, clock: Clock) -> Result<Option<Reply>, String> {
        let now = clock.now();
        if self.endpoint.poll_deadline().is_some_and(|(at, _)| at <= now) {
            self.endpoint.handle_timeout(now);
            self.flush()?;
        }
        self.reply(clock)
    }

    fn reply(&mut self, clock: Clock) -> Result<Option<Reply>, String> {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Response { id, response } => {
                    if let Some((_, since)) = self.flight.take_if(|(flight, _)| *flight == id) {
                        let took = clock.now() - since;
                        return Ok(Some(Reply { code: response.code.0, payload: response.payload, took }));
                    }
                }
                Event::Failed { error, .. } => return Err(format!("the gateway: {error}")),
                _ => {}
            }
        }
        Ok(None)
    }
}
