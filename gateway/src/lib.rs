//! The shell of the SGA gateway: event loop, accelerator, store, command line.
