//! The device under test with its shell, and what must hold of both.

use std::collections::BTreeMap;

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sga_device::{
    Accept, Device, DeviceError, DeviceId, Event, Failure, Handled, Outgoing, Secret, Step, Suite, SuiteSet,
};

/// Peers that the device has room for.
pub(crate) const PEERS: usize = 3;
/// Older copies of what was stored that are kept.
const COPIES_MAX: usize = 12;

/// What was stored: the snapshot, and texts in flight.
type Stored = (Vec<u8>, BTreeMap<DeviceId, Vec<u8>>);

/// What a device reported, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Text {
        peer: DeviceId,
        run: u32,
        sequence: u32,
        text: Vec<u8>,
    },
    Established {
        peer: DeviceId,
        run: u32,
    },
    /// B7: a run has keys.
    Keys {
        peer: DeviceId,
    },
    TextLost,
    SessionGone,
}

pub(crate) struct Victim {
    pub(crate) device: Device<PEERS>,
    rng: ChaCha12Rng,
    stored: Stored,
    /// Sealed and not confirmed, in memory.
    kept: BTreeMap<DeviceId, Vec<u8>>,
    copies: Vec<Stored>,
    /// It goes on from what it has stored.
    pub(crate) restarted: bool,
    /// It goes on from something that it never stored.
    pub(crate) wild: bool,
    /// It went on from an older copy.
    pub(crate) set_back: bool,
    pub(crate) told: Vec<Told>,
}

/// k_d.
pub(crate) const REGISTERED_KEY: [u8; 32] = [0x5d; 32];

pub(crate) fn id(text: &str) -> DeviceId {
    text.parse().expect("an id")
}

impl Victim {
    pub(crate) fn new(own: Suite, pin: Option<[u8; 16]>) -> Self {
        let key = Secret::new(REGISTERED_KEY);
        let mut device = Device::new(id("mia"), key, own, SuiteSet::ALL, Accept::All).expect("its own suite");
        device.set_pin(pin);
        device.register();
        let mut victim = Self {
            device,
            rng: ChaCha12Rng::seed_from_u64(5),
            stored: Stored::default(),
            kept: BTreeMap::new(),
            copies: Vec::new(),
            restarted: false,
            wild: false,
            set_back: false,
            told: Vec::new(),
        };
        victim.save();
        victim
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut buf = vec![0; sga_device::snapshot_len_max(PEERS)];
        let len = self.device.snapshot(&mut buf).expect("as long as it may be");
        buf.truncate(len);
        buf
    }

    fn save(&mut self) {
        let snapshot = self.snapshot();
        // What is stored is what a device starts from, to the byte.
        let again = Device::<PEERS>::restore(&snapshot, &mut self.rng.clone()).expect("its own snapshot");
        if !again.needs_save() {
            let mut buf = vec![0; snapshot.len()];
            assert_eq!(again.snapshot(&mut buf), Ok(snapshot.len()));
            assert_eq!(buf, snapshot, "a snapshot changes by being read");
        }
        self.stored = (snapshot, self.kept.clone());
        if self.copies.len() == COPIES_MAX {
            self.copies.remove(0);
        }
        self.copies.push(self.stored.clone());
        self.device.saved();
    }

    fn restart_from(&mut self, stored: Stored) -> bool {
        let Ok(device) = Device::restore(&stored.0, &mut self.rng) else { return false };
        (self.device, self.kept) = (device, stored.1.clone());
        self.told.clear();
        self.stored = stored;
        self.restarted = true;
        true
    }

    /// The process dies and starts again from what was stored.
    pub(crate) fn restart(&mut self) {
        assert!(self.restart_from(self.stored.clone()), "its own snapshot");
    }

    /// The same, from an older copy.
    pub(crate) fn set_back(&mut self, back: usize) {
        let copy = self.copies[back % self.copies.len()].clone();
        self.set_back = true;
        assert!(self.restart_from(copy), "its own snapshot");
    }

