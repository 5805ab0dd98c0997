//! One store, what it should hold, and what may be missing.

mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use sga_gateway_core::{Commit, Key, StoredItem};
use sga_gateway_store::{Disk, Finding, OpenError, Opened, Options, SNAPSHOT, examine, open, restore, verify};

use self::start::Start;
use super::damage;
use crate::fuzzing::Reached;
use crate::fuzzing::reader::Reader;
use crate::sim::disk::{Fate, SimDisk};
use crate::sim::model::{MAILBOXES, Model, UNFIT};

const KEY: [u8; 32] = [7; 32];
/// How often an opening may go over all there is; a part for files that it makes.
const WORK_FACTOR: u64 = 40;
const WORK_BASE: u64 = 64 << 20;
const SEGMENT_BYTES: usize = 24 << 10;

/// Small files, so that a few groups fill one.
fn options(check_bytes: u64) -> Options {
    let segment_bytes = SEGMENT_BYTES as u64;
    Options { segment_bytes, reserve_bytes: 4 << 10, cache_bytes: 1 << 20, check_bytes, ..Options::new(1, [9; 32]) }
}

pub(crate) struct Case {
    disk: SimDisk,
    /// Tables up to this length are read through at each start; 0: as if they were long.
    check_bytes: u64,
    store: Option<Opened>,
    /// What was there after each group since something was missing last; the last is confirmed.
    states: Vec<Model>,
    /// A group may have reached the disk that was not confirmed.
    one_more: Option<Model>,
    /// Everything that was ever stored, by key.
    ever: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    /// Blocks that were damaged since the files were found in order.
    damages: usize,
    /// An opening began with a journal that was cut, and none has come to its end since.
    shortened: bool,
    /// An opening after damage was cut short: what it would have told is in the mark that the store was set back.
    cut_short: bool,
    /// The store was stopped, and not by the power.
    closed: bool,
    /// What each backup holds.
    backups: BTreeMap<String, Model>,
    pub(crate) numbers: [u32; MAILBOXES as usize],
    stamp: u32,
    pub(crate) openings: usize,
    pub(crate) reached: Reached,
}

impl Case {
    fn new() -> Self {
        Self {
            disk: SimDisk::default(),
            check_bytes: u64::MAX,
            store: None,
            states: vec![Model::default()],
            one_more: None,
            ever: BTreeMap::new(),
            damages: 0,
            shortened: false,
            cut_short: false,
            closed: true,
            backups: BTreeMap::new(),
            numbers: [0; MAILBOXES as usize],
            stamp: 0,
            openings: 0,
            reached: Reached::new(),
        }
    }

    /// 0: nothing. 1: a journal. 2: tables and both journals. 3: the same, and a backup of an earlier state beside it.
    pub(crate) fn at_stage(first: u8, check_bytes: u64) -> Self {
        static STARTS: OnceLock<[Start; 3]> = OnceLock::new();
        let mut case = Self { check_bytes, ..Self::new() };
        let Some(stage) = usize::from(first & 3).checked_sub(1) else { return case };
        let start = STARTS.get_or_init(|| [0, 1, 2].map(Start::make))[stage].clone();
        case.disk = start.disk.duplicate();
        case.states = start.states;
        (case.ever, case.backups, case.numbers, case.stamp) = (start.ever, start.backups, start.numbers, start.stamp);
        case
    }

    pub(crate) fn next_number(&mut self, mailbox: u32) -> u32 {
        let last = &mut self.numbers[mailbox as usize];
        *last += 1;
        *last
    }

    /// Bytes that are nowhere else.
    pub(crate) fn bytes(&mut self, reader: &mut Reader<'_>) -> Vec<u8> {
        self.stamp += 1;
        let mut bytes = self.stamp.to_be_bytes().to_vec();
        bytes.resize(4 + usize::from(reader.byte()) * 4, self.stamp as u8);
        bytes
    }

    fn state(&self) -> &Model {
        self.states.last().expect("never empty")
    }

    fn opened(&mut self) -> &mut Opened {
        if self.store.is_none() {
            self.reopen();
        }
        self.store.as_mut().expect("just opened")
    }

    /// A group of commits; if the power goes, nobody knows whether it is there.
    pub(crate) fn apply(&mut self, group: &[Commit]) {
        let confirmed = self.opened().writer.apply(group).is_ok();
        let mut state = self.state().clone();
        for change in group.iter().flat_map(|commit| &commit.changes) {
            state.apply(change);
        }
        for (key, value) in &state.records {
            self.ever.entry(key.clone()).or_default().insert(value.clone());
        }
        for (&(mailbox, number), item) in &state.items {
            self.ever.entry(Key::Item { mailbox, number }.to_bytes()).or_default().insert(item_bytes(item));
        }
        if confirmed {
            self.states.push(state);
        } else if self.disk.is_dead() {
            self.one_more = Some(state);
            self.cut(Fate::Torn(3));
        } else {
            assert!(self.check_bytes == 0 && self.damages > 0, "a group was refused");
            self.close();
            self.suspect("refused");
        }
    }

