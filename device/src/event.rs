//! What a device reports while it handles what arrived.

use sga_schema::{DeviceId, SuiteSet};

/// One thing that happened. Texts and durable changes: save the snapshot (and the text) before acting on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A package was taken. `pinned`: it matched a pin that was there before; otherwise it was the first seen and is kept.
    PackageAccepted {
        /// Its pin.
        pin: [u8; 16],
        /// Whether a pin was there before.
        pinned: bool,
    },
    /// The gateway has rotated its key pair, and says so in the inbox: this is the pin from now on.
    PackageChanged {
        /// The new pin.
        pin: [u8; 16],
    },
    /// The new k_d is in force; the old one is gone.
    KeyRotated,
    /// The gateway has this device's key.
    Registered,
    /// The inbox is open.
    Attached {
        /// The gateway's store was restored or replaced since the last time.
        generation_changed: bool,
    },
    /// A peer has asked for a session (A2); it will be answered.
    Invited {
        /// Who.
        peer: DeviceId,
    },
    /// A negotiation is done on this end.
    Agreed {
        /// With whom.
        peer: DeviceId,
    },
    /// The gateway's store was replaced, and the new one does not have the session with this peer: it is negotiated anew. A text
    /// in flight was reported as [`Failure::TextLost`].
    SessionGone {
        /// With whom.
        peer: DeviceId,
    },
    /// The gateway has ended the session with this peer, and says so in the inbox. A text in flight was reported as
    /// [`Failure::TextLost`]; a new session is the application's to ask for.
    SessionEnded {
        /// With whom.
        peer: DeviceId,
        /// The operator has revoked the peer (or had revoked this device).
        revoked: bool,
    },
    /// A Half for this run is due.
    RunStarted {
        /// With whom.
        peer: DeviceId,
        /// Which run.
        run: u32,
    },
    /// The peer's message 0 opened: texts may be sealed under this run.
    Established {
        /// With whom.
        peer: DeviceId,
        /// Which run.
        run: u32,
    },
    /// The peer's message 0 of a run does not open, though this end has the keys of that run: the two have made different keys. The
    /// pair secrets differ, or only one end has one, or somebody is in the middle (a gateway that does not follow the protocol; after
    /// its store was set back also one that does). No text was sealed under that run, and none is.
    NotConfirmed {
        /// With whom.
        peer: DeviceId,
        /// Which run.
        run: u32,
        /// Whether this end holds a pair secret for the peer.
        paired: bool,
        /// Another run is tried. If not, nothing more happens before either application asks for it.
        again: bool,
    },
    /// A text, opened once and never again.
    Text {
        /// From whom.
        peer: DeviceId,
        /// Under which run.
        run: u32,
        /// Its sequence.
        sequence: u32,
        /// The text.
        text: &'a [u8],
    },
    /// Texts that will not come.
    Gap {
        /// From whom.
        peer: DeviceId,
        /// Under which run.
        run: u32,
        /// The first that is missing.
        from: u32,
        /// The last that is missing.
        to: u32,
    },
    /// The gateway has this device's text on disk.
    Sent {
        /// To whom.
        peer: DeviceId,
        /// Under which run.
        run: u32,
        /// Its sequence.
        sequence: u32,
    },
    /// Texts of this device that nobody fetched are gone.
    Expired {
        /// To whom.
        peer: DeviceId,
        /// Under which run.
        run: u32,
        /// Up to this sequence, as far as they were not delivered.
        sequence: u32,
    },
    /// A sealed refusal, or this device's own refusal of a peer.
    Refused {
        /// The peer that it is about.
        peer: DeviceId,
        /// Why.
        why: Refusal,
    },
    /// A step of the paper is done on this end.
    StepDone {
        /// Which.
        step: Step,
        /// The peer that it is about.
        peer: DeviceId,
        /// CoAP code of the answer; 0 for an item of the inbox and for what needs no message.
        code: u8,
        /// Bytes of the request's payload; 0 for an item.
        sent_len: usize,
        /// Bytes of the answer's payload, or of the item's body.
        received_len: usize,
    },
    /// Something was given up until the application asks again.
    Failed {
        /// What.
        what: Failure,
    },
}

