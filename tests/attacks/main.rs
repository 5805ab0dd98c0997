//! Attacks, run: by outsiders on the network and by registered devices that do not keep to the protocol.
//!
//! One module for each class; each says what the attacker has, what it wants, and which claim of the paper's section 5 or which
//! repair (`docs/security.md`) it belongs to. Wherever it can be shown, the message that is attacked is one that would have been
//! taken: the honest one is sent last. `unrepaired/` has a patch for each repair that makes the tests here fail.
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

mod answering;
mod bent;
mod downgrade;
mod elements;
mod enrolment;
mod forward_secrecy;
mod guessing;
mod key_extraction;
mod leaked_database;
mod malicious_gateway;
mod malicious_peer;
mod privacy;
mod pseudonym;
mod reflection;
mod relay;
mod reordering;
mod replay;
mod replay_inbox;
mod restored_backup;
mod sockets;
mod splicing;
mod takeover;
mod way_back;
