//! CBOR as SGA/1 uses it, read without the project's own codec, so that both have to agree; and changes of single items in it.

use super::reader::Reader;

/// The deepest that any message goes, and some more.
const DEPTH_MAX: usize = 8;

/// One CBOR item within a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) start: usize,
    /// Where its head ends.
    pub(crate) content: usize,
    /// Where it ends, what is in it included.
    pub(crate) end: usize,
    /// 0 uint, 2 bstr, 3 text, 4 array.
    pub(crate) major: u8,
    pub(crate) argument: u64,
}

/// All items of what is exactly one item in deterministic encoding (RFC 8949 §4.2.1), outer before inner; `None` if it is not.
pub(crate) fn parts(bytes: &[u8]) -> Option<Vec<Part>> {
    let mut all = Vec::new();
    (walk(bytes, 0, DEPTH_MAX, &mut all)? == bytes.len()).then_some(all)
}

/// Where the first item ends, of what need not be one item only.
pub(crate) fn first(bytes: &[u8]) -> Option<usize> {
    walk(bytes, 0, DEPTH_MAX, &mut Vec::new())
}

fn walk(bytes: &[u8], start: usize, depth_left: usize, all: &mut Vec<Part>) -> Option<usize> {
    let first = *bytes.get(start)?;
    let (major, info) = (first >> 5, first & 31);
    let width = match info {
        0..=23 => 0,
        24..=27 => 1 << (info - 24),
        _ => return None,
    };
    let content = start + 1 + width;
    let extended = bytes.get(start + 1..content)?.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let argument = if width == 0 { u64::from(info) } else { extended };
    // The shortest head that could say it.
    let shortest = [0, 24, 0x100, 0x1_0000, 0x1_0000_0000];
    if argument < shortest[width.next_power_of_two().trailing_zeros() as usize + usize::from(width > 0)] {
        return None;
    }
    let index = all.len();
    all.push(Part { start, content, end: content, major, argument });
    let mut end = content;
    match major {
        0 => {}
        2 | 3 => {
            end = content.checked_add(usize::try_from(argument).ok()?)?;
            let string = bytes.get(content..end)?;
            if major == 3 {
                core::str::from_utf8(string).ok()?;
            }
        }
        4 if depth_left > 0 => {
            for _ in 0..argument {
                end = walk(bytes, end, depth_left - 1, all)?;
            }
        }
        _ => return None,
    }
    all[index].end = end;
    Some(end)
}

/// A head with its argument in the shortest form.
fn head(major: u8, argument: u64) -> Vec<u8> {
    let bytes = argument.to_be_bytes();
    let (info, width) = match argument {
        0..=23 => (argument as u8, 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    [&[major << 5 | info][..], &bytes[8 - width..]].concat()
}

/// Numbers worth putting in another's place.
const NUMBERS: [u64; 12] =
    [0, 1, 2, 3, 7, 24, 1_024, (1 << 20) - 1, 1 << 20, u32::MAX as u64 - 1, u32::MAX as u64, 1 << 32];

/// Changes a message: bytes of it, its length, or one of its items, which may be taken from `other`. What is no CBOR has only its
/// bytes changed.
pub(crate) fn bend(reader: &mut Reader<'_>, bytes: &mut Vec<u8>, other: &[u8]) {
    let choice = reader.byte();
    let own = parts(bytes).unwrap_or_default();
    if choice & 7 < 2 || own.is_empty() {
        return bend_bytes(reader, bytes);
    }
    let part = own[reader.index(own.len())];
    let item = &bytes[part.start..part.end];
    let new = match choice & 7 {
        2 => head(0, NUMBERS[reader.index(NUMBERS.len())]),
        3 if part.major == 0 => head(0, part.argument.wrapping_add(u64::from(choice >> 3)).wrapping_sub(8)),
        4 => {
            let from: Vec<Part> =
                parts(other).unwrap_or_default().into_iter().filter(|found| found.major == part.major).collect();
            match from.get(usize::from(choice >> 3) % from.len().max(1)) {
                Some(found) => other[found.start..found.end].to_vec(),
                None => item.to_vec(),
            }
        }
        5 => [item, item].concat(),
        6 => Vec::new(),
        // A string or an array of another length.
        _ => {
            let argument = part.argument.saturating_add(u64::from(choice >> 3)).saturating_sub(8);
            let mut longer = [&head(part.major, argument)[..], &bytes[part.content..part.end]].concat();
            if part.major == 2 || part.major == 3 {
                let len = longer.len() as u64 + argument - part.argument.min(longer.len() as u64 + argument);
                longer.resize((len as usize).min(20_000), 0x5a);
            }
            longer
        }
    };
    bytes.splice(part.start..part.end, new);
}

fn bend_bytes(reader: &mut Reader<'_>, bytes: &mut Vec<u8>) {
    let choice = reader.byte();
    if bytes.is_empty() || choice & 7 == 7 {
        bytes.push(choice);
        return;
    }
    let at = usize::from(reader.u16()) % bytes.len();
    match choice & 7 {
        0 | 1 => bytes.truncate(at),
        2 => {
            bytes.remove(at);
        }
        3 => bytes[at] = reader.byte(),
        _ => bytes[at] ^= 1 << (choice >> 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_heads_pass() {
        for good in
            [&[0x17][..], &[0x18, 24], &[0x19, 1, 0], &[0x1a, 0, 1, 0, 0], &[0x82, 0x41, 7, 0x80], &[0x61, b'a']]
        {
            assert!(parts(good).is_some(), "{good:02x?}");
        }
        let bad =
            [&[][..], &[0x18, 23], &[0x19, 0, 255], &[0x1a, 0, 0, 255, 255], &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255]];
        for bad in
            bad.into_iter().chain([&[0x5f, 0xff][..], &[0x41], &[0x81], &[0, 0], &[0x61, 0xff], &[0xa0], &[0xf6]])
        {
            assert!(parts(bad).is_none(), "{bad:02x?}");
        }
        assert_eq!(parts(&head(0, 1 << 32)).map(|all| all[0].argument), Some(1 << 32));
    }

    #[test]
    fn an_item_takes_the_place_of_another() {
        let mut bytes = vec![0x82, 0x01, 0x42, 1, 2];
        bend(&mut Reader::new(&[4, 2]), &mut bytes, &[0x43, 9, 9, 9]);
        assert_eq!(bytes, [0x82, 0x01, 0x43, 9, 9, 9]);
        bend(&mut Reader::new(&[2, 1, 10]), &mut bytes, &[]);
        assert_eq!(bytes, [0x82, 0x1a, 255, 255, 255, 255, 0x43, 9, 9, 9]);
    }
}
