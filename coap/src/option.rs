//! Option numbers, their shapes, and the short integers they hold.

/// Option numbers (RFC 7252 §12.2 and the RFCs named in the crate's documentation).
#[allow(missing_docs, reason = "the names are the documentation")]
pub mod number {
    pub const IF_MATCH: u16 = 1;
    pub const URI_HOST: u16 = 3;
    pub const ETAG: u16 = 4;
    pub const IF_NONE_MATCH: u16 = 5;
    pub const OBSERVE: u16 = 6;
    pub const URI_PORT: u16 = 7;
    pub const LOCATION_PATH: u16 = 8;
    pub const URI_PATH: u16 = 11;
    pub const CONTENT_FORMAT: u16 = 12;
    pub const MAX_AGE: u16 = 14;
    pub const URI_QUERY: u16 = 15;
    pub const HOP_LIMIT: u16 = 16;
    pub const ACCEPT: u16 = 17;
    pub const LOCATION_QUERY: u16 = 20;
    pub const BLOCK2: u16 = 23;
    pub const BLOCK1: u16 = 27;
    pub const SIZE2: u16 = 28;
    pub const PROXY_URI: u16 = 35;
    pub const PROXY_SCHEME: u16 = 39;
    pub const SIZE1: u16 = 60;
    pub const ECHO: u16 = 252;
    pub const NO_RESPONSE: u16 = 258;
    pub const REQUEST_TAG: u16 = 292;
}

/// What is known of an option: repeatable, and its shortest and longest value in bytes.
pub(crate) struct Shape {
    pub(crate) repeatable: bool,
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// `None` for options that this crate does not know.
pub(crate) fn shape(option: u16) -> Option<Shape> {
    use number::*;
    let (repeatable, min, max) = match option {
        IF_MATCH => (true, 0, 8),
        URI_HOST => (false, 1, 255),
        ETAG => (true, 1, 8),
        IF_NONE_MATCH => (false, 0, 0),
        OBSERVE => (false, 0, 3),
        URI_PORT | CONTENT_FORMAT | ACCEPT => (false, 0, 2),
        LOCATION_PATH | URI_PATH | URI_QUERY | LOCATION_QUERY => (true, 0, 255),
        MAX_AGE | SIZE1 | SIZE2 => (false, 0, 4),
        HOP_LIMIT => (false, 1, 1),
        BLOCK1 | BLOCK2 => (false, 0, 3),
        PROXY_URI => (false, 1, 1034),
        PROXY_SCHEME => (false, 1, 255),
        ECHO => (false, 1, 40),
        NO_RESPONSE => (false, 0, 1),
        REQUEST_TAG => (true, 0, 8),
        _ => return None,
    };
    Some(Shape { repeatable, min, max })
}

/// A receiver must understand these or refuse the message (RFC 7252 §5.4.6).
pub(crate) const fn is_critical(option: u16) -> bool {
    option & 1 == 1
}

/// An unsigned integer in its shortest form; zero is empty.
pub(crate) fn uint_bytes(value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = (value.leading_zeros() / 8) as usize;
    bytes.get(skip..).unwrap_or_default().to_vec()
}

/// The integer in an option value of at most 4 bytes.
pub(crate) fn uint(value: &[u8]) -> Option<u32> {
    (value.len() <= 4).then(|| value.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte)))
}
