//! What a store may do to the gateway beside working: fail, be full, or hand out something damaged.

use sga_gateway_core::{Commit, Found, StoreError};

/// What goes wrong next.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// So many commits from here on find no room, or fail.
    pub commits: u32,
    /// So many loads from here on fail.
    pub loads: u32,
    /// Whether it is for want of room.
    pub full: bool,
    /// In the next load that finds a record: this byte of it is changed by this much.
    pub damage: Option<(usize, u8)>,
}

impl Trouble {
    fn error(&self) -> StoreError {
        if self.full { StoreError::Full } else { StoreError::Failed("as the test has it".into()) }
    }

    /// What becomes of a commit.
    pub(crate) fn commit(&mut self, _: &Commit) -> Result<(), StoreError> {
        if self.commits == 0 {
            return Ok(());
        }
        self.commits -= 1;
        Err(self.error())
    }

    /// What becomes of the answers to a load.
    pub(crate) fn load(&mut self, mut found: Vec<Found>) -> Result<Vec<Found>, StoreError> {
        if self.loads > 0 {
            self.loads -= 1;
            return Err(self.error());
        }
        if let Some((at, by)) = self.damage {
            let record = found.iter_mut().find_map(|found| match found {
                Found::Value(Some(value)) if !value.is_empty() => Some(value),
                _ => None,
            });
            if let Some(record) = record {
                let at = at % record.len();
                record[at] = record[at].wrapping_add(by);
                self.damage = None;
            }
        }
        Ok(found)
    }
}
