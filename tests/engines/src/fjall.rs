//! fjall: a batch a group, persisted with SyncData.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::{Op, key};

pub struct Engine {
    database: Database,
    records: Keyspace,
}

impl Engine {
    pub fn open(folder: &Path) -> Self {
        let database = Database::builder(folder.join("fjall")).open().expect("opens");
        let records = database.keyspace("records", KeyspaceCreateOptions::default).expect("a keyspace");
        Self { database, records }
    }

    pub fn apply(&mut self, ops: &[Op]) {
        let mut batch = self.database.batch();
        for op in ops {
            match op {
                Op::Append { mailbox, number, body, window } => {
                    batch.insert(&self.records, key(b'i', *mailbox, *number), body.as_slice());
                    batch.insert(&self.records, key(b'w', *mailbox, 0), window.as_slice());
                }
                Op::Acknowledge { mailbox, up_to, device } => {
                    let (from, to) = (key(b'i', *mailbox, 0), key(b'i', *mailbox, *up_to));
                    for found in self.records.range(from..=to) {
                        batch.remove(&self.records, found.key().expect("readable"));
                    }
                    batch.insert(&self.records, key(b'd', *mailbox, 0), device.as_slice());
                }
            }
        }
        batch.commit().expect("committed");
        self.database.persist(PersistMode::SyncData).expect("durable");
    }

    pub fn read(&self, mailbox: u32) -> Vec<(u32, Vec<u8>)> {
        let (from, to) = (key(b'i', mailbox, 0), key(b'i', mailbox, u32::MAX));
        self.records
            .range(from..=to)
            .map(|found| {
                let (key, value) = found.into_inner().expect("readable");
                (u32::from_be_bytes(key[5..].try_into().expect("four bytes")), value.to_vec())
            })
            .collect()
    }
}
