//! Answers to peers: piggybacked or separate, whole or in blocks, and never more than an unverified address may be sent.

use std::net::SocketAddr;

use rand_core::Rng;

use crate::Now;
use crate::block::BlockValue;
use crate::code::Code;
use crate::endpoint::{Deadline, Endpoint};
use crate::event::{Event, GoneReason, RequestId};
use crate::limits;
use crate::message::Response;
use crate::notify::last_word_len;
use crate::observers::Observer;
use crate::option::number;
use crate::outgoing::Purpose;
use crate::shape::{self, Frame, Shaped};
use crate::snapshot::Resource;
use crate::token::Token;
use crate::wire::{Kind, Message};

/// All that is needed to answer a request.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    pub(crate) peer: SocketAddr,
    pub(crate) mid: u16,
    pub(crate) token: Token,
    pub(crate) confirmable: bool,
    /// An empty ACK has gone out: the answer is a separate one.
    pub(crate) acked: bool,
    pub(crate) datagram_len: usize,
    /// Bytes that have gone out for it already.
    pub(crate) spent: usize,
    /// Its entry among the remembered message IDs; 0 if it has none.
    pub(crate) owner: u64,
    /// RFC 7967: bit `class - 1` set means that answers of this class are not wanted.
    pub(crate) no_response: u32,
    pub(crate) resource: Option<Resource>,
    pub(crate) block1: Option<BlockValue>,
    pub(crate) block2: Option<BlockValue>,
    pub(crate) size1: Option<u32>,
    pub(crate) etags: Vec<Vec<u8>>,
    pub(crate) registers: bool,
    /// The request must not run twice.
    pub(crate) protect: bool,
    /// The request, or its first block, brought an Echo value.
    pub(crate) proven: bool,
    /// The timer that is set for it.
    pub(crate) due: (Now, Deadline),
}

impl ReplyTo {
    pub(crate) fn new(peer: SocketAddr, message: &Message, datagram_len: usize) -> ReplyTo {
        ReplyTo {
            peer,
            mid: message.mid,
            token: message.token,
            confirmable: message.kind == Kind::Con,
            acked: false,
            datagram_len,
            spent: 0,
            owner: 0,
            no_response: message.uint(number::NO_RESPONSE).unwrap_or(0),
            resource: None,
            block1: None,
            block2: None,
            size1: None,
            etags: Vec::new(),
            registers: false,
            protect: !message.code.is_safe(),
            proven: false,
            due: (Now::MAX, Deadline::Expiry),
        }
    }
}

/// Bytes of an empty message.
pub(crate) const EMPTY_LEN: usize = 4;

impl ReplyTo {
    /// Bytes that may go for it to an address that has not shown that it receives.
    fn allowance(&self) -> usize {
        (limits::AMPLIFICATION * self.datagram_len).saturating_sub(self.spent + self.put_by())
    }

    /// Bytes of it that are kept for an observer's last word.
    fn put_by(&self) -> usize {
        if self.registers { last_word_len(&self.token) } else { 0 }
    }
}

impl<R: Rng> Endpoint<R> {
    /// Answers a request. Once per [`Event::Request`]; a second answer, or one to a request that was given up, is dropped.
    pub fn respond(&mut self, now: Now, id: RequestId, response: Response) {
        let Some(to) = self.take_pending(id) else {
            log::debug!("no request {id:?} waits for an answer");
            return;
        };
        self.reply(now, &to, response);
    }

    pub(crate) fn take_pending(&mut self, id: RequestId) -> Option<ReplyTo> {
        let to = self.pending.remove(&id)?;
        self.timers.remove(&to.due);
        if let Some(count) = self.pending_per_peer.get_mut(&to.peer) {
            *count -= 1;
            if *count == 0 {
                self.pending_per_peer.remove(&to.peer);
            }
        }
        Some(to)
    }

    /// The application takes its time: acknowledge, and answer separately.
    pub(crate) fn acknowledge_pending(&mut self, now: Now, id: RequestId) {
        let lifetime = self.config.exchange_lifetime;
        let Some(to) = self.pending.get_mut(&id) else {
            return;
        };
        to.acked = true;
        to.spent += EMPTY_LEN;
        to.due = (now + lifetime, Deadline::Abandoned(id));
        self.timers.insert(to.due);
        let (peer, mid, owner) = (to.peer, to.mid, to.owner);
        self.dedup.acked(&(peer, mid), owner);
        self.transmit(peer, Message::empty(Kind::Ack, mid).encode());
    }

