//! Attacks, run: by outsiders on the network and by registered devices that do not keep to the protocol.

mod privacy;
