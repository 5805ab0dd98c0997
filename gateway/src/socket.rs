//! UDP sockets: batches in, batches out, and which peer came by which.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use sga_gateway_core::Transmit;

use crate::error::Error;
use crate::limits::{BATCH_MAX, DATAGRAM_LEN_MAX, ROUTES_MAX, UNSENT_MAX};

struct Bound {
    socket: UdpSocket,
    /// Sent nothing while the system's buffer was full.
    unsent: VecDeque<Transmit>,
}

/// All sockets of the gateway.
pub(crate) struct Sockets {
    bound: Vec<Bound>,
    /// Which socket a peer came by, where there is a choice.
    routes: HashMap<SocketAddr, usize>,
    buffer: Vec<u8>,
}

impl Sockets {
    pub(crate) fn bind(addresses: &[SocketAddr], registry: &Registry) -> Result<Self, Error> {
        let mut bound = Vec::new();
        for (at, &address) in addresses.iter().enumerate() {
            let failed = |error: io::Error| Error::new(format!("cannot listen on {address}: {error}"));
            let mut socket = UdpSocket::bind(address).map_err(failed)?;
            registry.register(&mut socket, Token(at), Interest::READABLE | Interest::WRITABLE).map_err(failed)?;
            bound.push(Bound { socket, unsent: VecDeque::new() });
        }
        Ok(Self { bound, routes: HashMap::new(), buffer: vec![0; DATAGRAM_LEN_MAX] })
    }

    /// Where they listen, with the ports that the system has chosen.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        self.bound
            .iter()
            .map(|bound| bound.socket.local_addr().map_err(|error| Error::new(error.to_string())))
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.bound.len()
    }

    /// Hands each datagram of a batch to `take`; true if there may be more.
    pub(crate) fn receive(&mut self, at: usize, mut take: impl FnMut(SocketAddr, &[u8])) -> bool {
        let many = self.bound.len() > 1;
        let Some(bound) = self.bound.get(at) else { return false };
        for _ in 0..BATCH_MAX {
            match bound.socket.recv_from(&mut self.buffer) {
                Ok((len, peer)) => {
                    if many {
                        if self.routes.len() >= ROUTES_MAX {
                            self.routes.clear();
                        }
                        self.routes.insert(peer, at);
                    }
                    take(peer, &self.buffer[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An ICMP answer to something sent before: nothing to do with what is to be read next.
                Err(error) => log::debug!("receiving: {error}"),
            }
        }
        true
    }

    pub(crate) fn send(&mut self, transmit: Transmit) {
        let at = self.route(transmit.peer);
        let Some(bound) = self.bound.get_mut(at) else { return };
        if !bound.unsent.is_empty() || !try_send(&bound.socket, &transmit) {
            if bound.unsent.len() >= UNSENT_MAX {
                log::warn!("a socket takes no more datagrams; one to {} is lost", transmit.peer);
                return;
            }
            bound.unsent.push_back(transmit);
        }
    }

    /// A socket takes datagrams again.
    pub(crate) fn writable(&mut self, at: usize) {
        let Some(bound) = self.bound.get_mut(at) else { return };
        while let Some(transmit) = bound.unsent.front() {
            if !try_send(&bound.socket, transmit) {
                return;
            }
            bound.unsent.pop_front();
        }
    }

    fn route(&self, peer: SocketAddr) -> usize {
        if let Some(&at) = self.routes.get(&peer) {
            return at;
        }
        let same_family = |bound: &Bound| bound.socket.local_addr().is_ok_and(|own| own.is_ipv4() == peer.is_ipv4());
        self.bound.iter().position(same_family).unwrap_or(0)
    }
}

/// False if the socket is full; what cannot be sent at all counts as sent and lost.
fn try_send(socket: &UdpSocket, transmit: &Transmit) -> bool {
    match socket.send_to(&transmit.bytes, transmit.peer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Err(error) => {
            log::debug!("to {}: {error}", transmit.peer);
            true
        }
        Ok(_) => true,
    }
}