/// Why a peer or the gateway said no, in a form that can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The suite is not in both devices' sets.
    NoCommonSuite {
        /// What both have.
        common: SuiteSet,
    },
    /// The gateway knows no such peer.
    NoSuchPeer,
    /// The peer takes no invitation from this device.
    PeerRefuses,
    /// The peer's invitation goes first; its A2 is on the way.
    Crossing,
    /// The peer's mailbox has no room.
    MailboxFull {
        /// Worth a try after so many seconds.
        retry_s: u32,
    },
    /// That is this device.
    Yourself,
    /// A4: the peer has refused.
    Declined,
    /// A4: nobody answered in time.
    TimedOut,
    /// A4: withdrawn, the peer's own invitation goes first.
    Withdrawn,
    /// This device has refused the peer's invitation (accept policy, suite or room).
    ByThisDevice,
    /// The run is closed or passed.
    RunClosed {
        /// The refused run.
        run: u32,
        /// The gateway's current one.
        current: u32,
    },
    /// What was inside the Half did not verify; that run is over.
    HalfFailed {
        /// The run.
        run: u32,
    },
}

/// What was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The package does not match the pin, and the gateway does not know the pinned one any more: it is another gateway, or it has
    /// rotated its key pair while this device was not there.
    PinMismatch,
    /// The package is not one that this device can use.
    PackageUnusable,
    /// Registration was refused.
    Registration {
        /// CoAP code: 4.01 proof or key, 4.03 revoked, 4.09 name taken, 4.22 no common suite.
        code: u8,
    },
    /// Attaching failed even after a new registration.
    Attach {
        /// CoAP code of the last answer.
        code: u8,
    },
    /// An invitation or its answer was refused again and again by bare codes.
    Negotiation {
        /// The peer.
        peer: DeviceId,
        /// CoAP code of the last answer.
        code: u8,
    },
    /// A Half was refused again and again by bare codes; connect again.
    KeyExchange {
        /// The peer.
        peer: DeviceId,
        /// The run.
        run: u32,
        /// CoAP code of the last answer.
        code: u8,
    },
    /// Message 0 was refused again and again by bare codes.
    Confirmation {
        /// The peer.
        peer: DeviceId,
        /// The run.
        run: u32,
        /// CoAP code of the last answer.
        code: u8,
    },
    /// The gateway does not take this text; it stays in flight until a newer run is there, `abandon` or a restart.
    Text {
        /// The peer.
        peer: DeviceId,
        /// The run.
        run: u32,
        /// The sequence.
        sequence: u32,
        /// CoAP code of the last answer.
        code: u8,
    },
    /// This text was never confirmed and its run is over: send it again under the new run if it matters.
    TextLost {
        /// The peer.
        peer: DeviceId,
        /// The run.
        run: u32,
        /// The sequence.
        sequence: u32,
    },
    /// A receiving key was given up after too many failed openings; the next run is opened.
    TooManyFailedOpenings {
        /// The peer.
        peer: DeviceId,
        /// The run.
        run: u32,
    },
    /// B6 does not verify: the run is over, nothing was kept of it.
    KeyRefused {
        /// The peer.
        peer: DeviceId,
        /// The run.
        run: u32,
    },
}

/// The paper's steps as one end sees them (B4 and B5 are the gateway's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Invitation sent and answered.
    A1,
    /// Invitation received.
    A2,
    /// Its answer sent and confirmed.
    A3,
    /// The peer's answer received.
    A4,
    /// Opened: the session is agreed.
    A5,
    /// Half sent; the run waits for the other end.
    B1,
    /// The other end's Half is wanted.
    B2,
    /// Half sent that completes the run.
    B3,
    /// The gateway's element received.
    B6,
    /// Keys made.
    B7,
}

impl core::fmt::Display for Step {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}
