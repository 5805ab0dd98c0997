//! What leads to a session: its pair, its legs.

use sga_schema::{Handle, Role};

use super::codec::*;

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
