//! Requests from peers: checks in the order of their cost, and nothing kept before an address may cost something.

use std::net::SocketAddr;

use rand_core::Rng;

use crate::Now;
use crate::block::BlockValue;
use crate::code::Code;
use crate::dedup::Done;
use crate::endpoint::{Deadline, Demand, Endpoint};
use crate::event::{Event, GoneReason, RequestId};
use crate::limits;
use crate::message::{IncomingRequest, Response};
use crate::option::number;
use crate::reply::ReplyTo;
use crate::snapshot::Resource;
use crate::upload::{Step, UploadKey};
use crate::wire::{Kind, Message};

impl<R: Rng> Endpoint<R> {
    pub(crate) fn handle_request(&mut self, now: Now, peer: SocketAddr, message: Message, len: usize) {
        if self.answer_duplicate(now, peer, &message, len) {
            return;
        }
        let mut to = ReplyTo::new(peer, &message, len);
        if let Some(refusal) = self.refusal(&message) {
            log::debug!("{peer}: {} refused with {}", message.code, refusal.code);
            return self.reply(now, &to, refusal);
        }
        let proven = message.value(number::ECHO).is_some_and(|echo| self.echo.check(now, peer, echo));
        if proven {
            self.echo.mark_verified(now, peer, Some(message.mid), &self.config);
        }
        let resource = Resource {
            method: message.code,
            path: message.owned(number::URI_PATH),
            query: message.owned(number::URI_QUERY),
            body: None,
        };
        to.protect = !message.code.is_safe() && !(self.config.idempotent)(message.code, &resource.path);
        to.block2 = message.value(number::BLOCK2).and_then(BlockValue::parse);
        let block1 = message.value(number::BLOCK1).and_then(BlockValue::parse);
        to.resource = Some(resource.clone());
        if self.serve_follow_up(now, &to, block1, &message.payload) {
            return;
        }
        let starts = block1.is_none_or(|block| block.num == 0);
        let late = !proven && self.echo.predates(now, peer, message.mid);
        let verified = self.echo.is_verified(now, peer) && !late;
        let lacking = match self.demand {
            _ if message.code == Code::GET => false,
            Demand::Proven => !proven,
            Demand::Verified => !verified,
            Demand::Usual => false,
        };
        // A body in blocks too: a place is kept for it, of which there are so many.
        let needs = (self.config.needs_verified_address)(message.code, &resource.path)
            || block1.is_some_and(|block| block.more);
        if starts && (lacking || needs && !verified) {
            return self.reply_with_echo(now, &to);
        }
        to.proven = proven;
        to.owner = self.next_id();
        if self.is_full(peer) || !self.dedup.admit(now, (peer, message.mid), to.owner, &self.config) {
            log::debug!("{peer}: no room for another request");
            return self.reply(now, &to, Response::new(Code::SERVICE_UNAVAILABLE).with_max_age(limits::BUSY_MAX_AGE_S));
        }
        match block1 {
            Some(block) => self.take_block(now, to, block, message),
            None => {
                let body = (message.payload.clone(), message.uint16(number::CONTENT_FORMAT));
                self.pass_on(now, to, message, body);
            }
        }
    }

    /// Whether the message ID is known; if so, all that is due has been done.
    fn answer_duplicate(&mut self, now: Now, peer: SocketAddr, message: &Message, len: usize) -> bool {
        let Some(done) = self.dedup.get(now, &(peer, message.mid)) else {
            return false;
        };
        log::debug!("{peer}: duplicate of message {}", message.mid);
        let again = match done {
            Done::Pending { acked: true } => Message::empty(Kind::Ack, message.mid).encode(),
            Done::Answered(bytes) => bytes.clone(),
            Done::Pending { acked: false } => Vec::new(),
        };
        // The duplicate may be a short forgery, so that the bound on what it is sent counts anew.
        let allowed = self.echo.is_verified(now, peer) || again.len() <= limits::AMPLIFICATION * len;
        if message.kind == Kind::Con && !again.is_empty() && allowed {
            self.transmit(peer, again);
        }
        true
    }

    /// What is refused whatever the state. The answers have no side effects, so that they need no memory.
    fn refusal(&self, message: &Message) -> Option<Response> {
        if message.wants_proxy() {
            return Some(Response::problem(Code::PROXYING_NOT_SUPPORTED, "no proxy", "Proxy options are not served"));
        }
        if let Some(option) = message.bad_critical() {
            return Some(Response::problem(Code::BAD_OPTION, "bad option", &format!("critical option {option}")));
        }
        let path: Vec<Vec<u8>> = message.owned(number::URI_PATH);
        let Some(methods) = (self.config.known_path)(&path) else {
            return Some(Response::problem(Code::NOT_FOUND, "not found", "no such path"));
        };
        if !methods.contains(&message.code) {
            return Some(Response::problem(Code::METHOD_NOT_ALLOWED, "method not allowed", ""));
        }
        let has = |option| message.value(option).is_some();
        let conditional = has(number::IF_MATCH) || has(number::IF_NONE_MATCH);
        if conditional && !(self.config.conditional)(message.code, &path) {
            return Some(Response::problem(Code::PRECONDITION_FAILED, "no conditional requests", ""));
        }
        if has(number::BLOCK1) && matches!(message.code, Code::GET | Code::DELETE) {
            return Some(Response::problem(Code::BAD_OPTION, "bad option", "Block1 without a body (option 27)"));
        }
        let reserved = |option| {
            message.value(option).and_then(BlockValue::parse).is_some_and(|block| block.szx > BlockValue::SZX_MAX)
        };
        if reserved(number::BLOCK1) || reserved(number::BLOCK2) {
            return Some(Response::problem(Code::BAD_REQUEST, "reserved block size", ""));
        }
        None
    }

