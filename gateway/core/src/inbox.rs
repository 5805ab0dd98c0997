//! The inbox: attaches, acknowledgements, and what observers are told.

use std::net::SocketAddr;
use std::sync::Arc;

use rand_core::CryptoRng;
use sga_coap::{Code, Now, Response, Token};
use sga_crypto::steps;
use sga_schema::{Ack, AckSecret, Attach, AttachSecret, Inbox, ItemsWriter, NextAttach, padding};
use subtle::ConstantTimeEq;

use crate::answer::{Refusal, answer, encoded};
use crate::attachments::Attachment;
use crate::decoy;
use crate::gateway::Gateway;
use crate::record::{DeviceRecord, Record};
use crate::storage::{DeviceIndex, Key, StoredItem, Want};
use crate::suite::{aead, open_copy};
use crate::task::{Lock, Plan, Step, Stop, Task, Then};

/// What an Inbox costs beside its items: arrays, counter, tag, next ticket and generation.
const OVERHEAD_BYTES: usize = 64;

/// What a commit of an attach leads to.
#[derive(Debug)]
pub(crate) struct NewAttachment {
    device: DeviceIndex,
    record: Arc<DeviceRecord>,
    /// The ticket that was shown.
    ticket: [u8; 16],
    nonce: [u8; 8],
    request_hash: [u8; 32],
    peer: SocketAddr,
    token: Token,
    observing: bool,
    block_bytes: usize,
    pad: bool,
    items: Vec<StoredItem>,
}

impl<R: CryptoRng> Gateway<R> {
    /// The device that a ticket locates; or a decoy and `false`.
    fn located(&mut self, ticket: &[u8; 16]) -> Result<(DeviceIndex, Arc<DeviceRecord>, bool), Stop> {
        let index = self.tickets.locate(ticket).filter(|&index| index != decoy::INDEX);
        self.cache.device_or(index, &self.decoys.device)
    }

    pub(crate) fn step_attach(&mut self, now: Now, task: &mut Task) -> Result<Step, Stop> {
        let request = task.origin().payload.clone();
        let attach: Attach<'_> = sga_schema::decode(&request)?;
        let (index, device, exists) = self.located(&attach.ticket)?;
        let key = steps::attach(aead(device.suite), &device.registered_key, &attach.nonce);
        let fits = attach.sealed.len() == padding::ATTACH_SEALED_LEN;
        let opened = open_copy(key, attach.sealed)?;
        if !exists {
            return Err(Refusal::NotOpened.into());
        }
        let (secret, pad): (AttachSecret, bool) = padding::decode_padded(&opened, fits)?;
        self.check_revoked(device.id)?;
        self.locks.take(task, &[Lock::Device(index)])?;
        task.shows = Some(index);
        // Taken only now: whoever held the lock may have changed the record.
        let device = self.cache.device(index)?.ok_or(Refusal::NotOpened)?;
        if secret.attach_number <= device.attach_number {
            return self.attach_again(now, task, index, &device);
        }
        let highest = self.mailboxes.get(index)?.highest();
        let same = secret.generation == self.meta.generation;
        let shown = secret.cursor.saturating_sub(device.shift);
        let cursor = if same && shown <= highest { shown.max(device.acknowledged) } else { device.acknowledged };
        let block_bytes = task.origin().block_bytes;
        let Some(mut items) = task.scratch.items.take() else {
            return Ok(Step::Load(vec![items_from(index, cursor, block_bytes)]));
        };
        let mut changed = device.duplicate();
        changed.attach_number = secret.attach_number;
        changed.accept = secret.accept;
        changed.acknowledged = cursor;
        changed.seen_s = Some(self.uptime_s(now));
        if same && shown > highest {
            changed.go_on_above(secret.cursor);
        }
        let mut plan = Plan::default();
        if changed.told != self.rotation.count
            && let Some(package) = self.append_package(now, &mut plan, index)?
        {
            changed.told = self.rotation.count;
            // In the answer itself, if nothing that the device has not seen comes before it.
            if package.number == items.last().map_or(cursor, |item| item.number) + 1 {
                items.push(package);
            }
        }
        let record = Arc::new(changed);
        plan.put(Key::Device(index), Record::Device(record.clone()));
        if cursor > device.acknowledged {
            plan.acknowledge(index, cursor);
        }
        let origin = task.origin();
        plan.then = Then::Attach(Box::new(NewAttachment {
            device: index,
            record,
            ticket: attach.ticket,
            nonce: attach.nonce,
            request_hash: origin.hash,
            peer: origin.peer,
            token: origin.token,
            observing: origin.observe,
            block_bytes,
            pad,
            items,
        }));
        Ok(Step::Commit(plan))
    }

