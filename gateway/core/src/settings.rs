//! What an operator chooses, and what the gateway holds for life.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sga_crypto::{Element, steps};
use sga_schema::{DeviceId, Package, Policy, Profile, SuiteSet, VERSION};

use crate::job::KeyPair;
use crate::rates::{Rate, Rates};
use crate::record::{Meta, RecordError};
use crate::storage::{Change, DeviceIndex, Key};

/// Who may register.
#[derive(Clone)]
pub enum Enrolment {
    /// Anyone who finds a free name.
    Open,
    /// Who knows this secret (at least 16 random bytes).
    Token(Vec<u8>),
    /// Devices on this list, each with a secret of its own.
    List(HashMap<DeviceId, Vec<u8>>),
}

impl Enrolment {
    /// What the package says of it.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match self {
            Self::Open => Policy::Open,
            Self::Token(_) => Policy::Token,
            Self::List(_) => Policy::List,
        }
    }

    /// The secret that a device of this name has to know.
    pub(crate) fn secret(&self, id: &DeviceId) -> Option<&[u8]> {
        match self {
            Self::Open => None,
            Self::Token(secret) => Some(secret),
            Self::List(list) => list.get(id).map(Vec::as_slice),
        }
    }
}

impl core::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Token(_) => f.write_str("Token(redacted)"),
            Self::List(list) => write!(f, "List({} devices)", list.len()),
        }
    }
}

/// What an operator chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// ID_G.
    pub gateway_id: DeviceId,
    /// The profile served.
    pub profile: Profile,
    /// CidSet^G.
    pub suites: SuiteSet,
    /// Who may register.
    pub enrolment: Enrolment,
    /// Messages in one mailbox, whoever sent them; at most [`crate::limits::MAILBOX_MESSAGES_MAX`]. A part more
    /// ([`crate::limits::MAILBOX_SHARE`]) is for sessions that have few there.
    pub mailbox_messages_max: usize,
    /// Devices that the operator has shut out.
    pub revoked: HashSet<DeviceId>,
    /// An item that was not fetched for so long is dropped, and its sender told.
    pub mailbox_age: Duration,
    /// A device that has not attached for so long is forgotten; none is if there is no such time.
    pub forget_after: Option<Duration>,
    /// A request that takes longer than this is acknowledged, and answered separately (RFC 7252 §5.2.2).
    pub separate_after: Duration,
    /// How much anyone may ask.
    pub rates: Rates,
    /// Halves of one leg that cost public-key work or end a run.
    pub runs_per_leg: Rate,
}

impl Settings {
    /// All suites, open enrolment.
    #[must_use]
    pub fn new(gateway_id: DeviceId, profile: Profile) -> Self {
        Self {
            gateway_id,
            profile,
            suites: SuiteSet::ALL,
            enrolment: Enrolment::Open,
            mailbox_messages_max: crate::limits::MAILBOX_MESSAGES_MAX,
            revoked: HashSet::new(),
            mailbox_age: crate::limits::MAILBOX_AGE,
            forget_after: Some(crate::limits::FORGET_AFTER),
            separate_after: crate::limits::SEPARATE_AFTER,
            rates: Rates::of(profile),
            runs_per_leg: Rate(crate::limits::RUNS_PER_LEG),
        }
    }

    pub(crate) fn package(&self, public: &Element) -> Vec<u8> {
        let package = Package {
            profile: self.profile,
            public_key: public.as_bytes(),
            gateway_id: self.gateway_id,
            suites: self.suites,
            policy: self.enrolment.policy(),
        };
        let mut bytes = vec![0; sga_schema::encoded_len(&package)];
        let len = sga_schema::encode(&package, &mut bytes).expect("the buffer has the encoded length");
        bytes.truncate(len);
        bytes
    }
}

/// The gateway's secrets. They outlive every start; a fleet shares them.
#[derive(Clone)]
pub struct GatewayKeys {
    /// PR and PK.
    pub pair: Arc<KeyPair>,
    /// Encrypts tickets.
    pub ticket_key: [u8; 16],
    /// Makes Echo values.
    pub echo_key: [u8; 32],
}

impl core::fmt::Debug for GatewayKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("GatewayKeys(redacted)")
    }
}

/// Where the last start left off.
#[derive(Clone, Debug)]
pub struct Boot {
    pub(crate) meta: Meta,
}

impl Boot {
    /// A new store. The generation is random.
    #[must_use]
    pub fn fresh(generation: [u8; 4]) -> Self {
        Self { meta: Meta { generation, next_device: 1, uptime_s: 0 } }
    }

    /// From the value stored under [`Key::Meta`].
    ///
    /// # Errors
    /// The value is damaged.
    pub fn from_meta(value: &[u8]) -> Result<Self, RecordError> {
        Meta::decode(value).map(|meta| Self { meta })
    }

    /// After the store was set back: another generation, and no index for a new device that one which is there has.
    #[must_use]
    pub fn renewed(mut self, generation: [u8; 4], highest_device: Option<DeviceIndex>) -> Self {
        self.meta.generation = generation;
        self.meta.next_device = self.meta.next_device.max(highest_device.map_or(1, |index| index.saturating_add(1)));
        self
    }

    /// Seconds that the gateway has been up, over all its starts.
    #[must_use]
    pub fn uptime_s(&self) -> u64 {
        self.meta.uptime_s
    }

    /// What a new store has to be given before the gateway serves from it.
    #[must_use]
    pub fn to_change(&self) -> Change {
        Change::Put { key: Key::Meta, value: self.meta.encode() }
    }
}

/// What a device compares before it trusts a package: `h([version, profile, PK])`.
#[must_use]
pub fn pin(profile: Profile, public: &Element) -> [u8; 16] {
    steps::pin(VERSION, profile.id(), public.as_bytes())
}
