//! What the gateway keeps: groups of changes become durable, whole or not at all, and loads are answered.
//!
//! A group goes into a journal of fixed length with one write and one sync; what is delivered soon is never written again, the
//! rest goes into tables (redb), thousands of changes at a time. Everything is sealed under the gateway's at-rest key. It survives a
//! kill or a power cut at any moment and damage of any byte; it trusts the medium to keep what a sync has confirmed, and its
//! caller to number commits and items ([`sga_gateway_core::Commit`]). `docs/store.md` has the reasons and the figures.
#![forbid(unsafe_code)]

mod backend;
mod backup;
mod checkpoint;
mod codec;
mod disk;
mod doctor;
mod engine;
mod findings;
mod journal;
mod layer;
pub mod limits;
mod open;
mod recovery;
mod reserve;
mod restore;
mod scan;
mod seal;
mod tables;
mod view;
mod walk;

pub use backup::{BackupError, Backups, Contents};
pub use checkpoint::Checkpointer;
pub use codec::commit_len;
pub use disk::{Disk, DiskFile, Folder};
pub use doctor::{Diagnosis, examine};
pub use engine::{Reader, Writer};
pub use findings::{Finding, OpenError};
pub use open::{Opened, Options, open};
pub use recovery::{SNAPSHOT, SNAPSHOT_DIGITS, snapshot_name};
pub use restore::{restore, verify};
pub use tables::is_guarded;
