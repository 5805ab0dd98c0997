//! Who is attached, and how far each was told: what the gateway forgets when it stops.

use std::collections::HashMap;
use std::net::SocketAddr;

use sga_coap::{NotificationId, Token};

use crate::limits::ATTACHMENTS_MAX;
use crate::storage::DeviceIndex;

/// A device that is attached: what the gateway forgets when it stops.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) nonce: [u8; 8],
    pub(crate) request_hash: [u8; 32],
    pub(crate) peer: SocketAddr,
    pub(crate) token: Token,
    pub(crate) observing: bool,
    /// The next c: each payload under `nonce` has its own.
    pub(crate) counter: u32,
    pub(crate) block_bytes: usize,
    /// What it is told is padded, since its attach was.
    pub(crate) pad: bool,
    /// The highest number handed out since.
    pub(crate) sent_up_to: u32,
    /// The newest notification, until it is acknowledged.
    pub(crate) outstanding: Option<NotificationId>,
    /// There was no room in it for all that is there, so that a newer one would hold no more.
    pub(crate) full: bool,
    /// It is to be told the current state even if that is nothing new, to see whether it is still there.
    pub(crate) probe: bool,
    /// A notification is being put together.
    pub(crate) building: bool,
    pub(crate) used: u64,
    /// The ticket that went to `peer` last.
    pub(crate) handed: Option<[u8; 16]>,
}

impl Attachment {
    /// Each payload under `nonce` has a counter of its own: when they are used up the device has to attach again.
    pub(crate) fn has_nonces(&self) -> bool {
        self.counter < u32::MAX
    }
}

/// Who is attached.
pub(crate) struct Attachments {
    pub(crate) by_device: HashMap<DeviceIndex, Attachment>,
    pub(crate) by_observer: HashMap<(SocketAddr, Token), DeviceIndex>,
    capacity: usize,
    turn: u64,
}

impl Attachments {
    pub(crate) fn new() -> Self {
        Self { by_device: HashMap::new(), by_observer: HashMap::new(), capacity: ATTACHMENTS_MAX, turn: 0 }
    }

    pub(crate) fn get(&mut self, device: DeviceIndex) -> Option<&mut Attachment> {
        self.turn += 1;
        let attachment = self.by_device.get_mut(&device)?;
        attachment.used = self.turn;
        Some(attachment)
    }

    /// Ends an attachment; returns its observer, if any.
    pub(crate) fn remove(&mut self, device: DeviceIndex) -> Option<(SocketAddr, Token)> {
        let old = self.by_device.remove(&device)?;
        let observer = (old.peer, old.token);
        self.by_observer.remove(&observer).map(|_| observer)
    }

    /// Ends those of some devices, for a reason; who observed.
    pub(crate) fn remove_if<T>(
        &mut self,
        mut ends: impl FnMut(DeviceIndex) -> Option<T>,
    ) -> Vec<((SocketAddr, Token), T)> {
        let ended: Vec<(DeviceIndex, T)> =
            self.by_device.keys().filter_map(|&device| Some((device, ends(device)?))).collect();
        ended.into_iter().filter_map(|(device, why)| Some((self.remove(device)?, why))).collect()
    }

    pub(crate) fn insert(&mut self, device: DeviceIndex, mut attachment: Attachment) {
        if self.by_device.len() >= self.capacity {
            let oldest = self.by_device.iter().min_by_key(|(_, attachment)| attachment.used).map(|(&device, _)| device);
            if let Some(oldest) = oldest {
                self.remove(oldest);
            }
        }
        self.turn += 1;
        attachment.used = self.turn;
        if attachment.observing {
            self.by_observer.insert((attachment.peer, attachment.token), device);
        }
        self.by_device.insert(device, attachment);
    }

    /// The observer is gone; its device may still acknowledge.
    pub(crate) fn stop_observing(&mut self, peer: SocketAddr, token: Token) {
        if let Some(attachment) =
            self.by_observer.remove(&(peer, token)).and_then(|device| self.by_device.get_mut(&device))
        {
            attachment.observing = false;
            attachment.outstanding = None;
        }
    }

    /// A notification was acknowledged: whose.
    pub(crate) fn notified(&mut self, peer: SocketAddr, token: Token, id: NotificationId) -> Option<DeviceIndex> {
        let device = *self.by_observer.get(&(peer, token))?;
        self.get(device)?.outstanding.take_if(|newest| *newest == id);
        Some(device)
    }

    /// An observer has been silent for long: whose.
    pub(crate) fn probe(&mut self, peer: SocketAddr, token: Token) -> Option<DeviceIndex> {
        let device = *self.by_observer.get(&(peer, token))?;
        let attachment = self.by_device.get_mut(&device)?;
        attachment.probe = attachment.outstanding.is_none() && !attachment.building && attachment.has_nonces();
        attachment.probe.then_some(device)
    }

    /// The highest number that an observer was told of, if it may be told more now.
    pub(crate) fn may_notify(&self, device: DeviceIndex) -> Option<u32> {
        let attachment = self.by_device.get(&device)?;
        let room = attachment.outstanding.is_none() || !attachment.full;
        let free = attachment.observing && room && !attachment.building && attachment.has_nonces();
        free.then_some(attachment.sent_up_to)
    }

    pub(crate) fn set_building(&mut self, device: DeviceIndex, building: bool) {
        if let Some(attachment) = self.by_device.get_mut(&device) {
            attachment.building = building;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn attachment(port: u16, observing: bool) -> Attachment {
        Attachment {
            nonce: [0; 8],
            request_hash: [0; 32],
            peer: SocketAddr::from(([127, 0, 0, 1], port)),
            token: Token::new(&[1]).expect("short"),
            observing,
            counter: 0,
            block_bytes: 1_024,
            pad: false,
            sent_up_to: 0,
            outstanding: None,
            full: false,
            probe: false,
            building: false,
            used: 0,
            handed: None,
        }
    }

    #[test]
    fn the_longest_unused_attachment_makes_room() {
        let mut attachments = Attachments::new();
        attachments.capacity = 8;
        for device in 0..100 {
            attachments.insert(device, attachment(device as u16, true));
            assert!(attachments.get(0).is_some(), "the one in use stays");
            assert!(attachments.by_device.len() <= 8 && attachments.by_observer.len() <= 8);
        }
    }

    #[test]
    fn used_up_nonces_end_an_attachment() {
        let mut attachments = Attachments::new();
        attachments.insert(1, Attachment { counter: u32::MAX, ..attachment(1, true) });
        assert_eq!(attachments.may_notify(1), None);
    }

    #[test]
    fn an_observer_is_told_nothing_more_once_it_is_gone() {
        let mut attachments = Attachments::new();
        attachments.insert(1, attachment(1, true));
        assert_eq!(attachments.may_notify(1), Some(0));
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        attachments.stop_observing(peer, Token::new(&[1]).expect("short"));
        assert_eq!(attachments.may_notify(1), None);
        assert!(attachments.get(1).is_some(), "it may still acknowledge");
    }
}
