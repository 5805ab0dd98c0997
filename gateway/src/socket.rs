//! UDP sockets: batches in, one by one out, and which way each peer came by.
//!
//! A peer takes an answer only from the address that it asked. A socket on a wildcard address has several, so that what is
//! sent says which (IP_PKTINFO); that, batches and their portability are quinn-udp's.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use sga_gateway_core::{Now, Transmit};

use crate::admission::Admission;
use crate::error::Error;
use crate::limits::{
    BATCH_MAX, BATCH_PRESSED_MAX, DATAGRAM_LEN_MAX, READ_MAX, READ_PRESSED_MAX, RECEIVE_BUFFER_BYTES, ROUTES_MAX,
    UNSENT_MAX,
};
use crate::waiting::{Datagram, Waiting};

struct Bound {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// Sent nothing while the system's buffer was full.
    unsent: VecDeque<(Transmit, Option<IpAddr>)>,
}

/// By which socket a peer came, and to which of its addresses.
#[derive(Clone, Copy)]
struct Route {
    at: usize,
    own: Option<IpAddr>,
}

/// Routes in two generations: when the younger is full it becomes the older, so that who is active stays.
#[derive(Default)]
struct Routes {
    young: HashMap<SocketAddr, Route>,
    old: HashMap<SocketAddr, Route>,
}

impl Routes {
    fn insert(&mut self, peer: SocketAddr, route: Route) {
        if self.young.len() >= ROUTES_MAX / 2 && !self.young.contains_key(&peer) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(peer, route);
    }

    fn get(&self, peer: &SocketAddr) -> Option<Route> {
        self.young.get(peer).or_else(|| self.old.get(peer)).copied()
    }
}

/// Where datagrams go.
pub(crate) trait Recipient {
    /// Whether this address has shown that it receives.
    fn knows(&self, peer: SocketAddr) -> bool;

    /// Deals with one.
    fn take(&mut self, peer: SocketAddr, bytes: &[u8]);
}

/// All sockets of the gateway.
pub(crate) struct Sockets {
    bound: Vec<Bound>,
    /// Read, and not dealt with.
    waiting: Waiting,
    /// Where there is a choice.
    routes: Routes,
    buffer: Vec<u8>,
}

impl Sockets {
    pub(crate) fn bind(addresses: &[SocketAddr], registry: &Registry) -> Result<Self, Error> {
        let mut bound = Vec::new();
        for (at, &address) in addresses.iter().enumerate() {
            let failed = |error: io::Error| Error::new(format!("cannot listen on {address}: {error}"));
            let mut socket = UdpSocket::bind(address).map_err(failed)?;
            let state = UdpSocketState::new(UdpSockRef::from(&socket)).map_err(failed)?;
            let local = socket.local_addr().map_err(failed)?;
            if let Err(error) = state.set_recv_buffer_size(UdpSockRef::from(&socket), RECEIVE_BUFFER_BYTES) {
                log::warn!("{local}: the system's buffer stays as it is: {error}");
            }
            registry.register(&mut socket, Token(at), Interest::READABLE | Interest::WRITABLE).map_err(failed)?;
            bound.push(Bound { socket, state, local, unsent: VecDeque::new() });
        }
        Ok(Self {
            bound,
            waiting: Waiting::default(),
            routes: Routes::default(),
            buffer: vec![0; BATCH_SIZE * DATAGRAM_LEN_MAX],
        })
    }

