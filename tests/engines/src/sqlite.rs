//! SQLite: WAL, synchronous FULL, a transaction a group.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::{Op, key};

pub struct Engine(Connection);

impl Engine {
    pub fn open(folder: &Path) -> Self {
        let connection = Connection::open(folder.join("store.sqlite")).expect("opens");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32000;
                 CREATE TABLE IF NOT EXISTS items (mailbox INTEGER, number INTEGER, body BLOB, PRIMARY KEY (mailbox, number))
                 WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS records (name BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID;",
            )
            .expect("tables");
        Self(connection)
    }

    pub fn apply(&mut self, ops: &[Op]) {
        let transaction = self.0.transaction().expect("begins");
        {
            let mut put = transaction.prepare_cached("REPLACE INTO records VALUES (?, ?)").expect("prepared");
            let mut append = transaction.prepare_cached("INSERT INTO items VALUES (?, ?, ?)").expect("prepared");
            let sql = "DELETE FROM items WHERE mailbox = ? AND number <= ?";
            let mut remove = transaction.prepare_cached(sql).expect("prepared");
            for op in ops {
                match op {
                    Op::Append { mailbox, number, body, window } => {
                        append.execute(params![mailbox, number, body]).expect("put");
                        put.execute(params![key(b'w', *mailbox, 0), window]).expect("put");
                    }
                    Op::Acknowledge { mailbox, up_to, device } => {
                        remove.execute(params![mailbox, up_to]).expect("removed");
                        put.execute(params![key(b'd', *mailbox, 0), device]).expect("put");
                    }
                }
            }
        }
        transaction.commit().expect("committed");
    }

    pub fn read(&self, mailbox: u32) -> Vec<(u32, Vec<u8>)> {
        let sql = "SELECT number, body FROM items WHERE mailbox = ? ORDER BY number";
        let mut select = self.0.prepare_cached(sql).expect("prepared");
        let rows = select.query_map([mailbox], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.map(|row| row.expect("readable")).collect()
    }
}
