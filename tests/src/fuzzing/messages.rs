//! Messages that a peer might send: good ones with chosen options, and mutations of them.

use super::reader::Reader;
use crate::script::wire::{self, Message};

/// Numbers worth choosing: what the endpoint looks at, and some that it does not know.
const OPTIONS: [u16; 26] =
    [1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 20, 23, 27, 28, 35, 39, 60, 252, 258, 292, 2048, 65_535];
const CODES: [u8; 20] = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0x41, 0x44, 0x45, 0x5f, 0x80, 0x81, 0x88, 0x8d, 0xa0, 0xa3, 0xe0];
/// Paths of the server: one that anyone may ask, one that needs a verified address, one that there is not.
pub(crate) const PATHS: [&str; 3] = ["r", "guarded", "nothing"];

/// What a peer has seen of the endpoint, to answer it or to play along.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Message ID of the last message that came.
    pub(crate) mid: u16,
    /// Its token.
    pub(crate) token: Vec<u8>,
    /// The last Echo value.
    pub(crate) echo: Vec<u8>,
    /// The last ETag.
    pub(crate) etag: Vec<u8>,
    /// What it sent last itself.
    pub(crate) said: Vec<u8>,
}

/// A message by choice. Few message IDs and tokens, so that they meet again.
pub(crate) fn message(reader: &mut Reader<'_>, seen: &Seen) -> Message {
    let first = reader.byte();
    let kind = first & 3;
    let mid = if first & 4 == 0 { u16::from(reader.byte() & 31) } else { seen.mid };
    let token = match (first >> 3) & 3 {
        0 => vec![reader.byte() & 7],
        1 => seen.token.clone(),
        2 => Vec::new(),
        _ => reader.bytes(8).to_vec(),
    };
    let code = if first & 0x20 == 0 { reader.pick(&[1, 2, 3, 5]) } else { reader.pick(&CODES) };
    let mut options = Vec::new();
    if first & 0x40 == 0 {
        options.push((11, reader.pick(&PATHS).as_bytes().to_vec()));
    }
    for _ in 0..reader.byte() & 7 {
        let number = reader.pick(&OPTIONS);
        options.push((number, value(reader, number, seen)));
    }
    let payload = if first & 0x80 == 0 { Vec::new() } else { payload(reader) };
    Message { kind, code, mid, token, options, payload }
}

fn value(reader: &mut Reader<'_>, number: u16, seen: &Seen) -> Vec<u8> {
    match (number, reader.byte()) {
        (_, choice) if choice >= 0xf0 => reader.bytes(usize::from(choice & 15) * 4).to_vec(),
        (252, _) => seen.echo.clone(),
        (4, choice) if choice & 1 == 0 => seen.etag.clone(),
        (23 | 27, choice) => {
            // Mostly small numbers and sizes, sometimes the largest.
            let number = if choice & 0x80 == 0 { u32::from(reader.byte() & 15) } else { reader.u32() & 0xf_ffff };
            wire::uint(number << 4 | u32::from(choice & 15))
        }
        (5, _) => Vec::new(),
        (6 | 7 | 12 | 14 | 16 | 17 | 258, choice) => wire::uint(u32::from(choice & 31)),
        (28 | 60, choice) => wire::uint(u32::from(choice) << (choice & 7)),
        (_, choice) => vec![choice & 3; usize::from(choice & 7)],
    }
}

/// The size of a block, or nearly.
fn payload(reader: &mut Reader<'_>) -> Vec<u8> {
    let choice = reader.byte();
    let len = match choice & 7 {
        7 => usize::from(reader.byte()) * 2,
        szx => (16usize << (szx & 3)) + usize::from(choice >> 6) - usize::from(choice >> 7),
    };
    vec![choice; len]
}

/// Changes some bytes and perhaps cuts the end off.
pub(crate) fn mutate(reader: &mut Reader<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..=reader.byte() & 3 {
        let at = reader.index(bytes.len());
        bytes[at] = reader.byte();
    }
    if reader.flag() {
        let len = 1 + reader.index(bytes.len());
        bytes.truncate(len);
    }
}
