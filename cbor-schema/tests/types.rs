//! The small types, and that `Debug` shows no secret.

mod support;

use sga_schema::*;

#[test]
fn ids() {
    assert_eq!(DeviceId::new(b""), Err(SchemaError::OutOfRange));
    assert_eq!(DeviceId::new(&[0; 17]), Err(SchemaError::OutOfRange));
    let id: DeviceId = "pump 7".parse().unwrap();
    assert_eq!((id.as_bytes(), id.to_string()), (&b"pump 7"[..], "pump 7".to_string()));
    for (bytes, shown) in [(&[0, 0xff][..], "00ff"), (b"a\n", "610a"), ("é".as_bytes(), "c3a9")] {
        assert_eq!(DeviceId::new(bytes).unwrap().to_string(), shown);
    }
    let of = |bytes: &[u8]| DeviceId::new(bytes).unwrap();
    assert!(of(b"a") < of(b"a\0") && of(b"a\0") < of(b"b") && of(b"ab") < of(b"b"));
    assert_ne!(of(b"a"), of(b"a\0"));
    assert_eq!(Handle([0, 1, 0xab, 0xff]).to_string(), "0001abff");
}

#[test]
fn numbers_and_names() {
    for suite in Suite::ALL {
        assert_eq!(Suite::from_id(suite.id()), Some(suite));
        assert_eq!(suite.name().parse(), Ok(suite));
    }
    assert_eq!(Suite::ALL.map(Suite::name), ["aes-ccm-8", "aes-ccm-16", "chacha20-poly1305", "ascon-aead128"]);
    assert_eq!(
        Suite::ALL.map(|suite| (suite.key_len(), suite.nonce_len(), suite.tag_len())),
        [(16, 13, 8), (16, 13, 16), (32, 12, 16), (16, 16, 16),]
    );
    assert_eq!(Suite::from_id(0), None);
    assert_eq!("aes".parse::<Suite>(), Err(SchemaError::OutOfRange));
    assert_eq!(
        Profile::ALL.map(|profile| (profile.id(), profile.name(), profile.element_len())),
        [(1, "classic", 256), (2, "compact", 32), (3, "classic3072", 384),]
    );
    assert_eq!(Role::Initiator.other(), Role::Responder);
    assert_eq!((Role::Initiator.id(), Role::Responder.id()), (0, 1));
}

#[test]
fn sets() {
    assert_eq!(SuiteSet::from_bits(16), None);
    let set = SuiteSet::of(&[Suite::AesCcm16, Suite::Ascon128]);
    assert_eq!(set.bits(), 0b1010);
    assert!(set.contains(Suite::Ascon128) && !set.contains(Suite::AesCcm8));
    assert_eq!(set.iter().collect::<Vec<_>>(), [Suite::AesCcm16, Suite::Ascon128]);
    assert_eq!(set.intersect(SuiteSet::ALL), set);
    assert!(set.intersect(SuiteSet::of(&[Suite::AesCcm8])).is_empty());
    assert!(SuiteSet::EMPTY.is_empty());
    assert_eq!(SuiteSet::of(&Suite::ALL), SuiteSet::ALL);
}

#[test]
fn debug_shows_no_secret() {
    // 0xa7 is 167 in lists of bytes.
    const SECRET: u8 = 0xa7;
    let key16 = [SECRET; 16];
    let id = DeviceId::new(b"d").unwrap();
    let suite = Suite::AesCcm8;
    let handle = Handle([0; 4]);
    let invitation = InvitationItem { handle, nonce_i: [0; 8], nonce_g: [0; 8], peer_key: key16, id_i: id, suite };
    let mut buf = [0; 200];
    let mut writer = ItemsWriter::new(&mut buf, 150);
    assert!(writer.push(1, kind::INVITATION, &support::encoded(&invitation)));
    let mut shown = vec![format!("{writer:?}")];
    let len = writer.finish(Some(NextAttach { ticket: [0; 16], generation: [0; 4] }));
    let inbox: InboxSecret<'_> = decode(&buf[..len]).unwrap();
    let suites = SuiteSet::ALL;
    for proof in [Proof::None, Proof::Enrolment(key16), Proof::Rotation(key16)] {
        shown.push(format!("{:?}", RegisterSecret { registered_key: [SECRET; 32], suite, suites, proof }));
    }
    let a1 = A1 { request_number: 1, nonce_i: [0; 8], masked: key16, id_i: id, id_j: id, suite, tag: [SECRET; 8] };
    let a3 = A3 { handle, nonce_g: [0; 8], nonce_j: [0; 8], masked: key16, suite: None, tag: [SECRET; 8] };
    let element = &[SECRET; 32][..];
    shown.extend([
        format!("{invitation:?}"),
        format!("{inbox:?}"),
        format!("{:?}", inbox.items.iter().next()),
        format!("{:?}", NegotiateSecret::Invite(a1)),
        format!("{:?}", NegotiateSecret::Reply(a3)),
        format!("{:?}", A4Secret { nonce_j: [0; 8], peer_key: key16 }),
        format!("{:?}", HalfCompact { element, tag: [SECRET; 8] }),
        format!("{:?}", HalfClassic { sealed_element: element, trapdoor: element, tag: key16 }),
        format!("{:?}", B6Secret { element, peer_hash: key16, tag: [SECRET; 8] }),
    ]);
    for text in shown {
        assert!(!text.contains("167") && !text.contains("a7"), "{text}");
    }
}
