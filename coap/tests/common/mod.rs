//! Shared by the tests: a server with a few resources, raw messages, and a link that loses, doubles and reorders.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part, and nothing else reads it")]

use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sga_coap::{Code, Config, Endpoint, Event, IncomingRequest, Now, Response};

pub type Node = Endpoint<ChaCha8Rng>;

pub const CON: u8 = 0;
pub const NON: u8 = 1;
pub const ACK: u8 = 2;
pub const RST: u8 = 3;

pub fn ms(value: u64) -> Now {
    Duration::from_millis(value)
}

pub fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

pub fn path(segments: &[Vec<u8>]) -> Option<&'static [Code]> {
    match segments {
        [one] if one == b"r" || one == b"guarded" => {
            Some(&[Code::GET, Code::POST, Code::PUT, Code::FETCH, Code::DELETE])
        }
        [one] if one == b"get-only" => Some(&[Code::GET]),
        _ => None,
    }
}

pub fn config() -> Config {
    Config {
        known_path: path,
        observable: |_, _| true,
        needs_verified_address: |_, path| path.first().is_some_and(|one| one == b"guarded"),
        ..Config::default()
    }
}

pub fn node(config: Config, seed: u64) -> Node {
    Endpoint::new(config, ChaCha8Rng::seed_from_u64(seed), [7; 32])
}

pub fn server() -> Node {
    node(config(), 1)
}

/// A message spelled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    pub kind: u8,
    pub code: Code,
    pub mid: u16,
    pub token: Vec<u8>,
    pub options: Vec<(u16, Vec<u8>)>,
    pub payload: Vec<u8>,
}

pub fn raw(kind: u8, code: Code, mid: u16) -> Raw {
    Raw { kind, code, mid, token: vec![0xaa, 0xbb], options: Vec::new(), payload: Vec::new() }
}

impl Raw {
    pub fn opt(mut self, number: u16, value: &[u8]) -> Raw {
        self.options.push((number, value.to_vec()));
        self
    }
    pub fn at(self, segment: &str) -> Raw {
        self.opt(11, segment.as_bytes())
    }
    pub fn body(mut self, payload: &[u8]) -> Raw {
        self.payload = payload.to_vec();
        self
    }
    pub fn token(mut self, token: &[u8]) -> Raw {
        self.token = token.to_vec();
        self
    }
    pub fn get(&self, number: u16) -> Option<&[u8]> {
        self.options.iter().find(|(n, _)| *n == number).map(|(_, v)| v.as_slice())
    }
    /// (number, more, szx)
    pub fn block(&self, number: u16) -> Option<(u32, bool, u8)> {
        let raw = self.get(number)?.iter().fold(0u32, |sum, b| sum << 8 | u32::from(*b));
        Some((raw >> 4, raw & 8 != 0, (raw & 7) as u8))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0x40 | self.kind << 4 | self.token.len() as u8, self.code.0];
        out.extend(self.mid.to_be_bytes());
        out.extend(&self.token);
        let mut options = self.options.clone();
        options.sort_by_key(|(number, _)| *number);
        let mut last = 0;
        for (number, value) in options {
            let nibble = |v: usize| match v {
                0..=12 => (v as u8, vec![]),
                13..=268 => (13, vec![(v - 13) as u8]),
                _ => (14, ((v - 269) as u16).to_be_bytes().to_vec()),
            };
            let (delta, delta_ext) = nibble(usize::from(number - last));
            let (len, len_ext) = nibble(value.len());
            out.push(delta << 4 | len);
            out.extend(delta_ext);
            out.extend(len_ext);
            out.extend(value);
            last = number;
        }
        if !self.payload.is_empty() {
            out.push(0xff);
            out.extend(&self.payload);
        }
        out
    }

    pub fn parse(bytes: &[u8]) -> Raw {
        let tkl = usize::from(bytes[0] & 15);
        let mut message = raw(bytes[0] >> 4 & 3, Code(bytes[1]), u16::from_be_bytes([bytes[2], bytes[3]]));
        message.token = bytes[4..4 + tkl].to_vec();
        let (mut at, mut number) = (4 + tkl, 0usize);
        while at < bytes.len() {
            if bytes[at] == 0xff {
                message.payload = bytes[at + 1..].to_vec();
                break;
            }
            let (first, mut next) = (bytes[at], at + 1);
            let mut extended = |nibble: u8| match nibble {
                13 => {
                    next += 1;
                    usize::from(bytes[next - 1]) + 13
                }
                14 => {
                    next += 2;
                    usize::from(u16::from_be_bytes([bytes[next - 2], bytes[next - 1]])) + 269
                }
                other => usize::from(other),
            };
            number += extended(first >> 4);
            let len = extended(first & 15);
            message.options.push((number as u16, bytes[next..next + len].to_vec()));
            at = next + len;
        }
        message
    }
}

