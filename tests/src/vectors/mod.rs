//! Test vectors: every message of `docs/protocol.md` with the keys and randomness that made it.
//!
//! Fixed inputs in, the text of a file out; from `sga-crypto` and `sga-schema` only. The files are in `cbor-schema/vectors/`;
//! `tests/vectors.rs` compares and rewrites them.

mod check;
mod exchange;
mod inputs;
mod lines;
mod made;
mod message;
mod negotiate;
mod padding;
mod register;

pub use check::check;
pub use inputs::{End, Inputs, end};
pub use lines::{Lines, find, from_hex};

use sga_schema::{Profile, Role, Suite};

/// The run of all files.
pub const RUN: u32 = 1;

/// The text of message 1.
pub const TEXT: &[u8; 24] = b"temperature=21.5C room=7";

/// What is encrypted to the gateway, by the names of their seeds e.
pub const PK_NAMES: [&str; 6] = ["register 0", "register 1", "register 2", "A1", "A3", "A3 no"];

/// One file for each.
pub const FILES: [(Profile, Suite); 6] = [
    (Profile::Compact, Suite::AesCcm8),
    (Profile::Compact, Suite::AesCcm16),
    (Profile::Compact, Suite::ChaCha20Poly1305),
    (Profile::Compact, Suite::Ascon128),
    (Profile::Classic, Suite::AesCcm8),
    (Profile::Classic3072, Suite::AesCcm8),
];

/// The name of a file.
#[must_use]
pub fn file_name(profile: Profile, suite: Suite) -> String {
    format!("{profile}-{suite}.txt")
}

/// The text of a file.
#[must_use]
pub fn file(profile: Profile, suite: Suite) -> String {
    let inputs = Inputs::new(profile, suite);
    let mut out = Lines::default();
    out.note(&format!("SGA/1 test vectors: profile {profile}, suite {suite}. Sections are those of docs/protocol.md."));
    out.note("Made by tests/src/vectors; SGA_WRITE_VECTORS=1 cargo test -p sga-tests --test vectors writes them.");
    out.note(
        "All values are hex; inputs that are numbers are four bytes, big-endian. One session between d_i and d_j:",
    );
    out.note(
        "\"plaintext\" is what is sealed, \"S\" and the like are sealed, \"payload\" is what is in the CoAP message,",
    );
    out.note("\"item\" is the body of an item of an Inbox. The keys are known to all: use them for nothing else.");
    out.note("Attach, request and Ack numbers are 1; the common set of refusal 1 is suites without suite; refusal 5 says 60 s.");
    inputs.write(&mut out);
    let package_hash = register::package(&inputs, &mut out);
    register::register(&inputs, &package_hash, &mut out);
    register::attach(&inputs, Role::Initiator, &mut out);
    register::attach(&inputs, Role::Responder, &mut out);
    let th_a = negotiate::negotiate(&inputs, &mut out);
    let keys = exchange::exchange(&inputs, &th_a, &mut out);
    message::messages(&inputs, &keys, &mut out);
    padding::padding(&inputs, &keys, &mut out);
    out.finish()
}
