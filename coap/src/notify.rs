//! Notifications: the newest state to each observer, one under way to a peer at a time, and a last word to who may be sent no more.

use std::net::SocketAddr;

use rand_core::Rng;

use crate::Now;
use crate::block::BlockValue;
use crate::code::Code;
use crate::endpoint::{Deadline, Endpoint, NotifyError};
use crate::event::{Event, GoneReason, NotificationId};
use crate::limits;
use crate::message::Response;
use crate::outgoing::Purpose;
use crate::reply::EMPTY_LEN;
use crate::shape::{self, Frame, Shaped};
use crate::token::Token;
use crate::wire::{Kind, Message};

/// What it takes to tell an observer twice that it has to ask again.
pub(crate) fn last_word_len(token: &Token) -> usize {
    2 * (EMPTY_LEN + token.len())
}

/// What ends an observation whose address has to show first that it receives.
fn ask_again(token: Token) -> Message {
    Message::new(Kind::Con, Code::UNAUTHORIZED, 0, token)
}

impl<R: Rng> Endpoint<R> {
    /// Sends a notification, or keeps it until the one before is acknowledged or due again: there is one under way to a peer at
    /// a time, and what is sent is always the newest. A code that is not 2.xx ends the observation with it.
    pub fn notify(
        &mut self,
        now: Now,
        peer: SocketAddr,
        token: &Token,
        mut response: Response,
    ) -> Result<NotificationId, NotifyError> {
        let mut allowance = self.observers.get_mut(&(peer, *token)).ok_or(NotifyError::Unknown)?.allowance;
        if response.payload.len() > self.config.max_body {
            log::error!("{peer}: a notification of {} bytes is too large to send", response.payload.len());
            response = Response::problem(Code::INTERNAL_SERVER_ERROR, "notification too large", "");
        }
        let observer = self.observers.get_mut(&(peer, *token)).ok_or(NotifyError::Unknown)?;
        let (resource, szx) = (observer.resource.clone(), observer.szx);
        let may_be_lost = !response.confirmable && observer.unproven < limits::MAX_UNPROVEN_NOTIFICATIONS;
        let last = !response.code.is_success();
        if !last {
            allowance = allowance.saturating_sub(last_word_len(token));
        }
        let limit = self.limit(now, peer, allowance);
        let frame = Frame {
            token: *token,
            block2: szx.filter(|_| !last).map(|szx| BlockValue { num: 0, more: false, szx }),
            observe: (!last).then(|| self.observers.next_sequence()),
            limit,
            szx_max: self.config.block_szx_max.min(BlockValue::SZX_MAX),
            ..Frame::default()
        };
        let message = match shape::shape(response, &frame) {
            Shaped::Whole(message) => message,
            Shaped::Block(message, response) => {
                self.snapshots.store(now, (peer, resource), response, &self.config);
                message
            }
            // The observer's address is not known to receive, or not any more.
            Shaped::DoesNotFit | Shaped::PastEnd => ask_again(*token),
        };
        let id = NotificationId(self.next_id());
        let verified = self.echo.is_verified(now, peer);
        let waiting = self.observers.is_waiting(peer);
        match self.observers.get_mut(&(peer, *token)) {
            Some(observer) if waiting => observer.newer = Some((id, message)),
            // To an address that may not be the observer's own only what has to be acknowledged goes.
            Some(_) if may_be_lost && verified && message.code.is_success() => {
                self.send_unproven(now, peer, message);
            }
            _ => self.send_notification(now, peer, id, message),
        }
        Ok(id)
    }

    fn send_notification(&mut self, now: Now, peer: SocketAddr, id: NotificationId, mut message: Message) {
        let token = message.token;
        let mut allowance = self.observers.get_mut(&(peer, token)).map_or(0, |observer| observer.allowance);
        if message.code.is_success() {
            let spare = allowance.saturating_sub(last_word_len(&token));
            if message.encode().len() <= self.limit(now, peer, spare) {
                allowance = spare;
            } else {
                // It waited, and less may be sent by now.
                message = ask_again(token);
            }
        }
        message.kind = Kind::Con;
        message.mid = self.outgoing.next_mid(now, peer, &mut self.rng, &self.config);
        let len = message.encode().len();
        let (again, cost) = self.retransmissions(now, peer, allowance, len);
        if cost > allowance {
            // A last word that is longer than what was put by.
            return self.observer_gone(peer, token, GoneReason::TimedOut);
        }
        if let Some(observer) = self.observers.get_mut(&(peer, token)) {
            observer.allowance -= cost;
            observer.lent = cost;
        }
        self.send_confirmable(now, peer, &message, Purpose::Notification { token, id }, again);
        self.notification_sent(peer, &message);
    }

