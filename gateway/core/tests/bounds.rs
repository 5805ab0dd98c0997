//! A store or an accelerator that does not answer: requests wait, but not without end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sga_crypto::{GroupId, Seed};
use sga_gateway_core::limits::{JOBS_IN_HAND, JOBS_UNPROVEN_MAX, TASKS_MAX, UNVERIFIED_LOADS_MAX};
use sga_gateway_core::{Boot, Gateway, GatewayKeys, KeyPair, Now, Settings};
use sga_schema::{DeviceId, Profile};

const NOW: Now = Duration::from_secs(1);

fn gateway() -> Gateway<ChaCha12Rng> {
    let group = GroupId::Ristretto255;
    let secret = Seed::from_bytes([1; 32]);
    let public = group.exp_base(&secret);
    let keys =
        GatewayKeys { pair: Arc::new(KeyPair { group, secret, public }), ticket_key: [2; 16], echo_key: [3; 32] };
    let settings = Settings::new(DeviceId::new(b"gw").expect("an id"), Profile::Compact);
    Gateway::new(settings, keys, Boot::fresh([4; 4]), ChaCha12Rng::from_seed([5; 32]))
}

fn peer(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, (number >> 8) as u8, number as u8], 5_683))
}

/// CON POST to a path, with an Echo value if there is one.
fn post(path: &str, number: u16, echo: Option<&[u8]>, payload: &[u8]) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut bytes = vec![0x40, 0x02, high, low, 0xb0 | path.len() as u8];
    bytes.extend_from_slice(path.as_bytes());
    if let Some(echo) = echo {
        // Echo is option 252; Uri-Path is 11.
        bytes.extend_from_slice(&[0xd0 | echo.len() as u8, 252 - 11 - 13]);
        bytes.extend_from_slice(echo);
    }
    bytes.push(0xff);
    bytes.extend_from_slice(payload);
    bytes
}

/// A Half for a handle that has to be looked up.
fn half(number: u16, echo: Option<&[u8]>) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    post("kex", number, echo, &[0x83, 0x44, 0, 0, high, low, 0x01, 0x41, 0x00])
}

/// Something that looks like an A1.
fn a1(number: u16, echo: Option<&[u8]>) -> Vec<u8> {
    post(
        "negotiate",
        number,
        echo,
        &[0x58, 0x20, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8],
    )
}

/// An Echo value that the gateway asks back from an address.
fn echo(gateway: &mut Gateway<ChaCha12Rng>, peer: SocketAddr) -> Vec<u8> {
    gateway.handle_datagram(NOW, peer, &a1(60_000, None));
    let asked = gateway.poll_transmit().expect("an answer");
    assert_eq!((asked.bytes[1], asked.bytes.len()), (0x81, 4 + 2 + 12), "4.01 with Echo and nothing else");
    asked.bytes[6..].to_vec()
}

#[test]
fn requests_that_wait_are_bounded_and_the_next_hears_why() {
    let mut gateway = gateway();
    for number in 0..=TASKS_MAX {
        let echo = echo(&mut gateway, peer(number));
        gateway.handle_datagram(NOW, peer(number), &half(number as u16, Some(&echo)));
        if number < TASKS_MAX {
            assert!(gateway.poll_load().is_some(), "request {number} waits for the store");
            assert!(gateway.poll_transmit().is_none(), "and is not answered");
        }
    }
    assert!(gateway.poll_load().is_none(), "one more is too many");
    let answer = gateway.poll_transmit().expect("it is told so");
    assert_eq!((answer.peer, answer.bytes[1]), (peer(TASKS_MAX), 0x9d), "4.29");
}

#[test]
fn strangers_cannot_keep_the_store_busy() {
    let mut gateway = gateway();
    for number in 0..UNVERIFIED_LOADS_MAX {
        gateway.handle_datagram(NOW, peer(number), &half(number as u16, None));
        assert!(gateway.poll_load().is_some() && gateway.poll_transmit().is_none(), "request {number} is looked up");
    }
    let next = peer(UNVERIFIED_LOADS_MAX);
    gateway.handle_datagram(NOW, next, &half(1, None));
    assert!(gateway.poll_load().is_none(), "nothing more is looked up for them");
    let asked = gateway.poll_transmit().expect("an answer");
    assert_eq!((asked.peer, asked.bytes[1]), (next, 0x81));
    gateway.handle_datagram(NOW, next, &half(2, Some(&asked.bytes[6..])));
    assert!(gateway.poll_load().is_some(), "but for who receives there");
}

#[test]
fn public_key_work_for_strangers_waits_in_a_bounded_queue() {
    let mut gateway = gateway();
    for number in 0..JOBS_UNPROVEN_MAX {
        let echo = echo(&mut gateway, peer(number));
        gateway.handle_datagram(NOW, peer(number), &a1(number as u16, Some(&echo)));
        assert!(gateway.poll_transmit().is_none(), "request {number} waits");
    }
    let next = peer(JOBS_UNPROVEN_MAX);
    let echo = echo(&mut gateway, next);
    gateway.handle_datagram(NOW, next, &a1(1, Some(&echo)));
    assert_eq!(gateway.poll_transmit().expect("it is told so").bytes[1], 0x9d, "4.29");
    let in_hand = std::iter::from_fn(|| gateway.poll_job()).count();
    assert_eq!(in_hand, JOBS_IN_HAND, "the accelerator has few of them at a time");
}
