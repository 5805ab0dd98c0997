//! What the tag of a Half and that of B6 are over, byte for byte, and the classic body there and back (B1 to B6).

use sga_crypto::accelerator::{OwnHalf, VerifiedHalf, make_half, verify_half};
use sga_crypto::{Aead, CryptoError, Element, GroupId, Secret, Seed, TAG_LEN_MAX, steps};

const PROFILES: [u8; 3] = [1, 2, 3];
const ROLE: u8 = 1;
const RUN: u32 = 7;
const TH_A: [u8; 32] = [4; 32];

struct World {
    group: GroupId,
    secret: Seed,
    public: Element,
    half: OwnHalf,
    tag: [u8; 16],
}

impl World {
    fn new(profile: u8) -> Self {
        let group = GroupId::from_profile(profile).expect("default features have all");
        let secret = Seed::from_bytes([9; 32]);
        let public = group.exp_base(&secret);
        let half = make_half(group, &public, &Seed::from_bytes([20; 32]), &Seed::from_bytes([30; 32]));
        let tag = steps::b_tag(&half.key, ROLE, RUN, &TH_A, half.element.as_bytes(), half.trapdoor.as_bytes());
        Self { group, secret, public, half, tag }
    }

    fn verify(&self, f: &[u8], role: u8, run: u32, th_a: &[u8; 32]) -> Result<VerifiedHalf, CryptoError> {
        let n = self.half.element.as_bytes();
        verify_half(self.group, &self.secret, &self.public, n, f, &self.tag, role, run, th_a)
    }
}

#[test]
fn the_tag_is_over_role_run_and_transcript() {
    for profile in PROFILES {
        let world = World::new(profile);
        let f = world.half.trapdoor.as_bytes();
        let verified = world.verify(f, ROLE, RUN, &TH_A).expect("is its own");
        assert_eq!(verified.key, world.half.key, "K_is is the same at both");
        let mut other_th_a = TH_A;
        other_th_a[31] ^= 1;
        for (role, run, th_a) in [(1 - ROLE, RUN, TH_A), (ROLE, RUN + 1, TH_A), (ROLE, RUN, other_th_a)] {
            assert_eq!(world.verify(f, role, run, &th_a).err(), Some(CryptoError::NotOpened));
        }
    }
}

/// The encapsulation's bytes too, whether or not what they become is an element.
#[test]
fn every_byte_of_a_trapdoor_counts() {
    for profile in [1, 3] {
        let world = World::new(profile);
        let f = world.half.trapdoor.as_bytes();
        for at in 0..f.len() {
            let mut mauled = f.to_vec();
            mauled[at] ^= 1 << (at % 8);
            let opened = steps::trapdoor_open(world.group, &world.secret, &world.public, &mauled);
            assert_eq!(opened.err(), Some(CryptoError::NotOpened), "byte {at} in profile {profile}");
        }
    }
}

#[test]
fn a_verified_half_is_not_printed() {
    for profile in PROFILES {
        let world = World::new(profile);
        let verified = world.verify(world.half.trapdoor.as_bytes(), ROLE, RUN, &TH_A).expect("is its own");
        let group = world.group;
        let expected =
            format!("VerifiedHalf {{ element: Element({group:?}, {} bytes), key: redacted }}", group.element_len());
        assert_eq!(format!("{verified:?}"), expected);
    }
}

/// E = seal of N ⊕ pad under k_d, the body under k_t: the gateway gets N back, and F cannot be exchanged.
#[test]
fn a_classic_body_there_and_back() {
    for profile in [1, 3] {
        let World { group, half, .. } = World::new(profile);
        let (k_d, k_t) = (Secret::new([1; 32]), Secret::new([2; 16]));
        let (len, f) = (group.element_len(), half.trapdoor.as_bytes());
        for aead in [1, 2, 3, 4].map(|id| Aead::from_id(id).expect("is a suite")) {
            let mut pad = vec![0; len];
            steps::b_pad(&k_d, &TH_A, RUN, ROLE, None, &mut pad);
            let mut e: Vec<u8> = half.element.as_bytes().iter().zip(&pad).map(|(n, pad)| n ^ pad).collect();
            e.resize(len + TAG_LEN_MAX, 0);
            let e_len = steps::b_inner(aead, &k_d, &TH_A, RUN, ROLE, f, None).seal(&mut e, len).expect("has room");
            let mut body = e[..e_len].to_vec();
            body.resize(e_len + TAG_LEN_MAX, 0);
            let sealed = steps::b_outer(aead, &k_t, &TH_A, RUN, ROLE, None).seal(&mut body, e_len).expect("has room");

            let outer = steps::b_outer(aead, &k_t, &TH_A, RUN, ROLE, None).open(&mut body[..sealed]);
            assert_eq!(outer, Ok(e_len));
            let mut other_f = body[..e_len].to_vec();
            let inner = steps::b_inner(aead, &k_d, &TH_A, RUN, ROLE, &f[1..], None).open(&mut other_f);
            assert_eq!(inner, Err(CryptoError::NotOpened));
            let inner = steps::b_inner(aead, &k_d, &TH_A, RUN, ROLE, f, None).open(&mut body[..e_len]);
            assert_eq!(inner, Ok(len));
            let n: Vec<u8> = body[..len].iter().zip(&pad).map(|(masked, pad)| masked ^ pad).collect();
            assert_eq!(n, half.element.as_bytes());
        }
    }
}

#[test]
fn the_tag_of_b6_is_over_all_it_should_be() {
    let (key, th_b, y) = (Secret::new([1; 32]), [5; 32], [6; 32]);
    let tag = steps::b6_tag(&key, ROLE, RUN, &th_b, &y);
    let mut other = th_b;
    other[0] ^= 1;
    for changed in [
        steps::b6_tag(&Secret::new([2; 32]), ROLE, RUN, &th_b, &y),
        steps::b6_tag(&key, 1 - ROLE, RUN, &th_b, &y),
        steps::b6_tag(&key, ROLE, RUN + 1, &th_b, &y),
        steps::b6_tag(&key, ROLE, RUN, &other, &y),
        steps::b6_tag(&key, ROLE, RUN, &th_b, &y[1..]),
    ] {
        assert_ne!(tag, changed);
    }
}
