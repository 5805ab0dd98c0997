//! A disk that forgets: what was written and not synced is lost, kept or torn when the power goes.

mod content;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sga_gateway_store::{Disk, DiskFile};

use self::content::{Content, Write, put, tear};

/// No file is longer: a damaged store may ask for anything.
const LEN_MAX: usize = 64 << 20;

/// What becomes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of it is gone.
    Dropped,
    /// All of it is there.
    Kept,
    /// Each sector is there or not, as a coin of this seed falls.
    Torn(u64),
}

/// One folder in memory.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, Content>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    /// What is on the medium of the names, and what was done since.
    synced_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
    syncs: u64,
    /// Bytes read and written.
    work: u64,
    stop_at: Option<u64>,
    fail_at: Option<u64>,
    /// Bytes that all files together may have.
    space: Option<usize>,
    dead: bool,
}

impl State {
    fn used(&self) -> usize {
        let ids: BTreeSet<u64> = self.names.values().copied().collect();
        ids.iter().map(|id| self.files[id].now.len()).sum()
    }

    /// Whether a file may be so long.
    fn check_space(&self, id: u64, len: usize) -> io::Result<()> {
        let grows = len.saturating_sub(self.files.get(&id).map_or(0, |content| content.now.len()));
        let fits = self.space.is_none_or(|space| grows == 0 || self.used() + grows <= space);
        if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, u64),
    Remove(String),
}

