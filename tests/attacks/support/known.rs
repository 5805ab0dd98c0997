//! Keys that follow from a value which an attacker knows although it has no exponent: made from the page, not from the product.

use ccm::aead::consts::{U8, U13};
use ccm::aead::inout::InOutBuf;
use ccm::aead::{AeadInOut, KeyInit};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};

type AesCcm8 = ccm::Ccm<aes::Aes128, U8, U13>;

/// K' of a K (`docs/protocol.md` §6).
pub(crate) fn k_prime(k: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(&[]), k).expand(b"\x81\x66SGA1 K", &mut key).expect("32 bytes");
    key
}

/// `enc ‖ ct` of `pk(ctx("pk register", P); …)` for a Z that is known (§1).
pub(crate) fn pk_under(z: &[u8], enc: &[u8], public: &[u8], package_hash: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let context = [&b"\x82\x70SGA1 pk register\x58\x20"[..], package_hash].concat();
    let salt = Sha256::new().chain_update(enc).chain_update(public).finalize();
    let mut key = [0; 16];
    Hkdf::<Sha256>::new(Some(&salt), z).expand(&context, &mut key).expect("16 bytes");
    let cipher = AesCcm8::new_from_slice(&key).expect("16 bytes");
    let nonce = [0; 13].into();
    let mut ct = plain.to_vec();
    let tag = cipher.encrypt_inout_detached(&nonce, &context, InOutBuf::from(&mut ct[..])).expect("short");
    [enc, &ct, &tag].concat()
}
