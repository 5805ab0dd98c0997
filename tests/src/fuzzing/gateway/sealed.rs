//! What was sealed, as it is seen on the wire by somebody who has all keys: never two plaintexts under one key and nonce, numbers
//! that only rise, and nothing in a mailbox that no device has sealed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use sga_crypto::{Aead, SealKey, Secret, steps};
use sga_device::agent::Image;
use sga_schema::{
    Ack, Attach, AttachSecret, Half, Inbox, Message, MessageItem, MessagePost, MsgPost, decode, kind, limits,
};

use crate::fuzzing::nonces::{Name, Nonces};
use crate::script::wire;
use crate::sim::SimStore;

/// Somebody whose seals are looked into.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) at: usize,
    pub(crate) aead: Aead,
    pub(crate) registered_key: [u8; 32],
    /// It was set back: its attach numbers may come again.
    pub(crate) set_back: bool,
}

impl Holder {
    fn key(&self) -> Secret<32> {
        Secret::new(self.registered_key)
    }

    fn name(&self, what: &'static str, nonce: &[u8; 8], counter: u32) -> Name {
        Name { what, key: nonce.to_vec(), numbers: [self.at as u32, counter], salt: None }
    }
}

#[derive(Clone, Default)]
pub(crate) struct Sealed {
    nonces: Nonces,
    /// Nonces of attaches, newest last, with the numbers.
    attaches: BTreeMap<usize, Vec<([u8; 8], u32)>>,
    /// Under which nonce answers to a token are.
    tokens: HashMap<(SocketAddr, Vec<u8>), [u8; 8]>,
    /// All that was sealed for a peer.
    ciphertexts: HashSet<Vec<u8>>,
}

fn opened(key: SealKey, sealed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = sealed.to_vec();
    let len = key.open(&mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

fn whole<'a, T: Message<'a>>(message: &'a wire::Message) -> Option<T> {
    // A block of something larger is not looked into.
    let is_block =
        [23, 27].iter().any(|&option| message.value(option).is_some_and(|value| !matches!(value, [] | [0..8])));
    if is_block { None } else { decode(&message.payload).ok() }
}

impl Sealed {
    fn record_post(&mut self, post: &MessagePost<'_>) {
        let (key, numbers) = (post.handle.0.to_vec(), [post.run, post.sequence]);
        self.nonces.record(Name { what: "message", key, numbers, salt: post.salt }, post.ciphertext);
        self.ciphertexts.insert(post.ciphertext.to_vec());
    }

    /// Texts that a device has sealed and keeps.
    pub(crate) fn look_at_kept(&mut self, image: &Image) {
        for kept in &image.kept {
            let post: MessagePost<'_> = decode(&kept.bytes).expect("a device keeps what it has sealed");
            self.record_post(&post);
        }
    }

    /// A request, as it leaves a device.
    pub(crate) fn look_at_request(&mut self, holder: &Holder, from: SocketAddr, message: &wire::Message) {
        let path = message.value(11).unwrap_or_default();
        match (path, message.code) {
            (b"kex", 2) => {
                if let Some(half) = whole::<Half<'_>>(message) {
                    let (key, numbers) = (half.handle.0.to_vec(), [half.run, 0]);
                    self.nonces.record(Name { what: "half", key, numbers, salt: half.salt }, half.body);
                }
            }
            (b"msg", 2) => match whole::<MsgPost<'_>>(message) {
                Some(MsgPost::Message(post)) => self.record_post(&post),
                Some(MsgPost::Ack(ack)) => self.look_at_ack(holder, &ack),
                None => {}
            },
            (b"msg", 5) => {
                if let Some(attach) = whole::<Attach<'_>>(message) {
                    self.tokens.insert((from, message.token.clone()), attach.nonce);
                    self.look_at_attach(holder, &attach);
                }
            }
            _ => {}
        }
    }

    fn look_at_attach(&mut self, holder: &Holder, attach: &Attach<'_>) {
        self.nonces.record(holder.name("attach", &attach.nonce, 0), attach.sealed);
        let plain = opened(steps::attach(holder.aead, &holder.key(), &attach.nonce), attach.sealed);
        let plain = plain.expect("a device seals its attach under its own key");
        let secret: AttachSecret = decode(&plain).expect("and well formed");
        let known = self.attaches.entry(holder.at).or_default();
        if known.last().is_some_and(|(nonce, _)| *nonce == attach.nonce) {
            return;
        }
        if let Some((_, last)) = known.last().filter(|_| !holder.set_back) {
            assert!(secret.attach_number > *last, "attach number {} after {last}", secret.attach_number);
        }
        known.push((attach.nonce, secret.attach_number));
    }

    fn look_at_ack(&mut self, holder: &Holder, ack: &Ack<'_>) {
        let known = self.attaches.get(&holder.at).cloned().unwrap_or_default();
        let under = known.iter().rev().find(|(nonce, _)| {
            opened(steps::ack(holder.aead, &holder.key(), nonce, ack.counter), ack.sealed).is_some()
        });
        let (nonce, _) = under.expect("an Ack is sealed under one of the attaches");
        self.nonces.record(holder.name("ack", nonce, ack.counter), ack.sealed);
    }

    /// An answer or a notification, as it leaves the gateway for a device.
    pub(crate) fn look_at_answer(&mut self, holder: &Holder, to: SocketAddr, message: &wire::Message) {
        let Some(&nonce) = self.tokens.get(&(to, message.token.clone())) else { return };
        let Some(inbox) = whole::<Inbox<'_>>(message) else { return };
        // A token may have been another attach's.
        if opened(steps::inbox(holder.aead, &holder.key(), &nonce, inbox.counter), inbox.sealed).is_some() {
            self.nonces.record(holder.name("inbox", &nonce, inbox.counter), inbox.sealed);
        }
    }

    /// No message in a mailbox that nobody has sealed; no mailbox over its bounds.
    pub(crate) fn check_store(&self, store: &SimStore, messages_max: usize) {
        let mut counts: BTreeMap<u32, [usize; 4]> = BTreeMap::new();
        for (mailbox, item) in store.items() {
            let [items, messages, invitations, bytes] = counts.entry(mailbox).or_default();
            *items += 1;
            *bytes += item.body.len();
            *invitations += usize::from(item.kind == kind::INVITATION);
            if item.kind == kind::MESSAGE {
                *messages += 1;
                let message: MessageItem<'_> = decode(&item.body).expect("a stored item is well formed");
                assert!(self.ciphertexts.contains(message.ciphertext), "nobody has sealed {message:?}");
            }
        }
        for (mailbox, [items, messages, invitations, bytes]) in counts {
            assert!(items <= sga_gateway_core::limits::MAILBOX_ITEMS_MAX, "{items} items in mailbox {mailbox}");
            assert!(messages <= messages_max, "{messages} messages in mailbox {mailbox}");
            assert!(invitations <= limits::INVITATIONS_MAX, "{invitations} invitations in mailbox {mailbox}");
            assert!(bytes <= sga_gateway_core::limits::MAILBOX_BYTES_MAX, "{bytes} bytes in mailbox {mailbox}");
        }
    }
}
