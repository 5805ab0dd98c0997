//! Anything that peers, the network, the application and time can do to an endpoint.

use std::time::Duration;

use sga_coap::{Code, IncomingRequest, Request, Response};

use super::messages::{self, PATHS};
use super::reader::Reader;
use super::world::{STRANGERS, World, client_address, server_address, stranger};

const STEPS_MAX: usize = 400;
/// Milliseconds: around ACK_TIMEOUT, `separate_after`, and the lifetimes of what is remembered.
const TIMES: [u64; 12] = [0, 1, 100, 500, 2_000, 3_000, 10_000, 45_000, 93_000, 120_000, 247_000, 1_300_000];
const RESPONSES: [Code; 8] = [
    Code::CONTENT,
    Code::CHANGED,
    Code::CREATED,
    Code::VALID,
    Code::BAD_REQUEST,
    Code::UNAUTHORIZED,
    Code::SERVICE_UNAVAILABLE,
    Code::CONTINUE,
];

/// Reads what happens from `data`, and does it to a server and a client.
///
/// # Panics
/// Something that must hold did not.
pub fn endpoint(data: &[u8]) {
    let mut reader = Reader::new(data);
    let first = reader.byte();
    let mut world = World::new(first & 1 == 1, 1 + usize::from(first >> 1 & 7));
    for _ in 0..STEPS_MAX {
        if reader.is_empty() {
            break;
        }
        world.step(&mut reader);
    }
    world.end();
}

impl World {
    fn step(&mut self, reader: &mut Reader<'_>) {
        match reader.byte() & 15 {
            0 => {
                let from = stranger(reader.index(STRANGERS));
                let len = usize::from(reader.byte()) + 8;
                self.give_server(from, reader.bytes(len));
            }
            1 | 2 => self.stranger_asks(reader, false),
            3 => self.stranger_repeats(reader),
            4 => self.strangers_flood(reader),
            5 => self.stranger_asks(reader, true),
            6 => self.lie_to_client(reader),
            7 => {
                let time = Duration::from_millis(reader.pick(&TIMES));
                self.wait(time, reader.flag());
            }
            8 | 9 => self.deliver(reader),
            10 => self.client_asks(reader),
            11 => self.respond(reader),
            12 => self.respond_to_all(reader),
            13 => self.notify(reader),
            14 => self.acknowledge(reader),
            _ => self.rarely(reader),
        }
    }

    fn stranger_asks(&mut self, reader: &mut Reader<'_>, mutated: bool) {
        let at = reader.index(STRANGERS);
        let mut bytes = messages::message(reader, &self.seen[at]).encode();
        if mutated {
            messages::mutate(reader, &mut bytes);
        }
        self.give_server(stranger(at), &bytes);
        self.seen[at].said = bytes;
    }

    /// The last datagram again, or the first bytes of it.
    fn stranger_repeats(&mut self, reader: &mut Reader<'_>) {
        let at = reader.index(STRANGERS);
        let mut bytes = self.seen[at].said.clone();
        bytes.truncate(usize::from(reader.byte()));
        self.give_server(stranger(at), &bytes);
    }

    /// Every stranger sends the same, each several times as new messages: what bounds are for.
    fn strangers_flood(&mut self, reader: &mut Reader<'_>) {
        let mut message = messages::message(reader, &self.seen[0]);
        let (times, grow) = (1 + reader.byte() % 12, reader.byte());
        for turn in 0..times {
            for at in 0..STRANGERS {
                self.give_server(stranger(at), &message.encode());
            }
            message.mid = message.mid.wrapping_add(1);
            if grow & 1 != 0 {
                message.token = vec![turn];
            }
            if grow & 2 != 0 {
                message.options.push((15, vec![turn]));
            }
            if grow & 4 != 0 {
                message.options.push((292, vec![turn]));
            }
        }
    }

    /// A forged answer, with the token and message ID of the client's last request if chosen so.
    fn lie_to_client(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.byte();
        let mut message = messages::message(reader, &self.seen[STRANGERS]);
        if choice & 2 == 0 {
            message.code = reader.pick(&[0x45, 0x44, 0x5f, 0x81, 0x88, 0x8d]);
            message.kind = reader.pick(&[2, 0, 1]);
        }
        let mut bytes = message.encode();
        if choice & 4 != 0 {
            messages::mutate(reader, &mut bytes);
        }
        let from = if choice & 1 == 0 { server_address() } else { stranger(0) };
        self.give_client(from, &bytes);
    }