pub fn block(num: u32, more: bool, szx: u8) -> Vec<u8> {
    let value = num << 4 | u32::from(more) << 3 | u32::from(szx);
    value.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect()
}

/// Gives a message in; returns what comes out.
pub fn feed(node: &mut Node, now: Now, peer: SocketAddr, message: &Raw) -> Vec<Raw> {
    node.handle_datagram(now, peer, &message.bytes());
    sent(node)
}

pub fn sent(node: &mut Node) -> Vec<Raw> {
    std::iter::from_fn(|| node.poll_transmit()).map(|t| Raw::parse(&t.bytes)).collect()
}

pub fn events(node: &mut Node) -> Vec<Event> {
    std::iter::from_fn(|| node.poll_event()).collect()
}

/// The one request that must have come.
pub fn request(node: &mut Node) -> IncomingRequest {
    match events(node).pop() {
        Some(Event::Request(request)) => request,
        other => panic!("no request but {other:?}"),
    }
}

/// Feeds a request, answers it at once, returns the one reply.
pub fn ask(node: &mut Node, now: Now, peer: SocketAddr, message: &Raw, response: Response) -> Raw {
    assert!(feed(node, now, peer, message).is_empty());
    let id = request(node).id;
    node.respond(now, id, response);
    one(sent(node))
}

pub fn one(mut replies: Vec<Raw>) -> Raw {
    assert_eq!(replies.len(), 1, "{replies:?}");
    replies.remove(0)
}

/// Two endpoints and what is between them.
pub struct Link {
    pub now: Now,
    pub nodes: [Node; 2],
    rng: ChaCha8Rng,
    /// Out of 100.
    pub loss: u32,
    pub double: u32,
    flying: Vec<(Now, u64, usize, Vec<u8>)>,
    count: u64,
    pub delivered: u64,
}

impl Link {
    pub fn new(nodes: [Node; 2], seed: u64, loss: u32, double: u32) -> Link {
        let rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
        Link { now: ms(1000), nodes, rng, loss, double, flying: Vec::new(), count: 0, delivered: 0 }
    }

    fn collect(&mut self) {
        for from in 0..2 {
            while let Some(transmit) = self.nodes[from].poll_transmit() {
                let copies = 1 + u32::from(self.rng.next_u32() % 100 < self.double);
                for _ in 0..copies {
                    if self.rng.next_u32() % 100 >= self.loss {
                        // Up to 400 ms: enough to reorder.
                        let at = self.now + ms(u64::from(10 + self.rng.next_u32() % 390));
                        self.count += 1;
                        self.flying.push((at, self.count, 1 - from, transmit.bytes.clone()));
                    }
                }
            }
        }
    }

    /// One step of time; `false` when nothing is left to happen before `end`.
    pub fn step(&mut self, end: Now) -> bool {
        self.collect();
        self.flying.sort();
        let flight = self.flying.first().map(|f| f.0);
        let timers = self.nodes.iter().filter_map(|node| node.poll_deadline()).map(|(time, _)| time);
        let Some(next) = timers.chain(flight).min().filter(|time| *time <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if flight.is_some_and(|time| time <= self.now) {
            let (_, _, to, bytes) = self.flying.remove(0);
            self.delivered += 1;
            self.nodes[to].handle_datagram(self.now, addr(1 + (1 - to) as u16), &bytes);
        }
        for node in &mut self.nodes {
            node.handle_timeout(self.now);
        }
        true
    }
}
