//! No engine: what the bench itself weighs.

use crate::Op;
use std::path::Path;

pub struct Engine;

impl Engine {
    pub fn open(_: &Path) -> Self {
        Self
    }

    pub fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Append { mailbox, number, body, window } => {
                    std::hint::black_box((mailbox, number, body, window, crate::key(b'i', *mailbox, *number)));
                }
                Op::Acknowledge { mailbox, up_to, device } => {
                    std::hint::black_box((mailbox, up_to, device));
                }
            }
        }
    }

    pub fn read(&self, _: u32) -> Vec<(u32, Vec<u8>)> {
        Vec::new()
    }
}
