//! Own requests: one at a time per peer (NSTART = 1), others queue; bodies go out in blocks where needed.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rand_core::Rng;

use crate::Now;
use crate::block::{BlockValue, size_of_szx};
use crate::code::Code;
use crate::config::Config;
use crate::endpoint::{Deadline, Endpoint, RequestError};
use crate::event::{Event, ExchangeError, ExchangeId};
use crate::expiry::ExpiryMap;
use crate::limits;
use crate::message::{IncomingResponse, Request};
use crate::option::{self, number};
use crate::outgoing::Purpose;
use crate::token::Token;
use crate::wire::{Kind, Message};

/// Blocks of 64 bytes, for frames of 802.15.4.
const SMALL_SZX: u8 = 2;

/// The body of a request on its way out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending {
    pub(crate) offset: usize,
    pub(crate) szx: u8,
    pub(crate) tag: [u8; 4],
}

/// The body of an answer on its way in.
#[derive(Debug)]
pub(crate) struct Receiving {
    /// As far as it has come.
    pub(crate) response: IncomingResponse,
    pub(crate) szx: u8,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation {
    pub(crate) token: Token,
    pub(crate) sequence: u32,
    pub(crate) at: Now,
}

/// An own request or observation. What it sends next follows from its state.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) peer: SocketAddr,
    pub(crate) request: Request,
    /// Token of the message that waits for an answer.
    pub(crate) token: Option<Token>,
    /// Message ID of that message.
    pub(crate) mid: u16,
    /// Set while a separate response is awaited.
    pub(crate) overdue: Option<Now>,
    pub(crate) sending: Option<Sending>,
    pub(crate) receiving: Option<Receiving>,
    pub(crate) observation: Option<Observation>,
    pub(crate) echo: Option<Vec<u8>>,
    /// Echo values that were asked for in a row.
    pub(crate) challenges: u32,
    /// Transfers begun anew; see [`MAX_RESTARTS`].
    pub(crate) restarts: u32,
}

/// A server that still asks for Echo after so many values is left alone. One is usual; a NAT that gives out another address in
/// between makes it two.
pub(crate) const MAX_CHALLENGES: u32 = 3;

/// A body that keeps changing, or a server that keeps losing ours, is given up after this many new starts.
pub(crate) const MAX_RESTARTS: u32 = 3;

/// What one peer's exchanges share.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    active: Option<ExchangeId>,
    queue: VecDeque<ExchangeId>,
    count: usize,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) exchanges: BTreeMap<ExchangeId, Exchange>,
    pub(crate) tokens: BTreeMap<(SocketAddr, Token), ExchangeId>,
    slots: BTreeMap<SocketAddr, Slot>,
    /// Responses already taken, so that their duplicates are acknowledged and not taken again.
    pub(crate) seen: ExpiryMap<(SocketAddr, u16), ()>,
}

impl Client {
    pub(crate) fn new() -> Client {
        Client { exchanges: BTreeMap::new(), tokens: BTreeMap::new(), slots: BTreeMap::new(), seen: ExpiryMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.exchanges.len()
    }
}

impl<R: Rng> Endpoint<R> {
    /// Sends a request, confirmable, when earlier ones to this peer are done. Ends with [`Event::Response`] or
    /// [`Event::Failed`]; an observation goes on with a response for each change.
    pub fn request(&mut self, now: Now, peer: SocketAddr, request: Request) -> Result<ExchangeId, RequestError> {
        self.latest = now;
        let szx = self.sending_szx(&request)?;
        let of_peer = self.client.slots.get(&peer).map_or(0, |slot| slot.count);
        if self.client.len() >= self.config.exchanges_max || of_peer >= self.config.exchanges_max_per_peer {
            return Err(RequestError::Full);
        }
        let id = ExchangeId(self.next_id());
        let tag = self.rng.next_u32().to_be_bytes();
        let sending = (request.payload.len() > size_of_szx(szx)).then_some(Sending { offset: 0, szx, tag });
        let exchange = Exchange {
            peer,
            request,
            token: None,
            mid: 0,
            overdue: None,
            sending,
            receiving: None,
            observation: None,
            echo: None,
            challenges: 0,
            restarts: 0,
        };
        self.client.exchanges.insert(id, exchange);
        self.client.slots.entry(peer).or_default().count += 1;
        self.send_or_queue(now, id);
        Ok(id)
    }

