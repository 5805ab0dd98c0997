//! What the gateway says: the one place where an error becomes a CoAP code.

use std::time::Duration;

use sga_coap::{Code, Response};
use sga_schema::{Message, SchemaError, VERSION};

use crate::limits::{BUSY_RETRY_S, FULL_RETRY_S, INVITATIONS_RETRY_S};
use crate::storage::StoreError;

/// `application/cbor`.
pub(crate) const CBOR: u16 = 60;

/// Why a request is refused, by whose fault it is.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The peer's: it does not decode.
    Malformed(SchemaError),
    /// The peer's: it does not open or verify, or names what is not there. Nobody is told which.
    NotOpened,
    /// The peer's: Content-Format other than 60.
    Format,
    /// The peer's: the client wants another format than this one.
    Accept(u16),
    /// The peer's: what it asks for in discovery is no filter.
    Filter,
    /// The peer's: FETCH and POST want a body that this path has.
    Method,
    /// Nobody's: the name belongs to another key.
    Taken,
    /// The device's: it has no suite that the gateway serves.
    NoCommonSuite,
    /// The device's: another message was stored under this sequence number.
    Conflict,
    /// The device was revoked by the operator.
    Revoked,
    /// The peer of a session is forgotten or revoked.
    NoPeer,
    /// Nobody's: no room for this at the moment.
    Full,
    /// Nobody's: too many requests wait for the same thing, or in all.
    Busy,
    /// The source's: it has asked too much of this in the last minute.
    TooMany(Duration),
    /// The session's: it has had too many runs verified in the last minute.
    TooManyRuns(Duration),
    /// The device's: it has sent too many invitations that are not answered, or all together have.
    Invitations,
    /// Ours: the store could not do it.
    Store(StoreError),
}

impl From<SchemaError> for Refusal {
    fn from(error: SchemaError) -> Self {
        Self::Malformed(error)
    }
}

impl Refusal {
    pub(crate) fn into_response(self) -> Response {
        match self {
            Self::Malformed(SchemaError::UnknownVersion(_)) => {
                Response::problem(Code::BAD_REQUEST, "unknown version", &format!("served: {VERSION}"))
            }
            Self::Malformed(error) => Response::problem(Code::BAD_REQUEST, "malformed", &error.to_string()),
            Self::NotOpened => Response::problem(
                Code::UNAUTHORIZED,
                "not accepted",
                "it does not open or verify here; attach again, or register again with your key",
            ),
            Self::Format => Response::problem(
                Code::UNSUPPORTED_CONTENT_FORMAT,
                "wrong Content-Format",
                "send application/cbor (60)",
            ),
            Self::Accept(format) => {
                let detail = format!("Content-Format {format} is what there is");
                Response::problem(Code::NOT_ACCEPTABLE, "not available in that format", &detail)
            }
            Self::Filter => {
                Response::problem(Code::BAD_REQUEST, "not a filter", "name=value, at most four (RFC 6690 section 4.1)")
            }
            Self::Method => Response::problem(Code::METHOD_NOT_ALLOWED, "method not allowed", "see docs/protocol.md"),
            Self::Taken => Response::problem(
                Code::CONFLICT,
                "taken",
                "this id is registered with another key or other suites; use another id, or prove the old key",
            ),
            Self::NoCommonSuite => {
                Response::problem(Code::UNPROCESSABLE_ENTITY, "no common suite", "the package names the suites served")
            }
            Self::Conflict => Response::problem(
                Code::CONFLICT,
                "another message was stored",
                "this sequence number was used for another message or is too old; start a new run",
            ),
            Self::Revoked => {
                Response::problem(Code::FORBIDDEN, "revoked", "the gateway's operator has revoked this device")
            }
            Self::NoPeer => {
                Response::problem(Code::NOT_FOUND, "no such peer", "it was not seen for too long and is forgotten")
            }
            Self::Full => Response::problem(Code::SERVICE_UNAVAILABLE, "no room", "the mailbox is full; try later")
                .with_max_age(FULL_RETRY_S),
            Self::Busy => {
                Response::problem(Code::TOO_MANY_REQUESTS, "too many requests", "try later").with_max_age(BUSY_RETRY_S)
            }
            Self::TooMany(wait) => {
                Response::problem(Code::TOO_MANY_REQUESTS, "too many requests", "from your network; try later")
                    .with_max_age(seconds_until(wait))
            }
            Self::TooManyRuns(wait) => {
                Response::problem(Code::TOO_MANY_REQUESTS, "too many runs", "of this session; try later")
                    .with_max_age(seconds_until(wait))
            }
            Self::Invitations => {
                Response::problem(Code::TOO_MANY_REQUESTS, "too many invitations", "wait for answers; try later")
                    .with_max_age(INVITATIONS_RETRY_S)
            }
            Self::Store(StoreError::Full) => {
                Response::problem(Code::SERVICE_UNAVAILABLE, "no room", "the gateway's disk is full; try later")
                    .with_max_age(FULL_RETRY_S)
            }
            Self::Store(StoreError::Failed(_)) => {
                Response::problem(Code::SERVICE_UNAVAILABLE, "not stored", "the gateway's store failed; try later")
                    .with_max_age(FULL_RETRY_S)
            }
        }
    }
}

/// Whole seconds, so many that the wait is over.
fn seconds_until(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

/// The encoding of one of our own messages.
pub(crate) fn encoded<'a, T: Message<'a>>(message: &T) -> Vec<u8> {
    let mut bytes = vec![0; sga_schema::encoded_len(message)];
    let len = sga_schema::encode(message, &mut bytes).expect("the buffer has the encoded length");
    bytes.truncate(len);
    bytes
}

/// An answer with a body.
pub(crate) fn answer(code: Code, payload: Vec<u8>) -> Response {
    Response::new(code).with_payload(CBOR, payload)
}
