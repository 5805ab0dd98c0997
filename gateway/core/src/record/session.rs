//! A session of two devices.

use minicbor::{Decoder, data::Type};
use sga_crypto::Secret;
use sga_schema::{DeviceId, Handle, Role, Suite};

use super::codec::*;
use crate::limits::HOP_RUNS_MAX;
use crate::storage::DeviceIndex;

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
