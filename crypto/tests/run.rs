//! A whole run of two devices and the gateway in every profile, equation by equation (A1 to B7, 4.5).

use sga_crypto::accelerator::{OwnHalf, make_half, session_element, session_halves, verify_half};
use sga_crypto::{Aead, CryptoError, Element, GroupId, Secret, Seed, TAG_LEN_MAX, short_hash, steps};

const PROFILES: [u8; 3] = [1, 2, 3];
const SUITES: [Aead; 4] = [Aead::AesCcm8, Aead::AesCcm16, Aead::ChaCha20Poly1305, Aead::Ascon128];
const RUN: u32 = 3;

fn seed(byte: u8) -> Seed {
    Seed::from_bytes([byte; 32])
}

struct End {
    role: u8,
    temporary_key: Secret<16>,
    big_r: Seed,
    half: OwnHalf,
}

struct World {
    group: GroupId,
    profile: u8,
    secret: Seed,
    public: Element,
    th_a: [u8; 32],
}

impl World {
    fn new(profile: u8) -> Self {
        let group = GroupId::from_profile(profile).expect("default features have all");
        let secret = seed(9);
        let public = group.exp_base(&secret);
        let th_a = steps::th_a(1, profile, 1, b"i", b"j", b"G", &[1; 8], &[2; 8], &[3; 8]);
        Self { group, profile, secret, public, th_a }
    }

    fn end(&self, role: u8) -> End {
        let big_r = seed(20 + role);
        let half = make_half(self.group, &self.public, &big_r, &seed(30 + role));
        End { role, temporary_key: Secret::new([50 + role; 16]), big_r, half }
    }

    fn tag(&self, end: &End) -> [u8; 16] {
        let OwnHalf { element, key, trapdoor } = &end.half;
        steps::b_tag(key, end.role, RUN, &self.th_a, element.as_bytes(), trapdoor.as_bytes())
    }

    fn verify(&self, end: &End, n: &[u8], f: &[u8], tag: &[u8]) -> Result<Element, CryptoError> {
        let half = verify_half(self.group, &self.secret, &self.public, n, f, tag, end.role, RUN, &self.th_a)?;
        assert_eq!(half.key, end.half.key);
        Ok(half.element)
    }
}

#[test]
fn both_ends_get_the_same_root() {
    for profile in PROFILES {
        let world = World::new(profile);
        let ends = [0, 1].map(|role| world.end(role));
        let [n_i, n_j] = [&ends[0], &ends[1]].map(|end| {
            let OwnHalf { element, trapdoor, .. } = &end.half;
            assert_eq!(trapdoor.as_bytes().len(), world.group.trapdoor_len());
            world.verify(end, element.as_bytes(), trapdoor.as_bytes(), &world.tag(end)).expect("is right")
        });
        let (y_i, y_j) = session_halves(world.group, &n_i, &n_j, &seed(60));
        let th_b = steps::th_b(&world.th_a, RUN, n_i.as_bytes(), n_j.as_bytes());
        let (hash_i, hash_j) = (short_hash(n_i.as_bytes()), short_hash(n_j.as_bytes()));
        assert_eq!(th_b, steps::th_b_of_hashes(&world.th_a, RUN, &hash_i, &hash_j));

        let z_i = session_element(world.group, y_i.as_bytes(), &ends[0].big_r).expect("Y_i");
        let z_j = session_element(world.group, y_j.as_bytes(), &ends[1].big_r).expect("Y_j");
        assert!(z_i == z_j && y_i != y_j, "Y_i^R_i = Y_j^R_j in profile {}", world.profile);

        let [peer_i, peer_j] = [&ends[0], &ends[1]].map(|end| steps::peer_key(&end.temporary_key));
        let root = steps::root(&z_i, &peer_i, &peer_j, None, &th_b);
        assert_eq!(root, steps::root(&z_j, &peer_i, &peer_j, None, &th_b));
        assert_ne!(root, steps::root(&z_i, &peer_i, &peer_j, Some(&Secret::new([0; 32])), &th_b));
        assert_ne!(root, steps::root(&z_i, &peer_j, &peer_i, None, &th_b));
        messages(&root, &steps::hop_key(&ends[0].half.key, &th_b));
    }
}

