//! A network that loses, doubles, delays and changes what the input says, and repeats what it has carried.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use sga_gateway_core::Now;

use crate::fuzzing::parts::bend;
use crate::fuzzing::reader::Reader;
use crate::script::wire::Message;
use crate::sim::Datagram;

/// Datagrams under way; more are lost.
const FLYING_MAX: usize = 256;
/// Datagrams remembered, to be repeated and cut up.
const TAPE_MAX: usize = 96;
/// Faults that wait for their datagram.
const ARMED_MAX: usize = 16;
const LATENCY: Duration = Duration::from_millis(1);

/// What a fault does to a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Lose,
    Double,
    /// Arrives this much later, behind others.
    Late(Duration),
    /// Arrives changed, as these choices have it.
    Bend([u8; 6]),
    /// Arrives as it is, and changed as well.
    BendCopy([u8; 6]),
    /// Arrives from another address.
    Moved(SocketAddr),
}

/// A fault that waits for its datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed {
    /// Only datagrams to or from this address; the gateway's is all of them.
    pub(crate) whose: SocketAddr,
    /// Only those to the gateway, or only those from it.
    pub(crate) to_gateway: bool,
    /// So many pass before.
    pub(crate) skip: u8,
    pub(crate) fault: Fault,
}

pub(crate) struct Network {
    gateway: SocketAddr,
    flying: VecDeque<(Now, Datagram)>,
    tape: VecDeque<Datagram>,
    armed: Vec<Armed>,
    /// One in so many is lost.
    pub(crate) lossy: Option<u8>,
    sent: u64,
}

impl Network {
    pub(crate) fn new(gateway: SocketAddr) -> Self {
        Self { gateway, flying: VecDeque::new(), tape: VecDeque::new(), armed: Vec::new(), lossy: None, sent: 0 }
    }

    pub(crate) fn arm(&mut self, armed: Armed) {
        if self.armed.len() < ARMED_MAX {
            self.armed.push(armed);
        }
    }

    /// From here on everything arrives as it was sent.
    pub(crate) fn heal(&mut self) {
        self.armed.clear();
        self.lossy = None;
    }

    /// One of what was carried last, newest first.
    pub(crate) fn taped(&self, back: usize) -> Option<&Datagram> {
        self.tape.iter().rev().nth(back % self.tape.len().max(1))
    }

    /// When the next one arrives.
    pub(crate) fn next_at(&self) -> Option<Now> {
        self.flying.front().map(|(at, _)| *at)
    }

    pub(crate) fn arrived(&mut self, now: Now) -> Option<Datagram> {
        self.flying.pop_front_if(|(at, _)| *at <= now).map(|(_, datagram)| datagram)
    }

    /// Puts a datagram on its way, past all faults.
    pub(crate) fn fly(&mut self, at: Now, datagram: Datagram) {
        if self.flying.len() < FLYING_MAX {
            let place = self.flying.partition_point(|(other, _)| *other <= at);
            self.flying.insert(place, (at, datagram));
        }
    }

    pub(crate) fn send(&mut self, now: Now, datagram: Datagram) {
        self.sent += 1;
        if self.tape.len() == TAPE_MAX {
            self.tape.pop_front();
        }
        self.tape.push_back(datagram.clone());
        let at = now + LATENCY;
        match self.fault(&datagram) {
            None if self.lossy.is_some_and(|one_in| self.sent.is_multiple_of(one_in.max(2).into())) => {}
            None => self.fly(at, datagram),
            Some(Fault::Lose) => {}
            Some(Fault::Double) => {
                self.fly(at, datagram.clone());
                self.fly(at, datagram);
            }
            Some(Fault::Late(time)) => self.fly(at + time, datagram),
            Some(Fault::Bend(choices)) => self.fly(at, self.bent(datagram, &choices)),
            Some(Fault::BendCopy(choices)) => {
                self.fly(at, self.bent(datagram.clone(), &choices));
                self.fly(at, datagram);
            }
            Some(Fault::Moved(from)) => self.fly(at, Datagram { from, ..datagram }),
        }
    }

    fn fault(&mut self, datagram: &Datagram) -> Option<Fault> {
        let to_gateway = datagram.to == self.gateway;
        let at = self.armed.iter_mut().position(|armed| {
            let its = armed.whose == datagram.from || armed.whose == datagram.to;
            if !its || armed.to_gateway != to_gateway {
                return false;
            }
            armed.skip = armed.skip.saturating_sub(1);
            armed.skip == 0
        })?;
        Some(self.armed.remove(at).fault)
    }

    /// A datagram as the network may change it: its bytes, or fields of the message and of what it carries.
    pub(crate) fn bent(&self, datagram: Datagram, choices: &[u8]) -> Datagram {
        let mut reader = Reader::new(choices);
        let choice = reader.byte();
        let Ok(mut message) = Message::decode(&datagram.bytes) else {
            let mut bytes = datagram.bytes;
            bend(&mut reader, &mut bytes, &[]);
            return Datagram { bytes, ..datagram };
        };
        let other = self.taped(usize::from(choice >> 2)).and_then(|taped| Message::decode(&taped.bytes).ok());
        let other = other.map(|message| message.payload).unwrap_or_default();
        match choice & 3 {
            0 if choice & 4 == 0 => {
                message.code =
                    reader.pick(&[0x41, 0x44, 0x45, 0x81, 0x83, 0x84, 0x89, 0x96, 0x9d, 0xa3, 0x80, 2, 5, 1]);
                if choice & 8 == 0 {
                    message.payload.clear();
                }
            }
            0 => message.payload = other,
            1 => bend_options(&mut reader, &mut message),
            _ => bend(&mut reader, &mut message.payload, &other),
        }
        message.token.truncate(8);
        Datagram { bytes: message.encode(), ..datagram }
    }
}

fn bend_options(reader: &mut Reader<'_>, message: &mut Message) {
    let choice = reader.byte();
    let at = usize::from(choice >> 3) % message.options.len().max(1);
    match (choice & 7, message.options.get_mut(at)) {
        (0, Some(_)) => {
            message.options.remove(at);
        }
        (1, Some((_, value))) => value.push(choice),
        (2, Some((_, value))) => value.iter_mut().for_each(|byte| *byte = byte.wrapping_add(choice)),
        (3, _) => message.mid = message.mid.wrapping_add(u16::from(choice)),
        (4, _) => message.token.push(choice),
        (5, _) => message.kind = choice >> 6,
        _ => message
            .options
            .push((reader.pick(&[6, 11, 12, 14, 17, 23, 27, 252, 292]), vec![choice; usize::from(choice >> 6)])),
    }
}
