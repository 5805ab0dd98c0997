//! A receiver that empties its mailbox without reading it: one attach whose cursor acknowledges all that is there, as
//! that of a device which had been listening would. The device core cannot be made to do so: this is §4 by hand.

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use sga_crypto::{Aead, Secret, TAG_LEN_MAX, steps};
use sga_schema::{Accept, Attach, AttachSecret, Inbox, InboxSecret, Message};

use super::worker::SUITE;

/// What the next attach is made from.
pub(crate) struct Inlet {
    registered_key: Secret<32>,
    nonce: [u8; 8],
    ticket: [u8; 16],
    attach_number: u32,
    generation: [u8; 4],
}

fn aead() -> Result<Aead, String> {
    Aead::from_id(SUITE.id()).ok_or_else(|| "the suite has no cipher".to_owned())
}

fn encode<'a>(message: &impl Message<'a>) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; sga_schema::encoded_len(message)];
    let len = sga_schema::encode(message, &mut bytes).map_err(|_| "an attach does not encode".to_owned())?;
    bytes.truncate(len);
    Ok(bytes)
}

impl Inlet {
    /// From an attach of the device core's that was answered well.
    pub(crate) fn after(registered_key: &Secret<32>, request: &[u8], answer: &[u8]) -> Result<Self, String> {
        let failed = || "an attach of the device core's is not understood".to_owned();
        let attach: Attach<'_> = sga_schema::decode(request).map_err(|_| failed())?;
        let mut sealed = attach.sealed.to_vec();
        let key = steps::attach(aead()?, registered_key, &attach.nonce);
        let len = key.open(&mut sealed).map_err(|_| failed())?;
        let secret: AttachSecret = sga_schema::decode(&sealed[..len]).map_err(|_| failed())?;
        let mut inlet = Self {
            registered_key: registered_key.duplicate(),
            nonce: attach.nonce,
            ticket: attach.ticket,
            attach_number: secret.attach_number,
            generation: secret.generation,
        };
        inlet.answered(answer)?;
        Ok(inlet)
    }

    /// The payload of an attach that acknowledges up to this item.
    pub(crate) fn attach(&mut self, cursor: u32, rng: &mut ChaCha12Rng) -> Result<Vec<u8>, String> {
        rng.fill_bytes(&mut self.nonce);
        self.attach_number += 1;
        let (attach_number, generation) = (self.attach_number, self.generation);
        let mut sealed = encode(&AttachSecret { attach_number, cursor, generation, accept: Accept::All })?;
        let len = sealed.len();
        sealed.resize(len + TAG_LEN_MAX, 0);
        let key = steps::attach(aead()?, &self.registered_key, &self.nonce);
        let len = key.seal(&mut sealed, len).map_err(|_| "an attach does not seal".to_owned())?;
        encode(&Attach { ticket: self.ticket, nonce: self.nonce, sealed: &sealed[..len] })
    }

    /// Takes the next ticket from the answer.
    pub(crate) fn answered(&mut self, payload: &[u8]) -> Result<(), String> {
        let failed = || "the answer to an attach does not open".to_owned();
        let inbox: Inbox<'_> = sga_schema::decode(payload).map_err(|_| failed())?;
        let mut plain = inbox.sealed.to_vec();
        let key = steps::inbox(aead()?, &self.registered_key, &self.nonce, inbox.counter);
        let len = key.open(&mut plain).map_err(|_| failed())?;
        let secret: InboxSecret<'_> = sga_schema::decode(&plain[..len]).map_err(|_| failed())?;
        let next = secret.next.ok_or_else(failed)?;
        self.ticket = next.ticket;
        self.generation = next.generation;
        Ok(())
    }
}
