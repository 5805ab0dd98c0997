//! A backup in the place of the store.

use sga_gateway_core::StoreError;

use crate::backup::{self, as_store_error};
use crate::disk::{Disk, DiskFile};
use crate::findings::OpenError;
use crate::journal;
use crate::open::Options;
use crate::recovery::{self, Opening, TABLES};
use crate::scan::{scan, written};
use crate::seal::Sealer;
use crate::tables::{SetBack, disk_error};
use crate::walk::Sequential;

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
    let opening = Opening { disk, options, findings: &mut Vec::new() };
    let as_backup_error = |error: OpenError| match error {
        OpenError::Disk(error) => backup::BackupError::Store(error),
        OpenError::NoRoom { .. } => backup::BackupError::Store(StoreError::Full),
        OpenError::Format(_) | OpenError::Key => backup::BackupError::NotOne("its format"),
    };
    let journals = scan(disk, options.segment_bytes, &sealer)?;
    let (passed, unfit) = (recovery::passed(&journals), recovery::unfit(&journals));
    // What the journals hold on top of the tables goes with them.
    let aside = opening.asides(&[&[TABLES][..], &written(&journals)].concat(), "before-restore")?;
    let kept = aside.iter().find(|(name, _)| *name == TABLES).map(|(_, kept)| kept.clone());
    if kept.is_none() {
        journal::make_missing(disk, options.segment_bytes)?;
    }
    opening
        .build(&mut sealer, passed, SetBack::Mark, &aside, |filler| {
            let mut from = Sequential::new(backup).map_err(|error| disk_error(&error))?;
            backup::read(&mut from, &reader, |key, value| filler.put(key, value)).map_err(as_store_error)?;
            Ok(())
        })
        .map_err(as_backup_error)?;
    // The next start makes the others anew, too, before it writes: they are kept under their other names.
    journal::make_anew(disk, options.segment_bytes, unfit)?;
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
