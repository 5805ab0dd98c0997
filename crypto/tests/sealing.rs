//! E_PK, the seals and the masks: what opens, what does not, and what is seen of secrets.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sga_crypto::{Aead, CryptoError, GroupId, PkPurpose, SealKey, Secret, Seed, steps};

const REGISTER: PkPurpose = PkPurpose::Register { package_hash: [5; 32] };

#[test]
fn encryption_to_the_gateway() {
    for group in [1, 2, 3].map(|profile| GroupId::from_profile(profile).expect("is built")) {
        let (secret, e) = (Seed::from_bytes([1; 32]), Seed::from_bytes([2; 32]));
        let public = group.exp_base(&secret);
        let plain = b"k_d, x, CidSet, kind, proof";
        let mut bytes = vec![0xee; plain.len() + steps::pk_overhead(group)];
        let len = steps::pk_seal(group, &public, &e, REGISTER, plain, &mut bytes).expect("has room");
        assert_eq!(len, bytes.len());
        let mut short = vec![0; len - 1];
        assert_eq!(steps::pk_seal(group, &public, &e, REGISTER, plain, &mut short), Err(CryptoError::BufferTooSmall));

        let mut out = vec![0xee; len];
        let opened = steps::pk_open(group, &secret, &public, REGISTER, &bytes, &mut out).expect("opens");
        assert_eq!(&out[..opened], plain);
        let mut short = vec![0; 3];
        assert_eq!(
            steps::pk_open(group, &secret, &public, REGISTER, &bytes, &mut short),
            Err(CryptoError::BufferTooSmall)
        );

        let other_public = group.exp_base(&e);
        let other_package = PkPurpose::Register { package_hash: [6; 32] };
        let mut refused = |secret: &Seed, public, purpose, bytes: &[u8]| {
            out.fill(0);
            let opened = steps::pk_open(group, secret, public, purpose, bytes, &mut out);
            assert_eq!(opened, Err(CryptoError::NotOpened));
            let shows_text = out.windows(4).any(|window| plain.windows(4).any(|text| text == window));
            assert!(!shows_text, "no plaintext is left");
        };
        refused(&secret, &public, PkPurpose::Negotiate, &bytes);
        refused(&secret, &public, other_package, &bytes);
        refused(&e, &public, REGISTER, &bytes);
        refused(&secret, &other_public, REGISTER, &bytes);
        for cut in [0, 1, group.element_len() - 1, group.element_len(), group.element_len() + 7, len - 1] {
            refused(&secret, &public, REGISTER, &bytes[..cut]);
        }
        for at in [0, group.element_len() - 1, group.element_len(), len - 1] {
            let mut mauled = bytes.clone();
            mauled[at] ^= 1;
            refused(&secret, &public, REGISTER, &mauled);
        }
        let mut zero = bytes.clone();
        zero[..group.element_len()].fill(0);
        refused(&secret, &public, REGISTER, &zero);
    }
}

fn all_seals(aead: Aead) -> Vec<SealKey> {
    let (k_d, k_t) = (Secret::new([1; 32]), Secret::new([2; 16]));
    let (hash, nonce) = ([3; 32], [4; 8]);
    vec![
        steps::register_id(aead, &k_d, &hash),
        steps::registered(aead, &k_d, &hash, &nonce),
        steps::attach(aead, &k_d, &nonce),
        steps::inbox(aead, &k_d, &nonce, 1),
        steps::inbox(aead, &k_d, &nonce, 2),
        steps::ack(aead, &k_d, &nonce, 1),
        steps::ack(aead, &k_d, &nonce, 2),
        steps::a1_answer(aead, &k_t, &hash),
        steps::a1_refusal(aead, &k_t, &hash),
        steps::a4(aead, &k_t, &nonce, &nonce),
        steps::a4_refusal(aead, &k_t, &nonce),
        steps::b_body_compact(aead, &k_t, &k_d, &hash, 0, 1, None),
        steps::b_body_compact(aead, &k_t, &k_d, &hash, 1, 1, None),
        steps::b_body_compact(aead, &k_t, &k_d, &hash, 0, 2, None),
        steps::b_outer(aead, &k_t, &hash, 1, 0, None),
        steps::b_outer(aead, &k_t, &hash, 1, 1, None),
        steps::b_inner(aead, &k_d, &hash, 1, 0, b"F", None),
        steps::b_inner(aead, &k_d, &hash, 1, 0, b"G", None),
        steps::b_body_compact(aead, &k_t, &k_d, &hash, 0, 1, Some(&nonce)),
        steps::b_body_compact(aead, &k_t, &k_d, &hash, 0, 1, Some(&[5; 8])),
        steps::b_outer(aead, &k_t, &hash, 1, 0, Some(&nonce)),
        steps::b_outer(aead, &k_t, &hash, 1, 0, Some(&[5; 8])),
        steps::b_inner(aead, &k_d, &hash, 1, 0, b"F", Some(&nonce)),
        steps::b_inner(aead, &k_d, &hash, 1, 0, b"F", Some(&[5; 8])),
        steps::b2(aead, &k_t, &hash, 1, 0),
        steps::b6(aead, &k_t, &hash, 1, 0),
        steps::b6(aead, &k_t, &hash, 2, 0),
        steps::b_refusal(aead, &k_t, &hash, 0),
        steps::b_refusal(aead, &k_t, &hash, 1),
    ]
}

