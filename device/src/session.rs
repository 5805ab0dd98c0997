//! One peer: negotiation, session, runs.

use sga_crypto::{Secret, Seed};
use sga_schema::{DeviceId, Handle, Role, Suite};

use crate::event::Event;
use crate::limits::RUNS_PER_PEER_MAX;
use crate::traffic::{Outbox, Run};

/// The salt of this life for a peer, drawn when the device was made from what it had stored; `None` for what this life has made itself.
/// The store may be older than what was sealed last: what is sealed under a key from it is sealed with this salt, so that a device
/// that was set back never seals two plaintexts under one key and nonce. In memory only.
pub(crate) type Life = Option<[u8; 8]>;

/// All that a device keeps for one peer.
pub(crate) struct Slot {
    pub(crate) peer: DeviceId,
    pub(crate) negotiation: Negotiation,
    pub(crate) agreement: Option<Agreement>,
    pub(crate) runs: Runs,
    /// The text in flight. Its bytes are the caller's.
    pub(crate) outbox: Option<Outbox>,
    pub(crate) pair_secret: Option<Secret<32>>,
    /// The run that this device has a Half for. In memory only; the agreement's `highest_run` is stored.
    pub(crate) opening: Option<Opening>,
    /// The gateway's current run, where it is above this device's: its B2 may be in the inbox. In memory only.
    pub(crate) passed_by: Option<u32>,
    /// Bare refusals since something succeeded. In memory only.
    pub(crate) strikes: u8,
    /// Requests of this peer rest. In memory only.
    pub(crate) parked: bool,
    /// Runs in a row whose message 0 did not open. In memory only.
    pub(crate) unconfirmed: u8,
    pub(crate) doubt: Doubt,
}

/// Whether a session that was stored before this life is still the one in force. In memory only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Nothing speaks against it.
    None,
    /// The inbox has shown something of a session that this device does not know: it may have been set back. Its session is asked for
    /// once, by opening a run.
    Asked,
    /// The gateway has shown that it has the session, or it is from this life.
    Settled,
}

impl Slot {
    pub(crate) fn new(peer: DeviceId) -> Self {
        Self {
            peer,
            negotiation: Negotiation::None,
            agreement: None,
            runs: Runs::default(),
            outbox: None,
            pair_secret: None,
            opening: None,
            passed_by: None,
            strikes: 0,
            parked: false,
            unconfirmed: 0,
            doubt: Doubt::None,
        }
    }

