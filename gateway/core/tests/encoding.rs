//! Bytes that are no message (`docs/protocol.md` §1, §8): 4.00, whatever the path, and nothing happens. Content-Format: 4.15.

mod support;

use sga_coap::{Code, Request};
use sga_schema::{
    A1, Ack, Attach, Half, Handle, MessagePost, NegotiateSecret, Proof, Register, RegisterSecret, Suite, SuiteSet,
};
use support::{Answer, Dev, World, addr, encoded, sealed_bytes};

/// Where something can be sent to, with a message that decodes there.
fn doors(world: &mut World) -> Vec<(Code, &'static str, Vec<u8>)> {
    let amy = Dev::new("nobody", 40);
    let handle = Handle([1; 4]);
    let register = Register { sealed_key: &[1; 80], sealed_id: &[1; 20] };
    let attach = Attach { ticket: [1; 16], nonce: [1; 8], sealed: &[1; 20] };
    let ack = Ack { ticket: [1; 16], counter: 1, sealed: &[1; 20] };
    let message = MessagePost { handle, run: 1, sequence: 1, ciphertext: &[1; 30], hop_tag: [1; 8], salt: None };
    let a1 = world.a1(&amy, amy.id, amy.suite, [1; 16]);
    vec![
        (Code::POST, "register", encoded(&register)),
        (Code::POST, "negotiate", world.negotiate_bytes(&NegotiateSecret::Invite(a1))),
        (Code::POST, "kex", encoded(&Half { handle, run: 1, body: &[1; 60], salt: None })),
        (Code::FETCH, "msg", encoded(&attach)),
        (Code::POST, "msg", encoded(&ack)),
        (Code::POST, "msg", encoded(&message)),
    ]
}

fn request((method, path): (Code, &str), payload: &[u8], format: Option<u16>) -> Request {
    let request = Request::new(method, [path]).with_payload(60, payload);
    Request { content_format: format, ..request }
}

fn at_each_door(mutants: impl Fn(&[u8]) -> Vec<Vec<u8>>, code: Code) {
    let mut world = World::compact();
    let mut dev = world.device("amy", 1);
    for (method, path, good) in doors(&mut world) {
        for bad in mutants(&good) {
            let at = (method, path);
            let answer = world.unchanged_any(|w| w.request(addr(66), request(at, &bad, Some(60))));
            assert_eq!(answer.code, code, "{method:?} {path} {bad:02x?}");
        }
        let answer = world.unchanged_any(|w| w.request(addr(66), request((method, path), &good, Some(60))));
        assert_eq!(answer.code, Code::UNAUTHORIZED, "{path}: the sample itself decodes");
    }
    world.attach(&mut dev);
}

#[test]
fn bytes_that_are_not_cbor_are_malformed() {
    at_each_door(
        |_| vec![vec![], vec![0xff], vec![0x1c], b"hello, gateway".to_vec(), vec![0x9f], vec![0x5b; 9], vec![0; 900]],
        Code::BAD_REQUEST,
    );
}

#[test]
fn other_types_are_malformed() {
    let types: [&[u8]; 10] = [
        &[0x00],
        &[0x20],
        &[0x60],
        &[0xa0],
        &[0xc0, 0x00],
        &[0xf4],
        &[0xf6],
        &[0xf9, 0, 0],
        &[0x80],
        &[0x83, 0x01, 0x02, 0x03],
    ];
    at_each_door(|_| types.iter().map(|bytes| bytes.to_vec()).collect(), Code::BAD_REQUEST);
}

#[test]
fn truncated_messages_are_malformed() {
    at_each_door(|good| (0..good.len()).map(|len| good[..len].to_vec()).collect(), Code::BAD_REQUEST);
}

#[test]
fn trailing_bytes_are_malformed() {
    at_each_door(
        |good| [&[0][..], &[0xf6], good].iter().map(|tail| [good, tail].concat()).collect(),
        Code::BAD_REQUEST,
    );
}

