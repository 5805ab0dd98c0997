//! One function per equation of `docs/protocol.md`, by section and step of the paper.
//!
//! Ids, elements and hashes are bytes; nonces are 8 bytes; `role` is 0 for d_i and 1 for d_j. Of the keys, `registered_key` is
//! k_d and `temporary_key` k_t. `life` is the salt of the sender's life, where the key is from an earlier one of its (§6, §7).

mod gateway;
mod kex;
mod negotiate;
mod register;
mod session;

pub use gateway::{decapsulated_r, encapsulated_r, pin, pk_open, pk_overhead, pk_seal, trapdoor, trapdoor_open};
pub use kex::{
    b_answer, b_body_compact, b_inner, b_outer, b_pad, b_refusal, b_tag, b2, b6, b6_tag, k_prime, th_b, th_b_of_hashes,
};
pub use negotiate::{
    a1_answer, a1_mask, a1_refusal, a1_tag, a3_answer, a3_mask, a3_tag, a4, a4_refusal, peer_key, th_a,
};
pub use register::{ack, attach, enrol_proof, inbox, register_id, registered, rotation_proof};
pub use session::{comparison_code, comparison_digits, hop_key, hop_tag, root, stored_tag, traffic};
