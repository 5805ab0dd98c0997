//! The engine at work: a group of commits goes into the journal, from there into a layer in memory, and a whole layer at a time
//! into the tables.

use std::fmt;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use sga_gateway_core::{Change, Commit, Found, Key, StoreError, Want};
use sga_schema::kind;

use crate::checkpoint::Checkpointer;
use crate::codec::{self, Edit};
use crate::disk::Disk;
use crate::journal::Journal;
use crate::layer::Layer;
use crate::limits::RESERVE_PART;
use crate::open::Options;
use crate::recovery::{SUSPECT, TABLES};
use crate::reserve::Reserve;
use crate::seal::Sealer;
use crate::tables::{SetBack, Tables, Unopened, disk_error, guarded};
use crate::view::View;

#[derive(Default)]
pub(crate) struct Layers {
    /// What the journal that is being written holds.
    pub(crate) active: Layer,
    /// What the one before holds, on its way into the tables, and its epoch.
    pub(crate) frozen: Option<(Arc<Layer>, u64)>,
}

#[derive(Default)]
pub(crate) struct Work {
    /// Why the last try to take a layer in failed.
    pub(crate) failed: Option<StoreError>,
    pub(crate) closing: bool,
}

/// What the parts of an open store share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) cache_bytes: usize,
    item_bytes_max: u64,
    pub(crate) reserve: Reserve,
    pub(crate) layers: RwLock<Layers>,
    /// `None` while they are opened anew after an error.
    pub(crate) tables: RwLock<Option<Arc<Tables>>>,
    work: Mutex<Work>,
    pub(crate) changed: Condvar,
    suspect: Mutex<bool>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