    /// Bytes that one message to this address may have, when so many may go there unverified.
    pub(crate) fn limit(&self, now: Now, peer: SocketAddr, allowance: usize) -> usize {
        if self.echo.is_verified(now, peer) {
            return self.config.max_datagram;
        }
        self.config.max_datagram.min(allowance)
    }

    fn frame(&self, now: Now, to: &ReplyTo) -> Frame {
        Frame {
            token: to.token,
            block1: to.block1,
            block2: to.block2,
            size1: to.size1,
            limit: self.limit(now, to.peer, to.allowance()),
            szx_max: self.config.block_szx_max.min(BlockValue::SZX_MAX),
            ..Frame::default()
        }
    }

    /// 4.01 with an Echo value; keeps nothing.
    pub(crate) fn reply_with_echo(&mut self, now: Now, to: &ReplyTo) {
        let mut frame = self.frame(now, to);
        frame.block2 = None;
        frame.echo = Some(self.echo.value(now, to.peer).to_vec());
        if let Shaped::Whole(message) = shape::shape(Response::new(Code::UNAUTHORIZED), &frame) {
            self.send_reply(now, to, message, false);
        }
    }

    /// Shapes and sends an answer.
    pub(crate) fn reply(&mut self, now: Now, to: &ReplyTo, response: Response) {
        // A refusal has changed nothing, so that it may be made anew.
        let ran = response.code.is_success();
        self.reply_having_run(now, to, response, ran);
    }

    /// `ran`: the request has changed something, so that its duplicates are not to run.
    pub(crate) fn reply_having_run(&mut self, now: Now, to: &ReplyTo, mut response: Response, ran: bool) {
        if response.payload.len() > self.config.max_body {
            log::error!("{}: an answer of {} bytes is too large to send", to.peer, response.payload.len());
            response = Response::problem(Code::INTERNAL_SERVER_ERROR, "answer too large", "");
        }
        let mut frame = self.frame(now, to);
        let registers = to.registers && response.observe && response.code.is_success();
        let room = registers && self.has_room_to_observe(to);
        frame.observe = room.then(|| self.observers.next_sequence());
        if frame.observe.is_none() {
            shape::revalidate(&mut response, &to.etags);
        }
        match shape::shape(response, &frame) {
            Shaped::Whole(message) => {
                self.register(now, to, &message);
                self.send_reply(now, to, message, ran);
            }
            Shaped::Block(message, response) => {
                self.register(now, to, &message);
                let verified = self.echo.is_verified(now, to.peer);
                // What a GET asks for can be made again, and strangers are to drive nobody's answer out.
                if let Some(resource) = &to.resource
                    && (verified || resource.method != Code::GET)
                {
                    self.snapshots.store(now, (to.peer, resource.clone()), response, &self.config);
                }
                self.send_reply(now, to, message, ran);
            }
            Shaped::DoesNotFit => {
                log::debug!("{}: unverified, and the answer is too large for it", to.peer);
                self.deny_observer(to, room);
                if to.protect {
                    // It has run; an Echo value would invite the client to let it run again.
                    return self.reply_having_run(now, to, Response::new(Code::UNAUTHORIZED), ran);
                }
                self.reply_with_echo(now, to);
            }
            Shaped::PastEnd => {
                self.deny_observer(to, room);
                let problem = Response::problem(Code::BAD_REQUEST, "no such block", "past the end of the body");
                self.reply_having_run(now, to, problem, ran);
            }
        }
    }

    /// Whether the requester may become an observer; where not, the application that agreed is told.
    fn has_room_to_observe(&mut self, to: &ReplyTo) -> bool {
        // Two registrations with one token may have waited at once: the later answer stands, and no event follows,
        // since the application would take it for the end of this one.
        self.forget_observer(to.peer, &to.token);
        let room = self.observers.has_room(to.peer, &self.config);
        if !room {
            log::debug!("{}: no room for an observer", to.peer);
        }
        self.deny_observer(to, !room);
        room
    }

