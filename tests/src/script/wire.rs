//! Messages as scripts spell them, to bytes and back. Written apart from the endpoint's own codec, so that both have to agree.

/// The names of options in scripts: number, name, and how a value is written.
const OPTIONS: [(u16, &str, Format); 23] = [
    (1, "If-Match", Format::Opaque),
    (3, "Uri-Host", Format::Text),
    (4, "ETag", Format::Opaque),
    (5, "If-None-Match", Format::Opaque),
    (6, "Observe", Format::Uint),
    (7, "Uri-Port", Format::Uint),
    (8, "Location-Path", Format::Text),
    (11, "Uri-Path", Format::Text),
    (12, "Content-Format", Format::Uint),
    (14, "Max-Age", Format::Uint),
    (15, "Uri-Query", Format::Text),
    (16, "Hop-Limit", Format::Uint),
    (17, "Accept", Format::Uint),
    (20, "Location-Query", Format::Text),
    (23, "Block2", Format::Block),
    (27, "Block1", Format::Block),
    (28, "Size2", Format::Uint),
    (35, "Proxy-Uri", Format::Text),
    (39, "Proxy-Scheme", Format::Text),
    (60, "Size1", Format::Uint),
    (252, "Echo", Format::Opaque),
    (258, "No-Response", Format::Uint),
    (292, "Request-Tag", Format::Opaque),
];

/// How an option's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// In hex.
    Opaque,
    /// As it is.
    Text,
    /// In decimal.
    Uint,
    /// `number/more/size`.
    Block,
}

/// Number and format of an option; `option-N` stands for those that have no name.
pub(crate) fn option(name: &str) -> Option<(u16, Format)> {
    let named = OPTIONS.iter().find(|(_, known, _)| *known == name).map(|(number, _, format)| (*number, *format));
    named.or_else(|| Some((name.strip_prefix("option-")?.parse().ok()?, Format::Opaque)))
}

fn option_name(number: u16) -> String {
    let known = OPTIONS.iter().find(|(known, _, _)| *known == number);
    known.map_or_else(|| format!("option-{number}"), |(_, name, _)| (*name).to_owned())
}

/// A message, field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// 0 CON, 1 NON, 2 ACK, 3 RST.
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) mid: u16,
    pub(crate) token: Vec<u8>,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
}

/// The names of the four types.
pub(crate) const KINDS: [&str; 4] = ["CON", "NON", "ACK", "RST"];

impl Message {
    /// The bytes. Options of one number keep their order.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0x40 | self.kind << 4 | self.token.len() as u8, self.code];
        out.extend(self.mid.to_be_bytes());
        out.extend(&self.token);
        let mut options = self.options.clone();
        options.sort_by_key(|(number, _)| *number);
        let mut last = 0;
        for (number, value) in options {
            let ((delta, delta_more), (len, len_more)) = (nibble(usize::from(number - last)), nibble(value.len()));
            out.push(delta << 4 | len);
            out.extend(delta_more);
            out.extend(len_more);
            out.extend(value);
            last = number;
        }
        if !self.payload.is_empty() {
            out.push(0xff);
            out.extend(&self.payload);
        }
        out
    }

    /// Strict: what a reply breaks of RFC 7252 §3 is an error of the gateway's.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let &[first, code, high, low, ref rest @ ..] = bytes else {
            return Err(format!("{} bytes are no message", bytes.len()));
        };
        if first >> 6 != 1 || first & 15 > 8 {
            return Err(format!("first byte {first:#04x}"));
        }
        let (token, mut rest) = rest.split_at_checked(usize::from(first & 15)).ok_or("the token is cut off")?;
        let (mut options, mut number, mut payload) = (Vec::new(), 0u32, Vec::new());
        while let Some((&first, after)) = rest.split_first() {
            if first == 0xff {
                payload = after.to_vec();
                if payload.is_empty() {
                    return Err("a marker without a payload".into());
                }
                break;
            }
            let (delta, after) = extended(first >> 4, after)?;
            let (len, after) = extended(first & 15, after)?;
            number += delta;
            let (value, after) = after.split_at_checked(len as usize).ok_or("an option is cut off")?;
            let number = u16::try_from(number).map_err(|_| "an option number past 65,535")?;
            options.push((number, value.to_vec()));
            rest = after;
        }
        if code == 0 && bytes.len() > 4 {
            return Err("Empty with content".into());
        }
        let (kind, mid) = (first >> 4 & 3, u16::from_be_bytes([high, low]));
        Ok(Self { kind, code, mid, token: token.to_vec(), options, payload })
    }

    /// The first value of an option.
    pub(crate) fn value(&self, number: u16) -> Option<&[u8]> {
        self.options.iter().find(|(known, _)| *known == number).map(|(_, value)| value.as_slice())
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        let (kind, class, detail) = (KINDS[usize::from(self.kind)], self.code >> 5, self.code & 31);
        let mut text = format!("{kind} {class}.{detail:02} {:#06x} token={}", self.mid, hex(&self.token));
        for (number, value) in &self.options {
            text += &format!(" {}=0x{}", option_name(*number), hex(value));
        }
        if !self.payload.is_empty() {
            text +=
                &format!(" payload={} ({})", hex(&self.payload), String::from_utf8_lossy(&self.payload).escape_debug());
        }
        text
    }
}

/// The nibble and the bytes that extend it.
fn nibble(value: usize) -> (u8, Vec<u8>) {
    match value {
        0..=12 => (value as u8, vec![]),
        13..=268 => (13, vec![(value - 13) as u8]),
        _ => (14, ((value - 269) as u16).to_be_bytes().to_vec()),
    }
}

fn extended(nibble: u8, rest: &[u8]) -> Result<(u32, &[u8]), String> {
    match (nibble, rest) {
        (0..=12, _) => Ok((u32::from(nibble), rest)),
        (13, [low, rest @ ..]) => Ok((u32::from(*low) + 13, rest)),
        (14, [high, low, rest @ ..]) => Ok((u32::from(u16::from_be_bytes([*high, *low])) + 269, rest)),
        _ => Err("an option header is cut off or reserved".into()),
    }
}

/// An integer in its shortest form.
pub(crate) fn uint(value: u32) -> Vec<u8> {
    value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
