//! Datagrams that were read and not yet dealt with: a queue for each source, which take turns.
//!
//! However many come from one source, the next one of another waits for one of each. A source is an IPv4 address or an IPv6 prefix
//! of 64 bits; all strangers together are one. When the place is used up, it is the longest queue that loses, so that a flood
//! only ever shuts out itself.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use sga_gateway_core::{Shares, Source, source};

use crate::limits::{WAITING_LEN_MAX, WAITING_MAX};

/// One datagram, and by which way it came.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) peer: SocketAddr,
    /// The socket.
    pub(crate) at: usize,
    /// Which of the gateway's own addresses it was sent to.
    pub(crate) own: Option<IpAddr>,
    bytes: Box<[u8]>,
}

impl Datagram {
    /// Of one that is longer than any that is dealt with only so much is kept that it is seen to be too long.
    pub(crate) fn new(peer: SocketAddr, at: usize, own: Option<IpAddr>, bytes: &[u8]) -> Self {
        Self { peer, at, own, bytes: bytes[..bytes.len().min(WAITING_LEN_MAX)].into() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// All strangers together: no address is of this family.
const STRANGERS: Source = [0; 16];

#[derive(Default)]
pub(crate) struct Waiting {
    /// None is empty.
    queues: HashMap<Source, VecDeque<Datagram>>,
    /// The sources that have a queue, next first.
    turns: VecDeque<Source>,
    /// How long each queue is.
    shares: Shares,
    len: usize,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes one in, which is made only if there is a place for it; false if one was lost for it, perhaps itself. `known`: its address
    /// has shown that it receives.
    pub(crate) fn push(&mut self, peer: SocketAddr, known: bool, datagram: impl FnOnce() -> Datagram) -> bool {
        let from = if known { source(peer) } else { STRANGERS };
        let full = self.len >= WAITING_MAX;
        if full {
            match self.shares.largest() {
                Some(largest) if self.shares.of(largest) > self.shares.of(from) + 1 => self.drop_last(largest),
                _ => return false,
            }
        }
        let queue = self.queues.entry(from).or_default();
        if queue.is_empty() {
            self.turns.push_back(from);
        }
        queue.push_back(datagram());
        self.shares.add(from, 1);
        self.len += 1;
        !full
    }

    /// Of a queue with more than one.
    fn drop_last(&mut self, source: Source) {
        if self.queues.get_mut(&source).and_then(VecDeque::pop_back).is_some() {
            self.shares.take(source, 1);
            self.len -= 1;
        }
    }

    /// The next.
    pub(crate) fn pop(&mut self) -> Option<Datagram> {
        let source = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&source)?;
        let datagram = queue.pop_front()?;
        self.shares.take(source, 1);
        self.len -= 1;
        if queue.is_empty() {
            self.queues.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        Some(datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(source: u8, number: usize) -> Datagram {
        let peer = SocketAddr::from(([192, 0, 2, source], 5_683));
        Datagram::new(peer, 0, None, &number.to_be_bytes())
    }

    fn push(waiting: &mut Waiting, datagram: Datagram, known: bool) -> bool {
        waiting.push(datagram.peer, known, || datagram)
    }

    fn popped(waiting: &mut Waiting) -> Option<(u8, usize)> {
        let datagram = waiting.pop()?;
        let IpAddr::V4(ip) = datagram.peer.ip() else { return None };
        let number = usize::from_be_bytes(datagram.bytes().try_into().ok()?);
        Some((ip.octets()[3], number))
    }

    #[test]
    fn sources_take_turns_and_each_keeps_its_order() {
        let mut waiting = Waiting::default();
        (0..4).for_each(|number| assert!(push(&mut waiting, datagram(1, number), true)));
        (0..2).for_each(|number| assert!(push(&mut waiting, datagram(2, number), true)));
        // Strangers are one source, whatever their addresses.
        (0..2).for_each(|number| assert!(push(&mut waiting, datagram(10 + number as u8, number), false)));
        let all: Vec<_> = std::iter::from_fn(|| popped(&mut waiting)).collect();
        assert_eq!(all, [(1, 0), (2, 0), (10, 0), (1, 1), (2, 1), (11, 1), (1, 2), (1, 3)]);
        assert!(waiting.is_empty() && waiting.queues.is_empty() && waiting.turns.is_empty());
    }

    #[test]
    fn the_place_is_bounded_and_the_longest_queue_loses() {
        let mut waiting = Waiting::default();
        (0..WAITING_MAX).for_each(|number| assert!(push(&mut waiting, datagram(1, number), true)));
        assert!(!push(&mut waiting, datagram(1, WAITING_MAX), true), "its own queue is the longest");
        assert!((0..WAITING_MAX).all(|number| !push(&mut waiting, datagram(2, number), true)), "one is lost for each");
        assert_eq!(waiting.len, WAITING_MAX);
        let lens: Vec<usize> = waiting.queues.values().map(VecDeque::len).collect();
        assert_eq!(lens, [WAITING_MAX / 2; 2], "both have as much");
        assert!(!push(&mut waiting, datagram(3, 0), true));
        assert_eq!((popped(&mut waiting), popped(&mut waiting)), (Some((1, 0)), Some((2, 0))), "the oldest stay");
        assert_eq!(popped(&mut waiting), Some((3, 0)));
        let rest = std::iter::from_fn(|| popped(&mut waiting)).count();
        assert_eq!(rest, WAITING_MAX - 3);
        assert!(waiting.is_empty() && waiting.queues.is_empty() && waiting.turns.is_empty());
    }

    #[test]
    fn where_each_has_one_the_last_to_come_is_lost() {
        let mut waiting = Waiting::default();
        let peer = |n: usize| SocketAddr::from(((n as u32).to_be_bytes(), 5_683));
        let one = |waiting: &mut Waiting, n| push(waiting, Datagram::new(peer(n), 0, None, b"x"), true);
        assert!((0..WAITING_MAX).all(|n| one(&mut waiting, n)));
        assert!(!one(&mut waiting, WAITING_MAX));
        let all: Vec<_> = std::iter::from_fn(|| waiting.pop()).map(|datagram| datagram.peer).collect();
        assert_eq!(all, (0..WAITING_MAX).map(peer).collect::<Vec<_>>());
    }

    #[test]
    fn of_a_long_one_the_beginning_is_kept() {
        let peer = SocketAddr::from(([192, 0, 2, 1], 5_683));
        assert_eq!(Datagram::new(peer, 0, None, &[7; 65_535]).bytes(), [7; WAITING_LEN_MAX]);
    }
}
