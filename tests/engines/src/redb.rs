//! redb by itself: one transaction a group, two-phase, with quick repair.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use crate::{Op, key};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

pub struct Engine(Database);

impl Engine {
    pub fn open(folder: &Path) -> Self {
        let database = Database::builder().set_cache_size(32 << 20).create(folder.join("store.redb")).expect("opens");
        Self(database)
    }

    pub fn apply(&mut self, ops: &[Op]) {
        let mut transaction = self.0.begin_write().expect("begins");
        transaction.set_durability(Durability::Immediate).expect("durable");
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        {
            let mut table = transaction.open_table(TABLE).expect("a table");
            for op in ops {
                match op {
                    Op::Append { mailbox, number, body, window } => {
                        table.insert(key(b'i', *mailbox, *number).as_slice(), body.as_slice()).expect("put");
                        table.insert(key(b'w', *mailbox, 0).as_slice(), window.as_slice()).expect("put");
                    }
                    Op::Acknowledge { mailbox, up_to, device } => {
                        let (from, to) = (key(b'i', *mailbox, 0), key(b'i', *mailbox, *up_to));
                        table.retain_in(from.as_slice()..=to.as_slice(), |_, _| false).expect("removed");
                        table.insert(key(b'd', *mailbox, 0).as_slice(), device.as_slice()).expect("put");
                    }
                }
            }
        }
        transaction.commit().expect("committed");
    }

    pub fn read(&self, mailbox: u32) -> Vec<(u32, Vec<u8>)> {
        let Ok(table) = self.0.begin_read().expect("begins").open_table(TABLE) else { return Vec::new() };
        let (from, to) = (key(b'i', mailbox, 0), key(b'i', mailbox, u32::MAX));
        let range = table.range(from.as_slice()..=to.as_slice()).expect("a range");
        range
            .map(|found| {
                let (key, value) = found.expect("readable");
                let number = u32::from_be_bytes(key.value()[5..].try_into().expect("four bytes"));
                (number, value.value().to_vec())
            })
            .collect()
    }
}