    /// A clean stop.
    pub(crate) fn close(&mut self) {
        if self.store.take().is_some() {
            self.closed = true;
        }
        if self.disk.is_dead() {
            self.cut(Fate::Dropped);
        }
    }

    /// The power goes, and comes back.
    pub(crate) fn cut(&mut self, fate: Fate) {
        self.disk = self.disk.after_power_cut(fate);
        self.store = None;
        self.closed = false;
        self.reached.insert("power cut");
    }

    /// The power will go at a sync.
    pub(crate) fn stop_after(&mut self, syncs: u64) {
        self.disk.stop_at(self.disk.syncs() + syncs);
    }

    /// The files change by themselves, while nobody has them open.
    pub(crate) fn damage(&mut self, reader: &mut Reader<'_>) {
        self.close();
        let blocks = damage::damage(&self.disk, reader);
        self.damages += blocks;
        if blocks > 0 {
            self.reached.insert("damage");
        }
    }

    pub(crate) fn back_up(&mut self) {
        let mut bytes = Vec::new();
        let store = self.opened();
        let written = store.backups.write(&mut bytes).is_ok();
        let excused = self.disk.is_dead() || self.check_bytes == 0 && self.damages > 0;
        assert!(written || excused, "no backup of a store that is in order");
        if !written {
            return;
        }
        let name = format!("{}{:012}{}", SNAPSHOT.0, self.backups.len(), SNAPSHOT.1);
        let Ok(file) = self.disk.create(&name) else { return };
        if file.write_at(0, &bytes).and_then(|()| file.sync()).and_then(|()| self.disk.sync_names()).is_ok() {
            // Opening may have found less than was confirmed.
            self.backups.insert(name, self.state().clone());
            self.reached.insert("backup");
        }
    }

    /// A backup takes the place of the store, if it is one.
    pub(crate) fn restore(&mut self, reader: &mut Reader<'_>) {
        self.close();
        let choice = reader.byte();
        let Some(name) = self.backups.keys().nth(usize::from(choice >> 1) % self.backups.len().max(1)).cloned() else {
            return self.restore_anything(reader);
        };
        let Ok(Some(file)) = self.disk.open(&name) else { return };
        if choice & 1 == 0 {
            damage::damage_file(&self.disk, &name, reader);
        }
        let before = self.disk.content();
        let whole = verify(&KEY, file.as_ref());
        let restored = restore(&self.disk, &KEY, &options(self.check_bytes), file.as_ref());
        assert!(whole.is_ok() || restored.is_err(), "{name} is not whole, and was restored");
        if restored.is_ok() {
            self.states = vec![self.backups[&name].clone()];
            (self.one_more, self.damages, self.shortened) = (None, 0, false);
            self.reached.insert("restored");
        } else if self.disk.is_dead() {
            // It may be in its place, and nobody has been told.
            self.one_more = Some(self.backups[&name].clone());
            self.cut(Fate::Kept);
        } else {
            assert!(whole.is_err(), "{name} is whole, and was not restored: {restored:?}");
            assert!(self.disk.content() == before, "a backup that is none has changed something");
            self.reached.insert("no backup");
        }
    }

    /// Any bytes as a backup.
    fn restore_anything(&mut self, reader: &mut Reader<'_>) {
        let Ok(file) = self.disk.create("any") else { return };
        let magic: &[u8] = if reader.flag() { b"SGA-BACKUP-1\n" } else { b"" };
        let bytes = [magic, reader.bytes(200)].concat();
        if file.write_at(0, &bytes).is_ok() {
            assert!(verify(&KEY, file.as_ref()).is_err(), "nobody has sealed {bytes:02x?}");
            assert!(restore(&self.disk, &KEY, &options(self.check_bytes), file.as_ref()).is_err());
        }
    }

    /// The doctor looks and leaves everything as it is.
    pub(crate) fn examine(&mut self) {
        self.close();
        let before = self.disk.content();
        let found = examine(&self.disk, &KEY, &options(self.check_bytes));
        assert!(found.is_ok() || self.disk.is_dead(), "{found:?}");
        assert!(self.disk.content() == before, "the doctor has changed something");
        if found.is_ok_and(|found| found.wrong.is_empty()) {
            let opened = open(Arc::new(self.disk.duplicate()), &KEY, &options(self.check_bytes));
            let findings = opened.map(|opened| opened.findings).map_err(|error| error.to_string());
            assert_eq!(findings, Ok(Vec::new()), "the doctor finds a sound store");
        }
    }

