//! What the store keeps, and its encoding: one CBOR array per record, led by a format number.
//!
//! A record that does not decode is a damaged store, never a peer's fault.

use core::fmt;
use std::sync::Arc;

use minicbor::{Decoder, Encoder, data::Type, decode};
use sga_crypto::Secret;
use sga_schema::{Accept, DeviceId, Handle, Role, Suite, SuiteSet};

use crate::limits::{HOP_RUNS_MAX, RUNS_KEPT, WINDOW_LEN};
use crate::storage::DeviceIndex;

/// The format that this version writes.
const FORMAT: u32 = 1;

/// A stored record does not decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError(pub(crate) String);

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stored record does not decode: {}", self.0)
    }
}

impl core::error::Error for RecordError {}

impl From<decode::Error> for RecordError {
    fn from(error: decode::Error) -> Self {
        Self(error.to_string())
    }
}

type Sink = Encoder<Vec<u8>>;

fn bad(why: &str) -> RecordError {
    RecordError(why.to_owned())
}

/// Writing to a `Vec` cannot fail; this says so once.
fn write(put: impl FnOnce(&mut Sink) -> Result<(), minicbor::encode::Error<core::convert::Infallible>>) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(128));
    put(&mut encoder).expect("encoding into a Vec cannot fail");
    encoder.into_writer()
}

fn open<'a>(bytes: &'a [u8], fields: u64) -> Result<Decoder<'a>, RecordError> {
    let mut d = Decoder::new(bytes);
    if d.array()? != Some(fields + 1) {
        return Err(bad("field count"));
    }
    if d.u32()? != FORMAT {
        return Err(bad("unknown format"));
    }
    Ok(d)
}

fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], RecordError> {
    d.bytes()?.try_into().map_err(|_| bad("length"))
}

fn secret<const N: usize>(d: &mut Decoder<'_>) -> Result<Secret<N>, RecordError> {
    Ok(Secret::new(fixed(d)?))
}

fn handle(d: &mut Decoder<'_>) -> Result<Handle, RecordError> {
    Ok(Handle(fixed(d)?))
}

fn id(d: &mut Decoder<'_>) -> Result<DeviceId, RecordError> {
    DeviceId::new(d.bytes()?).map_err(|_| bad("id"))
}

fn suite(d: &mut Decoder<'_>) -> Result<Suite, RecordError> {
    Suite::from_id(d.u8()?).ok_or_else(|| bad("suite"))
}

fn role(d: &mut Decoder<'_>) -> Result<Role, RecordError> {
    match d.u8()? {
        0 => Ok(Role::Initiator),
        1 => Ok(Role::Responder),
        _ => Err(bad("role")),
    }
}

fn optional<T>(
    d: &mut Decoder<'_>,
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    if d.datatype()? == Type::Null {
        d.null()?;
        return Ok(None);
    }
    read(d).map(Some)
}

/// The gateway's own counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// New after a restore, so that devices reset their cursors.
    pub generation: [u8; 4],
    /// The index that the next new device gets.
    pub next_device: DeviceIndex,
    /// Seconds that the gateway has been up, over all its starts.
    pub uptime_s: u64,
}

impl Meta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        write(|e| {
            e.array(4)?.u32(FORMAT)?.bytes(&self.generation)?.u32(self.next_device)?.u64(self.uptime_s)?;
            Ok(())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut d = open(bytes, 3)?;
        Ok(Self { generation: fixed(&mut d)?, next_device: d.u32()?, uptime_s: d.u64()? })
    }
}

/// The answer to a device's last A1, for its repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredAnswer {
    pub(crate) request_hash: [u8; 32],
    pub(crate) code: u8,
    pub(crate) payload: Vec<u8>,
}