    /// Tries to start from a part of what was stored, which no device takes.
    pub(crate) fn restart_cut(&mut self, at: usize) {
        let snapshot = &self.stored.0;
        let cut = &snapshot[..at % snapshot.len()];
        assert!(Device::<PEERS>::restore(cut, &mut self.rng).is_err(), "{} of {} bytes", cut.len(), snapshot.len());
    }

    /// Tries to start from something else; goes on with it if it is taken.
    pub(crate) fn restart_bent(&mut self, snapshot: Vec<u8>) -> bool {
        let changed = snapshot != self.stored.0;
        let taken = self.restart_from((snapshot, self.kept.clone()));
        self.wild |= taken && changed;
        taken && changed
    }

    pub(crate) fn stored_snapshot(&self) -> Vec<u8> {
        self.stored.0.clone()
    }

    /// The next request. What it rests on was stored before.
    pub(crate) fn poll(&mut self) -> Option<(Outgoing, Vec<u8>)> {
        for _ in 0..32 {
            if self.device.needs_save() {
                self.save();
            }
            let mut buf = [0; sga_device::REQUEST_LEN_MAX];
            match self.device.poll_request(&mut self.rng, &mut buf) {
                Ok(Some(out)) => {
                    assert!(!self.device.needs_save(), "{:?} leaves before it is stored", out.kind);
                    assert!(self.snapshot() == self.stored.0, "{:?} changes what is stored", out.kind);
                    let payload = match out.stored {
                        None => buf[..out.len].to_vec(),
                        Some(text) => match self.kept.get(&text.peer).filter(|_| self.is_kept(text.peer)) {
                            Some(bytes) => bytes.clone(),
                            None => {
                                assert!(self.wild, "the bytes of a text in flight are not there");
                                self.device.handle_failure();
                                self.device.abandon(text.peer);
                                continue;
                            }
                        },
                    };
                    return Some((out, payload));
                }
                Ok(None) if self.device.needs_save() => {}
                Ok(None) => return None,
                Err(error) => {
                    // The gateway may say that its numbers are at their end.
                    assert!(self.wild || error == DeviceError::NumbersUsedUp, "no request: {error}");
                    return None;
                }
            }
        }
        assert!(self.wild, "it never comes to send");
        None
    }

    fn is_kept(&self, peer: DeviceId) -> bool {
        self.kept.get(&peer).is_some_and(|bytes| self.device.verify_stored(peer, bytes))
    }

    /// The bytes of the text that was sealed, if one was.
    pub(crate) fn send(&mut self, peer: DeviceId, text: &[u8]) -> Option<Vec<u8>> {
        let mut buf = vec![0; text.len() + 64];
        let can = self.device.can_send(peer);
        let sealed = self.device.send(peer, text, &mut buf).ok()?;
        assert!(can && self.device.needs_save(), "a text was sealed that should not have been");
        buf.truncate(sealed.len);
        self.kept.insert(peer, buf.clone());
        self.save();
        Some(buf)
    }

    pub(crate) fn respond(&mut self, code: u8, mut payload: Vec<u8>) -> Handled {
        let told = &mut self.told;
        self.device.handle_response(code, &mut payload, &mut |event| note(told, event))
    }

    pub(crate) fn notify(&mut self, mut payload: Vec<u8>) {
        let told = &mut self.told;
        self.device.handle_notification(&mut payload, &mut |event| note(told, event));
    }
}

fn note(told: &mut Vec<Told>, event: Event<'_>) {
    told.extend(match event {
        Event::Text { peer, run, sequence, text } => Some(Told::Text { peer, run, sequence, text: text.to_vec() }),
        Event::Established { peer, run } => Some(Told::Established { peer, run }),
        Event::Failed { what: Failure::TextLost { .. } } => Some(Told::TextLost),
        Event::SessionGone { .. } => Some(Told::SessionGone),
        Event::StepDone { step: Step::B7, peer, .. } => Some(Told::Keys { peer }),
        _ => None,
    });
}
