//! What a device can be asked about itself. Nothing here is secret but the comparison code, which two people compare.

use sga_schema::{DeviceId, Profile, Role, Suite};

use crate::device::Device;
use crate::session::{Negotiation, Slot};

/// How far a peer's session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is going on; perhaps a pair secret is kept.
    Idle,
    /// A1 is due or in flight.
    Inviting,
    /// A1 was answered; the peer decides.
    Invited,
    /// A3 is due or in flight.
    Replying,
    /// Agreed; no run has keys yet, or none since a pair secret was set.
    Agreed,
    /// The newest run has keys, the peer's message 0 has not come.
    Keyed,
    /// Texts can be sealed.
    Established,
}

/// One peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// Who.
    pub peer: DeviceId,
    /// How far.
    pub phase: Phase,
    /// The own role in the session.
    pub role: Option<Role>,
    /// The session's suite.
    pub suite: Option<Suite>,
    /// The newest run with keys; 0 if none.
    pub run: u32,
    /// The highest run that was opened or answered.
    pub highest_run: u32,
    /// Whether the newest run is established: texts can be sealed under it.
    pub established: bool,
    /// The newest run was made before the pair secret was set: no text is sealed under it, and the next run is on its way.
    pub superseded: bool,
    /// The next sequence to seal.
    pub next_send: u32,
    /// The next sequence expected.
    pub next_receive: u32,
    /// The highest own sequence that the gateway has confirmed.
    pub confirmed: Option<u32>,
    /// Run and sequence of the text in flight.
    pub in_flight: Option<(u32, u32)>,
    /// Of the newest run.
    pub comparison_code: Option<[u8; 32]>,
    /// Whether a pair secret is kept.
    pub paired: bool,
    /// Requests about this peer rest until the application asks again.
    pub parked: bool,
}

/// What was dropped, and how often. In memory only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Items of a kind that this device does not know.
    pub unknown_kinds: u32,
    /// Items for a handle or run that this device does not have.
    pub unknown_handles: u32,
    /// Items that did not decode.
    pub malformed_items: u32,
    /// Items, answers and notifications that did not open or verify.
    pub failed_openings: u32,
    /// Items and messages seen before.
    pub duplicates: u32,
    /// Items that meant nothing any more.
    pub stale: u32,
}

pub(crate) fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

impl<const PEERS: usize> Device<PEERS> {
    /// ID_d.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        self.identity.id
    }

    /// The pin that packages are held against.
    #[must_use]
    pub fn pin(&self) -> Option<[u8; 16]> {
        self.identity.pin
    }

    /// The gateway's profile, once registered.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        self.home.package.as_ref().map(|package| package.profile)
    }

    /// ID_G, once registered.
    #[must_use]
    pub fn gateway_id(&self) -> Option<DeviceId> {
        self.home.package.as_ref().map(|package| package.gateway_id)
    }

    /// Whether a gateway has accepted this device's key at some time.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.home.ticket.is_some()
    }

    /// Whether the inbox is open.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.home.attachment.is_some()
    }

    /// The number of the last item dealt with.
    #[must_use]
    pub fn cursor(&self) -> u32 {
        self.home.cursor
    }

    /// What was dropped so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// All peers.
    pub fn sessions(&self) -> impl Iterator<Item = SessionStatus> + '_ {
        self.slots.iter().flatten().map(status)
    }

    /// One peer.
    #[must_use]
    pub fn session(&self, peer: DeviceId) -> Option<SessionStatus> {
        self.slot(peer).map(status)
    }
}

fn status(slot: &Slot) -> SessionStatus {
    let newest = slot.runs.newest();
    let agreement = slot.agreement.as_ref();
    SessionStatus {
        peer: slot.peer,
        phase: phase(slot),
        role: agreement.map(|agreement| agreement.role),
        suite: agreement.map(|agreement| agreement.suite),
        run: newest.map_or(0, |run| run.run),
        highest_run: agreement.map_or(0, |agreement| agreement.highest_run),
        established: newest.is_some_and(|run| run.established && !run.superseded),
        superseded: newest.is_some_and(|run| run.superseded),
        next_send: newest.map_or(0, |run| run.next_send),
        next_receive: newest.map_or(0, |run| run.next_receive),
        confirmed: newest.and_then(|run| run.confirmed),
        in_flight: slot.outbox.as_ref().map(|outbox| (outbox.run, outbox.sequence)),
        comparison_code: newest.map(|run| run.comparison_code),
        paired: slot.pair_secret.is_some(),
        parked: slot.parked,
    }
}

fn phase(slot: &Slot) -> Phase {
    match slot.negotiation {
        Negotiation::Wanted { .. } => return Phase::Inviting,
        Negotiation::Invited { .. } => return Phase::Invited,
        Negotiation::Replying(_) => return Phase::Replying,
        Negotiation::None => {}
    }
    if slot.agreement.is_none() {
        // Keys of older runs may be left.
        return Phase::Idle;
    }
    match slot.runs.newest() {
        Some(run) if run.superseded => Phase::Agreed,
        Some(run) if run.established => Phase::Established,
        Some(_) => Phase::Keyed,
        None => Phase::Agreed,
    }
}
