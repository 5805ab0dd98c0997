//! The floor: how often the disk makes one small write durable.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use super::clock::Clock;
use super::figures::{Cost, Latencies, Row};

/// Written beforehand, so that a sync has no size and no extents to write: the best that a log can have.
const FILE_BYTES: usize = 16 << 20;

/// Appends blocks of this size and syncs after each.
pub(crate) fn measure(folder: &Path, block: usize, seconds: Duration) -> Result<Row, String> {
    let path = folder.join("floor");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = File::create(&path).map_err(failed)?;
    file.write_all(&vec![0; FILE_BYTES]).and_then(|()| file.sync_all()).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let bytes = vec![0x5a; block];
    let before = Cost::so_far(None)?;
    let (clock, mut at, mut latencies) = (Clock::start(), 0, Latencies::default());
    while clock.now() < seconds {
        if at + block > FILE_BYTES {
            at = 0;
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
        }
        let began = clock.now();
        file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(failed)?;
        latencies.add(clock.now() - began);
        at += block;
    }
    let elapsed = clock.now();
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(latencies.row(&format!("raw sync, {block} bytes"), 1, elapsed, Cost::since(before, None)?))
}
