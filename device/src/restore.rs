//! The stored state, read: the mirror of `snapshot.rs`. A restarted device attaches first, and opens the next run where
//! one was not closed: what its Half was made from is gone on purpose.

use sga_crypto::{Element, GroupId};
use sga_schema::{Accept, Profile, Role, SuiteSet};

use crate::cbor::Reader;
use crate::device::Device;
use crate::error::SnapshotError;
use crate::gateway_side::{Home, Identity, Package};
use crate::session::{Agreement, Negotiation, Reply, Runs, Slot};
use crate::snapshot::{SNAPSHOT_VERSION, stage};
use crate::traffic::{Outbox, Run};

type Read<T> = Result<T, SnapshotError>;

impl<const PEERS: usize> Device<PEERS> {
    /// The device whose snapshot this is, after a restart. An attach is due if it was registered (with Observe, unless
    /// [`Self::attach`] says otherwise).
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn restore(buf: &[u8]) -> Result<Self, SnapshotError> {
        let mut r = Reader::new(buf);
        r.array(5)?;
        if r.uint()? != SNAPSHOT_VERSION {
            return Err(SnapshotError::Version);
        }
        let mut device = Self::from_parts(read_identity(&mut r)?, read_home(&mut r)?);
        device.declined = r.option(read_reply)?;
        let peers = r.any_array()?;
        if peers > PEERS {
            return Err(SnapshotError::TooManyPeers);
        }
        device.unsaved = false;
        for index in 0..peers {
            let mut slot = read_slot(&mut r)?;
            device.unsaved |= reopen(&mut slot);
            if let Some(place) = device.slots.get_mut(index) {
                *place = Some(slot);
            }
        }
        if r.position() != buf.len() {
            return Err(SnapshotError::Malformed);
        }
        device.home.due.attach = device.home.ticket.is_some();
        Ok(device)
    }
}

/// Opens the run after one that was opened and has no keys. True if that changed something to be stored.
fn reopen(slot: &mut Slot) -> bool {
    let Some(agreement) = &slot.agreement else { return false };
    let keyed = slot.runs.iter().filter(|run| run.handle == agreement.handle).map(|run| run.run).max();
    if agreement.highest_run > keyed.unwrap_or(0) { slot.open_next_run().is_some() } else { false }
}

fn read_identity(r: &mut Reader<'_>) -> Read<Identity> {
    r.array(6)?;
    Ok(Identity {
        id: r.id()?,
        registered_key: r.secret()?,
        suite: r.suite()?,
        suites: read_suites(r)?,
        accept: Accept::from_id(r.byte()?).ok_or(SnapshotError::Malformed)?,
        allowed: [None; crate::limits::ALLOWED_MAX],
        pin: r.option(Reader::exactly)?,
        enrolment: None,
    })
}

fn read_suites(r: &mut Reader<'_>) -> Read<SuiteSet> {
    SuiteSet::from_bits(r.uint()?).ok_or(SnapshotError::Malformed)
}

fn read_home(r: &mut Reader<'_>) -> Read<Home> {
    r.array(6)?;
    let mut home = Home::new();
    home.package = r.option(read_package)?;
    home.ticket = r.option(Reader::exactly)?;
    home.attach_number = r.uint()?;
    home.request_number = r.uint()?;
    home.cursor = r.uint()?;
    home.generation = r.exactly()?;
    Ok(home)
}

fn read_package(r: &mut Reader<'_>) -> Read<Package> {
    r.array(5)?;
    let profile = Profile::from_id(r.byte()?).ok_or(SnapshotError::Malformed)?;
    let group = GroupId::from_profile(profile.id()).ok_or(SnapshotError::Malformed)?;
    Ok(Package {
        profile,
        group,
        public: Element::parse(group, r.bytes()?).map_err(|_| SnapshotError::Malformed)?,
        gateway_id: r.id()?,
        suites: read_suites(r)?,
        hash: r.exactly()?,
    })
}

fn read_slot(r: &mut Reader<'_>) -> Read<Slot> {
    r.array(6)?;
    let mut slot = Slot::new(r.id()?);
    slot.negotiation = r.option(read_negotiation)?.unwrap_or(Negotiation::None);
    slot.agreement = r.option(read_agreement)?;
    let runs = r.any_array()?;
    if runs > crate::limits::RUNS_PER_PEER_MAX {
        return Err(SnapshotError::Malformed);
    }
    slot.runs = Runs::default();
    for _ in 0..runs {
        slot.runs.push(read_run(r)?);
    }
    slot.outbox = r.option(read_outbox)?;
    slot.pair_secret = r.option(Reader::secret)?;
    Ok(slot)
}

fn read_negotiation(r: &mut Reader<'_>) -> Read<Negotiation> {
    let fields = r.any_array()?;
    match (r.uint()?, fields) {
        (stage::WANTED, 3) => Ok(Negotiation::Wanted { suite: r.suite()?, automatic: r.flag()? }),
        (stage::INVITED, 5) => {
            Ok(Negotiation::Invited { suite: r.suite()?, handle: r.handle()?, nonce_i: r.exactly()?, key: r.secret()? })
        }
        (stage::REPLYING, 2) => read_reply(r).map(Negotiation::Replying),
        _ => Err(SnapshotError::Malformed),
    }
}

fn read_reply(r: &mut Reader<'_>) -> Read<Reply> {
    r.array(7)?;
    Ok(Reply {
        peer: r.id()?,
        handle: r.handle()?,
        nonce_i: r.exactly()?,
        nonce_g: r.exactly()?,
        peer_key: r.secret()?,
        suite: r.option(Reader::suite)?,
        drawn: r.option(|r| {
            r.array(2)?;
            Ok((r.exactly()?, r.secret()?))
        })?,
    })
}

fn read_agreement(r: &mut Reader<'_>) -> Read<Agreement> {
    r.array(7)?;
    Ok(Agreement {
        role: Role::from_id(r.byte()?).ok_or(SnapshotError::Malformed)?,
        suite: r.suite()?,
        handle: r.handle()?,
        th_a: r.exactly()?,
        temporary_key: r.secret()?,
        peer_key: r.secret()?,
        highest_run: r.uint()?,
    })
}

fn read_run(r: &mut Reader<'_>) -> Read<Run> {
    r.array(13)?;
    let (handle, run, suite) = (r.handle()?, r.uint()?, r.suite()?);
    Ok(Run {
        handle,
        run,
        suite,
        send_key: r.traffic_key(suite)?,
        receive_key: r.option(|r| r.traffic_key(suite))?,
        hop_key: r.secret()?,
        next_send: r.uint()?,
        next_receive: r.uint()?,
        confirmed: r.option(Reader::uint)?,
        last: r.uint()?,
        established: r.flag()?,
        failed_openings: r.uint()?,
        comparison_code: r.exactly()?,
        strikes: 0,
        parked: false,
    })
}

fn read_outbox(r: &mut Reader<'_>) -> Read<Outbox> {
    r.array(4)?;
    Ok(Outbox {
        handle: r.handle()?,
        run: r.uint()?,
        sequence: r.uint()?,
        hop_key: r.secret()?,
        strikes: 0,
        parked: false,
    })
}