    /// The same attach once more: its answer was lost, and with it perhaps what the endpoint remembered.
    fn attach_again(
        &mut self,
        now: Now,
        task: &mut Task,
        index: DeviceIndex,
        device: &DeviceRecord,
    ) -> Result<Step, Stop> {
        let (peer, token, hash, observe) =
            (task.origin().peer, task.origin().token, task.origin().hash, task.origin().observe);
        let block_bytes = task.origin().block_bytes;
        let same =
            self.attachments.get(index).is_some_and(|a| a.request_hash == hash && a.peer == peer && a.has_nonces());
        if !same {
            return Err(Refusal::NotOpened.into());
        }
        let Some(items) = task.scratch.items.take() else {
            return Ok(Step::Load(vec![items_from(index, device.acknowledged, block_bytes)]));
        };
        if let Some(mut attachment) = self.attachments.by_device.remove(&index) {
            self.attachments.by_observer.remove(&(attachment.peer, attachment.token));
            if attachment.token != token {
                self.endpoint.forget_observer(peer, &attachment.token);
            }
            attachment.token = token;
            attachment.observing = observe;
            attachment.outstanding = None;
            self.attachments.insert(index, attachment);
        }
        let response = self.attach_answer(now, index, device, &items).ok_or(Refusal::NotOpened)?;
        Ok(Step::Reply(response))
    }

    /// The commit of an attach is done.
    pub(crate) fn attach_done(&mut self, now: Now, new: NewAttachment) -> Response {
        // Whoever shows the ticket that went to an address has received there. A good seal alone does not say where its sender is: a
        // registered device could have its mail sent to anyone.
        let shown = self.attachments.by_device.get(&new.device).is_some_and(|old| {
            old.peer == new.peer && old.handed.is_some_and(|handed| bool::from(handed.ct_eq(&new.ticket)))
        });
        if shown {
            self.endpoint.mark_verified(new.peer, now);
        }
        if let Some((peer, token)) = self.attachments.remove(new.device)
            && (peer, token) != (new.peer, new.token)
        {
            self.endpoint.forget_observer(peer, &token);
        }
        let attachment = Attachment {
            nonce: new.nonce,
            request_hash: new.request_hash,
            peer: new.peer,
            token: new.token,
            observing: new.observing,
            counter: 0,
            block_bytes: new.block_bytes,
            pad: new.pad,
            sent_up_to: new.record.acknowledged,
            outstanding: None,
            full: false,
            probe: false,
            building: false,
            used: 0,
            handed: None,
        };
        self.attachments.insert(new.device, attachment);
        self.attach_answer(now, new.device, &new.record, &new.items)
            .unwrap_or_else(|| Refusal::NotOpened.into_response())
    }

    fn attach_answer(
        &mut self,
        _now: Now,
        index: DeviceIndex,
        device: &DeviceRecord,
        items: &[StoredItem],
    ) -> Option<Response> {
        let next = NextAttach { ticket: self.new_ticket(index), generation: self.meta.generation };
        let attachment = self.attachments.get(index)?;
        attachment.handed = Some(next.ticket);
        let response = answer(Code::CONTENT, represent(attachment, device, items, Some(next)));
        Some(if attachment.observing { response.with_observe() } else { response })
    }

    pub(crate) fn step_acknowledge(&mut self, task: &mut Task) -> Result<Step, Stop> {
        let request = task.origin().payload.clone();
        let ack: Ack<'_> = sga_schema::decode(&request)?;
        let (index, device, exists) = self.located(&ack.ticket)?;
        let attached = self.attachments.get(index).map(|attachment| (attachment.nonce, attachment.sent_up_to));
        let exists = exists & attached.is_some();
        let (nonce, sent_up_to) = attached.unwrap_or((self.decoys.nonce, 0));
        let key = steps::ack(aead(device.suite), &device.registered_key, &nonce, ack.counter);
        let opened = open_copy(key, ack.sealed)?;
        if !exists {
            return Err(Refusal::NotOpened.into());
        }
        let fits = ack.sealed.len() == padding::ACK_SEALED_LEN;
        let (AckSecret { cursor }, _) = padding::decode_padded(&opened, fits)?;
        self.locks.take(task, &[Lock::Device(index)])?;
        let device = self.cache.device(index)?.ok_or(Refusal::NotOpened)?;
        let cursor = cursor.saturating_sub(device.shift);
        if cursor <= device.acknowledged || cursor > sent_up_to {
            return Ok(Step::Reply(Response::new(Code::CHANGED)));
        }
        self.mailboxes.get(index)?;
        let mut changed = device.duplicate();
        changed.acknowledged = cursor;
        let mut plan = Plan::default();
        plan.put(Key::Device(index), Record::Device(Arc::new(changed)));
        plan.acknowledge(index, cursor);
        Ok(plan.respond(Response::new(Code::CHANGED)))
    }

