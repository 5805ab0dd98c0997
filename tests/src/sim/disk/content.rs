//! What one file holds, and what of it is on the medium.

/// What a medium writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) now: Vec<u8>,
    pub(super) synced: Vec<u8>,
    pub(super) unsynced: Vec<Write>,
}

#[derive(Debug)]
pub(super) enum Write {
    Bytes { offset: usize, data: Vec<u8> },
    Length(usize),
}

pub(super) fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

pub(super) fn tear(bytes: &mut Vec<u8>, offset: usize, data: &[u8], lives: &mut impl FnMut() -> bool) {
    let mut at = 0;
    while at < data.len() {
        let part = (SECTOR - (offset + at) % SECTOR).min(data.len() - at);
        if lives() {
            put(bytes, offset + at, &data[at..at + part]);
        }
        at += part;
    }
}
