//! Requests: what leaves, and what is remembered of the one in flight so that its answer can be verified.

use sga_crypto::Secret;
use sga_schema::{DeviceId, Handle, Suite};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// GET `/register`.
    Package,
    /// POST `/register`.
    Register,
    /// FETCH `/msg`.
    Attach {
        /// With Observe 0.
        observe: bool,
    },
    /// POST `/msg`, cursor.
    Ack,
    /// A1.
    Invite,
    /// A3.
    Reply,
    /// B1 or B3.
    Half,
    /// POST `/msg`, a sealed text or message 0.
    Message,
}

/// The CoAP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// 0.01
    Get,
    /// 0.02
    Post,
    /// 0.05
    Fetch,
}

impl Method {
    /// The CoAP code byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Get => 1,
            Self::Post => 2,
            Self::Fetch => 5,
        }
    }
}

/// A request that is due; its payload is in the caller's buffer, or, if `stored`, in the caller's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What for.
    pub kind: RequestKind,
    /// The method.
    pub method: Method,
    /// Uri-Path, one segment, no slash.
    pub path: &'static str,
    /// Content-Format; 60 with every payload.
    pub content_format: Option<u16>,
    /// Observe 0.
    pub observe: bool,
    /// Bytes of the payload in the buffer; 0 if `stored`.
    pub len: usize,
    /// The peer that it is about.
    pub peer: Option<DeviceId>,
    /// The payload is what [`crate::Device::send`] wrote for this peer, run and sequence: the caller kept it.
    pub stored: Option<StoredText>,
}

/// Names a sealed text that the caller keeps until its `Sent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredText {
    /// To whom.
    pub peer: DeviceId,
    /// Under which run.
    pub run: u32,
    /// Its sequence.
    pub sequence: u32,
}

/// What an answer led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Handled {
    /// Dealt with: go on.
    Done,
    /// Not dealt with: the request is due again, or another must come first. Wait (Max-Age, or back off) before the next
    /// [`crate::Device::poll_request`].
    Retry,
}

/// The request in flight.
pub(crate) struct Flight {
    pub(crate) sent_len: usize,
    pub(crate) what: InFlight,
}

/// What its answer is verified with.
pub(crate) enum InFlight {
    Package,
    Register { request_hash: [u8; 32] },
    Attach { nonce: [u8; 8], ticket: [u8; 16] },
    Ack { cursor: u32 },
    Invite { peer: DeviceId, suite: Suite, nonce_i: [u8; 8], key: Secret<16>, request_hash: [u8; 32] },
    Reply { peer: DeviceId, handle: Handle, request_hash: [u8; 32] },
    Half { peer: DeviceId, handle: Handle, run: u32, request_hash: [u8; 32] },
    Confirm { peer: DeviceId, handle: Handle, run: u32 },
    Text { peer: DeviceId },
}