    fn notification_sent(&mut self, peer: SocketAddr, message: &Message) {
        if !message.code.is_success() {
            self.observers.remove(&(peer, message.token));
        } else if let Some(observer) = self.observers.get_mut(&(peer, message.token)) {
            observer.outstanding = Some(message.mid);
        }
    }

    fn send_unproven(&mut self, now: Now, peer: SocketAddr, mut message: Message) {
        message.kind = Kind::Non;
        message.mid = self.outgoing.next_mid(now, peer, &mut self.rng, &self.config);
        if let Some(observer) = self.observers.get_mut(&(peer, message.token)) {
            observer.last_non = Some(message.mid);
            observer.unproven += 1;
        }
        self.transmit(peer, message.encode());
    }

    /// An observer acknowledged a notification: the newer state that waits, if any, goes out.
    pub(crate) fn notification_acked(&mut self, now: Now, peer: SocketAddr, token: Token, id: NotificationId) {
        self.observers.heard(now, &(peer, token), &self.config);
        if let Some(observer) = self.observers.get_mut(&(peer, token)) {
            observer.outstanding = None;
            observer.allowance += std::mem::take(&mut observer.lent);
        }
        self.events.push_back(Event::NotificationAcked { peer, token, id });
        self.send_waiting(now, peer);
    }

    /// It is the turn of the notification that has waited longest, if the peer owes no acknowledgement.
    fn send_waiting(&mut self, now: Now, peer: SocketAddr) {
        while !self.observers.is_waiting(peer)
            && let Some((id, message)) = self.observers.take_newer(peer)
        {
            self.send_notification(now, peer, id, message);
        }
    }

    /// A notification is due again: if there is a newer state, that goes in its place, on what is left of the old one's
    /// attempts (RFC 7641 §4.5.2). Whether it did.
    pub(crate) fn send_newer(&mut self, now: Now, peer: SocketAddr, mid: u16) -> bool {
        let Some(waiting) = self.outgoing.get(&(peer, mid)) else {
            return false;
        };
        let Purpose::Notification { token, .. } = waiting.purpose else {
            return false;
        };
        let (left, old_len) = (waiting.left, waiting.bytes.len());
        let verified = self.echo.is_verified(now, peer);
        let Some(observer) = self.observers.get_mut(&(peer, token)) else {
            return false;
        };
        // What an unverified address may be sent was reckoned by the length of the old one.
        let fits = |newer: &Message| verified || newer.encode().len() <= old_len;
        let Some((id, mut message)) = observer.newer.take_if(|(_, newer)| left > 0 && fits(newer)) else {
            return false;
        };
        message.kind = Kind::Con;
        message.mid = self.outgoing.next_mid(now, peer, &mut self.rng, &self.config);
        let bytes = message.encode();
        let purpose = Purpose::Notification { token, id };
        if let Some(due) = self.outgoing.supersede(now, (peer, mid), message.mid, (purpose, bytes.clone())) {
            self.timers.insert((due, Deadline::Retransmit { peer, mid: message.mid }));
            self.transmit(peer, bytes);
        }
        self.notification_sent(peer, &message);
        true
    }

    /// Forgets an observer without telling it; it learns from Reset or silence. No event follows.
    pub fn forget_observer(&mut self, peer: SocketAddr, token: &Token) {
        self.end_observer(peer, token);
    }

    /// Forgets an observer, if there is one, and tells the application.
    pub(crate) fn observer_gone(&mut self, peer: SocketAddr, token: Token, reason: GoneReason) {
        if self.end_observer(peer, &token) {
            self.events.push_back(Event::ObserverGone { peer, token, reason });
        }
    }

    /// Whether it was there.
    fn end_observer(&mut self, peer: SocketAddr, token: &Token) -> bool {
        let Some(observer) = self.observers.remove(&(peer, *token)) else {
            return false;
        };
        if let Some(mid) = observer.outstanding {
            self.stop_retransmitting((peer, mid));
        }
        self.send_waiting(self.latest, peer);
        true
    }
}
