//! Going through tables and files from their beginning to their end, and filling new tables on the way.

use std::io;

use sga_gateway_core::StoreError;

use crate::codec::Edit;
use crate::disk::DiskFile;
use crate::layer::Layer;
use crate::limits::BATCH_RECORDS;
use crate::seal::Sealer;
use crate::tables::{Reading, SetBack, Tables, guarded, is_own};
use crate::view::name;

/// What does not open in tables that the engine finds in order.
pub(crate) fn unreadable(tables: &Tables, sealer: &Sealer) -> Option<String> {
    let mut found = None;
    let reading = match guarded(|| tables.read()) {
        Ok(Ok(reading)) => reading,
        Ok(Err(error)) => return Some(error.to_string()),
        Err(why) => return Some(why),
    };
    let whole = each_record(&reading, |key, sealed| {
        if found.is_none() && sealer.open(key, sealed).is_err() {
            found = Some(format!("{} does not open", name(key)));
        }
        Ok(())
    });
    match whole {
        Ok(true) => found,
        Ok(false) => Some("it cannot be read to its end".into()),
        Err(error) => Some(error.to_string()),
    }
}

/// Every record but the store's own, as it is; false if reading ended before the records did.
pub(crate) fn each_record(
    reading: &Reading,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    use redb::ReadableTable;
    let walked = guarded(|| -> Result<bool, StoreError> {
        let Ok(records) = reading.iter() else { return Ok(false) };
        for record in records {
            let Ok((key, value)) = record else { return Ok(false) };
            if !is_own(key.value()) {
                each(key.value(), value.value())?;
            }
        }
        Ok(true)
    });
    walked.unwrap_or(Ok(false))
}

/// Fills new tables, many records at a time.
pub(crate) struct Filler<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) sealer: &'a mut Sealer,
    pub(crate) layer: Layer,
    pub(crate) records: u64,
}

impl Filler<'_> {
    pub(crate) fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        self.layer.apply(Edit::Put { key: key.to_vec(), value });
        self.records += 1;
        if self.records.is_multiple_of(BATCH_RECORDS as u64) { self.flush() } else { Ok(()) }
    }

    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        let layer = core::mem::take(&mut self.layer);
        self.tables.take_in(&layer, self.tables.epoch(), SetBack::Keep, self.sealer)
    }
}

/// Whether two files hold the same.
pub(crate) fn same(one: &dyn DiskFile, other: &dyn DiskFile) -> io::Result<bool> {
    let (len, mut offset) = (one.len()?, 0);
    let mut parts = [vec![0; 1 << 16], vec![0; 1 << 16]];
    if other.len()? != len {
        return Ok(false);
    }
    while offset < len {
        let now = usize::try_from((len - offset).min(1 << 16)).unwrap_or(0);
        one.read_at(offset, &mut parts[0][..now])?;
        other.read_at(offset, &mut parts[1][..now])?;
        if parts[0][..now] != parts[1][..now] {
            return Ok(false);
        }
        offset += now as u64;
    }
    Ok(true)
}

/// A file of the disk, read from its beginning.
pub(crate) struct Sequential<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
    len: u64,
}

impl<'a> Sequential<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile) -> io::Result<Self> {
        Ok(Self { file, offset: 0, len: file.len()? })
    }
}

impl io::Read for Sequential<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let now = usize::try_from((self.len - self.offset).min(out.len() as u64)).unwrap_or(out.len());
        self.file.read_at(self.offset, &mut out[..now])?;
        self.offset += now as u64;
        Ok(now)
    }
}
