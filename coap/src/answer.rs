//! Answers to own requests: matching, Echo, blocks in both directions, notifications.

use std::net::SocketAddr;

use rand_core::Rng;

use crate::Now;
use crate::block::{BlockValue, size_of_szx};
use crate::client::{MAX_CHALLENGES, MAX_RESTARTS, Observation, Receiving};
use crate::code::Code;
use crate::endpoint::Endpoint;
use crate::event::{Event, ExchangeError, ExchangeId};
use crate::limits;
use crate::message::IncomingResponse;
use crate::option::number;
use crate::outgoing::Purpose;
use crate::wire::{Kind, Message};

/// What an answer calls for.
enum Next {
    /// Send what the new state asks for.
    Send,
    /// It is whole.
    Done(IncomingResponse),
    Fail(ExchangeError),
}

impl<R: Rng> Endpoint<R> {
    /// An answer within the ACK: it must match by message ID and token.
    pub(crate) fn handle_piggybacked(&mut self, now: Now, peer: SocketAddr, message: Message) {
        let id = match self.outgoing.get(&(peer, message.mid)).map(|waiting| waiting.purpose) {
            Some(Purpose::Exchange(id)) => id,
            _ => {
                return log::debug!("{peer}: unsolicited ACK {} with {}", message.mid, message.code);
            }
        };
        match self.client.exchanges.get(&id) {
            Some(exchange) if exchange.token == Some(message.token) => self.take_answer(now, id, &message),
            _ => log::debug!("{peer}: ACK {} with the wrong token", message.mid),
        }
    }

    /// A response of its own: separate, or a notification.
    pub(crate) fn handle_response(&mut self, now: Now, peer: SocketAddr, message: Message) {
        let key = (peer, message.mid);
        let confirmable = message.kind == Kind::Con;
        if self.client.seen.get_live(now, &key).is_some() {
            if confirmable {
                self.transmit(peer, Message::empty(Kind::Ack, message.mid).encode());
            }
            return;
        }
        let Some(&id) = self.client.tokens.get(&(peer, message.token)) else {
            log::debug!("{peer}: {} for no request of ours", message.code);
            // A notification is refused even when it is not confirmable, so that the server stops (RFC 7641 §3.6).
            if confirmable || message.value(number::OBSERVE).is_some() {
                self.transmit(peer, Message::empty(Kind::Rst, message.mid).encode());
            }
            return;
        };
        if confirmable {
            let kind = if message.bad_critical().is_some() { Kind::Rst } else { Kind::Ack };
            self.transmit(peer, Message::empty(kind, message.mid).encode());
        }
        while self.client.seen.len() >= limits::MAX_SEEN_RESPONSES {
            self.client.seen.pop_oldest();
        }
        self.client.seen.insert(key, now + self.config.exchange_lifetime, ());
        let Some(exchange) = self.client.exchanges.get(&id) else {
            return;
        };
        if exchange.token == Some(message.token) {
            self.take_answer(now, id, &message);
        } else {
            self.take_notification(now, id, &message);
        }
    }

    /// The answer to the message in flight.
    fn take_answer(&mut self, now: Now, id: ExchangeId, message: &Message) {
        if message.bad_critical().is_some() {
            return self.fail(now, id, ExchangeError::BadResponse);
        }
        if self.observe_starts(now, id, message) {
            log::debug!("{id:?} observes");
        }
        self.settle(id);
        let max_body = self.config.max_body;
        let Some(exchange) = self.client.exchanges.get_mut(&id) else {
            return;
        };
        let challenge = message.value(number::ECHO).filter(|_| message.code == Code::UNAUTHORIZED);
        if let Some(echo) = challenge
            && exchange.challenges < MAX_CHALLENGES
        {
            exchange.echo = Some(echo.to_vec());
            exchange.challenges += 1;
            return self.send_or_queue(now, id);
        }
        exchange.echo = None;
        exchange.challenges = 0;
        let next = if exchange.receiving.is_some() {
            exchange.take_next_block(message, max_body)
        } else if exchange.sending.is_some() {
            exchange.take_continue(message, max_body)
        } else {
            exchange.take_first(message, max_body)
        };
        self.proceed(now, id, next);
    }

