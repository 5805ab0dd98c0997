//! Bytes to messages and back.
//!
//! coap-lite does the encoding; what it would accept and should not (versions, long tokens, a marker without a
//! payload, Empty with content, thousands of empty options) is refused here before it sees a byte.

use core::fmt;

use coap_lite::{CoapOption, MessageClass, MessageType, Packet};

use crate::code::Code;
use crate::limits;
use crate::option::{self, number};
use crate::token::Token;

/// RFC 7252 §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Con,
    Non,
    Ack,
    Rst,
}

/// A well-formed message. Options are in ascending order of number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) code: Code,
    pub(crate) mid: u16,
    pub(crate) token: Token,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    TooShort,
    Version,
    TokenLength,
    TooLong,
    EmptyWithContent,
    OptionCount,
    OptionShape,
    MarkerWithoutPayload,
    Codec,
}

/// The fixed part, readable even where the rest is not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) token_len: u8,
    pub(crate) code: Code,
    pub(crate) mid: u16,
}

/// Reads the four bytes of the header.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, Malformed> {
    let &[first, code, mid_high, mid_low, ..] = bytes else {
        return Err(Malformed::TooShort);
    };
    if first >> 6 != 1 {
        return Err(Malformed::Version);
    }
    let kind = match (first >> 4) & 3 {
        0 => Kind::Con,
        1 => Kind::Non,
        2 => Kind::Ack,
        _ => Kind::Rst,
    };
    Ok(Header { kind, token_len: first & 15, code: Code(code), mid: u16::from_be_bytes([mid_high, mid_low]) })
}

/// Decodes a whole datagram whose header has been read.
pub(crate) fn decode(header: Header, bytes: &[u8]) -> Result<Message, Malformed> {
    check(header, bytes)?;
    let packet = Packet::from_bytes(bytes).map_err(|_| Malformed::Codec)?;
    let options =
        packet.options().flat_map(|(number, values)| values.iter().map(|value| (*number, value.clone()))).collect();
    let token = Token::new(packet.get_token()).ok_or(Malformed::TokenLength)?;
    Ok(Message { kind: header.kind, code: header.code, mid: header.mid, token, options, payload: packet.payload })
}

/// Walks the structure without allocating.
fn check(header: Header, bytes: &[u8]) -> Result<(), Malformed> {
    if usize::from(header.token_len) > Token::MAX {
        return Err(Malformed::TokenLength);
    }
    if header.code == Code::EMPTY && bytes.len() > 4 {
        return Err(Malformed::EmptyWithContent);
    }
    let mut rest = bytes.get(4 + usize::from(header.token_len)..).ok_or(Malformed::TokenLength)?;
    let mut number = 0u32;
    let mut count = 0;
    while let Some((&first, after)) = rest.split_first() {
        if first == 0xff {
            return if after.is_empty() { Err(Malformed::MarkerWithoutPayload) } else { Ok(()) };
        }
        count += 1;
        if count > limits::MAX_OPTIONS {
            return Err(Malformed::OptionCount);
        }
        let (delta, after) = extended(first >> 4, after).ok_or(Malformed::OptionShape)?;
        let (length, after) = extended(first & 15, after).ok_or(Malformed::OptionShape)?;
        number += delta;
        if number > u32::from(u16::MAX) {
            return Err(Malformed::OptionShape);
        }
        rest = after.get(length as usize..).ok_or(Malformed::OptionShape)?;
    }
    Ok(())
}

/// An option's delta or length from its nibble and the bytes that extend it (RFC 7252 §3.1).
fn extended(nibble: u8, rest: &[u8]) -> Option<(u32, &[u8])> {
    match (nibble, rest) {
        (0..=12, _) => Some((u32::from(nibble), rest)),
        (13, [low, rest @ ..]) => Some((u32::from(*low) + 13, rest)),
        (14, [high, low, rest @ ..]) => Some((u32::from(u16::from_be_bytes([*high, *low])) + 269, rest)),
        _ => None,
    }
}

