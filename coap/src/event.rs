//! What the endpoint tells the application.

use core::fmt;
use std::net::SocketAddr;

use crate::message::{IncomingRequest, IncomingResponse};
use crate::token::Token;

/// Names a request that waits for [`crate::Endpoint::respond`]. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// Names a client exchange or observation. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub(crate) u64);

/// Names a notification. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(pub(crate) u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request, whole (blocks assembled) and new (no duplicate). Answer it once with [`crate::Endpoint::respond`].
    Request(IncomingRequest),
    /// An observer is no longer served. The endpoint has already forgotten it.
    ObserverGone {
        /// Its address.
        peer: SocketAddr,
        /// The token of its registration.
        token: Token,
        /// Why.
        reason: GoneReason,
    },
    /// An observer has acknowledged nothing for [`crate::Config::observer_idle`]. Send it the current state, confirmably:
    /// if it is gone, [`Event::ObserverGone`] follows.
    ObserverIdle {
        /// Its address.
        peer: SocketAddr,
        /// The token of its registration.
        token: Token,
    },
    /// An observer acknowledged a notification. One that a newer one replaced, or that went non-confirmable, is never reported.
    NotificationAcked {
        /// Its address.
        peer: SocketAddr,
        /// The token of its registration.
        token: Token,
        /// What [`crate::Endpoint::notify`] returned.
        id: NotificationId,
    },
    /// The answer to an own request, or a notification (its `observe` is then `Some`). An exchange ends with its first
    /// answer whose `observe` is `None`.
    Response {
        /// What [`crate::Endpoint::request`] returned.
        id: ExchangeId,
        /// The answer, whole.
        response: IncomingResponse,
    },
    /// An own request or observation ended without an answer.
    Failed {
        /// What [`crate::Endpoint::request`] returned.
        id: ExchangeId,
        /// Why.
        error: ExchangeError,
    },
}

/// Why an observer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoneReason {
    /// It answered a notification with Reset.
    Reset,
    /// It did not acknowledge a notification.
    TimedOut,
    /// It sent Observe = 1.
    Deregistered,
    /// It registered again with the same token; the new request follows as an [`Event::Request`].
    Replaced,
    /// The registration that the application granted found no room, and was answered without Observe.
    NoRoom,
}

/// Why an own request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeError {
    /// No acknowledgement, or no separate response, in time.
    TimedOut,
    /// The peer answered with Reset.
    Reset,
    /// The peer broke the rules of block-wise transfer, or the body kept changing.
    BlockFailed,
    /// The answer is larger than `Config::max_body`.
    TooLarge,
    /// The answer holds a critical option that this endpoint does not know.
    BadResponse,
    /// The application called [`crate::Endpoint::cancel`].
    Cancelled,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExchangeError::TimedOut => "no answer in time",
            ExchangeError::Reset => "the peer answered with Reset",
            ExchangeError::BlockFailed => "block-wise transfer failed",
            ExchangeError::TooLarge => "the answer is too large",
            ExchangeError::BadResponse => "the answer holds an unknown critical option",
            ExchangeError::Cancelled => "cancelled",
        })
    }
}

impl std::error::Error for ExchangeError {}
