//! Every equation against `reference/model.py`, a second reading of `docs/protocol.md` with other libraries.

use std::collections::BTreeMap;

use sga_crypto::accelerator::make_half;
use sga_crypto::{Aead, Element, GroupId, PkPurpose, SealKey, Secret, Seed, steps};

const VALUES: &str = include_str!("reference/values.txt");

const TH: [u8; 32] = [3; 32];
const N_I: [u8; 8] = [0x11; 8];
const N_G: [u8; 8] = [0x12; 8];
const N_J: [u8; 8] = [0x13; 8];
const HANDLE: [u8; 4] = [0x14; 4];
const LIFE: [u8; 8] = [8; 8];
const MASKED: [u8; 16] = [0x15; 16];
const RUN: u32 = 70_000;
const ROLE: u8 = 1;
const BIG: [u8; 300] = [0x16; 300];

fn k_d() -> Secret<32> {
    Secret::new([1; 32])
}

fn k_t() -> Secret<16> {
    Secret::new([2; 16])
}

fn seed(byte: u8) -> Seed {
    Seed::from_bytes([byte; 32])
}

/// The model's values; each is asked for once.
struct Values(BTreeMap<&'static str, &'static str>);

impl Values {
    fn load(mut wanted: impl FnMut(&str) -> bool) -> Self {
        let pairs = VALUES.lines().filter_map(|line| line.split_once(" = "));
        Self(pairs.filter(|(name, _)| wanted(name)).collect())
    }

    fn check(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let expected = self.0.remove(name).unwrap_or_else(|| panic!("the model has no {name}"));
        assert_eq!(hex::encode(value), expected, "{name}");
    }

    fn finish(self) {
        assert!(self.0.is_empty(), "not compared: {:?}", self.0.keys());
    }
}

fn is_of_group(name: &str) -> bool {
    ["public ", "pk ", "half ", "y ", "root "].iter().any(|start| name.starts_with(start))
}

fn is_sealed(name: &str) -> bool {
    name.starts_with("seal ") || name.starts_with("traffic ")
}

fn pk(group: GroupId, public: &Element, purpose: PkPurpose) -> Vec<u8> {
    let mut out = [0; 512];
    let len = steps::pk_seal(group, public, &seed(1), purpose, b"plain", &mut out).expect("has room");
    out[..len].to_vec()
}

#[test]
fn groups_trapdoor_and_root() {
    let mut values = Values::load(is_of_group);
    for profile in [1, 2, 3] {
        let group = GroupId::from_profile(profile).expect("default features have all");
        let public = group.exp_base(&seed(9));
        values.check(&format!("public {profile}"), public.as_bytes());
        let register = PkPurpose::Register { package_hash: [5; 32] };
        values.check(&format!("pk register {profile}"), pk(group, &public, register));
        values.check(&format!("pk negotiate {profile}"), pk(group, &public, PkPurpose::Negotiate));
        let half = make_half(group, &public, &seed(20), &seed(30));
        let all = [half.element.as_bytes(), half.trapdoor.as_bytes(), half.key.expose()].concat();
        values.check(&format!("half {profile}"), all);
        let y = group.exp(&half.element, &seed(60));
        values.check(&format!("y {profile}"), y.as_bytes());
        let (peer_i, peer_j) = (Secret::new([0x0a; 16]), Secret::new([0x0b; 16]));
        let alone = steps::root(&y, &peer_i, &peer_j, None, &[7; 32]);
        let paired = steps::root(&y, &peer_i, &peer_j, Some(&Secret::new([8; 32])), &[7; 32]);
        values.check(&format!("root {profile}"), [&alone.expose()[..], paired.expose()].concat());
    }
    values.finish();
}

