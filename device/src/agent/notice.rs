//! What an agent reports, in owned form.

use std::collections::VecDeque;
use std::time::Duration;

use sga_coap::Code;

use super::image::{KeptText, ReceivedText};
use crate::{DeviceId, Event, Failure, Refusal, RequestKind, Step};

/// Something that happened; texts come by [`super::Agent::poll_text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A request was answered.
    Exchange {
        /// What for.
        kind: RequestKind,
        /// The answer's code.
        code: Code,
        /// Bytes of the request's payload.
        sent_len: usize,
        /// Bytes of the answer's payload.
        received_len: usize,
        /// From the request to the answer.
        took: Duration,
    },
    /// A step of the paper is done.
    Step {
        /// Which.
        step: Step,
        /// With whom.
        peer: DeviceId,
        /// The answer's code; 0 for items and for what needs no message.
        code: u8,
        /// Bytes of the request's payload.
        sent_len: usize,
        /// Bytes of the answer's payload or of the item's body.
        received_len: usize,
        /// From the request to its answer; for an item, since the step before.
        took: Duration,
    },
    /// A package was taken.
    Package {
        /// Its pin.
        pin: [u8; 16],
        /// Whether it was held against a pin known before.
        pinned: bool,
    },
    /// The gateway has another key pair, and says so in the inbox.
    PackageChanged {
        /// The new pin.
        pin: [u8; 16],
    },
    /// The new k_d is in force.
    KeyRotated,
    /// The gateway has this device's key.
    Registered,
    /// The inbox is open.
    Attached,
    /// A peer asks for a session.
    Invited(DeviceId),
    /// The gateway no longer has the session with a peer; it is negotiated anew.
    SessionGone(DeviceId),
    /// The gateway has ended the session with a peer.
    SessionEnded {
        /// With whom.
        peer: DeviceId,
        /// An end was revoked.
        revoked: bool,
    },
    /// Texts that nobody fetched in time are gone, as far as they were not delivered.
    Expired {
        /// To whom.
        peer: DeviceId,
        /// Under which run.
        run: u32,
        /// The last.
        sequence: u32,
    },
    /// A cipher is agreed.
    Agreed(DeviceId),
    /// Texts can be sent.
    Established {
        /// To whom.
        peer: DeviceId,
        /// Under which run.
        run: u32,
    },
    /// The peer's message 0 of a run does not open: see [`Event::NotConfirmed`].
    NotConfirmed {
        /// With whom.
        peer: DeviceId,
        /// Under which run.
        run: u32,
        /// Whether this end holds a pair secret for the peer.
        paired: bool,
        /// Another run is tried.
        again: bool,
    },
    /// The gateway has a text on disk.
    Sent {
        /// To whom.
        peer: DeviceId,
        /// Under which run.
        run: u32,
        /// Its sequence.
        sequence: u32,
    },
    /// Texts that will not come.
    Gap {
        /// From whom.
        peer: DeviceId,
        /// Under which run.
        run: u32,
        /// The first.
        from: u32,
        /// The last.
        to: u32,
    },
    /// A peer or the gateway said no.
    Refused {
        /// About which peer.
        peer: DeviceId,
        /// Why.
        why: Refusal,
    },
    /// Something was given up.
    Failed(Failure),
    /// Something went wrong that is tried again.
    Trouble(String),
}

/// Sorts what the core reports.
pub(super) fn sink(
    received: &mut VecDeque<ReceivedText>,
    notices: &mut VecDeque<Notice>,
    kept: &mut Vec<KeptText>,
    changed: &mut bool,
) -> impl FnMut(Event<'_>) {
    move |event| match event {
        Event::Text { peer, run, sequence, text } => {
            received.push_back(ReceivedText { peer, run, sequence, text: text.to_vec() });
            *changed = true;
        }
        Event::Sent { peer, run, sequence } => {
            kept.retain(|kept| (kept.peer, kept.run, kept.sequence) != (peer, run, sequence));
            *changed = true;
            notices.push_back(Notice::Sent { peer, run, sequence });
        }
        other => notices.extend(plain(&other)),
    }
}

fn plain(event: &Event<'_>) -> Option<Notice> {
    Some(match *event {
        Event::StepDone { step, peer, code, sent_len, received_len } => {
            Notice::Step { step, peer, code, sent_len, received_len, took: Duration::ZERO }
        }
        Event::PackageAccepted { pin, pinned } => Notice::Package { pin, pinned },
        Event::PackageChanged { pin } => Notice::PackageChanged { pin },
        Event::KeyRotated => Notice::KeyRotated,
        Event::Registered => Notice::Registered,
        Event::Attached { .. } => Notice::Attached,
        Event::Invited { peer } => Notice::Invited(peer),
        Event::SessionGone { peer } => Notice::SessionGone(peer),
        Event::SessionEnded { peer, revoked } => Notice::SessionEnded { peer, revoked },
        Event::Expired { peer, run, sequence } => Notice::Expired { peer, run, sequence },
        Event::Agreed { peer } => Notice::Agreed(peer),
        Event::Established { peer, run } => Notice::Established { peer, run },
        Event::NotConfirmed { peer, run, paired, again } => Notice::NotConfirmed { peer, run, paired, again },
        Event::Gap { peer, run, from, to } => Notice::Gap { peer, run, from, to },
        Event::Refused { peer, why } => Notice::Refused { peer, why },
        Event::Failed { what } => Notice::Failed(what),
        Event::RunStarted { .. } | Event::Text { .. } | Event::Sent { .. } => return None,
    })
}