#[test]
fn other_counts_are_malformed() {
    at_each_door(
        |good| {
            let less = [&[good[0].wrapping_sub(1)], &good[1..]].concat();
            let more = [&[good[0].wrapping_add(1)], &good[1..], &[0]].concat();
            vec![less, more]
        },
        Code::BAD_REQUEST,
    );
}

/// The same message with one head in another encoding: longer than needed, or of indefinite length.
fn reencoded(good: &[u8]) -> Vec<Vec<u8>> {
    let head = good[0];
    match head >> 5 {
        4 => {
            let count = head & 0x1f;
            let indefinite = [&[0x9f], &good[1..], &[0xff]].concat();
            let longer = [&[0x98, count], &good[1..]].concat();
            let longest = [&[0x9b, 0, 0, 0, 0, 0, 0, 0, count], &good[1..]].concat();
            let mut all = vec![indefinite, longer, longest];
            // The first element is a short bstr or a small uint: with a head of one byte more.
            let (extra, value) = (0x18 | good[1] & 0xe0, good[1] & 0x1f);
            all.push([&[head, extra, value], &good[2..]].concat());
            all
        }
        _ => {
            // A bare bstr with one byte of length: with two, and in chunks.
            assert_eq!(head, 0x58);
            let longer = [&[0x59, 0], &good[1..]].concat();
            let chunks = [&[0x5f], good, &[0xff]].concat();
            vec![longer, chunks]
        }
    }
}

#[test]
fn other_encodings_of_the_same_values_are_malformed() {
    at_each_door(reencoded, Code::BAD_REQUEST);
}

#[test]
fn fields_of_wrong_length_are_malformed() {
    let mut world = World::compact();
    world.device("amy", 1);
    // A ticket of 15 and of 17 bytes, a nonce of 7, a handle of 3, a hop tag of 9; a run of 0, a number of 2^32.
    let bstr = |len: u8| [&[0x40 | len][..], &vec![1; usize::from(len)]].concat();
    let array = |parts: &[Vec<u8>]| [&[0x80 | parts.len() as u8][..], &parts.concat()].concat();
    let one = || vec![1];
    let big = || vec![0x1b, 0, 0, 0, 1, 0, 0, 0, 0];
    let bad = [
        (Code::FETCH, "msg", array(&[bstr(15), bstr(8), bstr(20)])),
        (Code::FETCH, "msg", array(&[bstr(17), bstr(8), bstr(20)])),
        (Code::FETCH, "msg", array(&[bstr(16), bstr(7), bstr(20)])),
        (Code::POST, "msg", array(&[bstr(15), one(), bstr(20)])),
        (Code::POST, "msg", array(&[bstr(16), big(), bstr(20)])),
        (Code::POST, "msg", array(&[bstr(3), one(), one(), bstr(20), bstr(8)])),
        (Code::POST, "msg", array(&[bstr(4), vec![0], one(), bstr(20), bstr(8)])),
        (Code::POST, "msg", array(&[bstr(4), one(), vec![0x1a, 0, 0x10, 0, 0], bstr(20), bstr(8)])),
        (Code::POST, "msg", array(&[bstr(4), one(), one(), bstr(20), bstr(9)])),
        (Code::POST, "kex", array(&[bstr(5), one(), bstr(20)])),
        (Code::POST, "kex", array(&[bstr(4), vec![0], bstr(20)])),
        (Code::POST, "kex", array(&[bstr(4), big(), bstr(20)])),
        (Code::POST, "kex", array(&[bstr(4), one(), [&[0x59, 0x10, 0][..], &[1; 4_096]].concat()])),
        (Code::POST, "msg", array(&[bstr(4), one(), one(), [&[0x59, 0x20, 0x11][..], &[1; 8_209]].concat(), bstr(8)])),
    ];
    for (method, path, bytes) in bad {
        let at = (method, path);
        let answer = world.unchanged_any(|w| w.request(addr(66), request(at, &bytes, Some(60))));
        assert_eq!(answer.code, Code::BAD_REQUEST, "{path} {:02x?}", &bytes[..bytes.len().min(60)]);
    }
}

