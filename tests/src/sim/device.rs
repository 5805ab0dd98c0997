//! A device with its agent, its durable image, and an application that sends and reads.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use sga_crypto::Secret;
use sga_device::agent::{Agent, Image, Notice};
use sga_device::{Accept, Device, DeviceId, Failure, Phase, Suite, SuiteSet};
use sga_gateway_core::Now;

/// How often a device refreshes its inbox.
const REFRESH: Duration = Duration::from_secs(25);

/// Texts by the device that they came from, in order.
pub type Received = HashMap<DeviceId, Vec<Vec<u8>>>;

/// A device that can be stopped at any moment and started again from its image.
pub struct DeviceNode {
    /// Where it is; another port after each restart, as behind a NAT.
    pub address: SocketAddr,
    /// Its id.
    pub id: DeviceId,
    /// What is on its medium.
    pub image: Image,
    pub(crate) agent: Agent,
    gateway: SocketAddr,
    /// Peers that the application wants a session with, and with which cipher.
    wanted: Vec<(DeviceId, Option<Suite>)>,
    /// How long the application waits before it asks for the same session again.
    pub patience: Duration,
    asked: BTreeMap<DeviceId, Now>,
    /// Texts that were not sealed yet.
    outgoing: BTreeMap<DeviceId, VecDeque<Vec<u8>>>,
    /// Texts that were sealed, while this process runs.
    pub(crate) sealed: HashMap<(DeviceId, u32, u32), Vec<u8>>,
    /// Whether it pads what it sends; [`Self::set_pad`].
    pad: bool,
    /// Whether the application sends a text again that is reported as lost.
    pub sends_lost_again: bool,
    /// Texts that the application was handed, by sender, in order. Survives restarts, like the image.
    pub received: Received,
    /// All that was reported.
    pub notices: Vec<Notice>,
    restarts: u16,
    /// k_d, for tests that know everything.
    pub registered_key: Secret<32>,
    /// What the agent's randomness comes from, likewise.
    pub seed: [u8; 32],
}

fn seed(rng: &mut ChaCha12Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    seed
}

impl DeviceNode {
    pub(crate) fn new(
        id: DeviceId,
        address: SocketAddr,
        gateway: SocketAddr,
        suites: SuiteSet,
        rng: &mut ChaCha12Rng,
    ) -> Self {
        let registered_key = Secret::new(seed(rng));
        let own = suites.iter().next().expect("a device has a suite");
        let mut device = Device::new(id, registered_key.duplicate(), own, suites, Accept::All).expect("its own suite");
        device.register();
        let image = Image::of(&device, Vec::new(), Vec::new());
        let seed = seed(rng);
        let mut agent = Agent::new(device, gateway, seed, Image::default());
        agent.listen(Now::ZERO, REFRESH);
        Self {
            address,
            id,
            image,
            agent,
            gateway,
            wanted: Vec::new(),
            patience: Duration::ZERO,
            asked: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            sealed: HashMap::new(),
            pad: false,
            sends_lost_again: false,
            received: HashMap::new(),
            notices: Vec::new(),
            restarts: 0,
            registered_key,
            seed,
        }
    }

    /// The core, to ask.
    pub fn device(&self) -> &Device<{ sga_device::agent::PEERS }> {
        self.agent.device()
    }

    /// The core, to ask for something.
    pub fn device_mut(&mut self) -> &mut Device<{ sga_device::agent::PEERS }> {
        self.agent.device_mut()
    }

    /// Whether it pads what it sends, in this life and in later ones.
    pub fn set_pad(&mut self, pad: bool) {
        self.pad = pad;
        self.agent.device_mut().set_pad(pad);
    }

    /// The application wants a session.
    pub fn want(&mut self, peer: DeviceId, suite: Option<Suite>) {
        self.wanted.push((peer, suite));
    }

    /// The application has a text for a peer.
    pub fn text(&mut self, peer: DeviceId, text: Vec<u8>) {
        self.outgoing.entry(peer).or_default().push_back(text);
    }

    /// Whether everything that it was given has left for good.
    pub fn is_done(&self) -> bool {
        self.outgoing.values().all(VecDeque::is_empty)
            && self.agent.device().sessions().all(|session| session.in_flight.is_none())
    }

    /// The power goes, and comes back: what was not in the image is gone.
    pub(crate) fn restart(&mut self, now: Now, rng: &mut ChaCha12Rng) {
        self.restarts += 1;
        self.address.set_port(self.address.port() + 1);
        let mut device = self.image.device(rng).expect("its own image");
        if !device.is_registered() {
            device.register();
        }
        self.seed = seed(rng);
        device.set_pad(self.pad);
        self.agent = Agent::new(device, self.gateway, self.seed, self.image.clone());
        self.agent.listen(now, REFRESH);
    }

    /// The same, from an older copy of its image.
    pub(crate) fn set_back(&mut self, image: Image, now: Now, rng: &mut ChaCha12Rng) {
        self.image = image;
        self.restart(now, rng);
    }

    /// Does what is due until something has to be waited for; `send` takes the datagrams.
    pub(crate) fn work(&mut self, now: Now, mut send: impl FnMut(SocketAddr, SocketAddr, Vec<u8>)) {
        loop {
            self.agent.drive(now);
            if let Some(image) = self.agent.poll_save() {
                self.image = image;
                self.agent.saved();
                continue;
            }
            while let Some(transmit) = self.agent.poll_transmit() {
                send(self.address, transmit.peer, transmit.bytes);
            }
            while let Some(notice) = self.agent.poll_notice() {
                if let Notice::Failed(Failure::TextLost { peer, run, sequence }) = notice
                    && self.sends_lost_again
                    && let Some(text) = self.sealed.remove(&(peer, run, sequence))
                {
                    self.outgoing.entry(peer).or_default().push_front(text);
                }
                self.notices.push(notice);
            }
            // The application's own record is written together with the image that says that it has the text.
            while let Some(text) = self.agent.poll_text().cloned() {
                self.received.entry(text.peer).or_default().push(text.text);
                self.agent.text_taken();
            }
            if self.agent.poll_save().is_none() && !self.application(now) {
                return;
            }
        }
    }

    /// What the application does when it may; true if it did something.
    fn application(&mut self, now: Now) -> bool {
        if !self.agent.device().is_attached() || !self.agent.is_idle() {
            return false;
        }
        for &(peer, suite) in &self.wanted {
            let phase = self.agent.device().session(peer).map_or(Phase::Idle, |session| session.phase);
            let soon = self.asked.get(&peer).is_some_and(|asked| now < *asked + self.patience);
            if phase == Phase::Idle && !soon && self.agent.device_mut().connect(peer, suite).is_ok() {
                self.asked.insert(peer, now);
                return true;
            }
        }
        for (&peer, texts) in &mut self.outgoing {
            if let Some(text) = texts.front()
                && self.agent.device().can_send(peer)
            {
                let (run, sequence) = self.agent.send(peer, text).expect("can_send said so");
                self.sealed.extend(texts.pop_front().map(|text| ((peer, run, sequence), text)));
                return true;
            }
        }
        false
    }
}
