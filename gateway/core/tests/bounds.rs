//! A store that does not answer: requests wait, but not without end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sga_crypto::{GroupId, Seed};
use sga_gateway_core::limits::TASKS_MAX;
use sga_gateway_core::{Boot, Gateway, GatewayKeys, KeyPair, Settings};
use sga_schema::{DeviceId, Profile};

/// CON POST /kex with a Half for a handle that has to be looked up.
fn half(number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut bytes = vec![0x40, 0x02, high, low, 0xb3, b'k', b'e', b'x', 0xff];
    bytes.extend_from_slice(&[0x83, 0x44, 0, 0, high, low, 0x01, 0x41, 0x00]);
    bytes
}

#[test]
fn requests_that_wait_are_bounded_and_the_next_hears_why() {
    let group = GroupId::Ristretto255;
    let secret = Seed::from_bytes([1; 32]);
    let public = group.exp_base(&secret);
    let keys =
        GatewayKeys { pair: Arc::new(KeyPair { group, secret, public }), ticket_key: [2; 16], echo_key: [3; 32] };
    let settings = Settings::new(DeviceId::new(b"gw").expect("an id"), Profile::Compact);
    let mut gateway = Gateway::new(settings, keys, Boot::fresh([4; 4]), ChaCha12Rng::from_seed([5; 32]));
    let now = Duration::from_secs(1);
    let peer = |number: usize| SocketAddr::from(([127, 0, (number >> 8) as u8, number as u8], 5_683));
    for number in 0..TASKS_MAX {
        gateway.handle_datagram(now, peer(number), &half(number as u16));
        assert!(gateway.poll_load().is_some(), "request {number} waits for the store");
        assert!(gateway.poll_transmit().is_none(), "and is not answered");
    }
    gateway.handle_datagram(now, peer(TASKS_MAX), &half(TASKS_MAX as u16));
    assert!(gateway.poll_load().is_none(), "one more is too many");
    let answer = gateway.poll_transmit().expect("it is told so");
    assert_eq!((answer.peer, answer.bytes[1]), (peer(TASKS_MAX), 0x9d), "4.29");
}
