//! The whole system: scenarios, attacks, faults, simulated time and network; the demo; measurements.

pub mod demo;
pub mod fleet;
pub mod fuzzing;
pub mod kill;
pub mod load;
pub mod script;
pub mod sim;
pub mod timing;
pub mod unrepaired;
pub mod vectors;