    /// Notes the observation that the first answer grants.
    fn observe_starts(&mut self, now: Now, id: ExchangeId, message: &Message) -> bool {
        let Some(exchange) = self.client.exchanges.get_mut(&id) else {
            return false;
        };
        let wanted = exchange.request.observe == Some(true) && exchange.observation.is_none();
        let Some(sequence) = message.uint(number::OBSERVE).filter(|_| wanted && message.code.is_success()) else {
            return false;
        };
        exchange.observation = Some(Observation { token: message.token, sequence, at: now });
        true
    }

    fn take_notification(&mut self, now: Now, id: ExchangeId, message: &Message) {
        if message.bad_critical().is_some() {
            return self.fail(now, id, ExchangeError::BadResponse);
        }
        let max_body = self.config.max_body;
        let Some(exchange) = self.client.exchanges.get_mut(&id) else {
            return;
        };
        let Some(observation) = &mut exchange.observation else {
            return;
        };
        match message.uint(number::OBSERVE).filter(|_| message.code.is_success()) {
            Some(sequence) if !is_fresh(*observation, sequence, now) => {
                return log::debug!("{id:?}: notification {sequence} is older than {}", observation.sequence);
            }
            Some(sequence) => {
                observation.sequence = sequence;
                observation.at = now;
            }
            // Without a sequence number it is the last one.
            None => {
                let token = observation.token;
                let peer = exchange.peer;
                exchange.observation = None;
                self.client.tokens.remove(&(peer, token));
            }
        }
        // A newer state: what was being fetched of the older one is of no use.
        self.settle(id);
        let Some(exchange) = self.client.exchanges.get_mut(&id) else {
            return;
        };
        exchange.receiving = None;
        exchange.restarts = 0;
        let next = exchange.take_first(message, max_body);
        self.proceed(now, id, next);
    }

    fn proceed(&mut self, now: Now, id: ExchangeId, next: Next) {
        match next {
            Next::Send => self.send_or_queue(now, id),
            Next::Fail(error) => self.fail(now, id, error),
            Next::Done(mut response) => {
                let Some(exchange) = self.client.exchanges.get_mut(&id) else {
                    return;
                };
                exchange.receiving = None;
                exchange.restarts = 0;
                match exchange.observation {
                    Some(observation) if response.code.is_success() => {
                        response.observe = Some(observation.sequence);
                        let peer = exchange.peer;
                        self.leave_queue(peer, id);
                        self.release(now, peer, id);
                    }
                    _ => {
                        response.observe = None;
                        self.end_exchange(now, id);
                    }
                }
                self.events.push_back(Event::Response { id, response });
            }
        }
    }
}

/// RFC 7641 §3.4.
fn is_fresh(last: Observation, sequence: u32, now: Now) -> bool {
    const HALF: u32 = 1 << 23;
    let (old, new) = (last.sequence, sequence);
    (old < new && new - old < HALF) || (old > new && old - new > HALF) || now > last.at + limits::OBSERVE_FRESH
}

impl crate::client::Exchange {
    fn incoming(&self, message: &Message) -> IncomingResponse {
        IncomingResponse {
            peer: self.peer,
            code: message.code,
            payload: message.payload.clone(),
            content_format: message.uint16(number::CONTENT_FORMAT),
            observe: None,
            max_age: message.uint(number::MAX_AGE),
            etag: message.value(number::ETAG).map(<[u8]>::to_vec),
            location_path: message.owned(number::LOCATION_PATH),
            location_query: message.owned(number::LOCATION_QUERY),
        }
    }