    /// Serves a later block of an answer from its snapshot. Whether the request has been dealt with.
    fn serve_follow_up(&mut self, now: Now, to: &ReplyTo, block1: Option<BlockValue>, payload: &[u8]) -> bool {
        let (Some(block2), Some(resource), None) = (to.block2, &to.resource, block1) else {
            return false;
        };
        if block2.num == 0 {
            return false;
        }
        let resource = resource.clone().with_body(payload);
        if let Some(snapshot) = self.snapshots.read(now, &(to.peer, resource.clone())).cloned() {
            self.reply(now, to, snapshot);
            return true;
        }
        if resource.method == Code::GET {
            return false;
        }
        let problem = Response::problem(Code::REQUEST_ENTITY_INCOMPLETE, "start over", "the answer is no longer held");
        self.reply(now, to, problem);
        true
    }

    fn is_full(&self, peer: SocketAddr) -> bool {
        self.events.len() >= limits::MAX_EVENTS
            || self.pending.len() >= self.config.pending_max
            || self.pending_per_peer.get(&peer).is_some_and(|count| *count >= self.config.pending_max_per_peer)
    }

    fn take_block(&mut self, now: Now, mut to: ReplyTo, block: BlockValue, message: Message) {
        let Some(resource) = to.resource.clone() else {
            return;
        };
        let key = UploadKey { peer: to.peer, resource, tags: message.owned(number::REQUEST_TAG) };
        let declared = message.uint(number::SIZE1).unwrap_or(0) as usize;
        let format = message.uint16(number::CONTENT_FORMAT);
        let step = if declared > self.config.max_body {
            self.uploads.remove_key(&key);
            Step::TooLarge
        } else {
            self.uploads.take(now, &key, block, (&message.payload, format, to.proven), &self.config)
        };
        to.block1 = Some(BlockValue { szx: block.szx.min(self.config.block_szx_max), ..block });
        let answer = match step {
            Step::Complete { body, content_format, proven } => {
                to.proven = proven;
                return self.pass_on(now, to, message, (body, content_format));
            }
            Step::Continue => Response::new(Code::CONTINUE),
            Step::WrongSize => Response::problem(Code::BAD_REQUEST, "wrong block size", ""),
            Step::Gap => Response::problem(Code::REQUEST_ENTITY_INCOMPLETE, "a block is missing", ""),
            Step::TooLarge => {
                to.block1 = Some(BlockValue { num: block.num, more: block.more, szx: self.config.block_szx_max });
                to.size1 = Some(self.config.max_body as u32);
                Response::problem(Code::REQUEST_ENTITY_TOO_LARGE, "body too large", "")
            }
            Step::Full => Response::new(Code::SERVICE_UNAVAILABLE).with_max_age(limits::BUSY_MAX_AGE_S),
        };
        if answer.code != Code::CONTINUE {
            // A set bit would say that this is not the last word (RFC 7959 §2.3).
            to.block1 = to.block1.map(|block| BlockValue { more: false, ..block });
        }
        self.reply_having_run(now, &to, answer, false);
    }

    /// Hands a whole request to the application. It has been admitted.
    fn pass_on(&mut self, now: Now, mut to: ReplyTo, message: Message, body: (Vec<u8>, Option<u16>)) {
        let Some(resource) = to.resource.clone() else {
            return;
        };
        let (payload, content_format) = body;
        to.resource = Some(resource.clone().with_body(&payload));
        let id = RequestId(self.next_id());
        let observable =
            matches!(message.code, Code::GET | Code::FETCH) && (self.config.observable)(message.code, &resource.path);
        let observe = message.uint(number::OBSERVE).filter(|_| observable);
        match observe {
            Some(0) => self.observer_gone(to.peer, to.token, GoneReason::Replaced),
            Some(1) => self.observer_gone(to.peer, to.token, GoneReason::Deregistered),
            _ => {}
        }
        to.registers = observe == Some(0);
        to.etags = message.owned(number::ETAG);
        to.due = if to.confirmable {
            (now + self.config.separate_after, Deadline::SeparateAck(id))
        } else {
            (now + self.config.exchange_lifetime, Deadline::Abandoned(id))
        };
        self.timers.insert(to.due);
        self.events.push_back(Event::Request(IncomingRequest {
            id,
            peer: to.peer,
            token: to.token,
            method: message.code,
            path: resource.path,
            query: resource.query,
            content_format,
            accept: message.uint16(number::ACCEPT),
            observe,
            etags: to.etags.clone(),
            if_match: message.owned(number::IF_MATCH),
            if_none_match: message.value(number::IF_NONE_MATCH).is_some(),
            payload,
            verified: self.echo.is_verified(now, to.peer),
            proven: to.proven,
            block2_szx: to.block2.map(|block| block.szx),
            datagram_len: to.datagram_len,
            confirmable: to.confirmable,
        }));
        *self.pending_per_peer.entry(to.peer).or_default() += 1;
        self.pending.insert(id, to);
    }
}