    pub(crate) fn step_notify(&mut self, now: Now, index: DeviceIndex, task: &mut Task) -> Result<Step, Stop> {
        let Some(device) = self.cache.device(index)? else { return Ok(Step::Done) };
        self.mailboxes.get(index)?;
        let Some(attachment) = self.attachments.get(index) else { return Ok(Step::Done) };
        if !attachment.observing {
            return Ok(Step::Done);
        }
        let Some(items) = task.scratch.items.take() else {
            return Ok(Step::Load(vec![items_from(index, device.acknowledged, attachment.block_bytes)]));
        };
        let before = attachment.sent_up_to;
        let (peer, token) = (attachment.peer, attachment.token);
        let payload = represent(attachment, &device, &items, None);
        let probe = core::mem::take(&mut attachment.probe);
        if attachment.sent_up_to == before && !probe {
            return Ok(Step::Done);
        }
        match self.endpoint.notify(now, peer, &token, answer(Code::CONTENT, payload)) {
            Ok(id) => attachment.outstanding = Some(id),
            Err(error) => {
                log::debug!("{peer}: {error}");
                self.attachments.stop_observing(peer, token);
            }
        }
        Ok(Step::Done)
    }
}

fn items_from(mailbox: DeviceIndex, acknowledged: u32, block_bytes: usize) -> Want {
    let room = block_bytes.saturating_sub(OVERHEAD_BYTES);
    // An item takes at least 8 bytes.
    Want::Items { mailbox, from: acknowledged + 1, items_max: room / 8 + 1, bytes_max: room }
}

/// Seals what a device is to see: the oldest items that fit one block, or one larger one.
fn represent(
    attachment: &mut Attachment,
    device: &DeviceRecord,
    items: &[StoredItem],
    next: Option<NextAttach>,
) -> Vec<u8> {
    let room = attachment.block_bytes.saturating_sub(OVERHEAD_BYTES);
    let first = items.first().map_or(0, |item| item.body.len() + 32);
    let limit = room.max(first);
    let mut plaintext = vec![0; limit + OVERHEAD_BYTES];
    let mut writer = ItemsWriter::new(&mut plaintext, limit);
    let mut written = false;
    attachment.full = false;
    for item in items {
        if writer.push(item.number.saturating_add(device.shift), item.kind, &item.body) {
            written = true;
        } else if written {
            attachment.full = true;
            break;
        } else {
            // There is room for the first, so this is no item: the store is damaged. What is behind it still gets through.
            log::error!("item {} of device {} is damaged and passed over", item.number, device.id);
        }
        attachment.sent_up_to = attachment.sent_up_to.max(item.number);
    }
    let mut len = writer.finish(next);
    if attachment.pad {
        let tag_len = device.suite.tag_len();
        let to = padding::inbox_sealed_len(len + 1 + tag_len) - tag_len;
        plaintext.resize(to, 0);
        padding::pad(&mut plaintext, len, to).expect("a class has room for a byte more");
        len = to;
    }
    plaintext.resize(len + sga_crypto::TAG_LEN_MAX, 0);
    let counter = attachment.counter;
    attachment.counter += 1;
    let key = steps::inbox(aead(device.suite), &device.registered_key, &attachment.nonce, counter);
    let sealed = key.seal(&mut plaintext, len).expect("the buffer has room for the tag");
    encoded(&Inbox { counter, sealed: &plaintext[..sealed] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachments::tests::attachment;

    #[test]
    fn a_damaged_item_is_passed_over_and_the_next_gets_through() {
        let device = DeviceRecord {
            id: sga_schema::DeviceId::new(b"d").expect("an id"),
            registered_key: sga_crypto::Secret::new([7; 32]),
            suite: sga_schema::Suite::AesCcm8,
            suites: sga_schema::SuiteSet::ALL,
            accept: sga_schema::Accept::All,
            attach_number: 1,
            request_number: 0,
            last_invite: None,
            acknowledged: 0,
            seen_s: None,
            told: 0,
            shift: 0,
        };
        let item = |number, body: &[u8]| StoredItem { number, kind: 6, body: body.to_vec(), stored_s: 0 };
        let mut attachment = attachment(1, true);
        let bytes = represent(&mut attachment, &device, &[item(1, b"\xff"), item(2, b"\x80")], None);
        let inbox: Inbox<'_> = sga_schema::decode(&bytes).expect("an inbox");
        let key = steps::inbox(aead(device.suite), &device.registered_key, &[0; 8], inbox.counter);
        let plain = open_copy(key, inbox.sealed).expect("under k_d");
        let secret: sga_schema::InboxSecret<'_> = sga_schema::decode(&plain).expect("items");
        assert_eq!(secret.items.iter().map(|item| item.number).collect::<Vec<_>>(), [2]);
        assert_eq!(attachment.sent_up_to, 2);
    }
}
