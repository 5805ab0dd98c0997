//! Each way of being malformed is refused, in every message.

mod support;

use sga_schema::*;
use support::{FIXED, Part, Sample, VARIABLE, encoded, head, inbox, next, parts, replaced, samples, short_head};

fn each_part(test: impl Fn(&Sample, &Part)) {
    for sample in samples() {
        parts(&sample.bytes).iter().for_each(|part| test(&sample, part));
    }
}

#[test]
fn round_trip() {
    for Sample { rule, bytes, again } in samples() {
        assert_eq!(again(&bytes), Ok(bytes), "{rule}");
    }
}

#[test]
fn truncated_at_every_byte() {
    for Sample { rule, bytes, again } in samples() {
        for len in 0..bytes.len() {
            assert_eq!(again(&bytes[..len]), Err(SchemaError::Malformed), "{rule} at {len}");
        }
    }
}

#[test]
fn bytes_behind() {
    for Sample { rule, bytes, again } in samples() {
        for byte in [0x00, 0xff] {
            assert_eq!(again(&[&bytes[..], &[byte]].concat()), Err(SchemaError::Trailing), "{rule}");
        }
    }
}

#[test]
fn heads_longer_than_needed() {
    each_part(|sample, part| {
        let shortest = part.content - part.start - 1;
        for width in [1, 2, 4, 8].into_iter().filter(|&width| width > shortest) {
            let longer = head(part.major, part.argument, width);
            let bytes = replaced(&sample.bytes, part.start, part.content, &longer);
            assert_eq!((sample.again)(&bytes), Err(SchemaError::NotDeterministic), "{} at {part:?}", sample.rule);
        }
    });
}

#[test]
fn indefinite_lengths() {
    each_part(|sample, part| {
        let content = &sample.bytes[part.content..part.end];
        let inner = match part.major {
            2 => [&[0x5f][..], &short_head(2, part.argument), content, &[0xff]].concat(),
            3 => [&[0x7f][..], &short_head(3, part.argument), content, &[0xff]].concat(),
            4 => [&[0x9f][..], content, &[0xff]].concat(),
            _ => return,
        };
        let bytes = replaced(&sample.bytes, part.start, part.end, &inner);
        assert_eq!((sample.again)(&bytes), Err(SchemaError::Malformed), "{} at {part:?}", sample.rule);
    });
}

#[test]
fn types_that_sga_does_not_use() {
    each_part(|sample, part| {
        // −1, a float, null, undefined, true, a map, a tagged number, a reserved head, a simple value.
        for wrong in
            [&[0x20][..], &[0xf9, 0x3c, 0], &[0xf6], &[0xf7], &[0xf5], &[0xa0], &[0xc1, 0x01], &[0x1c], &[0xe1]]
        {
            let bytes = replaced(&sample.bytes, part.start, part.end, wrong);
            assert_eq!((sample.again)(&bytes), Err(SchemaError::Malformed), "{} {wrong:x?} {part:?}", sample.rule);
        }
    });
}

#[test]
fn types_that_belong_elsewhere() {
    each_part(|sample, part| {
        // The body of an item is looked at by its kind, later.
        if sample.rule == "inbox-secret" {
            return;
        }
        for (major, other) in [(0, &[0x01][..]), (2, &[0x41, VARIABLE]), (3, b"aa"), (4, &[0x81, 0x01])] {
            if major != part.major {
                let bytes = replaced(&sample.bytes, part.start, part.end, other);
                assert_eq!((sample.again)(&bytes), Err(SchemaError::Malformed), "{} {other:x?} {part:?}", sample.rule);
            }
        }
    });
}

#[test]
fn elements_too_many_or_too_few() {
    each_part(|sample, part| {
        if part.major != 4 || sample.rule == "inbox-secret" {
            return;
        }
        let content = &sample.bytes[part.content..part.end];
        let more = [&short_head(4, part.argument + 1)[..], content, &[0x00]].concat();
        let bytes = replaced(&sample.bytes, part.start, part.end, &more);
        assert_eq!((sample.again)(&bytes), Err(SchemaError::Malformed), "{}", sample.rule);
        let last = parts(&sample.bytes).last().map(|last| last.start).expect("a message has a part");
        let less = [&short_head(4, part.argument - 1)[..], &sample.bytes[part.content..last]].concat();
        // Without its salt it is another message.
        let expected = if is_salted(sample) { Ok(less.clone()) } else { Err(SchemaError::Malformed) };
        assert_eq!((sample.again)(&less), expected, "{}", sample.rule);
    });
}

