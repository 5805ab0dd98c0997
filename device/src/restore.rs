//! The stored state, read: the mirror of `snapshot.rs`. A restarted device attaches first, and opens the next run where
//! one was not closed: what its Half was made from is gone on purpose.

use rand_core::CryptoRng;
use sga_crypto::{Element, GroupId};
use sga_schema::{Accept, Profile, Role, SuiteSet};

use crate::cbor::Reader;
use crate::device::Device;
use crate::error::SnapshotError;
use crate::gateway_side::{Home, Identity, Package};
use crate::session::{Agreement, Negotiation, Reply, Runs, Slot};
use crate::snapshot::{SNAPSHOT_VERSION, SNAPSHOT_VERSION_1, SNAPSHOT_VERSION_2, run_flag, stage};
use crate::traffic::{Outbox, Run};

type Read<T> = Result<T, SnapshotError>;

impl<const PEERS: usize> Device<PEERS> {
    /// The device whose snapshot this is, after a restart. An attach is due if it was registered (with Observe, unless
    /// [`Self::attach`] says otherwise). The snapshot may be an older one: 8 bytes of `rng` for each peer, drawn here and kept in memory
    /// only, go into all that is sealed under its keys from now on (`docs/protocol.md` §6, "Lives").
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn restore(buf: &[u8], rng: &mut impl CryptoRng) -> Result<Self, SnapshotError> {
        let mut r = Reader::new(buf);
        r.array(5)?;
        let version = r.uint()?;
        if !matches!(version, SNAPSHOT_VERSION | SNAPSHOT_VERSION_2 | SNAPSHOT_VERSION_1) {
            return Err(SnapshotError::Version);
        }
        let mut device = Self::from_parts(read_identity(&mut r, version)?, read_home(&mut r)?);
        // Before version 2, agreements had no generation of their own: they are as old as the one that the device knew.
        let layout = Layout { version, generation: device.home.generation };
        device.declined = r.option(read_reply)?;
        let peers = r.any_array()?;
        if peers > PEERS {
            return Err(SnapshotError::TooManyPeers);
        }
        device.unsaved = version != SNAPSHOT_VERSION;
        for index in 0..peers {
            let mut slot = read_slot(&mut r, &layout)?;
            // One for each peer: a salt is seen on the wire, and must not tell that two sessions are one device's.
            let mut salt = [0; 8];
            rng.fill_bytes(&mut salt);
            slot.set_life(salt);
            device.unsaved |= reopen(&mut slot);
            if let Some(place) = device.slots.get_mut(index) {
                *place = Some(slot);
            }
        }
        if r.position() != buf.len() {
            return Err(SnapshotError::Malformed);
        }
        device.home.due.attach = device.home.ticket.is_some();
        if device.identity.next_key.is_some() {
            // The answer to a rotation is missing: the same request brings it, whether or not the first one has arrived.
            device.register();
        }
        Ok(device)
    }
}

/// What is read, and what stands for what it does not have.
struct Layout {
    version: u32,
    generation: [u8; 4],
}

impl Layout {
    fn is_first(&self) -> bool {
        self.version == SNAPSHOT_VERSION_1
    }
}

/// Opens the run after one that was opened and has no keys. True if that changed something to be stored.
fn reopen(slot: &mut Slot) -> bool {
    let Some(agreement) = &slot.agreement else { return false };
    let keyed = slot.runs.iter().filter(|run| run.handle == agreement.handle).map(|run| run.run).max();
    if agreement.highest_run > keyed.unwrap_or(0) { slot.open_next_run().is_some() } else { false }
}

fn read_identity(r: &mut Reader<'_>, version: u32) -> Read<Identity> {
    let rotates = version == SNAPSHOT_VERSION;
    r.array(if rotates { 7 } else { 6 })?;
    Ok(Identity {
        id: r.id()?,
        registered_key: r.secret()?,
        suite: r.suite()?,
        suites: read_suites(r)?,
        accept: Accept::from_id(r.byte()?).ok_or(SnapshotError::Malformed)?,
        allowed: [None; crate::limits::ALLOWED_MAX],
        pin: r.option(Reader::exactly)?,
        next_key: if rotates { r.option(Reader::secret)? } else { None },
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

fn read_slot(r: &mut Reader<'_>, layout: &Layout) -> Read<Slot> {
    r.array(6)?;
    let mut slot = Slot::new(r.id()?);
    slot.negotiation = r.option(read_negotiation)?.unwrap_or(Negotiation::None);
    slot.agreement = r.option(|r| read_agreement(r, layout))?;
    let runs = r.any_array()?;
    if runs > crate::limits::RUNS_PER_PEER_MAX {
        return Err(SnapshotError::Malformed);
    }
    slot.runs = Runs::default();
    for _ in 0..runs {
        slot.runs.push(read_run(r)?);
    }
    slot.outbox = r.option(|r| read_outbox(r, layout))?;
    slot.pair_secret = r.option(Reader::secret)?;
    Ok(slot)
}

fn read_negotiation(r: &mut Reader<'_>) -> Read<Negotiation> {
    let fields = r.any_array()?;
    match (r.uint()?, fields) {
        (stage::WANTED, 3) => Ok(Negotiation::Wanted { suite: r.suite()?, automatic: r.flag()? }),
        (stage::INVITED, 5) => {
            let (suite, handle, nonce_i) = (r.suite()?, r.handle()?, r.exactly()?);
            Ok(Negotiation::Invited { suite, handle, nonce_i, key: r.secret()?, life: None })
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
        life: None,
    })
}

fn read_agreement(r: &mut Reader<'_>, layout: &Layout) -> Read<Agreement> {
    r.array(if layout.is_first() { 7 } else { 8 })?;
    Ok(Agreement {
        role: Role::from_id(r.byte()?).ok_or(SnapshotError::Malformed)?,
        suite: r.suite()?,
        handle: r.handle()?,
        th_a: r.exactly()?,
        temporary_key: r.secret()?,
        peer_key: r.secret()?,
        highest_run: r.uint()?,
        generation: if layout.is_first() { layout.generation } else { r.exactly()? },
        life: None,
    })
}

fn read_run(r: &mut Reader<'_>) -> Read<Run> {
    let fields = r.any_array()?;
    if !matches!(fields, 13 | 14) {
        return Err(SnapshotError::Malformed);
    }
    let (handle, run, suite) = (r.handle()?, r.uint()?, r.suite()?);
    let mut run = Run {
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
        superseded: false,
        pads_confirmation: false,
        life: None,
        strikes: 0,
        parked: false,
    };
    if fields == 14 {
        let flags = r.uint()?;
        if flags == 0 || flags & !run_flag::ALL != 0 {
            return Err(SnapshotError::Malformed);
        }
        run.superseded = flags & run_flag::SUPERSEDED != 0;
        run.pads_confirmation = flags & run_flag::PADS_CONFIRMATION != 0;
    }
    Ok(run)
}

fn read_outbox(r: &mut Reader<'_>, layout: &Layout) -> Read<Outbox> {
    r.array(if layout.is_first() { 4 } else { 5 })?;
    Ok(Outbox {
        handle: r.handle()?,
        run: r.uint()?,
        sequence: r.uint()?,
        hop_key: r.secret()?,
        salt: if layout.is_first() { None } else { r.option(Reader::exactly)? },
        strikes: 0,
        parked: false,
    })
}
