//! The building blocks against published vectors.

mod aead;
#[cfg(feature = "classic")]
mod ffdhe;
mod hash;
#[cfg(feature = "compact")]
mod ristretto;
mod vectors;

use std::vec::Vec;

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hex")
}