fn is_salted(sample: &Sample) -> bool {
    let full = [("half", 4), ("message-post", 6), ("msg-post", 6), ("message-item", 5)];
    full.contains(&(sample.rule, sample.bytes[0] & 31))
}

#[test]
fn a_salt_is_one_string_of_8_bytes_and_message_0_has_none() {
    let salted: Vec<_> = samples().into_iter().filter(is_salted).collect();
    assert_eq!(salted.len(), 4);
    for Sample { rule, bytes, again } in salted {
        let without = &bytes[1..bytes.len() - limits::SALT_LEN];
        let salt = &bytes[bytes.len() - limits::SALT_LEN..];
        for count in [0, 2, 3] {
            let head = [(bytes[0] & 0xe0) | ((bytes[0] & 31) - 1 + count)];
            let repeated = salt.repeat(count.into());
            let other = [&head[..], without, &repeated].concat();
            let expected = if count == 0 { Ok(other.clone()) } else { Err(SchemaError::Malformed) };
            assert_eq!(again(&other), expected, "{rule} with {count} salts");
        }
        for wrong in [&[0x40][..], &[0xf6], &[0x00], &[0x47, 1, 2, 3, 4, 5, 6, 7], &[0x49, 1, 2, 3, 4, 5, 6, 7, 8, 9]] {
            let other = [&bytes[..bytes.len() - limits::SALT_LEN], wrong].concat();
            assert_eq!(again(&other), Err(SchemaError::Malformed), "{rule} with {wrong:x?}");
        }
        if rule != "half" {
            assert_eq!(again(&with_uints(&bytes, 1, 0)), Err(SchemaError::OutOfRange), "{rule} of message 0");
        }
    }
}

#[test]
fn fixed_strings_of_another_length() {
    each_part(|sample, part| {
        if part.major != 2 || part.argument == 0 || sample.bytes[part.content] != FIXED {
            return;
        }
        // Of the bodies of items only the form is looked at.
        if sample.rule == "inbox-secret" && part.end < sample.bytes.len() - 22 {
            return;
        }
        for len in [0, part.argument - 1, part.argument + 1] {
            let string = [short_head(2, len), vec![FIXED; len as usize]].concat();
            let bytes = replaced(&sample.bytes, part.start, part.end, &string);
            let error = (sample.again)(&bytes).expect_err(sample.rule);
            assert!(matches!(error, SchemaError::Malformed | SchemaError::OutOfRange), "{} {part:?}", sample.rule);
        }
    });
}

#[test]
fn numbers_of_more_than_32_bits() {
    each_part(|sample, part| {
        if part.major != 0 || sample.rule == "inbox-secret" {
            return;
        }
        let bytes = replaced(&sample.bytes, part.start, part.end, &head(0, 1 << 32, 8));
        assert_eq!((sample.again)(&bytes), Err(SchemaError::OutOfRange), "{} {part:?}", sample.rule);
    });
}

/// Puts numbers into the uints of a message, in turn.
fn with_uints(bytes: &[u8], which: usize, value: u64) -> Vec<u8> {
    let part = *parts(bytes).iter().filter(|part| part.major == 0).nth(which).expect("that many numbers");
    replaced(bytes, part.start, part.end, &short_head(0, value))
}

fn refused(rule: &str, which: usize, values: &[u64], error: SchemaError) {
    let mut found = false;
    for sample in samples().iter().filter(|sample| sample.rule == rule) {
        found = true;
        for &value in values {
            let bytes = with_uints(&sample.bytes, which, value);
            assert_eq!((sample.again)(&bytes), Err(error), "{rule}: {value}");
        }
    }
    assert!(found, "{rule}");
}