impl Message {
    /// A message without options and payload.
    pub(crate) fn new(kind: Kind, code: Code, mid: u16, token: Token) -> Message {
        Message { kind, code, mid, token, options: Vec::new(), payload: Vec::new() }
    }

    /// An empty ACK or RST.
    pub(crate) fn empty(kind: Kind, mid: u16) -> Message {
        Message::new(kind, Code::EMPTY, mid, Token::default())
    }

    pub(crate) fn push(&mut self, option: u16, value: impl Into<Vec<u8>>) {
        self.options.push((option, value.into()));
    }

    /// The bytes. Options may have been pushed in any order; those of one number keep theirs.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packet = Packet::new();
        packet.header.set_type(match self.kind {
            Kind::Con => MessageType::Confirmable,
            Kind::Non => MessageType::NonConfirmable,
            Kind::Ack => MessageType::Acknowledgement,
            Kind::Rst => MessageType::Reset,
        });
        packet.header.code = MessageClass::from(self.code.0);
        packet.header.message_id = self.mid;
        packet.set_token(self.token.as_slice().to_vec());
        for (number, value) in &self.options {
            packet.add_option(CoapOption::from(*number), value.clone());
        }
        packet.payload.clone_from(&self.payload);
        // Fails only for option values past 65,804 bytes, which no constructor here lets through.
        packet.to_bytes_unlimited().unwrap_or_default()
    }

    /// The values of an option whose length is as its definition says; others count as unknown (RFC 7252 §5.4.3).
    pub(crate) fn values(&self, option: u16) -> impl Iterator<Item = &[u8]> {
        let fits = move |value: &[u8]| option::shape(option).is_some_and(|s| (s.min..=s.max).contains(&value.len()));
        self.options
            .iter()
            .filter(move |(number, value)| *number == option && fits(value))
            .map(|(_, value)| value.as_slice())
    }

    /// The first value; supernumerary ones of elective options are ignored (RFC 7252 §5.4.5).
    pub(crate) fn value(&self, option: u16) -> Option<&[u8]> {
        self.values(option).next()
    }

    /// The first value as an integer.
    pub(crate) fn uint(&self, option: u16) -> Option<u32> {
        self.value(option).and_then(option::uint)
    }

    /// The first value as a 16-bit integer.
    pub(crate) fn uint16(&self, option: u16) -> Option<u16> {
        self.uint(option).and_then(|value| u16::try_from(value).ok())
    }

    /// All values, owned.
    pub(crate) fn owned(&self, option: u16) -> Vec<Vec<u8>> {
        self.values(option).map(<[u8]>::to_vec).collect()
    }

    /// The first critical option that is unknown, of a length that it cannot have, or repeated and must not be.
    pub(crate) fn bad_critical(&self) -> Option<u16> {
        let mut last = None;
        for (number, value) in &self.options {
            let repeated = last.replace(*number) == Some(*number);
            let good = option::shape(*number)
                .is_some_and(|shape| (shape.min..=shape.max).contains(&value.len()) && (shape.repeatable || !repeated));
            if option::is_critical(*number) && !good {
                return Some(*number);
            }
        }
        None
    }

    /// Proxying is asked for.
    pub(crate) fn wants_proxy(&self) -> bool {
        self.options.iter().any(|(option, _)| matches!(*option, number::PROXY_URI | number::PROXY_SCHEME))
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::TooShort => "shorter than a header",
            Malformed::Version => "not version 1",
            Malformed::TokenLength => "token length",
            Malformed::TooLong => "longer than the largest datagram",
            Malformed::EmptyWithContent => "Empty with content",
            Malformed::OptionCount => "too many options",
            Malformed::OptionShape => "option delta or length",
            Malformed::MarkerWithoutPayload => "marker without payload",
            Malformed::Codec => "refused by the codec",
        })
    }
}