    /// The network delivers, loses or doubles one of what is under way, in any order.
    fn deliver(&mut self, reader: &mut Reader<'_>) {
        if self.flying.is_empty() {
            return;
        }
        let at = reader.index(self.flying.len());
        let fate = reader.byte() & 7;
        let datagram = if fate == 0 { self.flying[at].clone() } else { self.flying.remove(at) };
        match (fate, datagram.to_server) {
            (1, _) => {}
            (_, true) => self.give_server(client_address(), &datagram.bytes),
            (_, false) => self.give_client(server_address(), &datagram.bytes),
        }
    }

    fn client_asks(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.byte();
        let method = reader.pick(&[Code::GET, Code::POST, Code::PUT, Code::FETCH]);
        let mut request = Request::new(method, [reader.pick(&PATHS)]);
        if choice & 1 != 0 {
            request = request.with_payload(60, vec![choice; usize::from(reader.byte()) * 2]);
        }
        if choice & 2 != 0 {
            request.observe = Some(choice & 4 == 0);
        }
        if choice & 8 != 0 {
            request = request.with_block_szx(choice >> 5);
        }
        if choice & 16 != 0 {
            request = request.with_query("q".repeat(reader.index(256)));
        }
        let peer = if reader.byte() & 7 == 0 { stranger(0) } else { server_address() };
        if let Ok(id) = self.client.endpoint.request(self.now, peer, request) {
            self.client.ledger.exchanges.push(id);
        }
        self.drain(0);
    }

    fn response(reader: &mut Reader<'_>) -> Response {
        let choice = reader.byte();
        let mut response = Response::new(reader.pick(&RESPONSES));
        if choice & 1 != 0 {
            response = response.with_payload(60, vec![choice; usize::from(reader.byte()) * 4]);
        }
        if choice & 2 != 0 {
            response = response.with_observe();
        }
        if choice & 4 != 0 {
            response = response.with_etag(vec![choice; usize::from(choice >> 4)]);
        }
        if choice & 8 != 0 {
            response = response.with_max_age(u32::from(choice) << 20).with_location(["l".repeat(reader.index(256))]);
        }
        response
    }

    fn respond(&mut self, reader: &mut Reader<'_>) {
        if self.waiting.is_empty() {
            return;
        }
        let request = self.waiting.remove(reader.index(self.waiting.len()));
        let response = Self::response(reader);
        self.respond_to(&request, response);
    }

    fn respond_to_all(&mut self, reader: &mut Reader<'_>) {
        let response = Self::response(reader);
        for request in core::mem::take(&mut self.waiting) {
            self.respond_to(&request, response.clone());
        }
    }

    fn respond_to(&mut self, request: &IncomingRequest, response: Response) {
        if request.registers() && response.observe {
            self.observers.push((request.peer, request.token));
            let longest = self.registrations.entry(request.peer).or_default();
            *longest = (*longest).max(request.datagram_len);
        }
        self.server.ledger.answered(request, response.code.is_success());
        self.server.endpoint.respond(self.now, request.id, response);
        self.drain(0);
    }

    fn notify(&mut self, reader: &mut Reader<'_>) {
        if self.observers.is_empty() {
            return;
        }
        let (peer, token) = self.observers[reader.index(self.observers.len())];
        self.notify_one(peer, &token, Self::response(reader));
        self.drain(0);
    }

    /// A stranger acknowledges or resets the last that it got.
    fn acknowledge(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.byte();
        let at = usize::from(choice >> 1) % STRANGERS;
        let [high, low] = self.seen[at].mid.to_be_bytes();
        self.give_server(stranger(at), &[if choice & 1 == 0 { 0x60 } else { 0x70 }, 0, high, low]);
    }

    fn rarely(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.byte();
        let at = usize::from(choice >> 3);
        match choice & 7 {
            0 => self.server.endpoint.mark_verified(stranger(at % STRANGERS), self.now),
            1 => self.server.endpoint.mark_verified(client_address(), self.now),
            2 if !self.observers.is_empty() => {
                let (peer, token) = self.observers.remove(at % self.observers.len());
                self.server.endpoint.forget_observer(peer, &token);
            }
            3 if !self.client.ledger.exchanges.is_empty() => {
                let exchanges = &self.client.ledger.exchanges;
                self.client.endpoint.cancel(exchanges[at % exchanges.len()]);
            }
            // An application that forgets a request.
            4 if !self.waiting.is_empty() => {
                self.waiting.remove(at % self.waiting.len());
            }
            _ => self.stranger_asks(reader, false),
        }
        self.drain(0);
    }
}
