//! What the attacks share.
#![allow(dead_code, unused_imports, reason = "each class uses its part")]

/// The gateway's core, and clients that make each message by hand, so that everything can be forged.
#[path = "../../../gateway/core/tests/support/mod.rs"]
pub(crate) mod by_hand;
/// The device's core in a shell of its own, and a gateway of one file that can be made to lie.
#[path = "../../../device/tests/support/mod.rs"]
pub(crate) mod ends;
/// A recorded run of the whole system of which every secret is known.
#[path = "../../tests/support/mod.rs"]
pub(crate) mod taped;

pub(crate) mod bend;
pub(crate) mod figures;
pub(crate) mod known;
pub(crate) mod link;
pub(crate) mod opener;
pub(crate) mod script;

use sga_coap::Code;

/// Where the attacker sits.
pub(crate) fn attacker() -> std::net::SocketAddr {
    by_hand::addr(6_666)
}

/// What the gateway says to what is malformed, or does not open or verify: nothing else.
pub(crate) fn is_refused(code: Code) -> bool {
    matches!(code, Code::BAD_REQUEST | Code::UNAUTHORIZED)
}
