//! The stored state, written: versioned, deterministic CBOR. R, r and K of a run that is not closed are not in it.
//!
//! `[3, identity, home, declined, [peer, …]]`; `restore.rs` is its mirror.

use crate::cbor::Writer;
use crate::device::Device;
use crate::error::SnapshotError;
use crate::gateway_side::{Home, Identity, Package};
use crate::session::{Agreement, Negotiation, Reply, Slot};
use crate::traffic::{Outbox, Run};

/// Changes with every change of the layout.
pub(crate) const SNAPSHOT_VERSION: u32 = 3;

/// Still read: there was no key that is to take the place of k_d.
pub(crate) const SNAPSHOT_VERSION_2: u32 = 2;

/// Still read: as version 2, and agreements had no generation, texts in flight no salt.
pub(crate) const SNAPSHOT_VERSION_1: u32 = 1;

/// First numbers of the stored forms of a negotiation.
pub(crate) mod stage {
    pub(crate) const WANTED: u32 = 1;
    pub(crate) const INVITED: u32 = 2;
    pub(crate) const REPLYING: u32 = 3;
}

/// Bits of the last element of a run.
pub(crate) mod run_flag {
    pub(crate) const SUPERSEDED: u32 = 1;
    pub(crate) const PADS_CONFIRMATION: u32 = 2;
    pub(crate) const ALL: u32 = SUPERSEDED | PADS_CONFIRMATION;
}

type Written = Result<(), SnapshotError>;

impl<const PEERS: usize> Device<PEERS> {
    /// Writes what has to survive; equal states give equal bytes. They hold keys: store them where only the device reads.
    ///
    /// # Errors
    /// [`SnapshotError::BufferTooSmall`]; [`crate::snapshot_len_max`] says how much is enough.
    pub fn snapshot(&self, buf: &mut [u8]) -> Result<usize, SnapshotError> {
        let mut w = Writer::new(buf);
        w.array(5)?;
        w.uint(SNAPSHOT_VERSION)?;
        write_identity(&mut w, &self.identity)?;
        write_home(&mut w, &self.home)?;
        w.option(self.declined.as_ref(), write_reply)?;
        w.array(self.slots.iter().flatten().count())?;
        for slot in self.slots.iter().flatten() {
            write_slot(&mut w, slot)?;
        }
        Ok(w.len())
    }
}

fn write_identity(w: &mut Writer<'_>, identity: &Identity) -> Written {
    w.array(7)?;
    w.bytes(identity.id.as_bytes())?;
    w.secret(&identity.registered_key)?;
    w.suite(identity.suite)?;
    w.uint(identity.suites.bits())?;
    w.uint(u32::from(identity.accept.id()))?;
    w.option(identity.pin.as_ref(), |w, pin| w.bytes(pin))?;
    w.option(identity.next_key.as_ref(), Writer::secret)
}

fn write_home(w: &mut Writer<'_>, home: &Home) -> Written {
    w.array(6)?;
    w.option(home.package.as_ref(), write_package)?;
    w.option(home.ticket.as_ref(), |w, ticket| w.bytes(ticket))?;
    w.uint(home.attach_number)?;
    w.uint(home.request_number)?;
    w.uint(home.cursor)?;
    w.bytes(&home.generation)
}

fn write_package(w: &mut Writer<'_>, package: &Package) -> Written {
    w.array(5)?;
    w.uint(u32::from(package.profile.id()))?;
    w.bytes(package.public.as_bytes())?;
    w.bytes(package.gateway_id.as_bytes())?;
    w.uint(package.suites.bits())?;
    w.bytes(&package.hash)
}

fn write_slot(w: &mut Writer<'_>, slot: &Slot) -> Written {
    w.array(6)?;
    w.bytes(slot.peer.as_bytes())?;
    write_negotiation(w, &slot.negotiation)?;
    w.option(slot.agreement.as_ref(), write_agreement)?;
    w.array(slot.runs.iter().count())?;
    for run in slot.runs.iter() {
        write_run(w, run)?;
    }
    w.option(slot.outbox.as_ref(), write_outbox)?;
    w.option(slot.pair_secret.as_ref(), Writer::secret)
}

fn write_negotiation(w: &mut Writer<'_>, negotiation: &Negotiation) -> Written {
    match negotiation {
        Negotiation::None => w.null(),
        Negotiation::Wanted { suite, automatic } => {
            w.array(3)?;
            w.uint(stage::WANTED)?;
            w.suite(*suite)?;
            w.flag(*automatic)
        }
        Negotiation::Invited { suite, handle, nonce_i, key, .. } => {
            w.array(5)?;
            w.uint(stage::INVITED)?;
            w.suite(*suite)?;
            w.bytes(&handle.0)?;
            w.bytes(nonce_i)?;
            w.secret(key)
        }
        Negotiation::Replying(reply) => {
            w.array(2)?;
            w.uint(stage::REPLYING)?;
            write_reply(w, reply)
        }
    }
}

fn write_reply(w: &mut Writer<'_>, reply: &Reply) -> Written {
    w.array(7)?;
    w.bytes(reply.peer.as_bytes())?;
    w.bytes(&reply.handle.0)?;
    w.bytes(&reply.nonce_i)?;
    w.bytes(&reply.nonce_g)?;
    w.secret(&reply.peer_key)?;
    w.option(reply.suite.as_ref(), |w, suite| w.suite(*suite))?;
    w.option(reply.drawn.as_ref(), |w, (nonce_j, key)| {
        w.array(2)?;
        w.bytes(nonce_j)?;
        w.secret(key)
    })
}

fn write_agreement(w: &mut Writer<'_>, agreement: &Agreement) -> Written {
    w.array(8)?;
    w.uint(u32::from(agreement.role.id()))?;
    w.suite(agreement.suite)?;
    w.bytes(&agreement.handle.0)?;
    w.bytes(&agreement.th_a)?;
    w.secret(&agreement.temporary_key)?;
    w.secret(&agreement.peer_key)?;
    w.uint(agreement.highest_run)?;
    w.bytes(&agreement.generation)
}

fn write_run(w: &mut Writer<'_>, run: &Run) -> Written {
    let flags = u32::from(run.superseded) * run_flag::SUPERSEDED
        + u32::from(run.pads_confirmation) * run_flag::PADS_CONFIRMATION;
    // The flags are left out where there are none.
    w.array(13 + usize::from(flags != 0))?;
    w.bytes(&run.handle.0)?;
    w.uint(run.run)?;
    w.suite(run.suite)?;
    w.traffic_key(&run.send_key)?;
    w.option(run.receive_key.as_ref(), Writer::traffic_key)?;
    w.secret(&run.hop_key)?;
    w.uint(run.next_send)?;
    w.uint(run.next_receive)?;
    w.option(run.confirmed.as_ref(), |w, &confirmed| w.uint(confirmed))?;
    w.uint(run.last)?;
    w.flag(run.established)?;
    w.uint(run.failed_openings)?;
    w.bytes(&run.comparison_code)?;
    if flags == 0 { Ok(()) } else { w.uint(flags) }
}

fn write_outbox(w: &mut Writer<'_>, outbox: &Outbox) -> Written {
    w.array(5)?;
    w.bytes(&outbox.handle.0)?;
    w.uint(outbox.run)?;
    w.uint(outbox.sequence)?;
    w.secret(&outbox.hop_key)?;
    w.option(outbox.salt.as_ref(), |w, salt| w.bytes(salt))
}