    /// Stops and starts, and looks at everything.
    pub(crate) fn reopen(&mut self) {
        self.close();
        self.openings += 1;
        let before = self.disk.content();
        let journals = ["journal-0", "journal-1"].into_iter().filter_map(|name| before.get(name));
        self.shortened |= journals.into_iter().any(|bytes| bytes.len() < SEGMENT_BYTES);
        let (work, len) = (self.disk.work(), before.values().map(Vec::len).sum::<usize>() as u64);
        let opened = open(Arc::new(self.disk.clone()), &KEY, &options(self.check_bytes));
        let work = self.disk.work() - work;
        assert!(work <= WORK_BASE + WORK_FACTOR * len, "{work} bytes of work for {len}");
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(_) if self.disk.is_dead() => {
                self.cut_short |= self.damages > 0;
                self.cut(Fate::Torn(self.openings as u64));
                return self.reopen();
            }
            Err(OpenError::Format(_)) if self.damages > 0 => panic!("damage taken for another format"),
            Err(error) => panic!("a store always opens: {error}"),
        };
        let found = match Model::read(&opened.reader) {
            Ok(found) => found,
            Err(error) => {
                assert!(self.check_bytes == 0 && self.damages > 0, "what is open can be read: {error}");
                drop(opened);
                return self.suspect(&error.to_string());
            }
        };
        self.check(&found, &opened.findings, opened.set_back);
        self.check_kept(&before, &opened.findings);
        let told = !opened.findings.is_empty() || self.cut_short && opened.set_back;
        if told {
            self.reached.insert("told");
        }
        let replaced = opened.findings.iter().any(|finding| matches!(finding, Finding::SetAside { .. }));
        opened.findings.clear();
        if told {
            self.states.clear();
        }
        if self.states.last() != Some(&found) {
            self.states.push(found);
        }
        self.one_more = None;
        if replaced || self.check_bytes > 0 {
            // Otherwise what was not looked at may still be damaged.
            self.damages = 0;
        }
        (self.closed, self.cut_short, self.shortened) = (false, false, false);
        self.store = Some(opened);
    }

    /// Something was damaged that is found out only now. There is a mark, so that the next start reads everything through.
    fn suspect(&mut self, why: &str) {
        let marked = self.disk.is_dead() || self.disk.content().contains_key("store.suspect");
        assert!(marked || why.contains(UNFIT), "{why}: and no mark");
        self.cut_short = true;
        self.check_bytes = u64::MAX;
        self.reached.insert("suspect");
        self.reopen();
    }

    fn check(&self, found: &Model, findings: &[Finding], set_back: bool) {
        for (key, value) in &found.records {
            let known = self.ever.get(key).is_some_and(|values| values.contains(value));
            assert!(known, "record {key:02x?} was never stored as {value:02x?}");
        }
        for (&(mailbox, number), item) in &found.items {
            let key = Key::Item { mailbox, number }.to_bytes();
            let void = *item == StoredItem::void(number);
            let known = self.ever.get(&key).is_some_and(|values| void || values.contains(&item_bytes(item)));
            assert!(known, "{item:?} was never in mailbox {mailbox}");
        }
        // However many openings that took, and whatever the files look like by now.
        assert!(set_back || !self.shortened, "a journal was cut, and nobody was told");
        if !findings.is_empty() {
            assert!(self.damages > 0, "nothing was damaged: {findings:?}");
            assert!(set_back, "something may be missing, and the generation stays: {findings:?}");
            return;
        }
        if self.cut_short && set_back || self.check_bytes == 0 && self.damages > 0 {
            return;
        }
        if self.one_more.as_ref() == Some(found) || self.state() == found {
            return;
        }
        // The last groups of a journal may be gone without a trace, as if they had never been confirmed. Behind a clean stop there is
        // an empty one, so that it takes more than one block.
        let earlier = self.states.contains(found);
        let tail = self.damages > usize::from(self.closed);
        assert!(
            earlier && tail,
            "something is missing or came back, and nobody was told (blocks damaged: {}, closed: {}, a state before: {earlier}): {}",
            self.damages,
            self.closed,
            self.state().differences(found)
        );
    }

    /// What was damaged is kept under another name.
    fn check_kept(&self, before: &BTreeMap<String, Vec<u8>>, findings: &[Finding]) {
        let now = self.disk.content();
        for finding in findings {
            let Finding::SetAside { files, .. } = finding else { continue };
            for file in files {
                let kept = now.get(file).unwrap_or_else(|| panic!("{file} is not there"));
                // The engine writes down in its head that it has the file open.
                let is_kept = |old: &Vec<u8>| {
                    kept.len() >= old.len() && kept[..old.len()].iter().skip(512).eq(old.iter().skip(512))
                };
                assert!(before.values().any(is_kept), "{file} is not what was there");
            }
        }
    }
}

fn item_bytes(item: &StoredItem) -> Vec<u8> {
    let mut bytes = item.kind.to_be_bytes().to_vec();
    bytes.extend(item.stored_s.to_be_bytes());
    bytes.extend(&item.body);
    bytes
}
