//! A device's shell for tests, and a gateway.
#![allow(dead_code, clippy::unwrap_used, reason = "helpers of several tests")]

mod gateway;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sga_device::{Device, DeviceId, Event, Handled, Outgoing};

#[allow(unused_imports, reason = "not all tests need all of it")]
pub(crate) use gateway::{Gateway, Middle, Reply, encoded};

pub(crate) fn id(text: &str) -> DeviceId {
    text.parse().unwrap()
}

/// A device with its shell: what it has stored, and what it was told.
pub(crate) struct End {
    pub(crate) device: Device<3>,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) disk: Vec<u8>,
    pub(crate) outbox: Option<Vec<u8>>,
    /// All that was ever stored.
    pub(crate) copies: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) texts: Vec<Vec<u8>>,
    pub(crate) log: Vec<String>,
}

impl End {
    pub(crate) fn new(device: Device<3>, seed: u8) -> Self {
        let rng = ChaCha20Rng::from_seed([seed; 32]);
        let (disk, copies, texts, log) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut end = Self { device, rng, disk, outbox: None, copies, texts, log };
        end.save();
        end
    }

    pub(crate) fn save(&mut self) {
        let mut buf = vec![0; sga_device::snapshot_len_max(3)];
        let len = self.device.snapshot(&mut buf).unwrap();
        self.disk = buf[..len].to_vec();
        self.copies.push((self.disk.clone(), self.outbox.clone()));
        self.device.saved();
    }

    /// The process dies and starts again from what was stored.
    pub(crate) fn crash(&mut self) {
        self.device = Device::restore(&self.disk, &mut self.rng).unwrap();
        if self.device.needs_save() {
            self.save();
        }
    }

    /// The same, from an older copy.
    pub(crate) fn set_back(&mut self, copy: usize) {
        (self.disk, self.outbox) = self.copies[copy].clone();
        self.crash();
    }

    pub(crate) fn poll(&mut self) -> Option<(Outgoing, Vec<u8>)> {
        loop {
            if self.device.needs_save() {
                self.save();
            }
            let mut buf = [0; sga_device::REQUEST_LEN_MAX];
            match self.device.poll_request(&mut self.rng, &mut buf).unwrap() {
                Some(out) if out.stored.is_some() => return Some((out, self.outbox.clone().unwrap())),
                Some(out) => return Some((out, buf[..out.len].to_vec())),
                None if self.device.needs_save() => {}
                None => return None,
            }
        }
    }

    pub(crate) fn respond(&mut self, reply: Reply) -> Handled {
        let (code, mut payload) = reply;
        let (texts, log) = (&mut self.texts, &mut self.log);
        let handled = self.device.handle_response(code, &mut payload, &mut |event| note(texts, log, event));
        if self.device.in_flight_text(id("amy")).or(self.device.in_flight_text(id("bob"))).is_none() {
            self.outbox = None;
        }
        handled
    }

    pub(crate) fn notify(&mut self, mut payload: Vec<u8>) {
        let (texts, log) = (&mut self.texts, &mut self.log);
        self.device.handle_notification(&mut payload, &mut |event| note(texts, log, event));
    }

    pub(crate) fn send(&mut self, peer: DeviceId, text: &[u8]) {
        let mut buf = vec![0; sga_device::sealed_len_max(text.len())];
        let sealed = self.device.send(peer, text, &mut buf).unwrap();
        self.outbox = Some(buf[..sealed.len].to_vec());
        self.save();
    }

    pub(crate) fn has(&self, what: &str) -> bool {
        self.log.iter().any(|line| line.contains(what))
    }
}

fn note(texts: &mut Vec<Vec<u8>>, log: &mut Vec<String>, event: Event<'_>) {
    if let Event::Text { text, .. } = event {
        texts.push(text.to_vec());
    }
    log.push(format!("{event:?}"));
}

/// Lets everything happen until nothing more does.
pub(crate) fn settle(gateway: &mut Gateway, ends: &mut [&mut End]) {
    for _ in 0..200 {
        let mut moved = false;
        for end in ends.iter_mut() {
            if let Some((out, payload)) = end.poll() {
                let reply = gateway.handle(out.kind, &payload);
                let _ = end.respond(reply);
                moved = true;
            }
            if let Some(payload) = gateway.notification(end.device.id()) {
                end.notify(payload);
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
    panic!("it never ends");
}
