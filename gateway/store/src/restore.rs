//! A backup in the place of the store.

use crate::backup::{self, as_store_error};
use crate::disk::{Disk, DiskFile};
use crate::findings::OpenError;
use crate::journal::NAMES;
use crate::open::Options;
use crate::recovery::{self, Opening, TABLES};
use crate::seal::Sealer;
use crate::tables::{SetBack, disk_error};
use crate::walk::{Sequential, copy};

/// Makes a store of a backup, in the place of the one that is there; that is kept under another name, which is returned.
///
/// # Errors
/// [`backup::BackupError::NotOne`] and nothing is changed; or the disk's.
pub fn restore(
    disk: &dyn Disk,
    at_rest_key: &[u8; 32],
    options: &Options,
    backup: &dyn DiskFile,
) -> Result<(backup::Contents, Option<String>), backup::BackupError> {
    let mut sealer = Sealer::new(at_rest_key, options.seed);
    let reader = sealer.split();
    let contents = backup::read(&mut Sequential::new(backup)?, &reader, |_, _| Ok(()))?;
    let opening = Opening { disk, options, findings: Vec::new() };
    let as_backup_error = |error: OpenError| match error {
        OpenError::Disk(error) => backup::BackupError::Store(error),
        OpenError::Format(_) | OpenError::Key => backup::BackupError::NotOne("its format"),
    };
    let journals = opening.journal_epochs(&sealer).map_err(as_backup_error)?;
    let passed = recovery::passed(&journals);
    let mut kept = None;
    if disk.open(TABLES)?.is_some() {
        let name = opening.aside(TABLES, "before-restore")?;
        disk.link(TABLES, &name)?;
        // What the journals hold on top of it goes with it.
        for journal in NAMES {
            if let Some(from) = disk.open(journal)? {
                copy(from.as_ref(), disk.create(&opening.aside(journal, "before-restore")?)?.as_ref())?;
            }
        }
        disk.sync_names()?;
        kept = Some(name);
    }
    opening
        .build(&mut sealer, passed, SetBack::Mark, |filler| {
            let mut from = Sequential::new(backup).map_err(|error| disk_error(&error))?;
            backup::read(&mut from, &reader, |key, value| filler.put(key, value)).map_err(as_store_error)?;
            Ok(())
        })
        .map_err(as_backup_error)?;
    Ok((contents, kept))
}

/// Whether a file is a whole backup of a store under this key, and what it holds.
///
/// # Errors
/// [`backup::BackupError::NotOne`] with the reason.
pub fn verify(at_rest_key: &[u8; 32], backup: &dyn DiskFile) -> Result<backup::Contents, backup::BackupError> {
    let sealer = Sealer::new(at_rest_key, [0; 32]);
    backup::read(&mut Sequential::new(backup)?, &sealer, |_, _| Ok(()))
}
