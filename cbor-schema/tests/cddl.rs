//! `sga.cddl` and the types agree.

mod support;

use cddl::validator::Validator;
use cddl::validator::cbor::CBORValidator;
use cddl::validator::cbor_value::decode_cbor;
use sga_schema::{InboxSecret, SchemaError, decode};
use support::{FIXED, Sample, VARIABLE, parts, replaced, samples, short_head};

const RULES: &str = include_str!("../sga.cddl");

/// Hands each sample and its rule to a test.
fn each(test: impl Fn(&Sample, &dyn Fn(&[u8]) -> Result<(), String>)) {
    for sample in samples() {
        with_rule(sample.rule, |fit| test(&sample, fit));
    }
}

fn with_rule(rule: &str, test: impl FnOnce(&dyn Fn(&[u8]) -> Result<(), String>)) {
    // A validator starts with the first rule.
    let text = format!("message = {rule}\n{RULES}");
    let rules = cddl::cddl_from_str(&text, true).expect("sga.cddl is CDDL");
    test(&|bytes| {
        let value = decode_cbor(bytes).map_err(|error| error.to_string())?;
        CBORValidator::new(&rules, value, None).validate().map_err(|error| error.to_string())
    });
}

#[test]
fn every_message_fits_its_rule() {
    each(|sample, fit| {
        assert_eq!(fit(&sample.bytes), Ok(()), "{} {}", sample.rule, hex::encode(&sample.bytes));
    });
}

#[test]
fn no_message_fits_with_an_item_of_another_type() {
    each(|sample, fit| {
        for part in parts(&sample.bytes) {
            // Minus one, a float, null, true.
            for wrong in [&[0x20][..], &[0xf9, 0x3c, 0x01], &[0xf6], &[0xf5]] {
                let mutated = replaced(&sample.bytes, part.start, part.end, wrong);
                assert!(fit(&mutated).is_err(), "{} with {wrong:02x?} at {}", sample.rule, part.start);
            }
        }
    });
}

#[test]
fn no_message_fits_with_a_fixed_string_of_another_length() {
    each(|sample, fit| {
        for part in parts(&sample.bytes) {
            if part.major == 2 && part.argument > 0 && sample.bytes[part.content] == FIXED {
                for len in [part.argument - 1, part.argument + 1] {
                    let string = [short_head(2, len), vec![FIXED; len as usize]].concat();
                    let mutated = replaced(&sample.bytes, part.start, part.end, &string);
                    assert!(fit(&mutated).is_err(), "{} with {len} bytes at {}", sample.rule, part.start);
                }
            }
        }
    });
}

/// Rules and types draw the same line at each number. Rules say nothing of the kinds of items and of their order.
#[test]
fn numbers_have_the_same_ranges() {
    each(|sample, fit| {
        for part in parts(&sample.bytes) {
            if part.major != 0 || sample.rule == "inbox-secret" {
                continue;
            }
            for value in [0, 1, 2, 3, 4, 5, 6, 7, 15, 16, 256, 1_048_575, 1_048_576, 4_294_967_295, 4_294_967_296] {
                let mutated = replaced(&sample.bytes, part.start, part.end, &short_head(0, value));
                let decoded = (sample.again)(&mutated);
                assert_eq!(fit(&mutated).is_ok(), decoded.is_ok(), "{} with {value}: {decoded:?}", sample.rule);
                if value > u64::from(u32::MAX) {
                    assert_eq!(decoded, Err(SchemaError::OutOfRange), "{}", sample.rule);
                }
            }
        }
    });
}

/// The same for strings of variable length. The bodies of items are left out: an inbox is decoded without a look into them.
#[test]
fn strings_have_the_same_bounds() {
    each(|sample, fit| {
        for part in parts(&sample.bytes) {
            if part.major != 2 || sample.rule == "inbox-secret" {
                continue;
            }
            for len in [0, 1, 8, 16, 17, 32, 264, 265, 288, 416, 856, 857, 8_208, 8_209] {
                let string = [short_head(2, len), vec![VARIABLE; len as usize]].concat();
                let mutated = replaced(&sample.bytes, part.start, part.end, &string);
                let decoded = (sample.again)(&mutated).is_ok();
                assert_eq!(fit(&mutated).is_ok(), decoded, "{} with {len} bytes at {}", sample.rule, part.start);
            }
        }
    });
}

#[test]
fn bodies_of_unknown_kinds_are_as_deep_in_rules_and_types() {
    with_rule("inbox-secret", |fit| {
        for (body, fits) in [
            (&[0x80][..], true),
            (&[0x81, 0x81, 0x80], true),
            (&[0x81, 0x81, 0x81, 0x00], true),
            (&[0x81, 0x81, 0x81, 0x80], false),
            (&[0xa0], false),
        ] {
            let bytes = [&[0x81, 0x81, 0x83, 0x01, 0x0a][..], body].concat();
            assert_eq!(fit(&bytes).is_ok(), fits, "{body:x?}");
            assert_eq!(decode::<InboxSecret<'_>>(&bytes).is_ok(), fits, "{body:x?}");
        }
    });
}

/// Here the rules say more than the type, which leaves the bodies to whoever knows their kind.
#[test]
fn a_known_kind_has_no_body_but_its_own() {
    with_rule("inbox-secret", |fit| {
        for kind in 0..=9 {
            assert!(fit(&[0x81, 0x81, 0x83, 0x01, kind, 0x81, 0x00]).is_err(), "kind {kind}");
        }
        assert_eq!(fit(&[0x81, 0x81, 0x83, 0x01, 0x0a, 0x81, 0x00]), Ok(()));
    });
}