#[test]
fn an_unknown_version_is_told_which_are_served() {
    let mut world = World::compact();
    let amy = Dev::new("amy", 1);
    let good = world.register_bytes(&amy, Proof::None);
    for version in [0, 2, 23] {
        let mut other = good.clone();
        other[1] = version;
        let answer = world.refused(amy.addr, "register", &other, Code::BAD_REQUEST);
        let text = String::from_utf8_lossy(&answer.payload).into_owned();
        assert!(text.contains("unknown version") && text.contains("served: 1"), "{text}");
    }
    assert_eq!(world.post(amy.addr, "register", &good).code, Code::CREATED);
}

#[test]
fn another_content_format_is_refused_and_none_is_taken_by_post() {
    let mut world = World::compact();
    let mut dev = world.device("amy", 1);
    for (method, path, good) in doors(&mut world) {
        let ask = |format| {
            let good = good.clone();
            move |w: &mut World| -> Answer { w.request(addr(66), request((method, path), &good, format)) }
        };
        for format in [0, 42, 50, 61, 65_535] {
            world.unchanged(Code::UNSUPPORTED_CONTENT_FORMAT, ask(Some(format)));
        }
        if method == Code::POST {
            world.unchanged(Code::UNAUTHORIZED, ask(None));
        }
    }
    world.attach(&mut dev);
}

#[test]
fn paths_and_methods_that_do_not_exist_are_refused() {
    let mut world = World::compact();
    let ask = |method, path: &'static str| move |w: &mut World| w.request(addr(66), Request::new(method, [path]));
    for path in ["", "registe", "register/", "Register", "msg2"] {
        world.unchanged(Code::NOT_FOUND, ask(Code::POST, path));
    }
    for (method, path) in [(Code::GET, "msg"), (Code::GET, "kex"), (Code::FETCH, "register"), (Code::PUT, "negotiate")]
    {
        world.unchanged(Code::METHOD_NOT_ALLOWED, ask(method, path));
    }
    world.device("amy", 1);
}

#[test]
fn what_is_sealed_in_a_registration_has_to_decode() {
    let mut world = World::compact();
    let hash = sga_crypto::sha256(&world.package());
    let purpose = sga_crypto::PkPurpose::Register { package_hash: hash };
    let (suite, suites) = (Suite::ALL[0], SuiteSet::ALL);
    let good = encoded(&RegisterSecret { registered_key: [1; 32], suite, suites, proof: Proof::None });
    let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
    bad.push([&good[..], &[0]].concat());
    // [k_d, x, CidSet, kind, proof]: suite 0, suite 5, bits above 3, kind 3, a proof of kind 0, none of kind 1.
    let tail = good.len() - 4;
    for (at, value) in [(tail, 0), (tail, 5), (tail + 1, 16), (tail + 2, 3), (tail + 2, 1)] {
        let mut other = good.clone();
        other[at] = value;
        bad.push(other);
    }
    for plain in bad {
        let sealed_key = world.pk(purpose, &plain);
        let request = encoded(&Register { sealed_key: &sealed_key, sealed_id: &[1; 20] });
        world.refused(addr(66), "register", &request, Code::BAD_REQUEST);
    }
    world.device("amy", 1);
}

#[test]
fn what_is_sealed_in_a_negotiation_has_to_decode() {
    let mut world = World::compact();
    let mut amy = world.device("amy", 1);
    let bob = world.device("bob", 2);
    amy.request_number = 1;
    let a1: A1 = world.a1(&amy, bob.id, amy.suite, [1; 16]);
    let good = encoded(&NegotiateSecret::Invite(a1));
    let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
    bad.push([&good[..], &[0]].concat());
    bad.extend([0, 2, 4, 23].map(|step| {
        let mut other = good.clone();
        other[1] = step;
        other
    }));
    for plain in bad {
        let sealed = world.pk(sga_crypto::PkPurpose::Negotiate, &plain);
        world.refused(addr(66), "negotiate", &sealed_bytes(&sealed), Code::BAD_REQUEST);
    }
    amy.request_number = 0;
    world.invite(&mut amy, bob.id).handle();
}
