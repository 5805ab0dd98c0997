//! Datagrams seen, as a file that packet analysers read (pcap, raw IPv4, UDP to and from port 5683).

use crate::seen::{Seen, Way};

const LINKTYPE_RAW: u32 = 101;
const COAP_PORT: u16 = 5683;
const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [192, 0, 2, 2];

/// The file's bytes.
pub fn pcap(seen: &[Seen]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65_535, LINKTYPE_RAW] {
        // Version 2.4 is two halves; all else are whole words.
        out.extend(if word == 0x0002_0004 { [2, 0, 4, 0] } else { word.to_le_bytes() });
    }
    for (number, seen) in seen.iter().enumerate() {
        let packet = ipv4(seen, number as u16);
        let (seconds, micros) = (seen.at.as_secs() as u32, seen.at.subsec_micros());
        for word in [seconds, micros, packet.len() as u32, packet.len() as u32] {
            out.extend(word.to_le_bytes());
        }
        out.extend(packet);
    }
    out
}

fn ipv4(seen: &Seen, id: u16) -> Vec<u8> {
    let client = seen.client.port();
    let (from, to) = if seen.way == Way::Up {
        ((CLIENT, client), (SERVER, COAP_PORT))
    } else {
        ((SERVER, COAP_PORT), (CLIENT, client))
    };
    let udp_len = 8 + seen.bytes.len() as u16;
    let mut udp = Vec::new();
    for word in [from.1, to.1, udp_len, 0] {
        udp.extend(word.to_be_bytes());
    }
    udp.extend(&seen.bytes);
    let pseudo = [&from.0[..], &to.0[..], &[0, 17], &udp_len.to_be_bytes()[..], &udp].concat();
    udp[6..8].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let mut header = vec![0x45, 0];
    for word in [20 + udp_len, id, 0x4000, 0x4011, 0] {
        header.extend(word.to_be_bytes());
    }
    header.extend(from.0);
    header.extend(to.0);
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    [header, udp].concat()
}

/// RFC 1071. Zero stands for "none" in UDP, so that a sum of zero is sent as its complement.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}
