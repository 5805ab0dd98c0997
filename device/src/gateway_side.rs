//! What a device is, and what it knows of its gateway.

use sga_crypto::{Element, GroupId, Secret};
use sga_schema::{Accept, DeviceId, Profile, Suite, SuiteSet};

use crate::limits::{ALLOWED_MAX, ENROLMENT_LEN_MAX};

/// The device itself.
pub(crate) struct Identity {
    pub(crate) id: DeviceId,
    /// k_d.
    pub(crate) registered_key: Secret<32>,
    /// The k_d that is to take its place. Which of both is in force at the gateway is not known before its answer.
    pub(crate) next_key: Option<Secret<32>>,
    /// x.
    pub(crate) suite: Suite,
    pub(crate) suites: SuiteSet,
    pub(crate) accept: Accept,
    /// Only these may invite, if it is not empty. In memory only.
    pub(crate) allowed: [Option<DeviceId>; ALLOWED_MAX],
    pub(crate) pin: Option<[u8; 16]>,
    /// In memory only.
    pub(crate) enrolment: Option<Enrolment>,
}

/// An enrolment secret.
pub(crate) struct Enrolment {
    bytes: Secret<ENROLMENT_LEN_MAX>,
    len: usize,
}

impl Enrolment {
    pub(crate) fn new(secret: &[u8]) -> Option<Self> {
        let mut bytes = [0; ENROLMENT_LEN_MAX];
        bytes.get_mut(..secret.len())?.copy_from_slice(secret);
        Some(Self { bytes: Secret::new(bytes), len: secret.len() })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.expose().get(..self.len).unwrap_or_default()
    }
}

/// A package that was checked.
pub(crate) struct Package {
    pub(crate) profile: Profile,
    pub(crate) group: GroupId,
    /// PK.
    pub(crate) public: Element,
    pub(crate) gateway_id: DeviceId,
    pub(crate) suites: SuiteSet,
    /// P.
    pub(crate) hash: [u8; 32],
}

/// The gateway as this device knows it.
pub(crate) struct Home {
    // Stored.
    /// The package under which this device is registered.
    pub(crate) package: Option<Package>,
    /// For the next attach.
    pub(crate) ticket: Option<[u8; 16]>,
    pub(crate) attach_number: u32,
    pub(crate) request_number: u32,
    pub(crate) cursor: u32,
    pub(crate) generation: [u8; 4],
    // In memory.
    /// Seen in a GET; it takes the place of `package` when the gateway has proven that it is its.
    pub(crate) candidate: Option<Package>,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) due: Due,
    pub(crate) observe: bool,
    /// The number is stored and not used yet.
    pub(crate) attach_reserved: bool,
    pub(crate) request_reserved: bool,
    /// Attaches refused since the last that succeeded.
    pub(crate) strikes: u8,
    /// The gateway shows another package than the pinned one: it may have rotated its key pair and take the old one for a while.
    pub(crate) other_package: bool,
    /// An item waits for something else; an attach brings it again.
    pub(crate) inbox_blocked: bool,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            package: None,
            ticket: None,
            attach_number: 0,
            request_number: 0,
            cursor: 0,
            generation: [0; 4],
            candidate: None,
            attachment: None,
            due: Due::default(),
            observe: true,
            attach_reserved: false,
            request_reserved: false,
            strikes: 0,
            other_package: false,
            inbox_blocked: false,
        }
    }
}

/// The open inbox.
pub(crate) struct Attachment {
    /// n_a.
    pub(crate) nonce: [u8; 8],
    pub(crate) ticket: [u8; 16],
    /// Of the last Ack.
    pub(crate) ack_counter: u32,
}

/// Requests to the gateway itself that are due.
#[derive(Default)]
pub(crate) struct Due {
    pub(crate) package: bool,
    pub(crate) register: bool,
    pub(crate) attach: bool,
    pub(crate) ack: bool,
}
