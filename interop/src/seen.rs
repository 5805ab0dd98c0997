//! Datagrams that went by, to be looked at.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use coap_lite::{CoapOption, MessageType, Packet};

/// Which way a datagram went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a client to the server.
    Up,
    /// From the server to a client.
    Down,
}

/// What was done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Passed on.
    Pass,
    /// Lost.
    Drop,
    /// Passed on twice.
    Double,
}

/// A datagram.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When, since the relay started.
    pub at: Duration,
    /// Which way.
    pub way: Way,
    /// The client that sent it or that it is for.
    pub client: SocketAddr,
    /// By which of the relay's outer ports, counted from 0: a rebinding opens the next.
    pub port: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What became of it.
    pub fate: Fate,
    packet: Option<Packet>,
}

impl Seen {
    pub(crate) fn new(at: Duration, way: Way, (client, port): (SocketAddr, usize), bytes: &[u8]) -> Seen {
        Seen { at, way, client, port, bytes: bytes.to_vec(), fate: Fate::Pass, packet: Packet::from_bytes(bytes).ok() }
    }

    /// The type, as in RFC 7252: CON, NON, ACK, RST; `?` if it is no CoAP.
    pub fn kind(&self) -> &'static str {
        match self.packet.as_ref().map(|packet| packet.header.get_type()) {
            Some(MessageType::Confirmable) => "CON",
            Some(MessageType::NonConfirmable) => "NON",
            Some(MessageType::Acknowledgement) => "ACK",
            Some(MessageType::Reset) => "RST",
            None => "?",
        }
    }

    /// The code as `c.dd`.
    pub fn code(&self) -> String {
        let code = self.bytes.get(1).copied().unwrap_or(0);
        format!("{}.{:02}", code >> 5, code & 31)
    }

    /// The message ID.
    pub fn mid(&self) -> u16 {
        self.packet.as_ref().map_or(0, |packet| packet.header.message_id)
    }

    /// The token.
    pub fn token(&self) -> &[u8] {
        self.packet.as_ref().map_or(&[], |packet| packet.get_token())
    }

    /// The values of an option.
    pub fn options(&self, number: u16) -> Vec<Vec<u8>> {
        let values = self.packet.as_ref().and_then(|packet| packet.get_option(CoapOption::from(number)));
        values.into_iter().flatten().cloned().collect()
    }

    /// The first value of an option.
    pub fn option(&self, number: u16) -> Option<Vec<u8>> {
        self.options(number).into_iter().next()
    }

    /// The first value of an option, as an integer.
    pub fn uint(&self, number: u16) -> Option<u32> {
        self.option(number).map(|value| value.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte)))
    }

    /// A block option: number, whether more follow, and size in bytes.
    pub fn block(&self, number: u16) -> Option<(u32, bool, usize)> {
        self.uint(number).map(|value| (value >> 4, value & 8 != 0, 16 << (value & 7)))
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.packet.as_ref().map_or(&[], |packet| &packet.payload)
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.bytes.get(1).is_some_and(|code| (1..32).contains(code))
    }

    /// Whether it is a response.
    pub fn is_response(&self) -> bool {
        self.bytes.get(1).is_some_and(|code| *code >= 64)
    }

    /// Whether it has this type and code.
    pub fn is(&self, kind: &str, code: &str) -> bool {
        self.kind() == kind && self.code() == code
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.way == Way::Up { ">" } else { "<" };
        write!(f, "{:>7.3} {arrow} ", self.at.as_secs_f64())?;
        let Some(packet) = &self.packet else { return write!(f, "{} bytes that are no CoAP", self.bytes.len()) };
        write!(f, "{} {} {:04x}", self.kind(), self.code(), self.mid())?;
        if !self.token().is_empty() {
            f.write_str(" token=")?;
            self.token().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        for (number, values) in packet.options() {
            for value in values {
                match std::str::from_utf8(value) {
                    Ok(text) if matches!(*number, 3 | 8 | 11 | 15 | 20) => write!(f, " {number}={text:?}")?,
                    _ => {
                        write!(f, " {number}=")?;
                        value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    }
                }
            }
        }
        if !self.payload().is_empty() {
            write!(f, " + {} bytes", self.payload().len())?;
        }
        match self.fate {
            Fate::Pass => Ok(()),
            Fate::Drop => f.write_str(" (lost)"),
            Fate::Double => f.write_str(" (doubled)"),
        }
    }
}
