//! Devices on real sockets, and the gateway as a process that may be killed: what tests of durability are made of.
//!
//! One thread drives all devices; whoever calls [`Fleet::run_until`] says when to stop. Each device keeps its state in memory,
//! since it is the gateway that loses its own here. [`Traffic`] remembers what was sent, acknowledged and delivered.

mod clock;
mod crew;
mod node;
mod process;
mod traffic;

pub use clock::Clock;
pub use crew::Fleet;
pub use node::{Node, Reading, Refused};
pub use process::{Gateway, Program, log_end};
pub use traffic::{Traffic, Verdict};
