//! How it travels: a sans-IO CoAP endpoint, server and client in one.
//!
//! Bytes, the time and randomness come in; bytes, events and the next deadline go out. There is no socket, clock,
//! thread or global random source, so that a whole network of endpoints runs in simulated time from one seed.
//!
//! Covers RFC 7252 (messages, retransmission, duplicates), RFC 7641 (observe), RFC 7959 (block-wise),
//! RFC 6690 ([discovery](link_format)), RFC 9175 (Echo and Request-Tag), RFC 7967 (No-Response), RFC 8132 (FETCH, PATCH, iPATCH), RFC 8516 (4.29),
//! RFC 8768 (Hop-Limit, tolerated) and RFC 9290 (problem details).
//!
//! Guarantees: no input makes it panic; every table is bounded ([`limits`]); a confirmable request is handed to the
//! application once; an address that has not shown that it receives gets at most three times what it sent.
//! It survives loss, duplication, reordering and forged source addresses; it does not survive a restart
//! (peers retransmit, re-register or start over).
#![forbid(unsafe_code)]

mod answer;
mod block;
mod client;
mod code;
mod config;
mod dedup;
mod echo;
mod endpoint;
mod event;
mod expiry;
pub mod limits;
pub mod link_format;
mod message;
mod notify;
mod observers;
mod option;
mod outgoing;
mod reply;
mod server;
mod shape;
mod snapshot;
mod source;
mod token;
mod upload;
mod wire;

pub use block::BlockValue;
pub use code::Code;
pub use config::Config;
pub use endpoint::{Deadline, Demand, Endpoint, NotifyError, RequestError, Transmit, Usage};
pub use event::{Event, ExchangeError, ExchangeId, GoneReason, NotificationId, RequestId};
pub use message::{CONTENT_FORMAT_PROBLEM, IncomingRequest, IncomingResponse, Request, Response};
pub use option::number as option_number;
pub use source::{Shares, Source, source};
pub use token::Token;

/// Monotonic time since an arbitrary epoch that stays the same over the life of an endpoint.
pub type Now = core::time::Duration;