fn apply(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Set(name, id) => {
            names.insert(name.clone(), *id);
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the power is off")
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.dead { Err(gone()) } else { Ok(state) }
    }

    /// Syncs since it was made, of files and of names.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Bytes read and written since it was made.
    pub fn work(&self) -> u64 {
        self.state().work
    }

    /// Files and their content as they are now, synced or not.
    pub fn content(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(name, id)| (name.clone(), state.files[id].now.clone())).collect()
    }

    /// The power goes at the sync of this number, from 1: it does not take place, and nothing works from then on.
    pub fn stop_at(&self, sync: u64) {
        self.state().stop_at = Some(sync);
    }

    /// The sync of this number, from 1, fails: nobody knows what of it is on the medium. All goes on after it.
    pub fn fail_at(&self, sync: u64) {
        self.state().fail_at = Some(sync);
    }

    /// There is room for so many bytes more; `None`: for any number.
    pub fn leave(&self, bytes: Option<usize>) {
        let mut state = self.state();
        state.space = bytes.map(|bytes| state.used() + bytes);
    }

    /// Whether the power is off.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// What is found when the power is back.
    pub fn after_power_cut(&self, fate: Fate) -> Self {
        let state = self.state();
        let mut coin = match fate {
            Fate::Torn(seed) => Some(ChaCha12Rng::seed_from_u64(seed)),
            Fate::Dropped | Fate::Kept => None,
        };
        let mut lives = || coin.as_mut().map_or(fate == Fate::Kept, |coin| coin.next_u32() & 1 == 1);
        let mut names = state.synced_names.clone();
        // Names change in order: a file system keeps a journal of them.
        for change in &state.unsynced_names {
            if !lives() {
                break;
            }
            apply(&mut names, change);
        }
        let mut files = BTreeMap::new();
        for (&id, content) in &state.files {
            let mut bytes = content.synced.clone();
            for write in &content.unsynced {
                match write {
                    Write::Bytes { offset, data } => tear(&mut bytes, *offset, data, &mut lives),
                    Write::Length(len) => {
                        if lives() {
                            bytes.resize(*len, 0);
                        }
                    }
                }
            }
            files.insert(id, Content { now: bytes.clone(), synced: bytes, unsynced: Vec::new() });
        }
        files.retain(|id, _| names.values().any(|used| used == id));
        let next_file = state.next_file;
        Self(Arc::new(Mutex::new(State {
            files,
            next_file,
            names: names.clone(),
            synced_names: names,
            ..State::default()
        })))
    }

    /// The bytes of a file, to be damaged.
    ///
    /// # Panics
    /// There is no such file.
    pub fn damage(&self, name: &str, how: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let id = state.names[name];
        let content = state.files.get_mut(&id).expect("a name has a file");
        how(&mut content.now);
        content.synced = content.now.clone();
        content.unsynced.clear();
    }

    /// A disk with the same content, all of it synced.
    pub fn duplicate(&self) -> Self {
        let state = self.state();
        let copy =
            |content: &Content| Content { now: content.now.clone(), synced: content.now.clone(), unsynced: Vec::new() };
        let files = state.files.iter().map(|(&id, content)| (id, copy(content))).collect();
        let (next_file, names) = (state.next_file, state.names.clone());
        Self(Arc::new(Mutex::new(State { files, next_file, synced_names: names.clone(), names, ..State::default() })))
    }

    fn count_sync(state: &mut State) -> io::Result<()> {
        state.syncs += 1;
        if state.stop_at.is_some_and(|at| state.syncs >= at) {
            state.dead = true;
            return Err(gone());
        }
        if state.fail_at == Some(state.syncs) {
            return Err(io::Error::other("the medium did not answer"));
        }
        Ok(())
    }

    fn change_names(&self, change: NameChange) -> io::Result<()> {
        let mut state = self.alive()?;
        apply(&mut state.names, &change);
        state.unsynced_names.push(change);
        Ok(())
    }

    fn id(&self, name: &str) -> io::Result<u64> {
        self.alive()?.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn DiskFile>>> {
        let id = self.alive()?.names.get(name).copied();
        Ok(id.map(|id| Box::new(SimFile { disk: self.clone(), id }) as Box<dyn DiskFile>))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.alive()?;
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, Content::default());
        drop(state);
        self.change_names(NameChange::Set(name.to_owned(), id))?;
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let id = self.id(from)?;
        let mut state = self.alive()?;
        // At once, as rename(2) is.
        apply(&mut state.names, &NameChange::Remove(from.to_owned()));
        apply(&mut state.names, &NameChange::Set(to.to_owned(), id));
        state.unsynced_names.push(NameChange::Set(to.to_owned(), id));
        state.unsynced_names.push(NameChange::Remove(from.to_owned()));
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let id = self.id(from)?;
        self.change_names(NameChange::Set(to.to_owned(), id))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.id(name)?;
        self.change_names(NameChange::Remove(name.to_owned()))
    }

    fn available(&self) -> io::Result<u64> {
        let state = self.alive()?;
        Ok(state.space.map_or(u64::MAX, |space| space.saturating_sub(state.used()) as u64))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        Self::count_sync(&mut state)?;
        state.synced_names = state.names.clone();
        state.unsynced_names.clear();
        Ok(())
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl SimFile {
    fn with<T>(&self, what: impl FnOnce(&mut Content) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.alive()?;
        what(state.files.get_mut(&self.id).ok_or_else(gone)?)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|content| Ok(content.now.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).ok().filter(|len| *len <= LEN_MAX).ok_or(io::ErrorKind::StorageFull)?;
        self.disk.alive()?.check_space(self.id, len)?;
        self.with(|content| {
            content.now.resize(len, 0);
            content.unsynced.push(Write::Length(len));
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.with(|content| {
            let end = offset.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            let bytes = content.now.get(offset..end).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(bytes);
            Ok(())
        })?;
        self.disk.state().work += out.len() as u64;
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).ok().filter(|at| *at <= LEN_MAX).ok_or(io::ErrorKind::StorageFull)?;
        self.disk.alive()?.check_space(self.id, offset + data.len())?;
        self.with(|content| {
            put(&mut content.now, offset, data);
            content.unsynced.push(Write::Bytes { offset, data: data.to_vec() });
            Ok(())
        })?;
        self.disk.state().work += data.len() as u64;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.alive()?;
        SimDisk::count_sync(&mut state)?;
        let content = state.files.get_mut(&self.id).ok_or_else(gone)?;
        // Only what has changed: files are longer than what is written to them at a time.
        for write in core::mem::take(&mut content.unsynced) {
            match write {
                Write::Bytes { offset, data } => put(&mut content.synced, offset, &data),
                Write::Length(len) => content.synced.resize(len, 0),
            }
        }
        Ok(())
    }
}
