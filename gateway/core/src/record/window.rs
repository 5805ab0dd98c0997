//! What a leg has sent, so that nothing is stored twice.

use super::codec::*;
use crate::limits::{RUNS_KEPT, WINDOW_LEN};

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