fn reopening() -> StoreError {
    StoreError::Failed("the store is being opened anew".into())
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: &Options,
        reserve: Reserve,
        layers: Layers,
        tables: Tables,
    ) -> Self {
        Self {
            disk,
            cache_bytes: options.cache_bytes,
            item_bytes_max: options.item_bytes_max,
            reserve,
            layers: RwLock::new(layers),
            tables: RwLock::new(Some(Arc::new(tables))),
            work: Mutex::default(),
            changed: Condvar::new(),
            suspect: Mutex::default(),
        }
    }

    pub(crate) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a mark, so that the next start reads everything through.
    fn suspect(&self, why: &str) {
        let mut suspect = self.suspect.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut suspect, true) {
            log::error!(
                "the store may be damaged ({why}); it is read through at the next start, or now by `sga-gateway doctor`"
            );
            let marked = self.disk.create(SUSPECT).and_then(|file| file.sync()).and_then(|()| self.disk.sync_names());
            if let Err(error) = marked {
                log::error!("that could not be noted: {error}");
            }
        }
    }

    /// Does it with the mark in place: in tables with damage that nobody has seen the engine may end the process, and would at each
    /// start again. Not synced, since a power cut is no such end.
    fn marked<T>(&self, work: impl FnOnce() -> T) -> T {
        let marked = !*self.suspect.lock().unwrap_or_else(PoisonError::into_inner) && self.disk.create(SUSPECT).is_ok();
        let result = work();
        let suspect = self.suspect.lock().unwrap_or_else(PoisonError::into_inner);
        if marked
            && !*suspect
            && let Err(error) = self.disk.remove(SUSPECT)
        {
            log::warn!("{SUSPECT} could not be removed, so the next start reads the store through: {error}");
        }
        result
    }

    pub(crate) fn read(&self, sealer: &Sealer, wants: &[Want]) -> Result<Vec<Found>, StoreError> {
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let reading = tables.as_ref().ok_or_else(reopening)?.read()?;
        let frozen = layers.frozen.as_ref().map(|(layer, _)| layer.as_ref());
        let view = View::new([Some(&layers.active), frozen], reading, sealer);
        let found = view.answer(wants);
        if let Some(what) = view.damaged() {
            self.suspect(&what);
        } else if let Err(StoreError::Failed(why)) = &found {
            self.suspect(why);
        }
        found
    }

    /// Takes the frozen layer into the tables; false if there is none.
    pub(crate) fn take_in(&self, sealer: &mut Sealer) -> Result<bool, StoreError> {
        let frozen = self.layers.read().unwrap_or_else(PoisonError::into_inner).frozen.clone();
        let Some((layer, epoch)) = frozen else { return Ok(false) };
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner).clone();
        let result = match &tables {
            Some(tables) => self
                .marked(|| guarded(|| tables.take_in(&layer, epoch, SetBack::Clear, sealer)))
                .unwrap_or_else(|why| Err(StoreError::Failed(why))),
            None => Err(reopening()),
        };
        drop(tables);
        if let Err(StoreError::Failed(why)) = &result {
            // Perhaps a record that was damaged: a start that reads everything through gets on.
            self.suspect(why);
        }
        if result.is_ok() {
            self.layers.write().unwrap_or_else(PoisonError::into_inner).frozen = None;
        } else {
            // After an error of the disk the engine wants a new beginning, for reading too.
            self.reopen();
            if result == Err(StoreError::Full) && self.reserve.give_up(self.disk.as_ref()) {
                return self.take_in(sealer);
            }
        }
        let mut work = self.work();
        work.failed = result.clone().err();
        self.changed.notify_all();
        drop(work);
        result.map(|()| true)
    }

    fn reopen(&self) {
        let mut place = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = place.take()
            && let Err(used) = Arc::try_unwrap(tables)
        {
            // A backup reads them; the next try may find it done.
            *place = Some(used);
            return;
        }
        let file = match self.disk.open(TABLES) {
            Ok(Some(file)) => file,
            Ok(None) => return log::error!("{TABLES} is gone"),
            Err(error) => return log::error!("{TABLES} does not open: {error}"),
        };
        match Tables::open(file, self.cache_bytes, false) {
            Ok(tables) => *place = Some(Arc::new(tables)),
            Err(Unopened::Disk(error)) => log::warn!("the tables do not open: {error}"),
            Err(Unopened::Damaged(why)) => self.suspect(&why),
            Err(Unopened::Format(_)) => self.suspect("another format"),
        }
    }

    fn item_bytes(&self) -> u64 {
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        let frozen = layers.frozen.as_ref().map_or(0, |(layer, _)| layer.item_bytes());
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.as_ref().map_or(0, |tables| tables.item_bytes()) + layers.active.item_bytes() + frozen
    }
}

