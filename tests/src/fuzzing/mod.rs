//! What the fuzz targets in `fuzz/` call, kept here so that the committed corpus also runs with a stable compiler.
//!
//! Each function takes any bytes, reads from them what is to happen, and panics when something that must hold does not.

mod endpoint;
mod ledger;
mod messages;
mod reader;
mod world;

pub use endpoint::endpoint;