    /// The block size that fits, or why the request cannot be sent.
    fn sending_szx(&self, request: &Request) -> Result<u8, RequestError> {
        if request.payload.len() > self.config.max_body {
            return Err(RequestError::TooLarge);
        }
        let parts = request.path.iter().chain(&request.query);
        let options = request.path.len() + request.query.len();
        let wrong_size = request.block_szx.is_some_and(|szx| szx > BlockValue::SZX_MAX);
        if parts.into_iter().any(|part| part.len() > 255) || options > limits::MAX_OPTIONS / 2 || wrong_size {
            return Err(RequestError::Invalid);
        }
        if !request.method.is_request() {
            return Err(RequestError::Invalid);
        }
        let bare = Request { payload: Vec::new(), ..request.clone() };
        // Room for token, Block1, Block2, Size1, Request-Tag, Echo and the marker.
        let overhead = request_message(&bare).encode().len() + 80;
        let szx_max = request.block_szx.unwrap_or(self.config.block_szx_max).min(BlockValue::SZX_MAX);
        let fits = |szx: &u8| overhead + size_of_szx(*szx) <= self.config.max_datagram;
        (0..=szx_max).rev().find(fits).ok_or(RequestError::Invalid)
    }

    /// Gives up an exchange or ends an observation: [`ExchangeError::Cancelled`] follows, and later notifications are reset.
    pub fn cancel(&mut self, id: ExchangeId) {
        self.fail(self.latest, id, ExchangeError::Cancelled);
    }

    pub(crate) fn fail(&mut self, now: Now, id: ExchangeId, error: ExchangeError) {
        if self.end_exchange(now, id) {
            self.events.push_back(Event::Failed { id, error });
        }
    }

    /// Forgets an exchange. Whether it was there.
    pub(crate) fn end_exchange(&mut self, now: Now, id: ExchangeId) -> bool {
        self.settle(id);
        let Some(exchange) = self.client.exchanges.remove(&id) else {
            return false;
        };
        if let Some(observation) = exchange.observation {
            self.client.tokens.remove(&(exchange.peer, observation.token));
        }
        if let Some(slot) = self.client.slots.get_mut(&exchange.peer) {
            slot.count -= 1;
        }
        self.leave_queue(exchange.peer, id);
        self.release(now, exchange.peer, id);
        true
    }

    /// The message in flight, if any, needs no answer any more.
    pub(crate) fn settle(&mut self, id: ExchangeId) {
        let Some(exchange) = self.client.exchanges.get_mut(&id) else {
            return;
        };
        let Some(token) = exchange.token.take() else {
            return;
        };
        let key = (exchange.peer, exchange.mid);
        if exchange.observation.is_none_or(|observation| observation.token != token) {
            self.client.tokens.remove(&(exchange.peer, token));
        }
        if let Some(time) = exchange.overdue.take() {
            self.timers.remove(&(time, Deadline::ResponseOverdue(id)));
        }
        self.stop_retransmitting(key);
    }

    /// Sends what the exchange's state asks for, now or when the peer's turn comes.
    pub(crate) fn send_or_queue(&mut self, now: Now, id: ExchangeId) {
        let Some(exchange) = self.client.exchanges.get(&id) else {
            return;
        };
        let slot = self.client.slots.entry(exchange.peer).or_default();
        match slot.active {
            Some(active) if active != id => {
                if !slot.queue.contains(&id) {
                    slot.queue.push_back(id);
                }
            }
            _ => {
                slot.active = Some(id);
                self.send(now, id);
            }
        }
    }

    /// The exchange has nothing left to send.
    pub(crate) fn leave_queue(&mut self, peer: SocketAddr, id: ExchangeId) {
        if let Some(slot) = self.client.slots.get_mut(&peer) {
            slot.queue.retain(|queued| *queued != id);
        }
    }

    /// The exchange waits for nothing: the next in the queue may send.
    pub(crate) fn release(&mut self, now: Now, peer: SocketAddr, id: ExchangeId) {
        let Some(slot) = self.client.slots.get_mut(&peer) else {
            return;
        };
        if slot.active == Some(id) {
            slot.active = slot.queue.pop_front();
            if let Some(next) = slot.active {
                return self.send(now, next);
            }
        }
        if slot.count == 0 {
            self.client.slots.remove(&peer);
        }
    }