    /// Nothing would be lost with it.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_spent() && self.runs.newest().is_none()
    }

    /// Nothing is left of it but keys under which the peer may have sent something.
    pub(crate) fn is_spent(&self) -> bool {
        matches!(self.negotiation, Negotiation::None)
            && self.agreement.is_none()
            && self.pair_secret.is_none()
            && self.outbox.is_none()
    }

    /// The gateway has shown that it has the session of this handle. True if that changed something to be stored.
    pub(crate) fn shown(&mut self, handle: Handle, generation: [u8; 4]) -> bool {
        let Some(agreement) = self.agreement.as_mut().filter(|agreement| agreement.handle == handle) else {
            return false;
        };
        if self.doubt == Doubt::Asked {
            self.doubt = Doubt::Settled;
        }
        core::mem::replace(&mut agreement.generation, generation) != generation
    }

    /// There is something in the inbox of a session that nobody here knows. True if that changed something to be stored.
    pub(crate) fn doubt(&mut self, sink: &mut impl FnMut(Event<'_>)) -> bool {
        let stored = self.agreement.as_ref().is_some_and(|agreement| agreement.life.is_some());
        if self.doubt != Doubt::None || !stored || !matches!(self.negotiation, Negotiation::None) {
            return false;
        }
        self.doubt = Doubt::Asked;
        self.wake();
        if self.opening.is_some() {
            return false;
        }
        let Some(run) = self.open_next_run() else { return false };
        sink(Event::RunStarted { peer: self.peer, run });
        true
    }

    /// Whether refusals mean that the gateway does not have the session of this handle.
    pub(crate) fn may_be_gone(&self, handle: Handle, generation: [u8; 4]) -> bool {
        let current = self.agreement.as_ref().is_some_and(|agreement| agreement.handle == handle);
        self.is_from_before(handle, generation) || current && self.doubt == Doubt::Asked
    }

    /// The gateway's store is another than the one that last had the session of this handle.
    pub(crate) fn is_from_before(&self, handle: Handle, generation: [u8; 4]) -> bool {
        let agreement = self.agreement.as_ref().filter(|agreement| agreement.handle == handle);
        agreement.is_some_and(|agreement| agreement.generation != generation)
    }

    /// The gateway does not have the session any more. A text in flight is reported as lost. Keys of its runs stay, for what the
    /// peer may have sent under them. The session's suite, if there was one.
    pub(crate) fn drop_session(&mut self, sink: &mut impl FnMut(Event<'_>)) -> Option<Suite> {
        let agreement = self.agreement.take()?;
        let peer = self.peer;
        self.opening = None;
        self.passed_by = None;
        if let Some(text) = self.outbox.take() {
            sink(text.lost(peer));
        }
        self.wake();
        if let Some(run) = self.runs.newest_mut() {
            // Its message 0 is of no use any more.
            run.parked = true;
        }
        Some(agreement.suite)
    }

    /// A session from here on. Runs and a text under its handle are of an earlier session, which the gateway has forgotten as it gives
    /// its handle away again; nothing would tell them from what belongs to this one.
    pub(crate) fn adopt(&mut self, agreement: Agreement, sink: &mut impl FnMut(Event<'_>)) {
        if self.outbox.as_ref().is_some_and(|text| text.handle == agreement.handle)
            && let Some(text) = self.outbox.take()
        {
            sink(text.lost(self.peer));
        }
        self.runs.forget(agreement.handle);
        self.agreement = Some(agreement);
        self.negotiation = Negotiation::None;
        self.opening = None;
        self.passed_by = None;
        self.doubt = Doubt::Settled;
        self.wake();
    }

    /// The session is gone with the store that had it: what it was is asked for anew.
    pub(crate) fn end_session(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        let Some(suite) = self.drop_session(sink) else { return };
        sink(Event::SessionGone { peer: self.peer });
        // An invitation that is under way leads to a session too.
        if matches!(self.negotiation, Negotiation::None) {
            self.negotiation = Negotiation::Wanted { suite, automatic: true };
        }
    }

    /// All keys that are here now are from an earlier life.
    pub(crate) fn set_life(&mut self, salt: [u8; 8]) {
        match &mut self.negotiation {
            Negotiation::Invited { life, .. } => *life = Some(salt),
            Negotiation::Replying(reply) if reply.drawn.is_some() => reply.life = Some(salt),
            Negotiation::None | Negotiation::Wanted { .. } | Negotiation::Replying(_) => {}
        }
        if let Some(agreement) = &mut self.agreement {
            agreement.life = Some(salt);
        }
        self.runs.set_life(salt);
    }

    /// Something succeeded, or the application has asked.
    pub(crate) fn wake(&mut self) {
        self.strikes = 0;
        self.parked = false;
        if let Some(outbox) = &mut self.outbox {
            outbox.parked = false;
        }
        if let Some(run) = self.runs.newest_mut() {
            run.parked = false;
        }
    }

    /// A Half of this device for this run may still lead to keys.
    pub(crate) fn is_opening(&self, handle: Handle, run: u32) -> bool {
        let same = self.agreement.as_ref().is_some_and(|agreement| agreement.handle == handle);
        same && !self.parked && self.opening.as_ref().is_some_and(|opening| opening.run == run)
    }

    /// Texts may be sealed: the newest run is this session's, established, with the own message 0 stored.
    pub(crate) fn takes_text(&self) -> bool {
        let handle = self.agreement.as_ref().map(|agreement| agreement.handle);
        let newest = self.runs.newest();
        self.outbox.is_none() && newest.is_some_and(|run| Some(run.handle) == handle && run.takes_text())
    }

    /// A run of its session was opened that never came to keys, other than one whose Half the gateway does not have yet.
    pub(crate) fn has_unanswered_run(&self) -> bool {
        let Some(agreement) = &self.agreement else { return false };
        let newest = self.runs.newest().filter(|run| run.handle == agreement.handle).map_or(0, |run| run.run);
        let on_its_way = self.opening.as_ref().is_some_and(|opening| !opening.waiting);
        agreement.highest_run > newest.saturating_add(on_its_way.into())
    }

    /// Opens a run: its number is stored before its Half leaves.
    pub(crate) fn open_run(&mut self, run: u32) -> bool {
        let Some(agreement) = &mut self.agreement else { return false };
        if run <= agreement.highest_run {
            return false;
        }
        agreement.highest_run = run;
        self.opening = Some(Opening { run, half: None, waiting: false });
        true
    }

    /// Opens the run after the highest; its number.
    pub(crate) fn open_next_run(&mut self) -> Option<u32> {
        let run = self.agreement.as_ref()?.highest_run.checked_add(1)?;
        self.open_run(run).then_some(run)
    }
}

/// A1–A5 with a peer, as far as it got.
pub(crate) enum Negotiation {
    None,
    /// A1 is due, with a fresh number and fresh values.
    Wanted {
        suite: Suite,
        automatic: bool,
    },
    /// A1 was answered; A4 decides.
    Invited {
        suite: Suite,
        handle: Handle,
        nonce_i: [u8; 8],
        key: Secret<16>,
        life: Life,
    },
    /// A2 came; A3 is due or on its way.
    Replying(Reply),
}

/// An answer to an A2. The same values go out each time.
pub(crate) struct Reply {
    pub(crate) peer: DeviceId,
    pub(crate) handle: Handle,
    pub(crate) nonce_i: [u8; 8],
    pub(crate) nonce_g: [u8; 8],
    /// peer(k_t^i).
    pub(crate) peer_key: Secret<16>,
    /// `None` refuses.
    pub(crate) suite: Option<Suite>,
    /// n_j and k_t^j, once drawn and stored.
    pub(crate) drawn: Option<([u8; 8], Secret<16>)>,
    /// Of `drawn`.
    pub(crate) life: Life,
}

/// A session.
pub(crate) struct Agreement {
    pub(crate) role: Role,
    pub(crate) suite: Suite,
    pub(crate) handle: Handle,
    pub(crate) th_a: [u8; 32],
    /// The own k_t.
    pub(crate) temporary_key: Secret<16>,
    /// peer(k_t) of the other end.
    pub(crate) peer_key: Secret<16>,
    /// The highest run that was opened or answered.
    pub(crate) highest_run: u32,
    /// Of the gateway's store when it last showed that it has this session.
    pub(crate) generation: [u8; 4],
    pub(crate) life: Life,
}

/// A run that is not closed.
pub(crate) struct Opening {
    pub(crate) run: u32,
    /// Drawn when the Half is made.
    pub(crate) half: Option<Ephemeral>,
    /// The gateway has the Half; B6 comes by itself.
    pub(crate) waiting: bool,
}

/// What a Half is made from. Never stored.
pub(crate) struct Ephemeral {
    /// R.
    pub(crate) ephemeral_secret: Seed,
    /// r; in the compact profile it follows from R, and this is not used.
    pub(crate) trapdoor_secret: Seed,
}

/// The runs of one peer, oldest first.
#[derive(Default)]
pub(crate) struct Runs {
    list: [Option<Run>; RUNS_PER_PEER_MAX],
}

impl Runs {
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.list.iter().flatten()
    }

    pub(crate) fn newest(&self) -> Option<&Run> {
        self.iter().next_back()
    }

    pub(crate) fn newest_mut(&mut self) -> Option<&mut Run> {
        self.list.iter_mut().flatten().next_back()
    }

    pub(crate) fn find_mut(&mut self, handle: Handle, run: u32) -> Option<&mut Run> {
        self.list.iter_mut().flatten().find(|held| held.handle == handle && held.run == run)
    }

    pub(crate) fn find(&self, handle: Handle, run: u32) -> Option<&Run> {
        self.iter().find(|held| held.handle == handle && held.run == run)
    }

    fn set_life(&mut self, salt: [u8; 8]) {
        self.list.iter_mut().flatten().for_each(|run| run.life = Some(salt));
    }

    /// No text is sealed any more under the runs that there are.
    pub(crate) fn supersede(&mut self) {
        self.list.iter_mut().flatten().for_each(|run| run.superseded = true);
    }

    /// Adds the newest. If there is no room, the oldest that is not established goes: nobody has sealed a text under it.
    pub(crate) fn push(&mut self, run: Run) {
        if self.list.iter().all(Option::is_some) {
            let index = self.iter().position(|held| !held.established).unwrap_or(0);
            if let Some(place) = self.list.get_mut(index) {
                *place = None;
            }
        }
        self.compact();
        if let Some(free) = self.list.iter_mut().find(|place| place.is_none()) {
            *free = Some(run);
        }
    }

    /// Drops what is older than this run.
    pub(crate) fn drop_before(&mut self, handle: Handle, run: u32) {
        for place in &mut self.list {
            match place {
                Some(held) if held.handle == handle && held.run == run => break,
                _ => *place = None,
            }
        }
        self.compact();
    }

    fn forget(&mut self, handle: Handle) {
        for place in &mut self.list {
            if place.as_ref().is_some_and(|run| run.handle == handle) {
                *place = None;
            }
        }
        self.compact();
    }

    fn compact(&mut self) {
        for index in 1..self.list.len() {
            let mut place = index;
            while place > 0 && self.list.get(place - 1).is_some_and(Option::is_none) {
                self.list.swap(place - 1, place);
                place -= 1;
            }
        }
    }
}
