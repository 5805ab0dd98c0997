//! An observer who records everything. It has every datagram of a gateway's network, for as long as it likes, and no key; it sends
//! nothing. It wants to know which attaches, which sessions and which two legs belong to one device or to each other, where
//! addresses and times do not tell: a device that comes back at another address should be a new one. Claims of `docs/security.md`,
//! "Privacy"; tickets (`docs/protocol.md` §4) and handles (§5) are there for it.

mod linking;
mod repeated;
mod traffic;
mod wire;
