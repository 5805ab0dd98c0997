//! Requests and responses as the application sees them.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use crate::code::Code;
use crate::event::RequestId;
use crate::limits;
use crate::token::Token;

/// `application/concise-problem-details+cbor` (RFC 9290).
pub const CONTENT_FORMAT_PROBLEM: u16 = 257;

/// A request from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingRequest {
    /// For [`crate::Endpoint::respond`].
    pub id: RequestId,
    /// Where it came from.
    pub peer: SocketAddr,
    /// Its token; with `peer` the key of an observer.
    pub token: Token,
    /// GET, POST, …
    pub method: Code,
    /// The raw Uri-Path options, in order: never joined or re-split.
    pub path: Vec<Vec<u8>>,
    /// The raw Uri-Query options, in order.
    pub query: Vec<Vec<u8>>,
    /// Content-Format of the payload.
    pub content_format: Option<u16>,
    /// The one content format that the client takes; see [`IncomingRequest::accepts`].
    pub accept: Option<u16>,
    /// Observe, when the resource is observable: 0 registers, 1 deregisters.
    pub observe: Option<u32>,
    /// ETags that the client holds.
    pub etags: Vec<Vec<u8>>,
    /// If-Match: the ETags of which one must be that of the current state; an empty one stands for any state at all.
    /// Where [`crate::Config::conditional`] says so, the application answers 4.12 if none is.
    pub if_match: Vec<Vec<u8>>,
    /// If-None-Match: there must be no such resource yet; else 4.12.
    pub if_none_match: bool,
    /// The body, assembled.
    pub payload: Vec<u8>,
    /// Whether the address has shown that it receives what is sent to it.
    pub verified: bool,
    /// Whether this very request has shown it, by an Echo value of its own (of its first block, where there were several).
    pub proven: bool,
    /// The block size that the client asks for in the answer, as an exponent.
    pub block2_szx: Option<u8>,
    /// Bytes of the datagram (of the last one, where there were several).
    pub datagram_len: usize,
    /// Whether it was confirmable.
    pub confirmable: bool,
}

impl IncomingRequest {
    /// Whether the client takes `content_format`; if not, the answer is 4.06.
    pub fn accepts(&self, content_format: u16) -> bool {
        self.accept.is_none_or(|accept| accept == content_format)
    }

    /// Whether this asks to become an observer.
    pub fn registers(&self) -> bool {
        self.observe == Some(0)
    }
}

/// An answer to a peer, or a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The code.
    pub code: Code,
    /// Content-Format of the payload.
    pub content_format: Option<u16>,
    /// Max-Age in seconds.
    pub max_age: Option<u32>,
    /// In answer to a registration: accept the observer. Ignored elsewhere.
    pub observe: bool,
    /// ETag of 1–8 bytes; without one the endpoint makes a short hash where the body is cut into blocks.
    pub etag: Option<Vec<u8>>,
    /// Location-Path segments.
    pub location_path: Vec<String>,
    /// Location-Query parts.
    pub location_query: Vec<String>,
    /// Notifications only: sent confirmably. Without, most go non-confirmable, and every few are confirmable all the same.
    pub confirmable: bool,
    /// The body; cut into blocks where needed.
    pub payload: Vec<u8>,
}

impl Response {
    /// A response without a body.
    pub fn new(code: Code) -> Response {
        Response {
            code,
            content_format: None,
            max_age: None,
            observe: false,
            etag: None,
            location_path: Vec::new(),
            location_query: Vec::new(),
            confirmable: true,
            payload: Vec::new(),
        }
    }

    /// An error with RFC 9290 problem details. A body that an unverified address may not be sent is left out.
    pub fn problem(code: Code, title: &str, detail: &str) -> Response {
        // CBOR: a map of two, the keys -1 (title) and -2 (detail).
        let mut body = vec![0xa2, 0x20];
        push_text(&mut body, title);
        body.push(0x21);
        push_text(&mut body, detail);
        Response::new(code).with_payload(CONTENT_FORMAT_PROBLEM, body)
    }

    /// Sets the body and its Content-Format.
    pub fn with_payload(mut self, content_format: u16, payload: impl Into<Vec<u8>>) -> Response {
        self.content_format = Some(content_format);
        self.payload = payload.into();
        self
    }

    /// Sets Max-Age, in seconds.
    pub fn with_max_age(mut self, seconds: u32) -> Response {
        self.max_age = Some(seconds);
        self
    }