    fn send(&mut self, now: Now, id: ExchangeId) {
        self.settle(id);
        let Some(peer) = self.client.exchanges.get(&id).map(|exchange| exchange.peer) else {
            return;
        };
        let token = self.fresh_token(peer);
        let Some(exchange) = self.client.exchanges.get_mut(&id) else {
            return;
        };
        let mid = self.outgoing.next_mid(now, peer, &mut self.rng, &self.config);
        let mut message = exchange.compose(&self.config);
        message.token = token;
        message.mid = mid;
        exchange.token = Some(token);
        exchange.mid = mid;
        self.client.tokens.insert((peer, token), id);
        self.send_confirmable(now, peer, &message, Purpose::Exchange(id), self.config.max_retransmit);
    }

    /// A token that no exchange with this peer has: there are fewer of those than tokens of one byte.
    fn fresh_token(&mut self, peer: SocketAddr) -> Token {
        let len = self.config.token_len.clamp(1, Token::MAX);
        loop {
            let bytes = self.rng.next_u64().to_be_bytes();
            let token = Token::new(bytes.get(..len).unwrap_or(&bytes)).unwrap_or(Token::full(bytes));
            if !self.client.tokens.contains_key(&(peer, token)) {
                return token;
            }
        }
    }

    /// The request has arrived; its answer comes separately.
    pub(crate) fn await_separate(&mut self, now: Now, id: ExchangeId) {
        let Some(exchange) = self.client.exchanges.get_mut(&id) else {
            return;
        };
        let time = now + self.config.response_wait;
        exchange.overdue = Some(time);
        self.timers.insert((time, Deadline::ResponseOverdue(id)));
    }
}

/// Method, path, query and Accept.
fn request_message(request: &Request) -> Message {
    let mut message = Message::new(Kind::Con, request.method, 0, Token::default());
    for segment in &request.path {
        message.push(number::URI_PATH, segment.as_bytes());
    }
    for part in &request.query {
        message.push(number::URI_QUERY, part.as_bytes());
    }
    if let Some(accept) = request.accept {
        message.push(number::ACCEPT, option::uint_bytes(u32::from(accept)));
    }
    message
}

impl Exchange {
    fn compose(&self, config: &Config) -> Message {
        let mut message = request_message(&self.request);
        if let Some(echo) = &self.echo {
            message.push(number::ECHO, echo.clone());
        }
        match &self.receiving {
            Some(receiving) => self.compose_follow_up(&mut message, receiving, config),
            None => self.compose_first(&mut message),
        }
        message
    }

    /// Asks for the next block of the answer. FETCH repeats its body, where that is one block; others send none. Options that are
    /// part of the cache key stay what they were, since servers know the transfer by them (RFC 7959 §2.4, RFC 9175 §3).
    fn compose_follow_up(&self, message: &mut Message, receiving: &Receiving, config: &Config) {
        let num = receiving.response.payload.len() / size_of_szx(receiving.szx);
        let block = BlockValue { num: num as u32, more: false, szx: receiving.szx };
        message.push(number::BLOCK2, block.to_bytes());
        let whole = self.request.payload.len() <= size_of_szx(config.block_szx_max) && self.sending.is_none();
        if let Some(sending) = self.sending {
            message.push(number::REQUEST_TAG, sending.tag);
        }
        let end = if self.request.method == Code::FETCH && whole { self.request.payload.len() } else { 0 };
        self.push_payload(message, 0, end);
    }

    fn compose_first(&self, message: &mut Message) {
        let request = &self.request;
        if let Some(register) = request.observe {
            message.push(number::OBSERVE, option::uint_bytes(u32::from(!register)));
        }
        if let Some(szx) = request.block_szx {
            message.push(number::BLOCK2, BlockValue { num: 0, more: false, szx }.to_bytes());
        }
        let Some(sending) = self.sending else {
            return self.push_payload(message, 0, request.payload.len());
        };
        let end = (sending.offset + size_of_szx(sending.szx)).min(request.payload.len());
        let num = (sending.offset / size_of_szx(sending.szx)) as u32;
        let block = BlockValue { num, more: end < request.payload.len(), szx: sending.szx };
        message.push(number::BLOCK1, block.to_bytes());
        message.push(number::REQUEST_TAG, sending.tag);
        // Where blocks are small, frames are: there these bytes would cost one.
        if sending.offset == 0 && sending.szx > SMALL_SZX {
            message.push(number::SIZE1, option::uint_bytes(request.payload.len() as u32));
        }
        self.push_payload(message, sending.offset, end);
    }

    fn push_payload(&self, message: &mut Message, start: usize, end: usize) {
        if let Some(format) = self.request.content_format {
            message.push(number::CONTENT_FORMAT, option::uint_bytes(u32::from(format)));
        }
        message.payload = self.request.payload.get(start..end).unwrap_or_default().to_vec();
    }
}
