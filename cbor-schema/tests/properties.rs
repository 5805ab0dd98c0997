//! What holds for all values and all bytes.

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sga_schema::*;
use support::{encoded, samples};

fn id() -> impl Strategy<Value = DeviceId> {
    vec(any::<u8>(), 1..=limits::ID_LEN_MAX).prop_map(|bytes| DeviceId::new(&bytes).expect("valid"))
}

fn suite() -> impl Strategy<Value = Suite> {
    select(&Suite::ALL[..])
}

fn suites() -> impl Strategy<Value = SuiteSet> {
    (0..=15_u32).prop_map(|bits| SuiteSet::from_bits(bits).expect("valid"))
}

fn round_trip<'a, T: Message<'a> + PartialEq + std::fmt::Debug>(message: &T, buf: &'a mut Vec<u8>) {
    *buf = encoded(message);
    assert_eq!(decode::<T>(buf).as_ref(), Ok(message));
}

proptest! {
    #[test]
    fn packages(
        profile in select(&Profile::ALL[..]), key in vec(any::<u8>(), 384), gateway_id in id(), suites in suites(),
        policy in select(&Policy::ALL[..]),
    ) {
        let public_key = &key[..profile.element_len()];
        round_trip(&Package { profile, public_key, gateway_id, suites, policy }, &mut Vec::new());
        round_trip(&PinInput { profile, public_key }, &mut Vec::new());
        for other in Profile::ALL.into_iter().filter(|&other| other != profile) {
            let bytes = encoded(&PinInput { profile: other, public_key });
            prop_assert_eq!(decode::<PinInput<'_>>(&bytes), Err(SchemaError::Malformed));
        }
    }

    #[test]
    fn registrations(
        registered_key: [u8; 32], suite in suite(), suites in suites(), kind in 0..3, proof: [u8; 16], ticket: [u8; 16],
        attach_number: u32, request_number: u32, generation: [u8; 4],
    ) {
        let proof = [Proof::None, Proof::Enrolment(proof), Proof::Rotation(proof)][kind as usize];
        let secret = RegisterSecret { registered_key, suite, suites, proof };
        round_trip(&secret, &mut Vec::new());
        round_trip(&Grant { ticket, attach_number, request_number, generation }, &mut Vec::new());
    }

    #[test]
    fn negotiations(
        request_number: u32, nonce_i: [u8; 8], masked: [u8; 16], id_i in id(), id_j in id(), cid in suite(), tag: [u8; 8],
        handle: [u8; 4], refuses: bool,
    ) {
        let a1 = A1 { request_number, nonce_i, masked, id_i, id_j, suite: cid, tag };
        round_trip(&NegotiateSecret::Invite(a1), &mut Vec::new());
        let suite = (!refuses).then_some(cid);
        let a3 = A3 { handle: Handle(handle), nonce_g: nonce_i, nonce_j: tag, masked, suite, tag };
        round_trip(&NegotiateSecret::Reply(a3), &mut Vec::new());
    }

    #[test]
    fn posts(
        handle: [u8; 4], run in 1..=u32::MAX, sequence in 0..=limits::SEQUENCE_MAX,
        ciphertext in vec(any::<u8>(), 0..=limits::CIPHERTEXT_LEN_MAX), hop_tag: [u8; 8],
        salt: Option<[u8; 8]>,
    ) {
        // Message 0 has none.
        let salt = salt.filter(|_| sequence > 0);
        let post = MessagePost { handle: Handle(handle), run, sequence, ciphertext: &ciphertext, hop_tag, salt };
        round_trip(&MsgPost::Message(post), &mut Vec::new());
    }

    #[test]
    fn sealed_strings(
        sealed in vec(any::<u8>(), 0..2_000), other in vec(any::<u8>(), 0..300), ticket: [u8; 16], nonce: [u8; 8], counter: u32,
        id in id(),
    ) {
        let sealed = &sealed[..];
        round_trip(&Sealed(sealed), &mut Vec::new());
        round_trip(&Register { sealed_key: sealed, sealed_id: &other }, &mut Vec::new());
        round_trip(&SealedId(id), &mut Vec::new());
        round_trip(&Registered { nonce, sealed }, &mut Vec::new());
        round_trip(&Attach { ticket, nonce, sealed }, &mut Vec::new());
        round_trip(&Inbox { counter, sealed }, &mut Vec::new());
        round_trip(&Ack { ticket, counter, sealed }, &mut Vec::new());
        round_trip(&MsgPost::Ack(Ack { ticket, counter, sealed }), &mut Vec::new());
    }

    #[test]
    fn small_secrets(
        attach_number: u32, cursor: u32, generation: [u8; 4], accept in select(&Accept::ALL[..]), detail: u32, run: u32,
        last in 0..=limits::SEQUENCE_MAX, nonce_j: [u8; 8], peer_key: [u8; 16], handle: [u8; 4],
        a1 in select(&A1Reason::ALL[..]), a4 in select(&A4Reason::ALL[..]), b in select(&BReason::ALL[..]),
    ) {
        round_trip(&AttachSecret { attach_number, cursor, generation, accept }, &mut Vec::new());
        round_trip(&AckSecret { cursor }, &mut Vec::new());
        round_trip(&A1Refusal { reason: a1, detail }, &mut Vec::new());
        round_trip(&a4, &mut Vec::new());
        round_trip(&BRefusal { reason: b, run }, &mut Vec::new());
        round_trip(&A4Secret { nonce_j, peer_key }, &mut Vec::new());
        round_trip(&Confirmation { last }, &mut Vec::new());
        round_trip(&Tag8(nonce_j), &mut Vec::new());
        round_trip(&HandlePlain(Handle(handle)), &mut Vec::new());
        round_trip(&Wanted, &mut Vec::new());
    }

    #[test]
    fn halves_and_keys(
        handle: [u8; 4], run in 1..=u32::MAX, body in vec(any::<u8>(), 0..=limits::HALF_BODY_LEN_MAX),
        profile in select(&Profile::ALL[..]), suite in suite(), bytes in vec(any::<u8>(), 416), peer_hash: [u8; 16], tag: [u8; 8],
        salt: Option<[u8; 8]>,
    ) {
        round_trip(&Half { handle: Handle(handle), run, body: &body, salt }, &mut Vec::new());
        let element = &bytes[..profile.element_len()];
        round_trip(&B6Secret { element, peer_hash, tag }, &mut Vec::new());
        if profile == Profile::Compact {
            round_trip(&HalfCompact { element, tag }, &mut Vec::new());
        } else {
            let sealed_element = &bytes[..profile.element_len() + suite.tag_len()];
            let trapdoor = &bytes[..profile.element_len() + limits::SEED_LEN];
            round_trip(&HalfClassic { sealed_element, trapdoor, tag: peer_hash }, &mut Vec::new());
        }
    }

    #[test]
    fn bodies_of_items(
        handle: [u8; 4], nonce_i: [u8; 8], nonce_g: [u8; 8], peer_key: [u8; 16], id_i in id(), suite in suite(),
        run in 1..=u32::MAX, sequence in 0..=limits::SEQUENCE_MAX, sealed in vec(any::<u8>(), 0..500),
    ) {
        let (handle, sealed) = (Handle(handle), &sealed[..]);
        round_trip(&InvitationItem { handle, nonce_i, nonce_g, peer_key, id_i, suite }, &mut Vec::new());
        round_trip(&AgreedItem { handle, nonce_g, sealed }, &mut Vec::new());
        round_trip(&NotAgreedItem { handle, sealed }, &mut Vec::new());
        round_trip(&WantedItem { handle, run, sealed }, &mut Vec::new());
        round_trip(&KeyItem { handle, run, sealed }, &mut Vec::new());
        for (sequence, salt) in [(sequence, None), (sequence.max(1), Some(nonce_i))] {
            round_trip(&MessageItem { handle, run, sequence, ciphertext: sealed, salt }, &mut Vec::new());
        }
        round_trip(&ExpiredItem { handle, run, sequence }, &mut Vec::new());
        round_trip(&EndedItem { handle, reason: run }, &mut Vec::new());
    }

    #[test]
    fn inboxes(
        items in vec((1..1_000_u32, any::<u32>(), vec(any::<u8>(), 0..300)), 0..40), limit in 0..5_000_usize, with_next: bool,
    ) {
        let next = with_next.then_some(support::next());
        let mut buf = vec![0; limit + ItemsWriter::OVERHEAD_LEN];
        let mut writer = ItemsWriter::new(&mut buf, limit);
        let (mut number, mut written) = (0, Vec::new());
        for (step, kind, content) in &items {
            number += step;
            let body = encoded(&Sealed(content));
            if writer.push(number, *kind, &body) {
                written.push((number, *kind, body));
            }
        }
        let len = writer.finish(next);
        prop_assert!(len <= limit + ItemsWriter::OVERHEAD_LEN);
        let secret: InboxSecret<'_> = decode(&buf[..len]).expect("valid");
        prop_assert_eq!(secret.next, next);
        let read: Vec<_> = secret.items.iter().map(|item| (item.number, item.kind, item.body.to_vec())).collect();
        prop_assert_eq!(read, written);
        prop_assert_eq!(encoded(&secret), &buf[..len]);
    }

    /// Never a panic, and what is taken is the only encoding of what it means.
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..100)) {
        for sample in samples() {
            if let Ok(again) = (sample.again)(&bytes) {
                prop_assert_eq!(&again, &bytes, "{}", sample.rule);
            }
        }
    }

    /// The same for messages with some bytes changed, taken out or put in.
    #[test]
    fn nearly_messages(
        which: Index, changes in vec((any::<Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let samples = samples();
        let sample = which.get(&samples);
        let mut bytes = sample.bytes.clone();
        for (at, byte, how) in changes {
            let at = if bytes.is_empty() { 0 } else { at.index(bytes.len()) };
            match how {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 if !bytes.is_empty() => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
        }
        for other in &samples {
            if let Ok(again) = (other.again)(&bytes) {
                prop_assert_eq!(&again, &bytes, "{}", other.rule);
            }
        }
    }
}
