//! Invitations that are not answered, counted: of each device that sent them, and in all.
//!
//! The count is of this start of the gateway. What was invited before still runs out within its hour, and a mailbox takes few in any
//! case.

use std::collections::HashMap;

use sga_schema::Handle;

use crate::limits::{INVITATIONS_OPEN_MAX, INVITATIONS_SENT_MAX};
use crate::storage::DeviceIndex;

#[derive(Default)]
pub(crate) struct Invitations {
    open: HashMap<Handle, DeviceIndex>,
    of: HashMap<DeviceIndex, usize>,
}

impl Invitations {
    pub(crate) fn has_room(&self, device: DeviceIndex) -> bool {
        self.open.len() < INVITATIONS_OPEN_MAX && self.of.get(&device).is_none_or(|&count| count < INVITATIONS_SENT_MAX)
    }

    pub(crate) fn add(&mut self, session: Handle, device: DeviceIndex) {
        if self.open.insert(session, device).is_none() {
            *self.of.entry(device).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, session: Handle) {
        let Some(device) = self.open.remove(&session) else { return };
        if let Some(count) = self.of.get_mut(&device) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_bounded_in_all() {
        let mut invitations = Invitations::default();
        let mut number = 0_u32;
        while invitations.has_room(number / 8) {
            invitations.add(Handle(number.to_be_bytes()), number / 8);
            number += 1;
        }
        assert_eq!(number as usize, INVITATIONS_OPEN_MAX);
        invitations.remove(Handle([0; 4]));
        assert!(invitations.has_room(u32::MAX), "one was answered");
        invitations.remove(Handle([0; 4]));
        assert_eq!(invitations.open.len(), INVITATIONS_OPEN_MAX - 1, "counted once");
    }
}
