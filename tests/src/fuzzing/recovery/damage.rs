//! What a medium, or somebody with an editor, may do to files.

use crate::fuzzing::reader::Reader;
use crate::sim::disk::SimDisk;

const BLOCK: usize = 4_096;

/// Changes one of the store's files; how many blocks of it.
pub(crate) fn damage(disk: &SimDisk, reader: &mut Reader<'_>) -> usize {
    let own = ["store.redb", "store.redb", "journal-0", "journal-1"];
    damage_file(disk, reader.pick(&own), reader)
}

/// Changes this file, if it is there and not empty; how many blocks of it.
pub(crate) fn damage_file(disk: &SimDisk, name: &str, reader: &mut Reader<'_>) -> usize {
    let before = disk.content().remove(name).unwrap_or_default();
    if before.is_empty() {
        return 0;
    }
    disk.damage(name, |bytes| change(bytes, reader));
    let after = disk.content().remove(name).unwrap_or_default();
    let block = |bytes: &'_ [u8], at: usize| bytes.get(at..bytes.len().min(at + BLOCK)).map(<[u8]>::to_vec);
    (0..before.len().max(after.len())).step_by(BLOCK).filter(|&at| block(&before, at) != block(&after, at)).count()
}

/// Positions where something is: blocks of a file are mostly zeros.
fn place(bytes: &[u8], reader: &mut Reader<'_>) -> usize {
    let used: Vec<usize> = (0..bytes.len().div_ceil(BLOCK))
        .filter(|block| bytes[block * BLOCK..bytes.len().min((block + 1) * BLOCK)].iter().any(|byte| *byte != 0))
        .collect();
    let block = used.get(usize::from(reader.byte()) % used.len().max(1)).copied().unwrap_or(0);
    (block * BLOCK + usize::from(reader.u16()) % BLOCK).min(bytes.len() - 1)
}

fn blocks(bytes: &[u8], reader: &mut Reader<'_>) -> Option<(usize, usize)> {
    let one = place(bytes, reader) / BLOCK * BLOCK;
    let other = place(bytes, reader) / BLOCK * BLOCK;
    (one != other && one.max(other) + BLOCK <= bytes.len()).then_some((one, other))
}

fn change(bytes: &mut Vec<u8>, reader: &mut Reader<'_>) {
    match reader.byte() & 15 {
        0..=3 => {
            let at = place(bytes, reader);
            bytes[at] ^= 1 << (reader.byte() & 7);
        }
        // Where files have their heads.
        4 | 5 => {
            let at = usize::from(reader.u16()) % bytes.len().min(512);
            bytes[at] = reader.byte();
        }
        6 => {
            let at = place(bytes, reader);
            bytes.truncate(at);
        }
        7 => {
            let at = place(bytes, reader);
            let end = bytes.len().min(at + usize::from(reader.u16()));
            bytes[at..end].fill((reader.byte() & 1) * 0xff);
        }
        8 => {
            let at = place(bytes, reader) / BLOCK * BLOCK;
            let end = bytes.len().min(at + BLOCK);
            bytes[at..end].fill(0);
        }
        9 => {
            if let Some((one, other)) = blocks(bytes, reader) {
                bytes.copy_within(one..one + BLOCK, other);
            }
        }
        10 => {
            if let Some((one, other)) = blocks(bytes, reader) {
                let held = bytes[one..one + BLOCK].to_vec();
                bytes.copy_within(other..other + BLOCK, one);
                bytes[other..other + BLOCK].copy_from_slice(&held);
            }
        }
        11 => bytes.extend(vec![reader.byte(); usize::from(reader.u16())]),
        12 => bytes.clear(),
        13 => {
            let at = place(bytes, reader);
            bytes.remove(at);
        }
        _ => {
            let at = place(bytes, reader);
            for byte in bytes.iter_mut().skip(at).take(8) {
                *byte = reader.byte();
            }
        }
    }
}
