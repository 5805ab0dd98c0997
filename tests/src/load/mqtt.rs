//! As much of MQTT 3.1.1 as publishers and one absent subscriber need.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use sga_coap::Now;

use super::clock::Clock;
use super::figures::Latencies;

const CONNACK: u8 = 0x20;
const PUBACK: u8 = 0x40;
const SUBACK: u8 = 0x90;

/// How long an answer may take, and how often that is looked at.
const ANSWER: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(100);

/// An answer to a publisher: type, length, packet identifier.
const PUBACK_LEN: usize = 4;

fn failed(what: &str) -> impl Fn(std::io::Error) -> String + '_ {
    move |error| format!("mosquitto, {what}: {error}")
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// A packet: its first byte, its remaining length in groups of seven bits, the rest.
fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
    let (mut bytes, mut len) = (vec![first], rest.len());
    loop {
        let more = if len > 0x7f { 0x80 } else { 0 };
        bytes.push((len & 0x7f) as u8 | more);
        len >>= 7;
        if len == 0 {
            break;
        }
    }
    bytes.extend(rest);
    bytes
}

fn connect(client: &str, clean: bool) -> Vec<u8> {
    let mut rest = Vec::new();
    text(&mut rest, "MQTT");
    // Level 4 is 3.1.1; no keep-alive.
    rest.extend([4, if clean { 2 } else { 0 }, 0, 0]);
    text(&mut rest, client);
    packet(0x10, &rest)
}

fn publish(topic: &str, identifier: u16, payload: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    text(&mut rest, topic);
    rest.extend(identifier.to_be_bytes());
    rest.extend(payload);
    packet(0x32, &rest)
}

fn subscribe_packet(filter: &str) -> Vec<u8> {
    let mut rest = vec![0, 1];
    text(&mut rest, filter);
    rest.push(1);
    packet(0x82, &rest)
}

/// Connects a client and waits for the broker to agree.
fn client(address: SocketAddr, name: &str, clean: bool) -> Result<std::net::TcpStream, String> {
    let failed = failed("connecting");
    let mut stream = std::net::TcpStream::connect(address).map_err(&failed)?;
    stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(ANSWER))).map_err(&failed)?;
    stream.write_all(&connect(name, clean)).map_err(&failed)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).map_err(&failed)?;
    if answer != [CONNACK, 2, 0, 0] {
        return Err(format!("mosquitto does not take {name:?}: {answer:02x?}"));
    }
    Ok(stream)
}

/// A subscriber of everything with a session that lasts; then it goes.
pub(crate) fn subscribe(address: SocketAddr) -> Result<(), String> {
    let failed = failed("subscribing");
    let mut stream = client(address, "load-subscriber", false)?;
    stream.write_all(&subscribe_packet("load/#")).map_err(&failed)?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).map_err(&failed)?;
    if answer != [SUBACK, 3, 0, 1, 1] {
        return Err(format!("mosquitto refuses the subscription: {answer:02x?}"));
    }
    stream.write_all(&packet(0xe0, &[])).map_err(&failed)
}

struct Publisher {
    stream: mio::net::TcpStream,
    topic: String,
    identifier: u16,
    sent: Now,
    answer: Vec<u8>,
}

impl Publisher {
    fn publish(&mut self, now: Now, payload: &[u8]) -> Result<(), String> {
        self.identifier = self.identifier.wrapping_add(1).max(1);
        self.sent = now;
        let bytes = publish(&self.topic, self.identifier, payload);
        // One small packet in flight always fits an empty socket's buffer.
        match self.stream.write(&bytes) {
            Ok(len) if len == bytes.len() => Ok(()),
            Ok(_) => Err("mosquitto, publishing: the socket takes no more".to_owned()),
            Err(error) => Err(failed("publishing")(error)),
        }
    }

    /// Whether the message in flight was acknowledged.
    fn acknowledged(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 64];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("mosquitto closed a connection".to_owned()),
                Ok(len) => self.answer.extend(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("reading")(error)),
            }
        }
        if self.answer.len() < PUBACK_LEN {
            return Ok(false);
        }
        let [high, low] = self.identifier.to_be_bytes();
        if self.answer != [PUBACK, 2, high, low] {
            return Err(format!("mosquitto answers {:02x?}", self.answer));
        }
        self.answer.clear();
        Ok(true)
    }
}

/// Each with one message in flight.
pub(crate) struct Publishers {
    clock: Clock,
    poll: Poll,
    all: Vec<Publisher>,
    payload: Vec<u8>,
}

impl Publishers {
    pub(crate) fn connect(address: SocketAddr, count: usize, bytes: usize) -> Result<Self, String> {
        let failed = failed("connecting");
        let poll = Poll::new().map_err(&failed)?;
        let mut all = Vec::new();
        for number in 0..count {
            let stream = client(address, &format!("load-{number}"), true)?;
            stream.set_nonblocking(true).map_err(&failed)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE).map_err(&failed)?;
            let topic = format!("load/{number}");
            all.push(Publisher { stream, topic, identifier: 0, sent: Now::ZERO, answer: Vec::new() });
        }
        Ok(Self { clock: Clock::start(), poll, all, payload: vec![b'.'; bytes] })
    }

    /// For so long; the latencies, and how long it was in the end.
    pub(crate) fn run(&mut self, time: Duration) -> Result<(Latencies, Duration), String> {
        let (began, mut latencies, mut in_flight) = (self.clock.now(), Latencies::default(), self.all.len());
        for publisher in &mut self.all {
            publisher.publish(self.clock.now(), &self.payload)?;
        }
        let mut events = Events::with_capacity(1_024);
        let mut heard = began;
        while in_flight > 0 {
            match self.poll.poll(&mut events, Some(TICK)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed("waiting")(error)),
            }
            for event in &events {
                let Token(at) = event.token();
                let publisher = &mut self.all[at];
                if !publisher.acknowledged()? {
                    continue;
                }
                let now = self.clock.now();
                heard = now;
                latencies.add(now - publisher.sent);
                if now < began + time {
                    publisher.publish(now, &self.payload)?;
                } else {
                    in_flight -= 1;
                }
            }
            if self.clock.now() > heard + ANSWER {
                return Err(format!("mosquitto has not answered for {} s", ANSWER.as_secs()));
            }
        }
        Ok((latencies, self.clock.now() - began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets() {
        assert_eq!(connect("a", true), [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'a']);
        assert_eq!(publish("t", 258, b"xy"), [0x32, 7, 0, 1, b't', 1, 2, b'x', b'y']);
        assert_eq!(subscribe_packet("#"), [0x82, 6, 0, 1, 0, 1, b'#', 1]);
        assert_eq!(packet(0x30, &[0; 321])[..3], [0x30, 0xc1, 0x02]);
    }
}