#[test]
fn unknown_versions() {
    for (rule, version) in [("package", 0), ("package", 2), ("pin-input", 7), ("register", 2), ("register", u32::MAX)] {
        refused(rule, 0, &[u64::from(version)], SchemaError::UnknownVersion(version));
    }
}

#[test]
fn unknown_numbers() {
    let error = SchemaError::OutOfRange;
    refused("package", 1, &[0, 4, 255, 257], error);
    refused("package", 2, &[16, 256, 271], error);
    refused("package", 3, &[3, 256], error);
    refused("pin-input", 1, &[0, 4], error);
    refused("register-secret", 0, &[0, 5, 257], error);
    refused("register-secret", 1, &[16], error);
    refused("register-secret", 2, &[3], error);
    refused("attach-secret", 2, &[3], error);
    refused("a1", 0, &[0, 2, 3], SchemaError::Malformed);
    refused("a3", 0, &[0, 1, 2], SchemaError::Malformed);
    refused("negotiate-secret", 0, &[0, 2, 4, 257], error);
    refused("a1", 2, &[0, 5, 257], error);
    refused("a3", 1, &[5, 257], error);
    refused("invitation-item", 0, &[0, 5], error);
    refused("a1-refusal", 0, &[0, 7], error);
    refused("a4-reason", 0, &[0, 4], error);
    refused("b-refusal", 0, &[0, 3], error);
    refused("wanted", 0, &[0, 2], error);
}

#[test]
fn runs_and_sequences_out_of_range() {
    let error = SchemaError::OutOfRange;
    for rule in ["half", "message-post", "wanted-item", "key-item", "message-item", "expired-item"] {
        refused(rule, 0, &[0], error);
    }
    for rule in ["message-post", "message-item", "expired-item"] {
        refused(rule, 1, &[u64::from(limits::SEQUENCE_MAX) + 1], error);
    }
    refused("confirmation", 0, &[u64::from(limits::SEQUENCE_MAX) + 1], error);
}

