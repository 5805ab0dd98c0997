//! The gateway's store: a journal in front of redb, everything sealed.

use std::path::Path;
use std::sync::Arc;

use sga_gateway_core::{Change, Commit, Found, Key, StoredItem, Want};
use sga_gateway_store::{Folder, Opened, Options, open};

use crate::Op;

pub struct Engine(Opened);

impl Engine {
    pub fn open(folder: &Path) -> Self {
        let mut opened = open(Arc::new(Folder::new(folder)), &[7; 32], &Options::new(1, [8; 32])).expect("opens");
        let checkpointer = opened.writer.take_checkpointer().expect("there is one");
        std::thread::spawn(move || checkpointer.run());
        // Damage is no error here: it is told, and what is left is there.
        assert!(opened.findings.is_empty(), "{:?}", opened.findings);
        Self(opened)
    }

    pub fn apply(&mut self, ops: &[Op]) {
        let commit = |op: &Op| Commit {
            id: 0,
            changes: match op {
                Op::Append { mailbox, number, body, window } => {
                    let item = StoredItem { number: *number, kind: 6, body: body.clone(), stored_s: 1 };
                    let key = Key::Window(sga_handle(*mailbox));
                    vec![Change::Append { mailbox: *mailbox, item }, Change::Put { key, value: window.clone() }]
                }
                Op::Acknowledge { mailbox, up_to, device } => {
                    let key = Key::Device(*mailbox);
                    let record = Change::Put { key, value: device.clone() };
                    vec![Change::Acknowledge { mailbox: *mailbox, up_to: *up_to }, record]
                }
            },
        };
        let group: Vec<Commit> = ops.iter().map(commit).collect();
        self.0.writer.apply(&group).expect("durable");
    }

    pub fn read(&self, mailbox: u32) -> Vec<(u32, Vec<u8>)> {
        let want = Want::Items { mailbox, from: 0, items_max: usize::MAX, bytes_max: usize::MAX };
        match self.0.reader.read(&[want]).expect("readable").pop() {
            // An item that is damaged is shown as one of another kind.
            Some(Found::Items(items)) => {
                items.into_iter().filter(|item| item.kind == 6).map(|item| (item.number, item.body)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn sga_handle(mailbox: u32) -> sga_schema::Handle {
    sga_schema::Handle(mailbox.to_be_bytes())
}
