//! Changes as the journal keeps them, and items as the tables do.
//!
//! A group is a sequence of CBOR arrays, one a change, each led by its number. Records are named by their key's bytes, so that
//! nothing here has to know what they mean.

use minicbor::{Decoder, Encoder};
use sga_gateway_core::{Change, Commit, DeviceIndex, Key, StoredItem};

const PUT: u8 = 1;
const DELETE: u8 = 2;
const APPEND: u8 = 3;
const VOID: u8 = 4;
const ACKNOWLEDGE: u8 = 5;

/// First byte of an item's key.
pub(crate) const ITEM_TAG: u8 = b'i';

/// Kind and time before an item's body.
const ITEM_HEAD_LEN: usize = 12;

/// The bytes are not a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl From<minicbor::decode::Error> for Malformed {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

/// One change, on bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
    Append { key: Vec<u8>, value: Vec<u8> },
    Void { key: Vec<u8> },
    Acknowledge { mailbox: DeviceIndex, up_to: u32 },
}

impl From<&Change> for Edit {
    fn from(change: &Change) -> Self {
        match change {
            Change::Put { key, value } => Self::Put { key: key.to_bytes(), value: value.clone() },
            Change::Delete(key) => Self::Delete { key: key.to_bytes() },
            Change::Append { mailbox, item } => {
                Self::Append { key: item_key(*mailbox, item.number), value: encode_item(item) }
            }
            Change::Void { mailbox, number } => Self::Void { key: item_key(*mailbox, *number) },
            Change::Acknowledge { mailbox, up_to } => Self::Acknowledge { mailbox: *mailbox, up_to: *up_to },
        }
    }
}

/// What the changes of a commit take in the journal, roughly and never less.
pub fn commit_len(commit: &Commit) -> usize {
    let of = |change: &Change| match change {
        Change::Put { value, .. } => 40 + value.len(),
        Change::Append { item, .. } => 40 + item.body.len(),
        Change::Delete(_) | Change::Void { .. } | Change::Acknowledge { .. } => 40,
    };
    commit.changes.iter().map(of).sum()
}

pub(crate) fn encode(edits: &[Edit]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    for edit in edits {
        write(&mut e, edit).expect("encoding into a Vec cannot fail");
    }
    e.into_writer()
}

fn write(e: &mut Encoder<Vec<u8>>, edit: &Edit) -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
    match edit {
        Edit::Put { key, value } => e.array(3)?.u8(PUT)?.bytes(key)?.bytes(value)?,
        Edit::Delete { key } => e.array(2)?.u8(DELETE)?.bytes(key)?,
        Edit::Append { key, value } => e.array(3)?.u8(APPEND)?.bytes(key)?.bytes(value)?,
        Edit::Void { key } => e.array(2)?.u8(VOID)?.bytes(key)?,
        Edit::Acknowledge { mailbox, up_to } => e.array(3)?.u8(ACKNOWLEDGE)?.u32(*mailbox)?.u32(*up_to)?,
    };
    Ok(())
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Edit>, Malformed> {
    let mut d = Decoder::new(bytes);
    let mut edits = Vec::new();
    while d.position() < bytes.len() {
        let fields = d.array()?;
        let edit = match (d.u8()?, fields) {
            (PUT, Some(3)) => Edit::Put { key: d.bytes()?.to_vec(), value: d.bytes()?.to_vec() },
            (DELETE, Some(2)) => Edit::Delete { key: d.bytes()?.to_vec() },
            (APPEND, Some(3)) => Edit::Append { key: d.bytes()?.to_vec(), value: d.bytes()?.to_vec() },
            (VOID, Some(2)) => Edit::Void { key: d.bytes()?.to_vec() },
            (ACKNOWLEDGE, Some(3)) => Edit::Acknowledge { mailbox: d.u32()?, up_to: d.u32()? },
            _ => return Err(Malformed),
        };
        edits.push(edit);
    }
    Ok(edits)
}

pub(crate) fn item_key(mailbox: DeviceIndex, number: u32) -> Vec<u8> {
    Key::Item { mailbox, number }.to_bytes()
}

/// Mailbox and number of an item's key; `None` for another record's.
pub(crate) fn item_of(key: &[u8]) -> Option<(DeviceIndex, u32)> {
    let (&ITEM_TAG, rest) = key.split_first()? else { return None };
    let (mailbox, number) = rest.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*mailbox), u32::from_be_bytes(number.try_into().ok()?)))
}

pub(crate) fn encode_item(item: &StoredItem) -> Vec<u8> {
    let mut out = Vec::with_capacity(ITEM_HEAD_LEN + item.body.len());
    out.extend_from_slice(&item.kind.to_be_bytes());
    out.extend_from_slice(&item.stored_s.to_be_bytes());
    out.extend_from_slice(&item.body);
    out
}

pub(crate) fn decode_item(number: u32, value: &[u8]) -> Result<StoredItem, Malformed> {
    let (kind, rest) = value.split_first_chunk::<4>().ok_or(Malformed)?;
    let (stored_s, body) = rest.split_first_chunk::<8>().ok_or(Malformed)?;
    Ok(StoredItem {
        number,
        kind: u32::from_be_bytes(*kind),
        stored_s: u64::from_be_bytes(*stored_s),
        body: body.to_vec(),
    })
}

/// The value of an item that is void.
pub(crate) fn void_value() -> Vec<u8> {
    encode_item(&StoredItem::void(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sga_schema::Handle;

    #[test]
    fn changes_come_back_as_they_were() {
        let item = StoredItem { number: 9, kind: 6, body: vec![1, 2, 3], stored_s: 77 };
        let changes = [
            Change::Put { key: Key::Session(Handle([1; 4])), value: vec![4; 300] },
            Change::Delete(Key::Device(7)),
            Change::Append { mailbox: 3, item: item.clone() },
            Change::Void { mailbox: 3, number: 8 },
            Change::Acknowledge { mailbox: 3, up_to: 7 },
        ];
        let edits: Vec<Edit> = changes.iter().map(Edit::from).collect();
        let bytes = encode(&edits);
        assert_eq!(decode(&bytes).as_deref(), Ok(edits.as_slice()));
        assert!(bytes.len() <= commit_len(&Commit { id: 0, changes: changes.to_vec() }));
        let Edit::Append { key, value } = &edits[2] else { panic!("an append") };
        assert_eq!((item_of(key), decode_item(9, value)), (Some((3, 9)), Ok(item)));
        for at in 1..bytes.len() {
            assert_ne!(decode(&bytes[..at]).as_deref(), Ok(edits.as_slice()));
        }
    }
}
