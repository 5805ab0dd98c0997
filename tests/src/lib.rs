//! The whole system: scenarios, attacks, faults, simulated time and network; the demo; measurements.

pub mod demo;
pub mod fuzzing;
pub mod load;
pub mod script;
pub mod sim;
pub mod vectors;
