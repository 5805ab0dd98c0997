//! What the fuzz targets in `fuzz/` call, kept here so that the committed corpus also runs with a stable compiler.
//!
//! Each function takes any bytes, reads from them what is to happen, and panics when something that must hold does not.

mod device;
mod endpoint;
mod gateway;
mod ledger;
mod messages;
mod nonces;
mod parts;
mod reader;
mod recovery;
mod schema;
mod world;

pub use device::device;
pub use endpoint::endpoint;
pub use gateway::gateway;
pub use recovery::{keep_quiet_where_guarded, recovery, recovery_unread};
pub use schema::{schema, schema_types};

/// What an input has come to, by name, so that a corpus can be asked whether it comes to everything.
pub type Reached = std::collections::BTreeSet<&'static str>;