    /// An answer to a block of our body.
    fn take_continue(&mut self, message: &Message, max_body: usize) -> Next {
        let Some(sending) = &mut self.sending else {
            return Next::Fail(ExchangeError::BlockFailed);
        };
        let hint = message.value(number::BLOCK1).and_then(BlockValue::parse).map_or(sending.szx, |block| block.szx);
        let last = sending.offset + size_of_szx(sending.szx) >= self.request.payload.len();
        match message.code {
            Code::CONTINUE if last => Next::Fail(ExchangeError::BlockFailed),
            Code::CONTINUE => {
                sending.offset += size_of_szx(sending.szx);
                sending.szx = sending.szx.min(hint);
                Next::Send
            }
            Code::REQUEST_ENTITY_TOO_LARGE if sending.offset == 0 && hint < sending.szx => {
                sending.szx = hint;
                Next::Send
            }
            // The server lost what it had.
            Code::REQUEST_ENTITY_INCOMPLETE if self.restarts < MAX_RESTARTS => {
                self.restarts += 1;
                sending.offset = 0;
                Next::Send
            }
            _ => self.take_first(message, max_body),
        }
    }

    /// An answer, or the first block of one.
    fn take_first(&mut self, message: &Message, max_body: usize) -> Next {
        let response = self.incoming(message);
        let Some(value) = message.value(number::BLOCK2).filter(|_| message.code.is_success()) else {
            return if message.code == Code::CONTINUE {
                Next::Fail(ExchangeError::BlockFailed)
            } else {
                Next::Done(response)
            };
        };
        match BlockValue::parse(value) {
            Some(block) if block.num == 0 && block.szx <= BlockValue::SZX_MAX => self.append(response, block, max_body),
            _ => Next::Fail(ExchangeError::BlockFailed),
        }
    }

    /// A later block.
    fn take_next_block(&mut self, message: &Message, max_body: usize) -> Next {
        let Some(receiving) = &mut self.receiving else {
            return Next::Fail(ExchangeError::BlockFailed);
        };
        let block = message.value(number::BLOCK2).and_then(BlockValue::parse);
        let have = receiving.response.payload.len();
        match block {
            Some(block) if message.code.is_success() && block.szx <= BlockValue::SZX_MAX => {
                let etag = message.value(number::ETAG);
                let same = receiving.response.etag.as_deref() == etag || have == 0;
                if block.offset() != have || !same {
                    return self.start_over();
                }
                let mut response = self.incoming(message);
                if let Some(receiving) = self.receiving.take() {
                    let mut body = receiving.response.payload;
                    body.append(&mut response.payload);
                    response.payload = body;
                }
                self.append(response, block, max_body)
            }
            _ => self.start_over(),
        }
    }

    /// `response` holds the body up to the end of `block`.
    fn append(&mut self, response: IncomingResponse, block: BlockValue, max_body: usize) -> Next {
        let len = response.payload.len();
        if len > max_body {
            return Next::Fail(ExchangeError::TooLarge);
        }
        if !block.more {
            return Next::Done(response);
        }
        if len != block.offset() + block.size() {
            return Next::Fail(ExchangeError::BlockFailed);
        }
        self.receiving = Some(Receiving { response, szx: block.szx });
        Next::Send
    }

    /// The body changed under us, or is no longer held: from its first block again, where asking twice does no harm.
    fn start_over(&mut self) -> Next {
        let Some(receiving) = &mut self.receiving else {
            return Next::Fail(ExchangeError::BlockFailed);
        };
        if self.restarts >= MAX_RESTARTS || !self.request.method.is_safe() {
            return Next::Fail(ExchangeError::BlockFailed);
        }
        self.restarts += 1;
        receiving.response.payload.clear();
        receiving.response.etag = None;
        if self.sending.is_some() {
            // The request itself is in blocks, so that asking for block 0 alone would ask for something else.
            self.receiving = None;
            if let Some(sending) = &mut self.sending {
                sending.offset = 0;
            }
        }
        Next::Send
    }
}