fn messages(root: &Secret<32>, hop_key: &Secret<32>) {
    for aead in SUITES {
        let [sender, receiver] = [0, 0].map(|role| steps::traffic(root, aead, role));
        let stored = sga_crypto::TrafficKey::from_bytes(aead, sender.expose()).expect("its own bytes");
        assert!(sga_crypto::TrafficKey::from_bytes(aead, &sender.expose()[1..]).is_err());
        let back = steps::traffic(root, aead, 1);
        let mut buf = [0; 5 + TAG_LEN_MAX];
        for sequence in [0, 1, 255, 256, u32::MAX] {
            buf[..5].copy_from_slice(b"hello");
            let len = stored.seal(RUN, sequence, &mut buf, 5).expect("has room");
            let sealed = buf;
            assert_eq!(receiver.duplicate().open(RUN, sequence, &mut buf[..len]), Ok(5));
            assert_eq!(&buf[..5], b"hello");
            // Each life of the sender has a key of its own; the receiver makes it of what it has.
            let mut salted = *b"hello\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
            let salted_len = stored.in_life(&[7; 8]).seal(RUN, sequence, &mut salted, 5).expect("has room");
            assert_ne!(salted[..5], sealed[..5]);
            for (key, opens) in [(receiver.in_life(&[7; 8]), true), (receiver.in_life(&[8; 8]), false)] {
                let mut copy = salted;
                assert_eq!(key.open(RUN, sequence, &mut copy[..salted_len]).is_ok(), opens);
                let mut copy = sealed;
                assert!(key.open(RUN, sequence, &mut copy[..len]).is_err());
            }
            assert!(receiver.open(RUN, sequence, &mut salted[..salted_len]).is_err());
            for (key, run, sequence) in
                [(&back, RUN, sequence), (&receiver, RUN + 1, sequence), (&receiver, RUN, sequence ^ 0x100)]
            {
                let mut copy = sealed;
                assert_eq!(key.open(run, sequence, &mut copy[..len]), Err(CryptoError::NotOpened));
                assert_eq!(copy[..5], [0; 5]);
            }
            let tag = steps::hop_tag(hop_key, &[1; 4], RUN, sequence, &sealed[..len], None);
            assert_ne!(tag, steps::hop_tag(hop_key, &[2; 4], RUN, sequence, &sealed[..len], None));
            assert_ne!(tag, steps::stored_tag(hop_key, &[1; 4], RUN, sequence, None));
            let hop = |salt| steps::hop_tag(hop_key, &[1; 4], RUN, sequence, &sealed[..len], salt);
            let stored = |salt| steps::stored_tag(hop_key, &[1; 4], RUN, sequence, salt);
            for (one, other) in [(Some(&[7; 8]), None), (Some(&[7; 8]), Some(&[8; 8]))] {
                assert!(hop(one) != hop(other) && stored(one) != stored(other));
            }
        }
    }
}

#[test]
fn a_mauled_half_is_refused() {
    for profile in PROFILES {
        let world = World::new(profile);
        let (end, other) = (world.end(0), world.end(1));
        let (n, tag) = (end.half.element.as_bytes(), world.tag(&end));
        let f = end.half.trapdoor.as_bytes();
        assert!(world.verify(&end, n, f, &tag[..8]).is_ok(), "compact sends 8 bytes of the tag");
        let refused = |n: &[u8], f: &[u8], tag: &[u8]| {
            assert_eq!(world.verify(&end, n, f, tag).err(), Some(CryptoError::NotOpened));
        };
        for len in [0, 7, 9, 15] {
            refused(n, f, &tag[..len]);
        }
        refused(n, f, &[&tag[..], &[0]].concat());
        for at in [0, 7, 15] {
            let mut mauled = tag;
            mauled[at] ^= 1;
            refused(n, f, &mauled);
        }
        refused(other.half.element.as_bytes(), f, &tag);
        refused(n, f, &world.tag(&other));
        refused(&n[1..], f, &tag);
        refused(&vec![0; n.len()], f, &tag);
        refused(n, &[f, &[0]].concat(), &tag);
        // Another role's or run's tag is not this one's.
        let role_1 = End { role: 1, ..world.end(0) };
        assert_eq!(world.verify(&role_1, n, f, &tag).err(), Some(CryptoError::NotOpened));
        if f.is_empty() {
            // Compact has no F, not even one that the tag is over.
            let OwnHalf { element, key, .. } = &end.half;
            let over_f = steps::b_tag(key, end.role, RUN, &world.th_a, element.as_bytes(), b"F");
            refused(n, b"F", &over_f);
            continue;
        }
        refused(n, &[], &tag);
        refused(n, other.half.trapdoor.as_bytes(), &tag);
        for at in [0, 1, f.len() - 33, f.len() - 32, f.len() - 1] {
            let mut mauled = f.to_vec();
            mauled[at] ^= 1;
            refused(n, &mauled, &tag);
        }
    }
}

/// Mauling the masked r gives another r, and then F_G of it does not come out the same (4.4, B4).
#[test]
fn a_trapdoor_is_recomputed() {
    for profile in [1, 3] {
        let World { group, secret, public, .. } = World::new(profile);
        let r = seed(70);
        let closed = steps::trapdoor(group, &public, &r);
        let bytes = closed.as_bytes();
        assert_eq!(steps::trapdoor_open(group, &secret, &public, bytes).expect("opens").expose(), r.expose());
        let refused = |bytes: &[u8]| {
            assert_eq!(steps::trapdoor_open(group, &secret, &public, bytes).err(), Some(CryptoError::NotOpened));
        };
        for at in 0..32 {
            let mut mauled = bytes.to_vec();
            mauled[group.element_len() + at] ^= 0x10;
            refused(&mauled);
        }
        let mut other_base = bytes.to_vec();
        other_base[..group.element_len()].copy_from_slice(group.exp_base(&seed(71)).as_bytes());
        refused(&other_base);
        refused(&bytes[1..]);
        refused(&[]);
        assert_eq!(steps::trapdoor_open(group, &seed(72), &public, bytes).err(), Some(CryptoError::NotOpened));
    }
    let World { group, secret, public, .. } = World::new(2);
    assert_eq!(steps::trapdoor_open(group, &secret, &public, &[]).err(), Some(CryptoError::NotOpened));
    let (big_r, n) = (seed(1), group.exp_base(&seed(1)));
    let at_device = steps::encapsulated_r(group, &public, &big_r, &n);
    assert_eq!(at_device.expose(), steps::decapsulated_r(group, &secret, &public, &n).expose());
}

#[test]
fn a_session_element_is_checked() {
    for profile in PROFILES {
        let World { group, public, .. } = World::new(profile);
        let len = group.element_len();
        for bad in [vec![0; len], vec![0xff; len], public.as_bytes()[1..].to_vec(), vec![]] {
            assert_eq!(session_element(group, &bad, &seed(1)).err(), Some(CryptoError::BadElement));
        }
        assert!(session_element(group, public.as_bytes(), &seed(1)).is_ok());
    }
}
