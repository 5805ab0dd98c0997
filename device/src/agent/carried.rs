//! Requests that somebody else's CoAP stack carries.

use sga_coap::Code;

/// A request to be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedRequest {
    /// Names it; rises.
    pub number: u64,
    /// GET, POST or FETCH.
    pub method: Code,
    /// The Uri-Path, one segment.
    pub path: &'static str,
    /// Content-Format, where there is a body.
    pub content_format: Option<u16>,
    /// The body.
    pub payload: Vec<u8>,
}

/// What came back for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedAnswer {
    /// The response's code.
    pub code: Code,
    /// Its Max-Age in seconds.
    pub max_age: Option<u32>,
    /// Its body.
    pub payload: Vec<u8>,
}

/// Requests on their way by others.
#[derive(Debug, Default)]
pub(super) struct Others {
    pub(super) last: u64,
    /// Made, and not handed out yet.
    pub(super) due: Option<CarriedRequest>,
}