/// A registered device.
#[derive(Debug)]
pub(crate) struct DeviceRecord {
    pub(crate) id: DeviceId,
    /// k_d.
    pub(crate) registered_key: Secret<32>,
    /// x: what seals everything under k_d.
    pub(crate) suite: Suite,
    /// CidSet^i.
    pub(crate) suites: SuiteSet,
    pub(crate) accept: Accept,
    pub(crate) attach_number: u32,
    pub(crate) request_number: u32,
    pub(crate) last_invite: Option<StoredAnswer>,
    /// The device has dealt with all items up to this number.
    pub(crate) acknowledged: u32,
}

impl DeviceRecord {
    /// A copy to change and commit; the one in the cache stays as it is until then.
    pub(crate) fn duplicate(&self) -> Self {
        Self { registered_key: self.registered_key.duplicate(), last_invite: self.last_invite.clone(), ..*self }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        write(|e| {
            e.array(10)?.u32(FORMAT)?.bytes(self.id.as_bytes())?.bytes(self.registered_key.expose())?;
            e.u8(self.suite.id())?.u32(self.suites.bits())?.u8(self.accept as u8)?;
            e.u32(self.attach_number)?.u32(self.request_number)?;
            match &self.last_invite {
                None => e.null()?,
                Some(last) => e.array(3)?.bytes(&last.request_hash)?.u8(last.code)?.bytes(&last.payload)?,
            };
            e.u32(self.acknowledged)?;
            Ok(())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut d = open(bytes, 9)?;
        Ok(Self {
            id: id(&mut d)?,
            registered_key: secret(&mut d)?,
            suite: suite(&mut d)?,
            suites: SuiteSet::from_bits(d.u32()?).ok_or_else(|| bad("suites"))?,
            accept: match d.u8()? {
                0 => Accept::All,
                1 => Accept::Known,
                2 => Accept::None,
                _ => return Err(bad("accept")),
            },
            attach_number: d.u32()?,
            request_number: d.u32()?,
            last_invite: optional(&mut d, |d| {
                d.array()?;
                Ok(StoredAnswer { request_hash: fixed(d)?, code: d.u8()?, payload: d.bytes()?.to_vec() })
            })?,
            acknowledged: d.u32()?,
        })
    }
}

/// One end of a session.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) index: DeviceIndex,
    pub(crate) id: DeviceId,
    pub(crate) handle: Handle,
    /// n_i or n_j; zero for a responder that has not answered.
    pub(crate) nonce: [u8; 8],
    /// k_t^i or k_t^j; none for a responder that has not answered.
    pub(crate) temporary_key: Option<Secret<16>>,
}

impl End {
    fn duplicate(&self) -> Self {
        Self { temporary_key: self.temporary_key.as_ref().map(Secret::duplicate), ..*self }
    }

    fn encode(&self, e: &mut Sink) -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
        e.array(5)?.u32(self.index)?.bytes(self.id.as_bytes())?.bytes(&self.handle.0)?.bytes(&self.nonce)?;
        match &self.temporary_key {
            None => e.null()?,
            Some(key) => e.bytes(key.expose())?,
        };
        Ok(())
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, RecordError> {
        d.array()?;
        Ok(Self {
            index: d.u32()?,
            id: id(d)?,
            handle: handle(d)?,
            nonce: fixed(d)?,
            temporary_key: optional(d, secret)?,
        })
    }
}

/// The first Half of a run, verified, waiting for the other.
#[derive(Debug)]
pub(crate) struct OpenHalf {
    pub(crate) role: Role,
    /// SHA-256 of the body, to know a repetition.
    pub(crate) body_hash: [u8; 32],
    /// N.
    pub(crate) element: Vec<u8>,
    /// K'.
    pub(crate) key: Secret<32>,
    /// Persisted uptime in seconds.
    pub(crate) opened_s: u64,
}

/// A run that is closed: each end's body and its B6, for repetitions.
#[derive(Clone, Debug)]
pub(crate) struct ClosedRun {
    pub(crate) body_hash: [[u8; 32]; 2],
    /// The sealed B6, by role.
    pub(crate) answer: [Vec<u8>; 2],
}

/// The hop keys of a run, by role of the sender.
#[derive(Debug)]
pub(crate) struct HopKeys {
    pub(crate) run: u32,
    pub(crate) keys: [Secret<32>; 2],
}

/// Where a session stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// A1 accepted, A2 in d_j's mailbox under this number; gone at this uptime.
    Invited { item: u32, due_s: u64 },
    /// A3 accepted.
    Agreed { th_a: [u8; 32] },
    /// A3 refused; kept so that its repetition gets the same answer.
    Refused,
}

