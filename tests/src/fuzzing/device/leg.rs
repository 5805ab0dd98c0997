//! One session of the device under test, as somebody has it who plays both the gateway and the peer.

use sga_crypto::{Aead, Element, GroupId, SealKey, Secret, Seed, TrafficKey, accelerator, short_hash, steps};
use sga_device::{DeviceId, Role, Suite};
use sga_schema::{Handle, VERSION};

/// The gateway's half of what a session needs.
pub(crate) struct GatewaySide {
    pub(crate) group: GroupId,
    pub(crate) secret: Seed,
    pub(crate) public: Element,
}

/// A run that is closed, with all keys of it.
pub(crate) struct Run {
    pub(crate) run: u32,
    /// The Half that the device sent.
    pub(crate) body: Vec<u8>,
    /// The plaintext of its B6: element, hash of the peer's N, tag.
    pub(crate) b6: (Vec<u8>, [u8; 16], [u8; 8]),
    pub(crate) to_device: TrafficKey,
    pub(crate) from_device: TrafficKey,
    pub(crate) hop: Secret<32>,
    /// Y is no element that a device may take.
    pub(crate) is_false: bool,
    /// The peer's next sequence.
    pub(crate) next: u32,
    /// A message 0 of the peer's was made.
    pub(crate) offered: bool,
    /// The device was told that its own message 0 is stored.
    pub(crate) confirmed: bool,
}

pub(crate) struct Leg {
    pub(crate) peer: DeviceId,
    /// The device's.
    pub(crate) role: Role,
    pub(crate) handle: Handle,
    pub(crate) suite: Suite,
    pub(crate) nonce_i: [u8; 8],
    pub(crate) nonce_g: [u8; 8],
    pub(crate) nonce_j: [u8; 8],
    /// k_t of the device; not known before its A3.
    pub(crate) own_key: Option<[u8; 16]>,
    pub(crate) peer_key: [u8; 16],
    pub(crate) th_a: [u8; 32],
    pub(crate) runs: Vec<Run>,
}

/// What Y may be instead of what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element6 {
    Genuine,
    Identity,
    NotCanonical,
    OwnHalf,
}

pub(crate) fn aead(suite: Suite) -> Aead {
    Aead::from_id(suite.id()).expect("all suites are built")
}

pub(crate) fn seal(key: SealKey, plain: &[u8]) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    bytes.resize(plain.len() + 16, 0);
    let len = key.seal(&mut bytes, plain.len()).expect("there is room for a tag");
    bytes.truncate(len);
    bytes
}

pub(crate) fn open(key: SealKey, sealed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = sealed.to_vec();
    let len = key.open(&mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

impl Leg {
    pub(crate) fn own_key(&self) -> Option<Secret<16>> {
        self.own_key.map(Secret::new)
    }

    /// All nonces are known.
    pub(crate) fn agree(&mut self, own: DeviceId, profile: u8) {
        let (id_i, id_j) = self.in_order(own, self.peer);
        self.th_a = steps::th_a(
            VERSION,
            profile,
            self.suite.id(),
            id_i.as_bytes(),
            id_j.as_bytes(),
            b"gate",
            &self.nonce_i,
            &self.nonce_g,
            &self.nonce_j,
        );
    }

    pub(crate) fn in_order<T>(&self, own: T, peer: T) -> (T, T) {
        match self.role {
            Role::Initiator => (own, peer),
            Role::Responder => (peer, own),
        }
    }

    pub(crate) fn newest_run(&self) -> u32 {
        self.runs.iter().map(|run| run.run).max().unwrap_or(0)
    }

    pub(crate) fn run_mut(&mut self, run: u32) -> Option<&mut Run> {
        self.runs.iter_mut().rev().find(|held| held.run == run)
    }

    /// The peer answers a Half at once, and the gateway closes the run. `None` if what is inside does not verify.
    pub(crate) fn close(
        &mut self,
        gateway: &GatewaySide,
        run: u32,
        body: &[u8],
        half: (&[u8], &[u8]),
        element6: Element6,
        rng: &mut impl rand_core::CryptoRng,
    ) -> Option<()> {
        let GatewaySide { group, secret, public } = gateway;
        let (n, tag) = half;
        let role = self.role;
        let own = accelerator::verify_half(*group, secret, public, n, &[], tag, role.id(), run, &self.th_a).ok()?;
        let (big_r, r_s) = (Seed::new(rng), Seed::new(rng));
        let peer_n = group.exp_base(&big_r);
        let (n_i, n_j) = self.in_order(&own.element, &peer_n);
        let (y_i, y_j) = accelerator::session_halves(*group, n_i, n_j, &r_s);
        let (y_own, y_peer) = self.in_order(y_i, y_j);
        let th_b = steps::th_b(&self.th_a, run, n_i.as_bytes(), n_j.as_bytes());
        let y_own = match element6 {
            Element6::Genuine => y_own.as_bytes().to_vec(),
            Element6::Identity => vec![0; 32],
            Element6::NotCanonical => vec![0xff; 32],
            Element6::OwnHalf => n.to_vec(),
        };
        let shared = accelerator::session_element(*group, y_peer.as_bytes(), &big_r).ok()?;
        let own_key = steps::peer_key(&self.own_key()?);
        let peer_key = steps::peer_key(&Secret::new(self.peer_key));
        let (key_i, key_j) = self.in_order(&own_key, &peer_key);
        let root = steps::root(&shared, key_i, key_j, None, &th_b);
        let suite = aead(self.suite);
        let b6_tag = steps::b6_tag(&own.key, role.id(), run, &th_b, &y_own);
        self.runs.push(Run {
            run,
            body: body.to_vec(),
            b6: (y_own, short_hash(peer_n.as_bytes()), b6_tag),
            to_device: steps::traffic(&root, suite, role.other().id()),
            from_device: steps::traffic(&root, suite, role.id()),
            hop: steps::hop_key(&own.key, &th_b),
            is_false: matches!(element6, Element6::Identity | Element6::NotCanonical),
            next: 1,
            offered: false,
            confirmed: false,
        });
        Some(())
    }
}