/// Makes commits durable: one call, one sync.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    journal: Journal,
    sealer: Sealer,
    /// Present as long as no thread has it: then layers are taken in between commits.
    own: Option<Checkpointer>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, journal: Journal, mut sealer: Sealer) -> Self {
        let own = Checkpointer { shared: shared.clone(), sealer: sealer.split() };
        Self { shared, journal, sealer, own: Some(own) }
    }

    /// Takes the work on the tables to a thread of its own ([`Checkpointer::run`]).
    pub fn take_checkpointer(&mut self) -> Option<Checkpointer> {
        self.own.take()
    }

    /// Whether there is room for what a commit appends.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the items of all mailboxes together would exceed their bound.
    pub fn admit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let appended = |change: &Change| match change {
            Change::Append { item, .. } => Some((item.kind == kind::MESSAGE, item.body.len() as u64)),
            _ => None,
        };
        if !self.restored() && commit.changes.iter().any(grows) {
            return Err(StoreError::Full);
        }
        let (mut bytes, mut messages) = (0, false);
        for (is_message, len) in commit.changes.iter().filter_map(appended) {
            bytes += len;
            messages |= is_message;
        }
        let max = self.shared.item_bytes_max;
        // What the protocol itself needs to go on has a little more room.
        let max = if messages { max } else { max + max / RESERVE_PART };
        if bytes == 0 || self.shared.item_bytes() + bytes <= max {
            return Ok(());
        }
        self.make_room();
        Err(StoreError::Full)
    }

    /// Whether the disk has room, as far as is known.
    fn restored(&self) -> bool {
        match &self.own {
            Some(own) => own.shared.reserve.restore(own.shared.disk.as_ref()),
            None => !self.shared.reserve.is_given_up(),
        }
    }

    /// What was delivered leaves the tables only when they hear of it: sees to that, instead of waiting until the journal is full.
    fn make_room(&mut self) {
        for _ in 0..2 {
            // What fails is tried again with the next commit.
            let _ = self.own.as_mut().map(|own| own.shared.take_in(&mut own.sealer));
            let layers = self.shared.layers.read().unwrap_or_else(PoisonError::into_inner);
            let frees = layers.frozen.is_none() && layers.active.frees();
            drop(layers);
            if frees {
                self.freeze();
            }
        }
    }

    /// Makes all commits durable in their order, or none of them.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the disk is; [`StoreError::Failed`] with the reason otherwise. Nothing of the group has happened,
    /// and the next one may be tried. Only a crash before the next one is durable may find it: nobody knows what a failed sync leaves.
    pub fn apply(&mut self, group: &[Commit]) -> Result<(), StoreError> {
        let edits: Vec<Edit> = group.iter().flat_map(|commit| &commit.changes).map(Edit::from).collect();
        if edits.is_empty() {
            return Ok(());
        }
        let payload = codec::encode(&edits);
        if !self.journal.could_fit(payload.len()) {
            return Err(StoreError::Failed(format!("{} bytes are more than the journal takes", payload.len())));
        }
        if !self.journal.fits(payload.len()) {
            self.turn()?;
        }
        self.journal.append(&mut self.sealer, &payload).map_err(|error| disk_error(&error))?;
        let mut layers = self.shared.layers.write().unwrap_or_else(PoisonError::into_inner);
        edits.into_iter().for_each(|edit| layers.active.apply(edit));
        Ok(())
    }

    /// Goes over to the other file, as soon as what that holds is in the tables.
    fn turn(&mut self) -> Result<(), StoreError> {
        if let Some(own) = &mut self.own {
            own.shared.take_in(&mut own.sealer)?;
        }
        let mut work = self.shared.work();
        loop {
            if self.shared.layers.read().unwrap_or_else(PoisonError::into_inner).frozen.is_none() {
                break;
            }
            if let Some(error) = &work.failed {
                return Err(error.clone());
            }
            if work.closing {
                return Err(StoreError::Failed("the store is closing".into()));
            }
            work = self.shared.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        drop(work);
        self.freeze();
        Ok(())
    }

    fn freeze(&mut self) {
        let mut layers = self.shared.layers.write().unwrap_or_else(PoisonError::into_inner);
        let layer = Arc::new(core::mem::take(&mut layers.active));
        layers.frozen = Some((layer, self.journal.epoch()));
        drop(layers);
        self.journal.turn();
        let _work = self.shared.work();
        self.shared.changed.notify_all();
    }
}

/// Whether a change is of something new, which a full disk has no room for.
fn grows(change: &Change) -> bool {
    matches!(
        change,
        Change::Append { .. } | Change::Put { key: Key::Name(_) | Key::Session(_) | Key::Pending { .. }, .. }
    )
}

impl Drop for Writer {
    fn drop(&mut self) {
        // An empty group: with something behind it, damage of the last one cannot pass for what was never confirmed.
        if self.journal.can_close()
            && let Err(error) = self.journal.append(&mut self.sealer, &[])
        {
            log::debug!("the journal could not be closed: {error}");
        }
        self.shared.work().closing = true;
        self.shared.changed.notify_all();
    }
}

/// Answers loads, beside the writer.
#[derive(Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sealer: Sealer,
}

impl Reader {
    /// Answers from one state that has all commits that were reported done.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: a record is damaged, or the disk cannot be read.
    pub fn read(&self, wants: &[Want]) -> Result<Vec<Found>, StoreError> {
        self.shared.read(&self.sealer, wants)
    }
}
