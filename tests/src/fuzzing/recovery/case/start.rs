//! What a run may begin with, made once.

use std::collections::{BTreeMap, BTreeSet};

use super::Case;
use crate::fuzzing::reader::Reader;
use crate::fuzzing::recovery::group;
use crate::sim::disk::SimDisk;
use crate::sim::model::{MAILBOXES, Model};

#[derive(Clone)]
pub(super) struct Start {
    pub(super) disk: SimDisk,
    pub(super) states: Vec<Model>,
    pub(super) ever: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    pub(super) backups: BTreeMap<String, Model>,
    pub(super) numbers: [u32; MAILBOXES as usize],
    pub(super) stamp: u32,
}

impl Start {
    pub(super) fn make(stage: usize) -> Self {
        let mut case = Case::new();
        // The same pattern over and over reaches every kind of change.
        let pattern: Vec<u8> = (0..=255).collect();
        let mut reader = Reader::new(&pattern);
        for at in 0..[3, 22, 22][stage] {
            if reader.is_empty() {
                reader = Reader::new(&pattern);
            }
            let group = group(&mut case, &mut reader);
            case.apply(&group);
            if stage == 2 && at == 9 {
                case.back_up();
            }
        }
        case.close();
        let Case { disk, states, ever, backups, numbers, stamp, .. } = case;
        Self { disk, states, ever, backups, numbers, stamp }
    }
}