#[test]
fn tags_hashes_and_keys() {
    let mut values = Values::load(|name| !is_of_group(name) && !is_sealed(name));
    let (k_d, k_t) = (k_d(), k_t());
    values.check("pin", steps::pin(1, 2, b"PK"));
    values.check("enrol", steps::enrol_proof(b"secret", &TH, &k_d, 3, 15, b"dev"));
    values.check("rotate", steps::rotation_proof(&k_d, &TH, &k_d, 3, 15, b"dev"));
    values.check("A1 mask", steps::a1_mask(&k_d, &N_I, &MASKED));
    values.check("A3 mask", steps::a3_mask(&k_d, &N_J, &MASKED));
    values.check("A1", steps::a1_tag(&k_d, 300, 7, &N_I, &MASKED, b"i", b"jj", 2, b"G"));
    values.check("A3", steps::a3_tag(&k_d, &HANDLE, &N_G, &N_J, &MASKED, 2, b"i", b"jj", b"G"));
    values.check("A3 answer", steps::a3_answer(&k_t, &TH));
    values.check("peer", steps::peer_key(&k_t).expose());
    values.check("th_A", steps::th_a(1, 3, 2, b"i", b"jj", b"G", &N_I, &N_G, &N_J));
    values.check("th_B", steps::th_b(&TH, RUN, b"N_i", b"N_j"));
    values.check("B", steps::b_tag(&k_d, ROLE, RUN, &TH, b"N", &BIG));
    let mut pad = [0; 384];
    steps::b_pad(&k_d, &TH, RUN, ROLE, None, &mut pad);
    values.check("B pad", pad);
    steps::b_pad(&k_d, &TH, RUN, ROLE, Some(&LIFE), &mut pad);
    values.check("B pad in life", pad);
    values.check("B6", steps::b6_tag(&k_d, ROLE, RUN, &TH, &BIG));
    values.check("B answer", steps::b_answer(&k_t, &TH));
    values.check("code", steps::comparison_code(&Secret::new(TH)));
    values.check("hop key", steps::hop_key(&k_d, &TH).expose());
    values.check("hop", steps::hop_tag(&k_d, &HANDLE, RUN, 65_536, &BIG, None));
    values.check("stored", steps::stored_tag(&k_d, &HANDLE, RUN, 255, None));
    values.check("hop in life", steps::hop_tag(&k_d, &HANDLE, RUN, 65_536, &BIG, Some(&LIFE)));
    values.check("stored in life", steps::stored_tag(&k_d, &HANDLE, RUN, 255, Some(&LIFE)));
    values.finish();
}

/// In the model's order.
fn all_seals(aead: Aead) -> [SealKey; 18] {
    let (k_d, k_t) = (k_d(), k_t());
    [
        steps::register_id(aead, &k_d, &TH),
        steps::registered(aead, &k_d, &TH, &N_I),
        steps::attach(aead, &k_d, &N_I),
        steps::inbox(aead, &k_d, &N_I, 66_000),
        steps::ack(aead, &k_d, &N_I, 24),
        steps::a1_answer(aead, &k_t, &TH),
        steps::a1_refusal(aead, &k_t, &TH),
        steps::a4(aead, &k_t, &N_I, &N_G),
        steps::a4_refusal(aead, &k_t, &N_I),
        steps::b_body_compact(aead, &k_t, &k_d, &TH, ROLE, RUN, None),
        steps::b_outer(aead, &k_t, &TH, RUN, ROLE, None),
        steps::b_inner(aead, &k_d, &TH, RUN, ROLE, &BIG, None),
        steps::b2(aead, &k_t, &TH, RUN, ROLE),
        steps::b6(aead, &k_t, &TH, RUN, ROLE),
        steps::b_refusal(aead, &k_t, &TH, ROLE),
        steps::b_body_compact(aead, &k_t, &k_d, &TH, ROLE, RUN, Some(&LIFE)),
        steps::b_outer(aead, &k_t, &TH, RUN, ROLE, Some(&LIFE)),
        steps::b_inner(aead, &k_d, &TH, RUN, ROLE, &BIG, Some(&LIFE)),
    ]
}

/// Suites 1 to 3: the model's libraries have no Ascon.
#[test]
fn seals_and_messages() {
    let mut values = Values::load(is_sealed);
    for suite in [1, 2, 3] {
        let aead = Aead::from_id(suite).expect("is a suite");
        let mut buf = [0; 32];
        for (number, key) in all_seals(aead).into_iter().enumerate() {
            buf[..9].copy_from_slice(b"some text");
            let len = key.seal(&mut buf, 9).expect("has room");
            values.check(&format!("seal {suite} {number}"), &buf[..len]);
        }
        buf[..9].copy_from_slice(b"some text");
        let key = steps::traffic(&Secret::new(TH), aead, ROLE);
        let len = key.seal(RUN, 66_000, &mut buf, 9).expect("has room");
        values.check(&format!("traffic {suite}"), &buf[..len]);
        buf[..9].copy_from_slice(b"some text");
        let len = key.in_life(&LIFE).seal(RUN, 66_000, &mut buf, 9).expect("has room");
        values.check(&format!("traffic {suite} in life"), &buf[..len]);
    }
    values.finish();
}
