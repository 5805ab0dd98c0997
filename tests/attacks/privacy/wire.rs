//! What an observer makes of a datagram: its options and payload byte by byte, with what each byte may do.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use sga_tests::sim::Datagram;

/// What a byte of a datagram may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Occur by chance only.
    Fresh,
    /// Be the same for everybody: names, formats, lengths, counters, texts of errors, the package.
    Public,
    /// Be the same in one scope.
    Within(u64),
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Package,
    Register,
    Attach,
    Ack,
    Negotiate,
    Half,
    Message,
    Empty,
}

/// One datagram as the observer keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Whose it is: devices have an IP address for good and change ports.
    pub(crate) device: IpAddr,
    pub(crate) port: u16,
    pub(crate) to_gateway: bool,
    pub(crate) kind: Kind,
    pub(crate) code: u8,
    pub(crate) token: Vec<u8>,
    pub(crate) message_id: u16,
    /// Options and payload, without message ID and token: those are looked at by themselves.
    pub(crate) bytes: Vec<u8>,
    pub(crate) labels: Vec<Label>,
    pub(crate) payload: Vec<u8>,
    /// Which block of a larger body.
    pub(crate) block: Option<u32>,
    /// Asks for a later block of an answer.
    pub(crate) follows_up: bool,
}

/// Option numbers (RFC 7252, 7959, 8613, 9175).
mod option {
    pub(super) const ETAG: u32 = 4;
    pub(super) const URI_PATH: u32 = 11;
    pub(super) const CONTENT_FORMAT: u32 = 12;
    pub(super) const BLOCK2: u32 = 23;
    pub(super) const BLOCK1: u32 = 27;
    pub(super) const ECHO: u32 = 252;
    pub(super) const REQUEST_TAG: u32 = 292;
}

const PROBLEM: u32 = 257;
const GET: u8 = 1;
const FETCH: u8 = 5;

/// A scope, from what makes it.
fn scope(parts: impl std::hash::Hash) -> Label {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    Label::Within(hasher.finish())
}

/// Reads datagrams in the order in which they were sent.
pub(crate) struct Observer {
    gateway: SocketAddr,
    requests: HashMap<(SocketAddr, Vec<u8>), Kind>,
    /// By ticket: how many answers to attaches its device had taken when it was shown first. It is shown again only while the device
    /// has taken no further one.
    tickets: HashMap<Vec<u8>, usize>,
    attaches: HashMap<Vec<u8>, usize>,
    /// Salted messages that go in blocks, by their tag: the scope of the salt, which is in the last one.
    salted: HashMap<(IpAddr, Vec<u8>), Label>,
}

/// An option, and where its value is.
struct Opt {
    number: u32,
    value: std::ops::Range<usize>,
}

fn options(bytes: &[u8], mut at: usize) -> (Vec<Opt>, usize) {
    let (mut list, mut number) = (Vec::new(), 0);
    while at < bytes.len() && bytes[at] != 0xff {
        let (delta, len) = (bytes[at] >> 4, bytes[at] & 15);
        at += 1;
        let mut extended = |nibble: u8| match nibble {
            13 => {
                at += 1;
                u32::from(bytes[at - 1]) + 13
            }
            14 => {
                at += 2;
                u32::from(u16::from_be_bytes([bytes[at - 2], bytes[at - 1]])) + 269
            }
            small => u32::from(small),
        };
        number += extended(delta);
        let len = extended(len) as usize;
        list.push(Opt { number, value: at..at + len });
        at += len;
    }
    (list, at)
}