#[test]
fn strings_too_long_or_too_short() {
    let error = Err(SchemaError::OutOfRange);
    let handle = Handle([0; 4]);
    for bytes in [&[0x40][..], &[&[0x51][..], &[0; 17]].concat()] {
        assert_eq!(decode::<SealedId>(bytes).map(|_| ()), error);
    }
    let body = &[0; limits::HALF_BODY_LEN_MAX + 1];
    assert_eq!(decode::<Half<'_>>(&encoded(&Half { handle, run: 1, body, salt: None })).map(|_| ()), error);
    for (len, expected) in [(limits::CIPHERTEXT_LEN_MAX, Ok(())), (limits::CIPHERTEXT_LEN_MAX + 1, error)] {
        let ciphertext = &vec![0; len];
        let item = MessageItem { handle, run: 1, sequence: 0, ciphertext, salt: None };
        assert_eq!(decode::<MessageItem<'_>>(&encoded(&item)).map(|_| ()), expected);
        let post = MessagePost { handle, run: 1, sequence: 0, ciphertext, hop_tag: [0; 8], salt: None };
        assert_eq!(decode::<MessagePost<'_>>(&encoded(&post)).map(|_| ()), expected);
    }
    // E and F of different groups, and a tag that no suite has.
    for (element, trapdoor) in [(264, 416), (400, 288), (268, 288), (256, 288), (272, 0), (40, 64)] {
        let half = HalfClassic { sealed_element: &vec![0; element], trapdoor: &vec![0; trapdoor], tag: [0; 16] };
        assert_eq!(decode::<HalfClassic<'_>>(&encoded(&half)).map(|_| ()), error);
    }
}

#[test]
fn ids_of_0_and_17_bytes_wherever_an_id_stands() {
    // Which of the strings of variable length in the message: all of these are ids.
    for (rule, ids) in [("package", 1), ("sealed-id", 1), ("a1", 2), ("negotiate-secret", 2), ("invitation-item", 1)] {
        let sample = samples().into_iter().find(|sample| sample.rule == rule).expect("a sample");
        let is_id = |part: &&Part| part.major == 2 && sample.bytes[part.content] == VARIABLE;
        let found = parts(&sample.bytes);
        assert_eq!(found.iter().filter(is_id).count(), ids, "{rule}");
        for part in found.iter().filter(is_id) {
            for (len, expected) in [(0, false), (1, true), (16, true), (17, false)] {
                let id = [short_head(2, len), vec![VARIABLE; len as usize]].concat();
                let result = (sample.again)(&replaced(&sample.bytes, part.start, part.end, &id));
                assert_eq!(
                    result.map(|_| ()),
                    if expected { Ok(()) } else { Err(SchemaError::OutOfRange) },
                    "{rule}: {len}"
                );
            }
        }
    }
}

#[test]
fn a_proof_of_another_kind() {
    let mut none = encoded(&RegisterSecret {
        registered_key: [0; 32],
        suite: Suite::AesCcm8,
        suites: SuiteSet::ALL,
        proof: Proof::None,
    });
    let kind = none.len() - 2;
    none[kind] = 1;
    assert_eq!(decode::<RegisterSecret>(&none), Err(SchemaError::Malformed));
    // And kind 0 with a proof: that is another message, not another encoding of the same one.
    none[kind] = 0;
    none.splice(kind + 1.., [0x41, 0x00]);
    assert_eq!(decode::<RegisterSecret>(&none), Err(SchemaError::Malformed));
}

#[test]
fn the_largest_are_as_large_as_the_limits_say() {
    let handle = Handle([0; 4]);
    let (run, sequence) = (u32::MAX, limits::SEQUENCE_MAX);
    let ciphertext = &[0; limits::CIPHERTEXT_LEN_MAX];
    let salt = Some([0; 8]);
    let post = MessagePost { handle, run, sequence, ciphertext, hop_tag: [0; 8], salt };
    assert_eq!(encoded_len(&post), limits::MESSAGE_LEN_MAX);
    assert_eq!(encoded_len(&MessageItem { handle, run, sequence, ciphertext, salt }), limits::ITEM_LEN_MAX);
    let inner = HalfClassic {
        sealed_element: &[0; limits::ELEMENT_LEN_MAX + limits::TAG_LEN_MAX],
        trapdoor: &[0; limits::TRAPDOOR_LEN_MAX],
        tag: [0; 16],
    };
    assert_eq!(encoded_len(&inner) + limits::TAG_LEN_MAX, limits::HALF_BODY_LEN_MAX);
    let half = Half { handle, run, body: &[0; limits::HALF_BODY_LEN_MAX], salt };
    assert_eq!(encoded_len(&half), limits::HALF_LEN_MAX);
}

#[test]
fn a_buffer_too_small() {
    let message = Tag8([0; 8]);
    for len in 0..9 {
        assert_eq!(encode(&message, &mut vec![0; len]), Err(SchemaError::BufferTooSmall));
    }
    assert_eq!(encode(&message, &mut [0; 20]), Ok(9));
}

/// `[[[number, 9, body], …]]`.
fn notification(numbers: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x81, 0x80 | numbers.len() as u8];
    for &number in numbers {
        bytes.extend([0x83, number, 9]);
        bytes.extend(body);
    }
    bytes
}

fn inbox_error(bytes: &[u8]) -> Option<SchemaError> {
    decode::<InboxSecret<'_>>(bytes).err()
}

#[test]
fn items_in_order_and_of_bounded_depth() {
    assert_eq!(inbox_error(&notification(&[1, 2, 5], &[0])), None);
    for numbers in [&[0][..], &[1, 1], &[2, 1], &[1, 3, 2]] {
        assert_eq!(inbox_error(&notification(numbers, &[0])), Some(SchemaError::OutOfRange), "{numbers:?}");
    }
    assert_eq!(inbox_error(&notification(&[1], &[0x81, 0x81, 0x80])), None);
    assert_eq!(inbox_error(&notification(&[1], &[0x81, 0x81, 0x81, 0x80])), Some(SchemaError::Malformed));
    assert_eq!(inbox_error(&notification(&[1], &[0x81; 10_000])), Some(SchemaError::Malformed));
    assert_eq!(inbox_error(&notification(&[1], &[0x62, 0xc3, 0x28])), Some(SchemaError::Malformed), "not UTF-8");
    // Counts far above what there is.
    for huge in [head(4, u64::MAX, 8), head(4, 1 << 32, 8), head(4, u64::from(u32::MAX), 4)] {
        assert_eq!(inbox_error(&[&[0x81][..], &huge].concat()), Some(SchemaError::Malformed));
        assert_eq!(inbox_error(&notification(&[1], &huge)), Some(SchemaError::Malformed));
        assert_eq!(decode::<Tag8>(&huge), Err(SchemaError::Malformed));
    }
}

#[test]
fn items_are_what_was_written() {
    for next in [None, Some(next())] {
        let bytes = inbox(next);
        let secret: InboxSecret<'_> = decode(&bytes).unwrap();
        assert_eq!((secret.next, secret.items.len(), secret.items.is_empty()), (next, 13, false));
        let items: Vec<Item<'_>> = secret.items.iter().collect();
        assert_eq!(items.len(), 13);
        assert_eq!((items[0].number, items[0].kind, items[9].number), (20, kind::INVITATION, 47));
        assert!(decode::<InvitationItem>(items[0].body).is_ok());
        assert!(decode::<ExpiredItem>(items[6].body).is_ok());
        assert!(decode::<EndedItem>(items[8].body).is_ok());
        assert_eq!(items[10].body, [0x61, b'a']);
        assert_eq!((items[12].kind, items[12].body), (kind::VOID, &[0x80][..]));
    }
}

#[test]
fn a_writer_keeps_its_limit() {
    let body = [0x41, 0x55];
    let item_len = 1 + 1 + 1 + body.len();
    for (buf_len, limit, fit) in [
        (1_000, 3 * item_len, 3),
        (1_000, 3 * item_len - 1, 2),
        (1_000, 0, 0),
        (3 * item_len + ItemsWriter::OVERHEAD_LEN, usize::MAX, 3),
        (3 * item_len + ItemsWriter::OVERHEAD_LEN - 1, usize::MAX, 2),
        (ItemsWriter::OVERHEAD_LEN, usize::MAX, 0),
    ] {
        for next in [None, Some(next())] {
            let mut buf = vec![0xaa; buf_len];
            let mut writer = ItemsWriter::new(&mut buf, limit);
            let pushed = (1..=23).take_while(|&number| writer.push(number, 9, &body)).count();
            let len = writer.finish(next);
            let secret: InboxSecret<'_> = decode(&buf[..len]).unwrap();
            assert_eq!((pushed, secret.items.len(), secret.next), (fit, fit, next), "{buf_len} {limit}");
        }
    }
    let mut small = [0; ItemsWriter::OVERHEAD_LEN - 1];
    let mut writer = ItemsWriter::new(&mut small, 100);
    assert!(!writer.push(1, 9, &body));
    assert_eq!(writer.finish(None), 0);
}

#[test]
fn a_push_that_is_refused_writes_nothing() {
    let fill = |more: &[(u32, &[u8])]| {
        let mut buf = vec![0xaa; 100];
        let mut writer = ItemsWriter::new(&mut buf, 12);
        assert!(writer.push(7, 9, &[0x41, 0x55]));
        for (number, body) in more {
            assert!(!writer.push(*number, 9, body), "{number} {body:x?}");
        }
        buf
    };
    // Too long by one byte, a number that does not rise, and no body at all.
    let refused = [(8, &[0x44, 1, 2, 3, 4][..]), (7, &[0x00][..]), (8, &[][..])];
    assert_eq!(fill(&refused), fill(&[]));
    assert!(fill(&[]).contains(&0x55));
}

#[test]
fn a_writer_refuses_what_would_not_decode() {
    let mut buf = [0; 100];
    let mut writer = ItemsWriter::new(&mut buf, 50);
    assert!(!writer.push(0, 9, &[0]));
    for body in [&[][..], &[0, 0], &[0x18, 0x01], &[0x41], &[0xf6], &[0x9f, 0xff], &[0x81, 0x81, 0x81, 0x80]] {
        assert!(!writer.push(1, 9, body), "{body:x?}");
    }
    assert!(writer.push(1, 9, &[0]));
    assert!(!writer.push(1, 9, &[0]));
    assert!(writer.push(u32::MAX, u32::MAX, &[0]));
    assert_eq!(writer.finish(None), 2 + 4 + 12);
}