/// A session of two devices.
#[derive(Debug)]
pub(crate) struct SessionRecord {
    /// d_i, d_j.
    pub(crate) ends: [End; 2],
    pub(crate) suite: Suite,
    /// n_G.
    pub(crate) nonce_g: [u8; 8],
    pub(crate) stage: Stage,
    /// The highest run that was opened; 0 for none.
    pub(crate) run: u32,
    pub(crate) half: Option<OpenHalf>,
    pub(crate) closed: Option<ClosedRun>,
    /// Of the last runs that closed, newest last.
    pub(crate) hops: Vec<HopKeys>,
}

impl SessionRecord {
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            ends: [self.ends[0].duplicate(), self.ends[1].duplicate()],
            stage: match self.stage {
                Stage::Invited { item, due_s } => Stage::Invited { item, due_s },
                Stage::Agreed { th_a } => Stage::Agreed { th_a },
                Stage::Refused => Stage::Refused,
            },
            half: self.half.as_ref().map(|h| OpenHalf { key: h.key.duplicate(), element: h.element.clone(), ..*h }),
            closed: self.closed.clone(),
            hops: self
                .hops
                .iter()
                .map(|h| HopKeys { run: h.run, keys: [h.keys[0].duplicate(), h.keys[1].duplicate()] })
                .collect(),
            ..*self
        }
    }

    pub(crate) fn end(&self, role: Role) -> &End {
        &self.ends[role as usize]
    }

    pub(crate) fn hop_keys(&self, run: u32) -> Option<&[Secret<32>; 2]> {
        self.hops.iter().find(|hop| hop.run == run).map(|hop| &hop.keys)
    }

    /// Adds a closed run. Runs go that both ends are done with: each has a message stored under a newer one (`confirmed` of both).
    pub(crate) fn push_hop(&mut self, hop: HopKeys, confirmed: u32) {
        self.hops.retain(|hop| hop.run >= confirmed);
        self.hops.push(hop);
        if self.hops.len() > HOP_RUNS_MAX {
            self.hops.remove(0);
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        write(|e| {
            e.array(9)?.u32(FORMAT)?;
            e.array(2)?;
            self.ends[0].encode(e)?;
            self.ends[1].encode(e)?;
            e.u8(self.suite.id())?.bytes(&self.nonce_g)?;
            match &self.stage {
                Stage::Invited { item, due_s } => e.array(2)?.u32(*item)?.u64(*due_s)?,
                Stage::Agreed { th_a } => e.bytes(th_a)?,
                Stage::Refused => e.null()?,
            };
            e.u32(self.run)?;
            match &self.half {
                None => e.null()?,
                Some(h) => {
                    e.array(5)?.u8(h.role as u8)?.bytes(&h.body_hash)?.bytes(&h.element)?;
                    e.bytes(h.key.expose())?.u64(h.opened_s)?
                }
            };
            match &self.closed {
                None => e.null()?,
                Some(c) => {
                    e.array(4)?.bytes(&c.body_hash[0])?.bytes(&c.body_hash[1])?;
                    e.bytes(&c.answer[0])?.bytes(&c.answer[1])?
                }
            };
            e.array(self.hops.len() as u64)?;
            for hop in &self.hops {
                e.array(3)?.u32(hop.run)?.bytes(hop.keys[0].expose())?.bytes(hop.keys[1].expose())?;
            }
            Ok(())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut d = open(bytes, 8)?;
        d.array()?;
        let ends = [End::decode(&mut d)?, End::decode(&mut d)?];
        let suite = suite(&mut d)?;
        let nonce_g = fixed(&mut d)?;
        let stage = match d.datatype()? {
            Type::Bytes => Stage::Agreed { th_a: fixed(&mut d)? },
            Type::Null => {
                d.null()?;
                Stage::Refused
            }
            _ => {
                d.array()?;
                Stage::Invited { item: d.u32()?, due_s: d.u64()? }
            }
        };
        let run = d.u32()?;
        let half = optional(&mut d, |d| {
            d.array()?;
            Ok(OpenHalf {
                role: role(d)?,
                body_hash: fixed(d)?,
                element: d.bytes()?.to_vec(),
                key: secret(d)?,
                opened_s: d.u64()?,
            })
        })?;
        let closed = optional(&mut d, |d| {
            d.array()?;
            Ok(ClosedRun { body_hash: [fixed(d)?, fixed(d)?], answer: [d.bytes()?.to_vec(), d.bytes()?.to_vec()] })
        })?;
        let count = d.array()?.unwrap_or(0);
        if count > HOP_RUNS_MAX as u64 {
            return Err(bad("too many runs"));
        }
        let mut hops = Vec::new();
        for _ in 0..count {
            d.array()?;
            hops.push(HopKeys { run: d.u32()?, keys: [secret(&mut d)?, secret(&mut d)?] });
        }
        Ok(Self { ends, suite, nonce_g, stage, run, half, closed, hops })
    }
}

/// The sessions of a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PairRecord {
    /// The invitation that waits for its answer.
    pub(crate) pending: Option<Handle>,
    /// The session in force.
    pub(crate) current: Option<Handle>,
    /// The one before it: a message that was on its way when the new one was agreed still counts.
    pub(crate) previous: Option<Handle>,
    /// The last invitation that was refused: its A3 may be repeated.
    pub(crate) refused: Option<Handle>,
}

impl PairRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        write(|e| {
            e.array(5)?.u32(FORMAT)?;
            for handle in [self.pending, self.current, self.previous, self.refused] {
                match handle {
                    None => e.null()?,
                    Some(handle) => e.bytes(&handle.0)?,
                };
            }
            Ok(())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut d = open(bytes, 4)?;
        Ok(Self {
            pending: optional(&mut d, handle)?,
            current: optional(&mut d, handle)?,
            previous: optional(&mut d, handle)?,
            refused: optional(&mut d, handle)?,
        })
    }
}

/// What one leg has sent under one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunWindow {
    pub(crate) run: u32,
    /// The highest sequence.
    pub(crate) highest: u32,
    /// Sequence and hop tag of the last ones, rising.
    pub(crate) seen: Vec<(u32, [u8; 8])>,
}

