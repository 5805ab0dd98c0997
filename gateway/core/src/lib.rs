//! What the gateway decides, as pure state machines: registry, inboxes, negotiation, key exchange, messages.
//!
//! Datagrams, completions and the time go in; datagrams, loads, jobs, commits and the next deadline come out. There is no clock,
//! socket, thread, disk or global random source here, so a whole network runs in simulated time from one seed.
//!
//! Guarantees: an answer that claims something is stored is given only when the store has said so; a datagram that fails a check
//! changes nothing; everything is bounded ([`limits`]).

mod age;
mod answer;
mod attachments;
mod cache;
mod decoy;
mod drive;
mod ended;
mod expiry;
mod gateway;
mod inbox;
mod invitations;
mod job;
mod jobs;
mod kex;
pub mod limits;
mod mailbox;
mod message;
mod negotiate;
mod rates;
mod record;
mod redacted;
mod register;
mod reply;
mod rotation;
mod route;
mod runs;
mod settings;
mod storage;
mod suite;
mod task;
mod ticket;
mod upkeep;
mod usage;

pub use gateway::{Deadline, Gateway};
pub use job::{Closed, HalfInput, Job, KeyPair, Opened, Outcome, Purpose, VerifiedHalf, Work};
pub use rates::{Rate, Rates};
pub use record::{Meta, RecordError};
pub use rotation::Previous;
pub use settings::{Boot, Enrolment, GatewayKeys, Settings, pin};
pub use sga_coap::{Now, Shares, Source, Transmit, source};
pub use storage::{Change, Commit, DeviceIndex, Found, ItemMeta, Key, Load, StoreError, StoredItem, Want};
pub use usage::Usage;
