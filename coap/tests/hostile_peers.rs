//! What one hostile peer, or a hundred thousand addresses, can make an endpoint allocate, next to what the limits say.
#![expect(clippy::print_stdout, reason = "a table of what was measured")]
mod common;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use common::*;
use peak_alloc::PeakAlloc;
use sga_coap::{Code, Event, Response, Usage, limits};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;
/// One test at a time: the allocator counts for all threads.
static ALONE: Mutex<()> = Mutex::new(());

const ATTEMPTS: u32 = 100_000;
/// What an entry costs beside the bytes that the limits count: keys and times in the maps and indexes it stands in, whose nodes may
/// be half empty, and the allocations of its parts.
const ENTRY: usize = 1024;
/// What the endpoint costs with nothing in it, what is in hand while one datagram is dealt with, and the threads of the tests that wait.
const BASE: usize = 256 * 1024;

/// Runs an attack, with a client that must be served all the while; prints a line and returns how full it is.
fn attack(name: &str, bound: usize, mut step: impl FnMut(&mut Node, u32)) -> Usage {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let mut s = server();
    for n in 0..ATTEMPTS {
        step(&mut s, n);
        if n % 1_000 == 0 {
            serve(&mut s, n);
        }
    }
    serve(&mut s, ATTEMPTS);
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    println!("| {name} | {} KiB | {} KiB |", peak / 1024, bound / 1024);
    assert!(peak <= bound, "{name}: {peak} bytes, {bound} allowed");
    // The endpoint itself goes before the next test begins to count.
    s.usage()
}

/// When attempt `n` happens: all within EXCHANGE_LIFETIME, so that nothing goes for its age.
fn at(n: u32) -> sga_coap::Now {
    ms(u64::from(n) * 2)
}

fn serve(s: &mut Node, n: u32) {
    let get = raw(CON, Code::GET, (n / 1_000) as u16).at("r");
    let good = SocketAddr::from(([198, 51, 100, 7], 5_683));
    let reply = ask(s, at(n), good, &get, Response::new(Code::CONTENT).with_payload(42, b"good".to_vec()));
    assert_eq!((reply.code, reply.payload.as_slice()), (Code::CONTENT, b"good".as_slice()), "attempt {n}");
}

/// One of a hundred thousand addresses.
fn source(n: u32) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, (n >> 15) as u8], 1 + (n & 0x7fff) as u16))
}

/// The application grants what it is asked.
fn answer(s: &mut Node, n: u32, response: &Response) {
    for event in events(s) {
        if let Event::Request(request) = event {
            s.respond(at(n), request.id, response.clone());
        }
    }
    while s.poll_transmit().is_some() {}
}

#[test]
fn one_peer_uses_up_its_message_ids() {
    let response = Response::new(Code::CONTENT).with_payload(42, vec![0; 32]);
    let bound = BASE + limits::MAX_DEDUP_PER_PEER * (ENTRY + 64);
    let usage = attack("one peer, all 65,536 message IDs", bound, |s, n| {
        s.handle_datagram(at(n), addr(1), &raw(CON, Code::GET, n as u16).at("r").opt(60, &[0; 4]).bytes());
        answer(s, n, &response);
    });
    assert!(usage.dedup <= limits::MAX_DEDUP_PER_PEER + 101, "and 101 of the good client's");
}

#[test]
fn one_peer_posts_what_must_not_run_twice() {
    let bound = BASE + limits::MAX_DEDUP_PER_PEER * (ENTRY + 64);
    let mut run = 0;
    let usage = attack("one peer, 100,000 POSTs", bound, |s, n| {
        s.handle_datagram(at(n), addr(1), &raw(CON, Code::POST, n as u16).at("r").bytes());
        run += s.usage().pending;
        answer(s, n, &Response::new(Code::CHANGED));
    });
    // In 200 s the table turns over each 45 s.
    assert!((4..=5).contains(&(run / limits::MAX_DEDUP_PER_PEER)), "{run} ran, the others were refused");
    assert!(usage.dedup <= limits::MAX_DEDUP_PER_PEER + 101);
}

#[test]
fn one_peer_opens_many_uploads() {
    let bound =
        BASE + limits::MAX_DEDUP_PER_PEER * (ENTRY + 64) + limits::MAX_UPLOADS_PER_PEER * (ENTRY + limits::MAX_BODY);
    let usage = attack("one peer, 100,000 Request-Tags", bound, |s, n| {
        s.mark_verified(addr(1), at(n));
        let put = raw(CON, Code::PUT, n as u16).at("r").opt(27, &block(0, true, 6)).opt(292, &n.to_be_bytes());
        s.handle_datagram(at(n), addr(1), &put.body(&[0; 1024]).bytes());
        answer(s, n, &Response::new(Code::CHANGED));
    });
    assert_eq!(usage.upload_bytes, limits::MAX_UPLOADS_PER_PEER * 1024);
}

