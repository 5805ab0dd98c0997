//! The whole system: scenarios, attacks, faults, simulated time and network; the demo.

pub mod demo;
pub mod sim;
pub mod vectors;
