//! Numbers that are no good elements of a group.

use sga_crypto::{Element, GroupId, Seed};

/// p of ffdhe2048 (RFC 7919, appendix A.1).
const P_HEX: &str = "FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF97D2F\
E363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935984F0C70E0E68B77E2A689DAF3EFE8721D\
F158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FBB96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D70\
9E02FCE1CDF7E2ECC03404CD28342F619172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EF\
FA886B423861285C97FFFFFFFFFFFFFFFF";

/// p.
pub(crate) fn p() -> Vec<u8> {
    hex::decode(P_HEX).expect("hexadecimal")
}

fn small(value: u8) -> Vec<u8> {
    let mut bytes = vec![0; 256];
    bytes[255] = value;
    bytes
}

/// x − y of two big-endian numbers.
pub(crate) fn minus(x: &[u8], y: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut out = vec![0; x.len()];
    for at in (0..x.len()).rev() {
        let difference = i16::from(x[at]) - i16::from(y[at]) - borrow;
        borrow = i16::from(difference < 0);
        out[at] = difference.rem_euclid(256).try_into().expect("a byte");
    }
    out
}

/// A good element.
pub(crate) fn good(group: GroupId) -> Element {
    group.exp_base(&Seed::from_bytes([0x3c; 32]))
}

/// Encodings as long as an element's that are none: what each is, and itself.
pub(crate) fn bad(group: GroupId) -> Vec<(&'static str, Vec<u8>)> {
    if group.is_compact() {
        // RFC 9496, appendix A.3.
        let hex = |text: &str| hex::decode(text).expect("hexadecimal");
        return vec![
            ("the identity", vec![0; 32]),
            ("p, for the identity", hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")),
            ("p + 1", hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")),
            ("above 2^255", hex("0000000000000000000000000000000000000000000000000000000000000080")),
            ("all ones", vec![0xff; 32]),
            ("negative", hex("0100000000000000000000000000000000000000000000000000000000000000")),
            ("no square", hex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371")),
            ("negative xy", hex("3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e")),
            ("p - 1, for y = 0", hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")),
        ];
    }
    let p = p();
    let residue = good(group);
    vec![
        ("0", small(0)),
        ("1", small(1)),
        ("p - 1", minus(&p, &small(1))),
        ("p", p.clone()),
        ("p + 1", {
            // The 64 lowest bits of p are ones, the byte above them is not.
            let mut above = p.clone();
            above[248..].fill(0);
            above[247] += 1;
            above
        }),
        ("all ones", vec![0xff; 256]),
        // p ≡ 3 mod 4, so that −x is a non-residue if x is a residue; it has twice the order.
        ("a non-residue", minus(&p, residue.as_bytes())),
        ("p - 2", minus(&p, &small(2))),
    ]
}