    /// Accepts the observer that the request asked to become.
    pub fn with_observe(mut self) -> Response {
        self.observe = true;
        self
    }

    /// Sets the ETag. Values that are not 1–8 bytes are not sent.
    pub fn with_etag(mut self, etag: impl Into<Vec<u8>>) -> Response {
        self.etag = Some(etag.into());
        self
    }

    /// Sets Location-Path.
    pub fn with_location<S: Into<String>>(mut self, segments: impl IntoIterator<Item = S>) -> Response {
        self.location_path = segments.into_iter().map(Into::into).collect();
        self
    }

    /// Sets Location-Query.
    pub fn with_location_query<S: Into<String>>(mut self, parts: impl IntoIterator<Item = S>) -> Response {
        self.location_query = parts.into_iter().map(Into::into).collect();
        self
    }

    /// Sets an ETag made from the body, so that a client that holds it is told so in place of getting it again.
    pub fn with_hashed_etag(self) -> Response {
        let etag = etag_of(&self.payload);
        self.with_etag(etag)
    }

    /// A notification that may be lost: the next will tell.
    pub fn non_confirmable(mut self) -> Response {
        self.confirmable = false;
        self
    }
}

/// A short hash: equal bodies have equal ETags across requests and restarts.
pub(crate) fn etag_of(payload: &[u8]) -> Vec<u8> {
    Sha256::digest(payload).iter().copied().take(limits::ETAG_LEN).collect()
}

/// Appends a CBOR text string, cut to 255 bytes: a problem is to be read by people, in one datagram.
fn push_text(body: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let len = end as u8;
    match len {
        0..=23 => body.push(0x60 | len),
        _ => body.extend([0x78, len]),
    }
    body.extend(text.as_bytes().iter().take(end));
}

/// An own request. Sent confirmable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET, POST, …
    pub method: Code,
    /// Uri-Path segments, at most 255 bytes each.
    pub path: Vec<String>,
    /// Uri-Query parts, at most 255 bytes each.
    pub query: Vec<String>,
    /// Content-Format of the payload.
    pub content_format: Option<u16>,
    /// The only Content-Format that is wanted back.
    pub accept: Option<u16>,
    /// `Some(true)` registers as an observer; `Some(false)` sends Observe = 1.
    pub observe: Option<bool>,
    /// The body; cut into blocks where needed.
    pub payload: Vec<u8>,
    /// Block size in both directions, as an exponent; without it `Config::block_szx_max`.
    pub block_szx: Option<u8>,
}

impl Request {
    /// A request without a body.
    pub fn new<S: Into<String>>(method: Code, path: impl IntoIterator<Item = S>) -> Request {
        Request {
            method,
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            content_format: None,
            accept: None,
            observe: None,
            payload: Vec::new(),
            block_szx: None,
        }
    }

    /// Sets the body and its Content-Format.
    pub fn with_payload(mut self, content_format: u16, payload: impl Into<Vec<u8>>) -> Request {
        self.content_format = Some(content_format);
        self.payload = payload.into();
        self
    }

    /// Adds a Uri-Query part.
    pub fn with_query(mut self, part: impl Into<String>) -> Request {
        self.query.push(part.into());
        self
    }

    /// Takes only this Content-Format back.
    pub fn with_accept(mut self, content_format: u16) -> Request {
        self.accept = Some(content_format);
        self
    }

    /// Registers as an observer.
    pub fn with_observe(mut self) -> Request {
        self.observe = Some(true);
        self
    }

    /// Sets the block size exponent, 0–6.
    pub fn with_block_szx(mut self, szx: u8) -> Request {
        self.block_szx = Some(szx);
        self
    }
}

/// An answer from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingResponse {
    /// Who answered.
    pub peer: SocketAddr,
    /// The code.
    pub code: Code,
    /// The body, assembled.
    pub payload: Vec<u8>,
    /// Content-Format of the payload.
    pub content_format: Option<u16>,
    /// The sequence number, when this exchange observes and goes on after this answer.
    pub observe: Option<u32>,
    /// Max-Age in seconds.
    pub max_age: Option<u32>,
    /// ETag.
    pub etag: Option<Vec<u8>>,
    /// Location-Path segments.
    pub location_path: Vec<Vec<u8>>,
    /// Location-Query parts.
    pub location_query: Vec<Vec<u8>>,
}