/// What one leg has sent under its last runs, so that nothing is stored twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WindowRecord {
    pub(crate) runs: Vec<RunWindow>,
}

/// What a window says of a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Never: it may be stored.
    New,
    /// With the same tag: it is stored.
    Same,
    /// With another tag, or so long ago that nobody knows.
    Other,
}

impl WindowRecord {
    pub(crate) fn look(&self, run: u32, sequence: u32, tag: &[u8; 8]) -> Seen {
        let Some(window) = self.runs.iter().find(|window| window.run == run) else {
            // Under a run older than those that are remembered, nobody knows what was stored.
            let forgotten = self.runs.len() >= RUNS_KEPT && self.runs.first().is_some_and(|oldest| run < oldest.run);
            return if forgotten { Seen::Other } else { Seen::New };
        };
        if let Some((_, seen)) = window.seen.iter().find(|(number, _)| *number == sequence) {
            return if seen == tag { Seen::Same } else { Seen::Other };
        }
        let oldest = window.highest.saturating_sub(WINDOW_LEN as u32 - 1);
        if sequence < oldest { Seen::Other } else { Seen::New }
    }

    /// The newest run that the leg has sent anything under: its message 0 is there.
    pub(crate) fn newest_run(&self) -> u32 {
        self.runs.last().map_or(0, |window| window.run)
    }