    /// Where they listen, with the ports that the system has chosen.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.bound.iter().map(|bound| bound.local)
    }

    pub(crate) fn len(&self) -> usize {
        self.bound.len()
    }

    /// Reads datagrams, so that their sources can take turns; true if there may be more. `knows`: an address that has shown that it
    /// receives.
    pub(crate) fn read(&mut self, at: usize, now: Now, admission: &mut Admission, to: &impl Recipient) -> bool {
        let Some(bound) = self.bound.get(at) else { return false };
        let mut read = 0;
        // Who sends much often stands next to himself, and is looked up once.
        let mut last = None;
        let max = if admission.is_pressed(now) { READ_PRESSED_MAX } else { READ_MAX };
        while read < max {
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let mut slices: Vec<_> = self.buffer.chunks_mut(DATAGRAM_LEN_MAX).map(IoSliceMut::new).collect();
            match bound.state.recv(UdpSockRef::from(&bound.socket), &mut slices, &mut metas) {
                Ok(count) => {
                    for (chunk, meta) in self.buffer.chunks(DATAGRAM_LEN_MAX).zip(&metas[..count]) {
                        let peer = meta.addr;
                        let known = match last {
                            Some((of, known)) if of == peer => known,
                            _ => to.knows(peer),
                        };
                        last = Some((peer, known));
                        read += each_datagram(&chunk[..meta.len], meta.stride, |bytes| {
                            let datagram = || Datagram::new(peer, at, meta.dst_ip, bytes);
                            let kept = admission.admits(now, known) && self.waiting.push(peer, known, datagram);
                            if !kept {
                                admission.shed(now);
                            }
                        });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An ICMP answer to something sent before: nothing to do with what is to be read next.
                Err(error) => {
                    read += 1;
                    log::debug!("receiving: {error}");
                }
            }
        }
        true
    }

    /// Hands over some of what was read; true if there is more.
    pub(crate) fn deal(&mut self, now: Now, admission: &Admission, to: &mut impl Recipient) -> bool {
        let many = self.bound.len() > 1;
        let max = if admission.is_pressed(now) { BATCH_PRESSED_MAX } else { BATCH_MAX };
        for _ in 0..max {
            let Some(datagram) = self.waiting.pop() else { return false };
            let Datagram { peer, at, own, .. } = datagram;
            if many || self.bound[at].local.ip().is_unspecified() {
                self.routes.insert(peer, Route { at, own });
            }
            to.take(peer, datagram.bytes());
        }
        !self.waiting.is_empty()
    }

    pub(crate) fn send(&mut self, transmit: Transmit) {
        let Route { at, own } = self.route(transmit.peer);
        let Some(bound) = self.bound.get_mut(at) else { return };
        if !bound.unsent.is_empty() || !bound.try_send(&transmit, own) {
            if bound.unsent.len() >= UNSENT_MAX {
                log::warn!("a socket takes no more datagrams; one to {} is lost", transmit.peer);
                return;
            }
            bound.unsent.push_back((transmit, own));
        }
    }

    /// A socket takes datagrams again.
    pub(crate) fn writable(&mut self, at: usize) {
        let Some(bound) = self.bound.get_mut(at) else { return };
        while let Some((transmit, own)) = bound.unsent.pop_front() {
            if !bound.try_send(&transmit, own) {
                bound.unsent.push_front((transmit, own));
                return;
            }
        }
    }

    fn route(&self, peer: SocketAddr) -> Route {
        self.routes.get(&peer).unwrap_or_else(|| {
            let same_family = |bound: &Bound| bound.local.is_ipv4() == peer.is_ipv4();
            Route { at: self.bound.iter().position(same_family).unwrap_or(0), own: None }
        })
    }
}

impl Bound {
    /// False if the socket is full; what cannot be sent at all counts as sent and lost.
    fn try_send(&self, transmit: &Transmit, own: Option<IpAddr>) -> bool {
        let datagram = quinn_udp::Transmit {
            destination: transmit.peer,
            ecn: None,
            contents: &transmit.bytes,
            segment_size: None,
            src_ip: own.filter(|_| self.local.ip().is_unspecified()),
        };
        match self.state.try_send(UdpSockRef::from(&self.socket), &datagram) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                log::debug!("to {}: {error}", transmit.peer);
                true
            }
            Ok(()) => true,
        }
    }
}

/// Takes apart what the system may have put together: datagrams of `stride` bytes, the last perhaps shorter. How many.
fn each_datagram(bytes: &[u8], stride: usize, mut take: impl FnMut(&[u8])) -> usize {
    if bytes.is_empty() {
        take(bytes);
        return 1;
    }
    bytes.chunks(stride.max(1)).map(&mut take).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: usize) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, (port >> 16) as u8], port as u16))
    }

    #[test]
    fn routes_are_bounded_and_who_is_active_stays() {
        let mut routes = Routes::default();
        for port in 0..3 * ROUTES_MAX {
            routes.insert(peer(port), Route { at: port % 7, own: None });
            routes.insert(peer(0), Route { at: 0, own: None });
            assert!(routes.young.len() + routes.old.len() <= ROUTES_MAX);
        }
        assert!(routes.get(&peer(0)).is_some());
        assert!(routes.get(&peer(3 * ROUTES_MAX - 1)).is_some());
        assert!(routes.get(&peer(1)).is_none());
    }

    #[test]
    fn coalesced_datagrams_come_apart() {
        let mut seen = Vec::new();
        let count = each_datagram(b"aabbc", 2, |bytes| seen.push(bytes.to_vec()));
        assert_eq!((count, seen), (3, vec![b"aa".to_vec(), b"bb".to_vec(), b"c".to_vec()]));
        let mut empty = 0;
        assert_eq!(each_datagram(b"", 0, |bytes| empty += usize::from(bytes.is_empty())), 1);
        assert_eq!(empty, 1);
    }

    /// Who sends from `known` is known.
    struct Inbox {
        known: SocketAddr,
        taken: Vec<SocketAddr>,
    }

    impl Recipient for Inbox {
        fn knows(&self, peer: SocketAddr) -> bool {
            peer == self.known
        }

        fn take(&mut self, peer: SocketAddr, _bytes: &[u8]) {
            self.taken.push(peer);
        }
    }

    #[test]
    fn one_turn_takes_so_many_and_sources_take_turns() {
        let poll = mio::Poll::new().expect("a poll");
        let mut sockets = Sockets::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))], poll.registry()).expect("a socket");
        let gateway = sockets.addresses().next().expect("one");
        let [known, stranger] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        let send = |from: &std::net::UdpSocket| _ = from.send_to(b"x", gateway).expect("it is sent");
        (0..2 * BATCH_MAX).for_each(|_| send(&stranger));
        send(&known);
        let known = known.local_addr().expect("an address");
        let mut inbox = Inbox { known, taken: Vec::new() };
        let mut admission = Admission::new();
        while sockets.read(0, Now::ZERO, &mut admission, &inbox) {}
        assert!(sockets.deal(Now::ZERO, &admission, &mut inbox), "there is more");
        assert_eq!(inbox.taken.len(), BATCH_MAX);
        assert_eq!(inbox.taken[1], known, "before most of those that came before it");
        admission.shed(Now::ZERO);
        assert!(sockets.deal(Now::ZERO, &admission, &mut inbox), "there is more");
        assert_eq!(inbox.taken.len(), BATCH_MAX + BATCH_PRESSED_MAX, "a loop that is behind takes less at a time");
        while sockets.deal(Now::ZERO, &admission, &mut inbox) {}
        assert_eq!(inbox.taken.len(), 2 * BATCH_MAX + 1, "none is lost");
    }
}
