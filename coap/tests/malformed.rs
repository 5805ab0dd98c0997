//! Bytes that are no messages, and the shapes that broke others.
mod common;
use common::*;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sga_coap::Code;

fn reply(bytes: &[u8]) -> Vec<Raw> {
    let mut s = server();
    s.handle_datagram(ms(0), addr(9), bytes);
    assert!(events(&mut s).is_empty(), "{bytes:02x?}");
    sent(&mut s)
}

#[test]
fn confirmable_is_reset_the_rest_is_silence() {
    let bodies: &[&[u8]] = &[
        &[0x49, 1, 0, 9],                                              // TKL 9
        &[0x4f, 1, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5], // TKL 15
        &[0x48, 1, 0, 9, 1, 2],                                        // token cut off
        &[0x4d, 1, 0, 9, 0],                                           // extended token length (RIOT, RFC 8974)
        &[0x40, 1, 0, 9, 0xff],                                        // marker without payload
        &[0x40, 1, 0, 9, 0xf0],                                        // delta 15
        &[0x40, 1, 0, 9, 0x0f],                                        // length 15
        &[0x40, 1, 0, 9, 0xb5, b'r'],                                  // value cut off
        &[0x40, 1, 0, 9, 0xd0],                                        // extended delta cut off
        &[0x40, 1, 0, 9, 0xe0, 0xff],                                  // the same with two bytes
        &[0x40, 1, 0, 9, 0x0d],                                        // extended length cut off
        &[0x40, 1, 0, 9, 0x0e, 0xff],                                  // the same with two bytes
        &[0x40, 1, 0, 9, 0xe0, 0xff, 0xff],                            // delta past 65535 (mbed-coap)
        &[0x40, 1, 0, 9, 0xe0, 0xfe, 0xf2, 0x10],                      // number past 65535 in two steps
        &[0x40, 1, 0, 9, 0x0e, 0xff, 0xff],                            // length wraps 16 bits (mbed-coap)
        &[0x40, 0, 0, 9, 0xff, 1],                                     // Empty with payload
        &[0x41, 0, 0, 9, 1],                                           // Empty with token
        &[0x40, 0, 0, 9, 0xb1, b'r'],                                  // Empty with option
    ];
    for body in bodies {
        let answer = one(reply(body));
        assert_eq!((answer.kind, answer.mid, answer.code), (RST, 9, Code::EMPTY), "{body:02x?}");
        for kind in [NON, ACK, RST] {
            let mut other = body.to_vec();
            other[0] |= kind << 4;
            assert!(reply(&other).is_empty(), "{other:02x?}");
        }
    }
    for silent in [&[][..], &[0x40], &[0x40, 1, 0], &[0x00, 1, 0, 9], &[0x80, 1, 0, 9], &[0xc0, 1, 0, 9]] {
        assert!(reply(silent).is_empty());
    }
}

#[test]
fn many_options_and_long_datagrams() {
    let mut many = vec![0x40, 1, 0, 9, 0xb1, b'r'];
    many.resize(1280, 0);
    assert_eq!(one(reply(&many)).kind, RST);
    let long = raw(CON, Code::POST, 9).at("r").body(&[1; 1300]);
    let answer = one(reply(&long.bytes()));
    assert_eq!((answer.code, &answer.token), (Code::REQUEST_ENTITY_TOO_LARGE, &long.token));
    assert!(reply(&vec![0x50; 65_507]).is_empty());
    assert_eq!(one(reply(&vec![0x4a; 65_507])).kind, RST);
}

#[test]
fn libcoap_coap_lite_and_node_coap_shapes() {
    let mut s = server();
    s.mark_verified(addr(9), ms(0));
    // libcoap #970: NON with Block1 number 350444.
    let answer = one(feed(&mut s, ms(0), addr(9), &raw(NON, Code::PUT, 1).at("r").opt(27, &block(350_444, false, 6))));
    assert_eq!(answer.code, Code::REQUEST_ENTITY_TOO_LARGE);
    let answer =
        one(feed(&mut s, ms(0), addr(9), &raw(NON, Code::PUT, 2).at("r").opt(27, &block((1 << 20) - 1, true, 0))));
    assert_eq!(answer.code, Code::BAD_REQUEST, "no payload in a block that is not the last");
    // coap-lite: header and options alone near 1140 and 1280 bytes, with Block1.
    for filler in 860..1200 {
        let post = raw(CON, Code::POST, filler).at("r").opt(27, &block(0, true, 6));
        let post = post.opt(2048, &vec![1; usize::from(filler)]).body(b"x");
        assert_eq!(one(feed(&mut s, ms(0), addr(9), &post)).code, Code::BAD_REQUEST);
    }
    // well-known with a long token; Content-Format of many bytes.
    let get = raw(CON, Code::GET, 5000).at(".well-known").at("core").token(&[1; 8]);
    assert_eq!(one(feed(&mut s, ms(0), addr(9), &get)).code, Code::NOT_FOUND);
    assert!(feed(&mut s, ms(0), addr(9), &raw(CON, Code::POST, 5001).at("r").opt(12, &[1; 9])).is_empty());
    assert_eq!(request(&mut s).content_format, None);
    s.handle_datagram(ms(0), addr(0), &raw(CON, Code::EMPTY, 1).token(&[]).bytes());
    assert!(sent(&mut s).is_empty(), "port 0");
}

#[test]
fn extended_option_numbers_and_lengths_survive_the_codec() {
    let mut s = server();
    let query = vec![b'q'; 255];
    feed(
        &mut s,
        ms(0),
        addr(9),
        &raw(CON, Code::GET, 1).at("r").opt(15, &query).opt(2048, &[3; 300]).opt(65_000, b"x"),
    );
    assert_eq!(request(&mut s).query, [query]);
}

#[test]
fn noise_and_mutations_never_panic() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(42);
    let mut s = server();
    let good = raw(CON, Code::POST, 1).at("r").opt(27, &block(0, true, 0)).opt(6, &[]).opt(23, &block(1, false, 2));
    let good = good.body(&[5; 16]).bytes();
    for round in 0..60_000u64 {
        let mut bytes = good.clone();
        for _ in 0..=rng.next_u32() % 4 {
            let at = rng.next_u32() as usize % bytes.len();
            bytes[at] = rng.next_u32() as u8;
        }
        bytes.truncate(1 + rng.next_u32() as usize % bytes.len());
        if round % 2 == 0 {
            bytes.iter_mut().skip(4).for_each(|byte| *byte = rng.next_u32() as u8);
        }
        let peer = addr(1 + (round % 50) as u16);
        s.handle_datagram(ms(round * 10), peer, &bytes);
        for event in events(&mut s) {
            if let sga_coap::Event::Request(request) = event {
                let big = sga_coap::Response::new(Code::CONTENT).with_observe().with_payload(0, vec![1; 500]);
                s.respond(ms(round * 10), request.id, big);
                let _ = s.notify(ms(round * 10), peer, &request.token, sga_coap::Response::new(Code::CONTENT));
            }
        }
        s.handle_timeout(ms(round * 10));
        while s.poll_transmit().is_some() {}
    }
}
