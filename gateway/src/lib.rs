//! The shell of the SGA gateway: event loop, accelerator, store, command line.
//!
//! What is decided is decided in `sga-gateway-core`; this crate brings it datagrams and the time, waits for disk and arithmetic on
//! threads of their own, and sends what comes out. It survives a kill at any moment: what was answered with 2.xx is in the store.
#![forbid(unsafe_code)]

mod accelerator;
mod admission;
pub mod cli;
mod clock;
mod control;
mod enrol;
mod entropy;
mod error;
mod event_loop;
mod files;
mod keys;
mod limits;
mod options;
mod queue;
mod revoked;
mod socket;
mod store;
mod waiting;

pub use error::Error;
pub use keys::{Keys, Wanted};
