//! Snapshots: backups in the data folder, from which a start goes on that finds the store damaged.
//!
//! `snapshot-NUMBER-UPTIME.sga`. The number is the time as far as the machine knows it, and always above the last one: the newest has
//! the highest, also after a clock was ahead once. The uptime is the gateway's own, in seconds, by which it is known how old the
//! newest is at the least, whatever the clock says and however often the machine was switched off.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sga_gateway_core::limits::UPTIME_INTERVAL;
use sga_gateway_store::limits::SNAPSHOTS_KEPT;
use sga_gateway_store::{Backups, Contents, SNAPSHOT, SNAPSHOT_DIGITS, snapshot_name};

use super::backup::{NEW, keep, write};
use crate::clock::{self, Clock};
use crate::error::{Context, Error};
use crate::limits::{SNAPSHOT_LOOK, SNAPSHOT_RETRY};

const NUMBER_MAX: u64 = 10_u64.pow(SNAPSHOT_DIGITS as u32) - 1;

/// What a snapshot's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    number: u64,
    /// The gateway's uptime when it was made.
    uptime_s: Option<u64>,
}

impl Name {
    fn parse(name: &str) -> Option<Self> {
        let (number, rest) = snapshot_name(name)?;
        Some(Self { number, uptime_s: rest.strip_prefix('-').and_then(|uptime| uptime.parse().ok()) })
    }

    /// Whether the next one is due: by the uptime, which is never ahead, or by the clock, which may be anything. What neither says is
    /// that it is too early; so an uptime that went back, with a store that was set back, counts as an interval.
    fn is_old(self, now: Self, every: Duration) -> bool {
        let Some((before_s, now_s)) = self.uptime_s.zip(now.uptime_s) else { return true };
        let by_uptime = match now_s.checked_sub(before_s) {
            Some(age_s) => age_s >= every.as_secs(),
            // A cut takes away what was not written down yet.
            None => before_s - now_s > UPTIME_INTERVAL.as_secs(),
        };
        by_uptime || now.number.saturating_sub(self.number) >= every.as_secs()
    }
}

/// All that are there, the oldest first.
fn list(data: &Path) -> Result<Vec<(Name, PathBuf)>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data).doing("list", data)? {
        let path = entry.doing("list", data)?.path();
        let name = path.file_name().and_then(|name| Name::parse(name.to_str()?));
        found.extend(name.map(|name| (name, path)));
    }
    found.sort();
    Ok(found)
}

/// Removes what a start that was cut off left of snapshots. Nobody else writes here: this process has the folder's lock.
pub(crate) fn clear_leftovers(data: &Path) {
    let Ok(entries) = fs::read_dir(data) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let whole = name.strip_suffix(NEW).and_then(Name::parse);
        if whole.is_some() && fs::remove_file(entry.path()).is_ok() {
            log::info!("{name} was never finished and is removed");
        }
    }
}

/// Makes snapshots of a store at intervals.
pub(crate) struct Snapshots {
    data: PathBuf,
    backups: Arc<Mutex<Backups>>,
    every: Duration,
    clock: Clock,
    uptime_before_s: u64,
}

impl Snapshots {
    /// `uptime_s`: the gateway's before this start.
    pub(crate) fn new(data: &Path, backups: Arc<Mutex<Backups>>, every: Duration, uptime_s: u64) -> Self {
        Self { data: data.to_owned(), backups, every, clock: Clock::start(), uptime_before_s: uptime_s }
    }

