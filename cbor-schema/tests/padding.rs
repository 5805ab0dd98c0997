//! Padding: its sizes, and that nothing passes for it.

#![allow(clippy::unwrap_used, reason = "tests")]

use sga_schema::padding::{self, PADDED_TEXT_LEN_MAX, TEXT_OVERHEAD_LEN, decode_padded, pad, unpad_text};
use sga_schema::{AckSecret, AttachSecret, SchemaError};

#[test]
fn sizes_are_classes() {
    for (len, class) in
        [(1, 52), (52, 52), (53, 116), (117, 244), (500, 500), (501, 1_012), (1_013, 2_036), (8_300, 9_204)]
    {
        assert_eq!(padding::inbox_sealed_len(len), class);
        assert_eq!(padding::inbox_sealed_len(class), class, "a class is its own");
    }
    for (len, class) in [(0, 32), (23, 32), (24, 64), (55, 64), (56, 128), (PADDED_TEXT_LEN_MAX, 8_192)] {
        assert_eq!(padding::text_len(len), Some(class));
        assert!(padding::is_text_len(class) && !padding::is_text_len(class - 1));
    }
    assert_eq!(padding::text_len(PADDED_TEXT_LEN_MAX + 1), None);
    assert!(!padding::is_text_len(16) && !padding::is_text_len(16_384));
    for len in 0..=PADDED_TEXT_LEN_MAX {
        let class = padding::text_len(len).unwrap();
        assert!(class >= len + TEXT_OVERHEAD_LEN && (class == 32 || class < 2 * (len + TEXT_OVERHEAD_LEN)));
    }
}

fn padded(message: &[u8], to: usize) -> Vec<u8> {
    let mut bytes = message.to_vec();
    bytes.resize(to, 0xaa);
    pad(&mut bytes, message.len(), to).unwrap();
    bytes
}

#[test]
fn only_padding_is_taken_for_padding() {
    // [300], and an Attach that ends as padding begins: generation 00 00 00 80, accept 0.
    let ack = [0x81, 0x19, 0x01, 0x2c];
    let attach = [0x84, 0x01, 0x00, 0x44, 0, 0, 0, 0x80, 0x00];
    for to in ack.len() + 1..40 {
        let bytes = padded(&ack, to);
        assert_eq!(decode_padded(&bytes, true), Ok((AckSecret { cursor: 300 }, true)));
        assert_eq!(decode_padded::<AckSecret>(&bytes, false), Err(SchemaError::OutOfRange), "{to}");
        assert!(sga_schema::decode::<AckSecret>(&bytes).is_err(), "{to}");
        for at in ack.len()..to {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            assert_eq!(decode_padded::<AckSecret>(&bent, true), Err(SchemaError::Trailing), "{to} {at}");
        }
    }
    assert_eq!(decode_padded(&ack, false), Ok((AckSecret { cursor: 300 }, false)));
    let (secret, is_padded) = decode_padded::<AttachSecret>(&attach, true).unwrap();
    assert_eq!((secret.generation, is_padded), ([0, 0, 0, 0x80], false));
    assert_eq!(decode_padded::<AttachSecret>(&padded(&attach, 18), true), Ok((secret, true)));
    // The message itself is as strict as ever.
    assert_eq!(decode_padded::<AckSecret>(&[0x81, 0x18, 0x01, 0x80, 0], true), Err(SchemaError::NotDeterministic));
    assert!(decode_padded::<AckSecret>(&[0x81], true).is_err() && decode_padded::<AckSecret>(&[], true).is_err());
    assert_eq!(pad(&mut [0; 4], 4, 4), Err(SchemaError::BufferTooSmall));
    assert_eq!(pad(&mut [0; 4], 3, 5), Err(SchemaError::BufferTooSmall));
}

#[test]
fn a_text_comes_out_as_it_went_in() {
    for text in [&b""[..], b"\x80", b"\x80\x00", b"\x00\x00\x00", b"21.5", &[0; 23], &[0x80; 24]] {
        let class = padding::text_len(text.len()).unwrap();
        let bytes = padded(text, class - padding::MARK_LEN);
        assert_eq!(unpad_text(&bytes, class), Ok(text));
        for other in [class / 2, class * 2, class + 1] {
            assert_eq!(unpad_text(&bytes, other), Err(SchemaError::OutOfRange), "{text:02x?}");
        }
        for at in text.len()..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 0x41;
            assert!(unpad_text(&bent, class).is_err(), "{text:02x?} {at}");
        }
    }
    for nothing in [&[][..], &[0; 24], &[0x81, 0], &[1; 24]] {
        assert_eq!(unpad_text(nothing, 32), Err(SchemaError::Trailing));
    }
    // Longer than it had to be.
    assert_eq!(unpad_text(&padded(b"21.5", 56), 64), Err(SchemaError::OutOfRange));
}
