//! One end: the device state machines of SGA/1 (`docs/protocol.md`).
//!
//! Purpose: everything that a device decides, as values. A shell moves bytes: it saves [`Device::snapshot`] when
//! [`Device::needs_save`] says so, sends what [`Device::poll_request`] writes, and hands back what arrives.
//!
//! Guarantees: no clock, no socket, no thread, no allocator, no randomness but the generator that is handed in; all
//! memory is in the [`Device`] and in buffers of the caller. Input that does not decode, open or verify changes nothing
//! that is stored. A number or nonce is in the snapshot before the bytes that use it may leave.
//!
//! Survives: a crash between any two calls (R, r and what follows from them of a run that is not closed are lost on
//! purpose: the next run is opened), lost, repeated, reordered and forged answers and notifications.
#![cfg_attr(not(feature = "cli"), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "cli")]
pub mod agent;
mod answer;
mod cbor;
#[cfg(feature = "cli")]
pub mod cli;
mod device;
mod error;
mod event;
mod gateway_side;
mod half;
mod inbox;
mod limits;
mod request;
mod restore;
mod seal;
mod session;
mod snapshot;
mod status;
mod steps_a;
mod steps_a_reply;
mod steps_b;
mod steps_inbox;
mod steps_register;
mod traffic;
mod verbs;

pub use device::Device;
pub use error::{DeviceError, SnapshotError};
pub use event::{Event, Failure, Refusal, Step};
pub use limits::{
    ALLOWED_MAX, ENROLMENT_LEN_MAX, REQUEST_LEN_MAX, RUNS_PER_PEER_MAX, sealed_len_max, snapshot_len_max,
};
pub use request::{Handled, Method, Outgoing, RequestKind, StoredText};
pub use sga_crypto::Secret;
pub use sga_schema::{Accept, DeviceId, Role, Suite, SuiteSet};
pub use status::{Counters, Phase, SessionStatus};
pub use traffic::Sealed;