    /// Until the other end of `stopped` is gone. The first look is at once: who is switched off often would never come to a later one.
    pub(crate) fn run(&self, stopped: &Receiver<()>) {
        let mut wait = Duration::ZERO;
        while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            let uptime_s = self.uptime_before_s + self.clock.now().as_secs();
            wait = match self.look(Name { number: clock::unix_seconds(), uptime_s: Some(uptime_s) }) {
                Ok(None) => SNAPSHOT_LOOK,
                Ok(Some((path, contents))) => {
                    log::info!("snapshot {}: {} records", path.display(), contents.records);
                    SNAPSHOT_LOOK
                }
                Err(error) => {
                    log::error!("no snapshot: {error}");
                    SNAPSHOT_RETRY
                }
            };
        }
    }

    /// Makes one if it is due; `now` is what its name would say if there were no others.
    fn look(&self, now: Name) -> Result<Option<(PathBuf, Contents)>, Error> {
        let newest = list(&self.data)?.last().map(|(name, _)| *name);
        if newest.is_some_and(|newest| !newest.is_old(now, self.every)) {
            return Ok(None);
        }
        let number = newest.map_or(now.number, |newest| now.number.max(newest.number.saturating_add(1)));
        if number > NUMBER_MAX {
            return Err(Error::new(format!(
                "no number is above that of the newest in {}; remove it",
                self.data.display()
            )));
        }
        let uptime_s = now.uptime_s.unwrap_or_default();
        let path = self.data.join(format!("{}{number:0SNAPSHOT_DIGITS$}-{uptime_s}{}", SNAPSHOT.0, SNAPSHOT.1));
        let backups = || self.backups.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = keep(&path, |file| backups().verify(file), |file| write(&mut backups(), &path, file))?;
        self.prune();
        Ok(Some((path, contents)))
    }

    /// Only the newest stay. One that cannot be removed takes nothing from the new one.
    fn prune(&self) {
        for (_, path) in list(&self.data).unwrap_or_default().iter().rev().skip(SNAPSHOTS_KEPT) {
            if let Err(error) = fs::remove_file(path) {
                log::warn!("{}", Error::io("remove", path, &error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sga_gateway_store::{DiskFile, Folder, Opened, Options};

    use super::*;

    const HOUR_S: u64 = 3_600;
    const EVERY: Duration = Duration::from_secs(24 * HOUR_S);

    fn at(number: u64, uptime_s: u64) -> Name {
        Name { number, uptime_s: Some(uptime_s) }
    }

    #[test]
    fn the_next_is_due_by_uptime_or_clock() {
        let (day_s, made) = (24 * HOUR_S, at(1_000_000, 500_000));
        for (number, uptime_s, due, why) in [
            (1_000_060, 500_060, false, "a minute later"),
            (1_000_060, 500_000 + day_s, true, "a clock that stood still while the gateway was up"),
            (1_000_000 + day_s, 500_060, true, "a day of being off, or of starts that were cut off"),
            (0, 500_060, false, "a clock that lost everything says nothing"),
            (0, 500_000 + day_s, true, "and keeps nothing back"),
            (1_000_060, 499_500, false, "the uptime that a cut took away"),
            (1_000_060, 10, true, "another store, or one that was set back"),
        ] {
            assert_eq!(made.is_old(at(number, uptime_s), EVERY), due, "{why}");
        }
        let unknown = Name { number: 1_000_000, uptime_s: None };
        assert!(unknown.is_old(at(1_000_060, 500_060), EVERY), "a name that does not say");
    }

    #[test]
    fn names() {
        assert_eq!(Name::parse("snapshot-001764223911-77.sga"), Some(at(1_764_223_911, 77)));
        assert_eq!(Name::parse("snapshot-001764223911.sga"), Some(Name { number: 1_764_223_911, uptime_s: None }));
        for other in ["snapshot-1.sga", "snapshot-+01764223911-7.sga", "snapshot-001764223911-77.sga.new", "store.redb"]
        {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    fn names_in(data: &Path) -> Vec<Name> {
        list(data).expect("a folder").into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_newest_two_stay_whatever_the_clock_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path();
        let opened = sga_gateway_store::open(Arc::new(Folder::new(data)), &[3; 32], &Options::new(0, [4; 32]));
        let Opened { backups, .. } = opened.expect("a new store");
        let snapshots = Snapshots::new(data, Arc::new(Mutex::new(backups)), EVERY, 0);
        let mut day = 0;
        let mut make = |number| {
            day += 24 * HOUR_S;
            snapshots.look(at(number, day)).expect("written").expect("due");
            names_in(data).iter().map(|name| name.number).collect::<Vec<_>>()
        };
        assert_eq!(make(100), [100]);
        assert_eq!(make(9_000_000), [100, 9_000_000], "the clock is ahead");
        assert_eq!(make(200), [9_000_000, 9_000_001], "and set right: the newest stays");
        assert_eq!(make(201), [9_000_001, 9_000_002]);
        assert!(snapshots.look(at(202, day + 60)).expect("nothing to do").is_none());
        fs::write(data.join(format!("snapshot-{NUMBER_MAX}-1.sga")), "").expect("written");
        assert!(
            snapshots.look(at(203, day + 24 * HOUR_S)).is_err(),
            "a name is never taken that would not be the newest"
        );
    }

    #[test]
    fn what_is_not_whole_takes_no_name_and_is_not_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("snapshot-000000000001-1.sga");
        let opened = sga_gateway_store::open(Arc::new(Folder::new(folder.path())), &[3; 32], &Options::new(0, [4; 32]));
        let mut backups = opened.expect("a new store").backups;
        let mut cut = |file: &mut fs::File| {
            write(&mut backups, &path, file)?;
            let len = file.metadata().doing("look at", &path)?.len();
            file.set_len(len - 1).doing("cut", &path)
        };
        let verify = |file: &dyn DiskFile| sga_gateway_store::verify(&[3; 32], file);
        let error = keep(&path, verify, &mut cut).expect_err("refused").to_string();
        assert!(error.contains("cut off"), "{error}");
        let left = fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.file_name());
        assert!(!left.into_iter().any(|name| name.to_string_lossy().contains("snapshot")));
        fs::write(folder.path().join("snapshot-000000000001-1.sga.new"), "cut off").expect("written");
        fs::write(folder.path().join("monday.sga.new"), "somebody's own").expect("written");
        clear_leftovers(folder.path());
        assert!(!folder.path().join("snapshot-000000000001-1.sga.new").exists());
        assert!(folder.path().join("monday.sga.new").exists());
    }
}
