//! A whole network in simulated time from one seed: the gateway's core, devices, a network that loses, doubles and reorders, and a
//! store whose commits take time and are lost in a crash unless they were done.
//!
//! Nothing here waits: an hour of a device's life takes milliseconds, and a seed replays any failure.

mod device;
pub mod disk;
mod gateway;
pub mod model;
mod store;
mod trouble;
mod world;

pub use device::{DeviceNode, Received};
pub use gateway::{GatewayNode, SeenRun};
pub use store::SimStore;
pub use trouble::Trouble;
pub use world::{Datagram, Faults, Verdict, World};
