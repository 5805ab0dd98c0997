//! Strangers against our binaries, and the check of everything.