/// Each message opens as what it was sealed as and as nothing else.
#[test]
fn no_seal_opens_another() {
    for aead in [Aead::AesCcm8, Aead::AesCcm16, Aead::ChaCha20Poly1305, Aead::Ascon128] {
        for (at, key) in all_seals(aead).into_iter().enumerate() {
            let mut sealed = b"some text".to_vec();
            sealed.resize(9 + aead.tag_len(), 0);
            assert_eq!(key.seal(&mut sealed, 9), Ok(9 + aead.tag_len()));
            for (other, key) in all_seals(aead).into_iter().enumerate() {
                let mut copy = sealed.clone();
                let expected = if at == other { Ok(9) } else { Err(CryptoError::NotOpened) };
                assert_eq!(key.open(&mut copy), expected, "{aead:?} {at} {other}");
                assert_eq!(&copy[..9], if at == other { &b"some text"[..] } else { &[0; 9] });
            }
        }
    }
}

#[test]
fn masks_go_both_ways() {
    let (k_d, nonce, value) = (Secret::new([1; 32]), [2; 8], [3; 16]);
    let masked = steps::a1_mask(&k_d, &nonce, &value);
    assert_ne!(masked, value);
    assert_eq!(steps::a1_mask(&k_d, &nonce, &masked), value);
    assert_eq!(steps::a3_mask(&k_d, &nonce, &steps::a3_mask(&k_d, &nonce, &value)), value);
    assert_ne!(masked, steps::a3_mask(&k_d, &nonce, &value));
}

#[test]
fn secrets_are_not_printed() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (seed, secret) = (Seed::new(&mut rng), Secret::<16>::random(&mut rng));
    assert_ne!(seed.expose(), Seed::new(&mut rng).expose());
    assert_eq!(format!("{seed:?} {secret:?}"), "redacted redacted");
    let traffic = steps::traffic(&Secret::new([1; 32]), Aead::AesCcm8, 0);
    assert_eq!(format!("{traffic:?}"), "TrafficKey(AesCcm8, redacted)");
    let seal = steps::attach(Aead::Ascon128, &Secret::new([1; 32]), &[0; 8]);
    assert_eq!(format!("{seal:?}"), "SealKey(Ascon128, redacted)");
    let group = GroupId::from_profile(2).expect("is built");
    let public = group.exp_base(&seed);
    assert_eq!(format!("{public:?}"), "Element(Ristretto255, 32 bytes)");
    let half = sga_crypto::accelerator::make_half(group, &public, &seed, &seed);
    let printed = format!("{half:?}");
    assert!(printed.contains("key: redacted") && printed.contains("Trapdoor(0 bytes)"), "{printed}");
    assert_eq!(secret, secret.duplicate());
    assert_ne!(secret, Secret::new([0; 16]));
}

#[test]
fn comparison_codes_are_sixty_digits() {
    let code = steps::comparison_code(&Secret::new([1; 32]));
    let digits = steps::comparison_digits(&code);
    assert!(digits.iter().all(u8::is_ascii_digit));
    assert_eq!(&steps::comparison_digits(&[0; 32]), &[b'0'; 60]);
    // Each group is 21 bits modulo 100,000: 2^21 − 1 = 2,097,151.
    assert_eq!(&steps::comparison_digits(&[0xff; 32])[..], "97151".repeat(12).as_bytes());
    let mut first = [0; 32];
    first[2] = 0x18;
    assert_eq!(&steps::comparison_digits(&first)[..10], b"0000300000", "21 bits end in the middle of a byte");
}
