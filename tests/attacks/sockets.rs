//! The same over real sockets: a gateway process, devices on loopback, and an attacker with sockets of its own. (Paper 5.5.)
//!
//! Everything that the devices have sent is sent again from other ports, in order, backwards and cut, also after the gateway was
//! killed and started again. What the devices said is delivered once each.

use std::net::UdpSocket;
use std::time::Duration;

use sga_tests::fleet::{Fleet, Node, Program, Verdict};

const LIMIT: Duration = Duration::from_secs(60);

/// Sends datagrams from a port of the attacker's, and waits until the gateway has had the last of them: it answers a ping.
fn send_all<'a>(gateway: std::net::SocketAddr, datagrams: impl Iterator<Item = &'a [u8]>) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(gateway).expect("an address");
    socket.set_read_timeout(Some(LIMIT)).expect("a time");
    let mut answers = 0;
    for (number, bytes) in datagrams.enumerate() {
        socket.send(bytes).expect("sent");
        // Empty CON with a message ID of this round's: RST (RFC 7252 section 4.3). So nothing is lost on the way.
        let [high, low] = (40_000 + number as u16).to_be_bytes();
        socket.send(&[0x40, 0, high, low]).expect("sent");
        let mut buf = [0; 2_048];
        loop {
            let len = socket.recv(&mut buf).expect("the gateway answers a ping");
            if buf[..len] == [0x70, 0, high, low] {
                break;
            }
            answers += 1;
        }
    }
    answers
}

#[test]
fn a_recorded_network_sent_again_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let log = folder.path().join("log");
    let program = Program::within(env!("CARGO_BIN_EXE_sga-kill"));
    let mut fleet = Fleet::new().expect("an event loop");
    let (gateway, address) = fleet.start(&program, &data, "127.0.0.1:0", &log, LIMIT).expect("a gateway");
    fleet.add_pair(address, 5, |_| 24).expect("two sockets");
    fleet.nodes.iter_mut().for_each(|node| node.tape = Some(Vec::new()));
    fleet.establish(LIMIT).expect("sessions");
    let enough = |count| move |nodes: &mut [Node]| nodes.iter().all(|node| node.traffic.acknowledged() >= count);
    assert!(fleet.run_until(LIMIT, enough(5)), "texts are acknowledged");
    fleet.calm(LIMIT).expect("all is sent");
    let tape: Vec<Vec<u8>> = fleet.nodes.iter_mut().flat_map(|node| node.tape.take().unwrap_or_default()).collect();
    assert!(tape.len() > 30, "{} datagrams", tape.len());
    let replay = |address| {
        let forward = tape.iter().map(Vec::as_slice);
        let backward = tape.iter().rev().map(Vec::as_slice);
        let cut = tape.iter().map(|bytes| &bytes[..bytes.len() * 2 / 3]);
        send_all(address, forward.chain(backward).chain(cut))
    };
    assert!(replay(address) > 0, "some are answered, if only with Echo");
    gateway.kill().expect("killed");
    let listen = address.to_string();
    let (gateway, address) = fleet.start(&program, &data, &listen, &log, LIMIT).expect("a gateway");
    replay(address);
    // The devices go on.
    fleet.nodes.iter_mut().for_each(|node| node.sends = true);
    assert!(fleet.run_until(LIMIT, enough(10)), "texts are acknowledged");
    fleet.calm(LIMIT).expect("all is sent");
    fleet.read_all(LIMIT).expect("all is read");
    for verdict in fleet.verdicts() {
        let Verdict { lost, twice, strange, disordered, delivered, .. } = verdict;
        assert_eq!((lost, twice, strange, disordered), (0, 0, 0, 0), "{verdict:?}");
        assert!(delivered >= 10, "{verdict:?}");
    }
    drop(gateway);
}
