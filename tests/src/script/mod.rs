//! Message-exact scripts against the gateway: what is sent and what must come back, in files that people can read.
//!
//! A script runs against the gateway's core in simulated time ([`Simulated`]) and, if it waits for nothing, against the gateway as a
//! process over UDP ([`Loopback`]). The files are in `tests/scripts`; their language is described there.

mod loopback;
mod parse;
mod run;
mod simulated;
pub(crate) mod wire;

pub use loopback::Loopback;
pub use parse::Script;
pub use run::{Peer, run};
pub use simulated::Simulated;
