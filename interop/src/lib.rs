//! Strangers against our binaries.
//!
//! A case starts one of our servers behind a [`relay`] that sees every datagram, lets somebody else's client ask, and looks at
//! what went by; or lets our client ask somebody else's server. [`cases`] has them all, [`runner`] runs them.

pub mod bench;
pub mod capture;
pub mod cases;
mod clock;
pub mod our_client;
pub mod process;
pub mod relay;
pub mod runner;
pub mod seen;
pub mod testbed;
pub mod venv;