    /// Notes a sequence number that [`look`](Self::look) called new.
    pub(crate) fn note(&mut self, run: u32, sequence: u32, tag: [u8; 8]) {
        if !self.runs.iter().any(|window| window.run == run) {
            self.runs.push(RunWindow { run, highest: 0, seen: Vec::new() });
            self.runs.sort_by_key(|window| window.run);
            if self.runs.len() > RUNS_KEPT {
                self.runs.remove(0);
            }
        }
        let Some(window) = self.runs.iter_mut().find(|window| window.run == run) else { return };
        window.highest = window.highest.max(sequence);
        let at = window.seen.partition_point(|(number, _)| *number < sequence);
        window.seen.insert(at, (sequence, tag));
        let oldest = window.highest.saturating_sub(WINDOW_LEN as u32 - 1);
        window.seen.retain(|(number, _)| *number >= oldest);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        write(|e| {
            e.array(2)?.u32(FORMAT)?.array(self.runs.len() as u64)?;
            for window in &self.runs {
                e.array(3)?.u32(window.run)?.u32(window.highest)?;
                e.array(window.seen.len() as u64 * 2)?;
                for (sequence, tag) in &window.seen {
                    e.u32(*sequence)?.bytes(tag)?;
                }
            }
            Ok(())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut d = open(bytes, 1)?;
        let mut runs = Vec::new();
        let count = d.array()?.unwrap_or(0);
        if count > RUNS_KEPT as u64 {
            return Err(bad("too many runs"));
        }
        for _ in 0..count {
            d.array()?;
            let (run, highest) = (d.u32()?, d.u32()?);
            let pairs = d.array()?.unwrap_or(0) / 2;
            if pairs > WINDOW_LEN as u64 {
                return Err(bad("window"));
            }
            let mut seen = Vec::new();
            for _ in 0..pairs {
                seen.push((d.u32()?, fixed(&mut d)?));
            }
            runs.push(RunWindow { run, highest, seen });
        }
        Ok(Self { runs })
    }
}

/// Which session and end a handle belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LegRecord {
    /// The session, by its initiator's handle.
    pub(crate) session: Handle,
    pub(crate) role: Role,
}

impl LegRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        write(|e| {
            e.array(3)?.u32(FORMAT)?.bytes(&self.session.0)?.u8(self.role as u8)?;
            Ok(())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut d = open(bytes, 2)?;
        Ok(Self { session: handle(&mut d)?, role: role(&mut d)? })
    }
}

/// A record as the cache holds it.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Name(DeviceIndex),
    Device(Arc<DeviceRecord>),
    Session(Arc<SessionRecord>),
    Leg(LegRecord),
    Window(Arc<WindowRecord>),
    Pair(PairRecord),
    /// A key without a value: that it is there says all.
    Mark,
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Name(index) => index.to_be_bytes().to_vec(),
            Self::Device(record) => record.encode(),
            Self::Session(record) => record.encode(),
            Self::Leg(record) => record.encode(),
            Self::Window(record) => record.encode(),
            Self::Pair(record) => record.encode(),
            Self::Mark => Vec::new(),
        }
    }

    pub(crate) fn decode(key: crate::storage::Key, bytes: &[u8]) -> Result<Self, RecordError> {
        use crate::storage::Key;
        Ok(match key {
            Key::Name(_) => Self::Name(u32::from_be_bytes(bytes.try_into().map_err(|_| bad("index"))?)),
            Key::Device(_) => Self::Device(Arc::new(DeviceRecord::decode(bytes)?)),
            Key::Session(_) => Self::Session(Arc::new(SessionRecord::decode(bytes)?)),
            Key::Leg(_) => Self::Leg(LegRecord::decode(bytes)?),
            Key::Window(_) => Self::Window(Arc::new(WindowRecord::decode(bytes)?)),
            Key::Pair(..) => Self::Pair(PairRecord::decode(bytes)?),
            Key::Retired(_) | Key::Pending { .. } => Self::Mark,
            Key::Meta | Key::Item { .. } => return Err(bad("not a cached record")),
        })
    }
}