fn uint(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

impl Observer {
    pub(crate) fn new(gateway: SocketAddr) -> Self {
        Self {
            gateway,
            requests: HashMap::new(),
            tickets: HashMap::new(),
            attaches: HashMap::new(),
            salted: HashMap::new(),
        }
    }

    /// `taken`: how many answers to attaches the device has taken so far.
    pub(crate) fn see(&mut self, datagram: &Datagram, taken: impl FnOnce(IpAddr) -> usize) -> Seen {
        let to_gateway = datagram.to == self.gateway;
        let device = if to_gateway { datagram.from } else { datagram.to };
        let bytes = &datagram.bytes;
        let start = 4 + usize::from(bytes[0] & 15);
        let (code, token) = (bytes[1], bytes[4..start].to_vec());
        let (options, end) = options(bytes, start);
        let payload = bytes.get(end + 1..).unwrap_or_default();
        let first = |number| options.iter().find(|option| option.number == number);
        let block = if to_gateway { first(option::BLOCK1) } else { first(option::BLOCK2) };
        let block = block.map(|option| uint(&bytes[option.value.clone()]) >> 4);
        let kind = if to_gateway && (1..32).contains(&code) {
            let path = first(option::URI_PATH).map(|option| &bytes[option.value.clone()]);
            let kind = self.kind_of(device, path, code, payload, block);
            self.requests.insert((device, token.clone()), kind);
            kind
        } else {
            self.requests.get(&(device, token.clone())).copied().filter(|_| code != 0).unwrap_or(Kind::Empty)
        };
        let mut labels = vec![Label::Public; bytes.len()];
        for option in &options {
            let value = &bytes[option.value.clone()];
            let label = match option.number {
                option::ECHO => scope(("echo", device, value)),
                option::ETAG | option::REQUEST_TAG if kind != Kind::Package => scope(("tag", device.ip(), value)),
                _ => Label::Public,
            };
            // An Echo value begins with the time.
            let from = option.value.start + if option.number == option::ECHO { 4 } else { 0 };
            labels[from..option.value.end].fill(label);
        }
        let is_problem = first(option::CONTENT_FORMAT).is_some_and(|o| uint(&bytes[o.value.clone()]) == PROBLEM);
        if !is_problem && (to_gateway || kind != Kind::Package) {
            let labels = &mut labels[bytes.len() - payload.len()..];
            self.label(kind, to_gateway, block.unwrap_or(0), payload, (device.ip(), taken), labels);
            // Blocks of one representation may overlap: an address that is not verified yet gets smaller ones.
            if !to_gateway && let Some(tag) = first(option::ETAG).filter(|_| block.is_some()) {
                labels.fill(scope(("blocks", device.ip(), &bytes[tag.value.clone()])));
            }
            if to_gateway && let Some(tag) = first(option::REQUEST_TAG) {
                let tag = (device.ip(), bytes[tag.value.clone()].to_vec());
                let more = first(option::BLOCK1).is_some_and(|o| uint(&bytes[o.value.clone()]) & 8 != 0);
                self.label_salt(tag, block == Some(0) && payload.first() == Some(&0x86), more, payload, labels);
            }
        }
        Seen {
            device: device.ip(),
            port: device.port(),
            to_gateway,
            kind,
            code,
            token,
            message_id: u16::from_be_bytes([bytes[2], bytes[3]]),
            bytes: bytes[start..].to_vec(),
            labels: labels[start..].to_vec(),
            payload: payload.to_vec(),
            block,
            follows_up: to_gateway && first(option::BLOCK2).is_some_and(|o| uint(&bytes[o.value.clone()]) >> 4 > 0),
        }
    }

    fn kind_of(&self, device: SocketAddr, path: Option<&[u8]>, code: u8, payload: &[u8], block: Option<u32>) -> Kind {
        match (path, code) {
            (Some(b"register"), GET) => Kind::Package,
            (Some(b"register"), _) => Kind::Register,
            (Some(b"negotiate"), _) => Kind::Negotiate,
            (Some(b"kex"), _) => Kind::Half,
            (Some(b"msg"), FETCH) => Kind::Attach,
            // An array of three is an Ack; later blocks are of a Message.
            (Some(b"msg"), _) if block.unwrap_or(0) == 0 && payload.first() == Some(&0x83) => Kind::Ack,
            (Some(b"msg"), _) => Kind::Message,
            other => panic!("{device}: nobody asks for {other:?}"),
        }
    }

    /// The salt of a message in blocks is its end; its scope is that of the handle in the first.
    fn label_salt(&mut self, tag: (IpAddr, Vec<u8>), begins: bool, more: bool, payload: &[u8], labels: &mut [Label]) {
        if begins {
            let handle = &payload[2..6];
            let label = scope(("salt", tag.0, handle));
            self.salted.insert(tag, label);
        } else if let Some(label) = self.salted.get(&tag).filter(|_| !more) {
            let from = labels.len().saturating_sub(8);
            labels[from..].fill(*label);
            if let Some(head) = from.checked_sub(1) {
                labels[head] = Label::Public;
            }
        }
    }

    /// Strings are fresh but for tickets, handles and salts; heads and numbers are public.
    fn label(
        &mut self,
        kind: Kind,
        to_gateway: bool,
        block: u32,
        payload: &[u8],
        (device, taken): (IpAddr, impl FnOnce(IpAddr) -> usize),
        labels: &mut [Label],
    ) {
        labels.fill(Label::Fresh);
        if block > 0 || payload.is_empty() {
            return;
        }
        let strings = strings(payload, labels);
        let string = |at: usize| strings.get(at).map(|range| (range.clone(), payload[range.clone()].to_vec()));
        match kind {
            Kind::Attach | Kind::Ack if to_gateway => {
                let Some((range, ticket)) = string(0) else { return };
                // The same attach again asks for the next block of its answer.
                let taken = *self.attaches.entry(payload.to_vec()).or_insert_with(|| taken(device));
                let shown = *self.tickets.entry(ticket).or_insert(taken);
                // An Ack may come after further attaches were answered; it belongs to the ticket's own.
                let scoped = if kind == Kind::Attach { (shown, taken) } else { (shown, shown) };
                labels[range].fill(scope(("ticket", device, scoped)));
            }
            Kind::Half | Kind::Message if to_gateway => {
                let Some((range, handle)) = string(0) else { return };
                labels[range].fill(scope(("handle", device, &handle[..])));
                let salt = if kind == Kind::Half { 2 } else { 3 };
                if let Some((range, _)) = string(salt) {
                    labels[range].fill(scope(("salt", device, &handle[..])));
                }
            }
            _ => {}
        }
    }
}

/// Where the byte strings of a payload are, which is one array or one string; all between them is public. A first block may end in
/// the middle of one.
fn strings(payload: &[u8], labels: &mut [Label]) -> Vec<std::ops::Range<usize>> {
    let (mut at, mut found) = (0, Vec::new());
    while at < payload.len() {
        let (major, short) = (payload[at] >> 5, payload[at] & 31);
        let more = match short {
            0..=23 => 0,
            24..=26 => 1 << (short - 24),
            _ => panic!("not deterministic CBOR"),
        };
        let end = (at + 1 + more).min(payload.len());
        labels[at..end].fill(Label::Public);
        let len = if more == 0 { u32::from(short) } else { uint(&payload[at + 1..end]) } as usize;
        at = end;
        match major {
            0 | 4 => {}
            2 => {
                let end = (at + len).min(payload.len());
                found.push(at..end);
                at = end;
            }
            _ => panic!("nothing else travels"),
        }
    }
    found
}