/// The good client has an upload of its own under way all the time, a block for each thousand of theirs.
#[test]
fn many_addresses_open_uploads() {
    let bound = BASE
        + limits::MAX_DEDUP * (ENTRY + 64)
        + (limits::MAX_UPLOADS + limits::MAX_VERIFIED) * ENTRY
        + limits::MAX_UPLOAD_BYTES;
    let good = SocketAddr::from(([198, 51, 100, 7], 5_683));
    let usage = attack("100,000 addresses, an upload each", bound, |s, n| {
        let put = raw(CON, Code::PUT, 1).at("r").opt(27, &block(0, true, 6));
        s.mark_verified(source(n), at(n));
        s.handle_datagram(at(n), source(n), &put.body(&[0; 1024]).bytes());
        answer(s, n, &Response::new(Code::CHANGED));
        if n % 1_000 == 0 {
            s.mark_verified(good, at(n));
            let (num, mid) = (n / 1_000 % 16, 5_000 + (n / 1_000) as u16);
            let put = raw(CON, Code::PUT, mid).at("r").opt(27, &block(num, num < 15, 6)).body(&[1; 1024]);
            s.handle_datagram(at(n), good, &put.bytes());
            if num == 15 {
                let seen = request(s);
                assert_eq!(seen.payload.len(), 16 * 1024);
                s.respond(at(n), seen.id, Response::new(Code::CHANGED));
            }
            let reply = one(sent(s));
            assert_eq!(reply.code, if num < 15 { Code::CONTINUE } else { Code::CHANGED }, "{n}");
        }
    });
    // All that there are but for what the good client has.
    let held = usage.upload_bytes / 1024;
    assert!((limits::MAX_UPLOADS - 16..=limits::MAX_UPLOADS + 16).contains(&held), "{held}");
}

#[test]
fn many_forged_addresses_open_uploads() {
    let usage = attack("100,000 addresses that do not receive, an upload each", BASE, |s, n| {
        let put = raw(CON, Code::PUT, 1).at("r").opt(27, &block(0, true, 6));
        s.handle_datagram(at(n), source(n), &put.body(&[0; 1024]).bytes());
        let reply = s.poll_transmit().expect("an Echo value");
        assert_eq!(reply.bytes[1], Code::UNAUTHORIZED.0);
    });
    assert_eq!((usage.upload_bytes, usage.dedup), (0, 101), "the good client's");
}

#[test]
fn one_peer_observes_with_many_tokens() {
    let bound = BASE + limits::MAX_DEDUP_PER_PEER * (ENTRY + 64) + limits::MAX_OBSERVERS_PER_PEER * ENTRY;
    let usage = attack("one peer, 100,000 observe tokens", bound, |s, n| {
        let get = raw(CON, Code::GET, n as u16).token(&n.to_be_bytes()).at("r").opt(6, b"");
        s.handle_datagram(at(n), addr(1), &get.bytes());
        answer(s, n, &Response::new(Code::CONTENT).with_observe());
    });
    assert_eq!(usage.observers, limits::MAX_OBSERVERS_PER_PEER);
}

#[test]
fn many_addresses_observe() {
    let bound = BASE + limits::MAX_DEDUP * (ENTRY + 64) + limits::MAX_OBSERVERS * ENTRY;
    let usage = attack("100,000 addresses, an observer each", bound, |s, n| {
        s.handle_datagram(at(n), source(n), &raw(CON, Code::GET, 1).at("r").opt(6, b"").bytes());
        answer(s, n, &Response::new(Code::CONTENT).with_observe());
    });
    assert_eq!(usage.observers, limits::MAX_OBSERVERS);
}

#[test]
fn datagrams_of_empty_options() {
    let mut bytes = vec![0x40, 1, 0, 1];
    bytes.extend([0; 1_276]);
    let usage = attack("100,000 datagrams of 1,276 empty options", BASE, |s, n| {
        s.handle_datagram(at(n), addr(1), &bytes);
        let reply = s.poll_transmit().expect("a Reset");
        assert_eq!(reply.bytes, [0x70, 0, 0, 1]);
    });
    assert_eq!(usage.dedup, 101, "the good client's");
}

#[test]
fn many_addresses_ask_without_confirmation() {
    let bound = BASE + limits::MAX_DEDUP * ENTRY + limits::MAX_MID_PEERS * ENTRY;
    let usage = attack("100,000 addresses, a NON each", bound, |s, n| {
        s.handle_datagram(at(n), source(n), &raw(NON, Code::GET, 1).at("r").bytes());
        answer(s, n, &Response::new(Code::CONTENT));
    });
    assert_eq!(usage.dedup, limits::MAX_DEDUP);
}