    /// Tells the application that the observer it agreed to is none after all.
    fn deny_observer(&mut self, to: &ReplyTo, denied: bool) {
        if denied {
            let (peer, token) = (to.peer, to.token);
            self.events.push_back(Event::ObserverGone { peer, token, reason: GoneReason::NoRoom });
        }
    }

    /// Makes the requester an observer if that is what this answer says.
    fn register(&mut self, now: Now, to: &ReplyTo, message: &Message) {
        let (Some(resource), Some(_)) = (&to.resource, message.value(number::OBSERVE)) else {
            return;
        };
        let len = message.encode().len();
        let allowance = if self.echo.is_verified(now, to.peer) {
            // What goes to it while it is known to receive counts for nothing: this is for the time after.
            limits::AMPLIFICATION * to.datagram_len
        } else if to.confirmable && to.acked {
            // An answer that comes separately may be repeated, which counts as well.
            let cost = self.retransmissions(now, to.peer, to.allowance(), len).1;
            to.allowance().saturating_sub(cost) + to.put_by()
        } else {
            to.allowance().saturating_sub(len) + to.put_by()
        };
        let observer = Observer::new(resource.clone(), to.block2.map(|block| block.szx), allowance);
        self.observers.insert(now, (to.peer, to.token), observer, &self.config);
    }

    /// Sends an answer as what the request allows, and remembers it for duplicates.
    fn send_reply(&mut self, now: Now, to: &ReplyTo, mut message: Message, ran: bool) {
        let key = (to.peer, to.mid);
        let class = message.code.class();
        let evictable = if to.protect && ran { now + self.config.dedup_protected } else { now };
        // 2.31 is part of a transfer that would stall without it.
        if to.no_response & (1 << class.saturating_sub(1)) != 0 && message.code != Code::CONTINUE {
            let ack = if to.confirmable { Message::empty(Kind::Ack, to.mid).encode() } else { Vec::new() };
            if to.confirmable && !to.acked {
                self.transmit(to.peer, ack.clone());
            }
            return self.dedup.answer(&key, to.owner, ack, evictable);
        }
        if to.confirmable && !to.acked {
            message.kind = Kind::Ack;
            message.mid = to.mid;
            let bytes = message.encode();
            self.transmit(to.peer, bytes.clone());
            return self.dedup.answer(&key, to.owner, bytes, evictable);
        }
        message.mid = self.outgoing.next_mid(now, to.peer, &mut self.rng, &self.config);
        if !to.confirmable {
            message.kind = Kind::Non;
            self.transmit(to.peer, message.encode());
            return self.dedup.answer(&key, to.owner, Vec::new(), evictable);
        }
        message.kind = Kind::Con;
        let (again, _) = self.retransmissions(now, to.peer, to.allowance(), message.encode().len());
        self.make_room_for_separate(to.peer);
        self.send_confirmable(now, to.peer, &message, Purpose::Separate, again);
        self.dedup.answer(&key, to.owner, Message::empty(Kind::Ack, to.mid).encode(), evictable);
    }

    /// How often a message may be repeated, and what that costs of the allowance: to an unverified address only as long as the
    /// sum stays within it.
    pub(crate) fn retransmissions(&self, now: Now, peer: SocketAddr, allowance: usize, len: usize) -> (u32, usize) {
        if self.echo.is_verified(now, peer) {
            return (self.config.max_retransmit, 0);
        }
        let again = self.config.max_retransmit.min((allowance / len.max(1)).saturating_sub(1) as u32);
        (again, len * (again as usize + 1))
    }

    /// Answers that wait for their acknowledgement are bounded: the oldest is not sent again. Its client asks once more.
    fn make_room_for_separate(&mut self, peer: SocketAddr) {
        let (in_all, of_peer) = (self.config.pending_max, self.config.pending_max_per_peer);
        while let Some(key) = self.outgoing.oldest_separate(peer, in_all, of_peer) {
            log::debug!("{}: too many separate answers wait for their acknowledgement", key.0);
            self.stop_retransmitting(key);
        }
    }
}
