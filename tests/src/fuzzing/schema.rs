//! Any bytes against every decoder of the schema.
//!
//! The first byte names the type; from 128 on, the same types with padding behind them.

use sga_schema::limits::{HALF_LEN_MAX, ITEM_LEN_MAX, MESSAGE_LEN_MAX};
use sga_schema::*;

use super::Reached;
use super::parts::{Part, first, parts};

/// What is done with the bytes for one type: whether they are such a message.
type Check = fn(&[u8]) -> bool;

/// Whether the bytes are such a message with padding behind it, of any length.
type Padded = fn(&[u8]) -> bool;

/// From here on a first byte means the type that is so many before, padded.
const PADDED: u8 = 128;

macro_rules! decoders {
    ($($type:ident $(<$lt:lifetime>)?, $len_max:expr;)*) => {
        [$((stringify!($type), |bytes| check::<$type $(<$lt>)?>(bytes, $len_max), |bytes| padded::<$type $(<$lt>)?>(bytes))),*]
    };
}

/// No bound but the one of what carries it.
const ANY: usize = usize::MAX;

/// All types that have an encoding. New ones go to the end: the first byte of an input is a position here.
const DECODERS: [(&str, Check, Padded); 39] = decoders! {
    Package<'_>, 1 + 3 + 3 + 384 + 17 + 2;
    PinInput<'_>, 1 + 2 + 3 + 384;
    Register<'_>, ANY;
    RegisterSecret, 1 + 34 + 3 + 17;
    SealedId, 17;
    Registered<'_>, ANY;
    Grant, 1 + 17 + 5 + 5 + 5;
    Attach<'_>, ANY;
    AttachSecret, 1 + 5 + 5 + 5 + 1;
    Inbox<'_>, ANY;
    InboxSecret<'_>, ANY;
    Ack<'_>, ANY;
    AckSecret, 6;
    MsgPost<'_>, ANY;
    A1, 1 + 1 + 5 + 9 + 17 + 17 + 17 + 1 + 9;
    A3, 1 + 1 + 5 + 9 + 9 + 17 + 1 + 9;
    NegotiateSecret, 77;
    Sealed<'_>, ANY;
    Tag8, 9;
    HandlePlain, 5;
    A1Refusal, 7;
    A4Secret, 1 + 9 + 17;
    A4Reason, 1;
    Half<'_>, HALF_LEN_MAX;
    HalfCompact<'_>, 1 + 34 + 9;
    HalfClassic<'_>, 1 + 403 + 419 + 17;
    Wanted, 1;
    BRefusal, 7;
    B6Secret<'_>, 1 + 387 + 17 + 9;
    Confirmation, 6;
    MessagePost<'_>, MESSAGE_LEN_MAX;
    InvitationItem, 1 + 5 + 9 + 9 + 17 + 17 + 1;
    AgreedItem<'_>, ANY;
    NotAgreedItem<'_>, ANY;
    WantedItem<'_>, ANY;
    KeyItem<'_>, ANY;
    MessageItem<'_>, ITEM_LEN_MAX;
    ExpiredItem, 1 + 5 + 5 + 5;
    EndedItem, 1 + 5 + 5;
};

/// Decodes all but the first byte as the type that the first byte names.
///
/// # Panics
/// Something that must hold did not.
pub fn schema(data: &[u8]) -> Reached {
    let mut reached = Reached::new();
    let Some((&first, bytes)) = data.split_first() else { return reached };
    let Some(&(name, check, padded)) = DECODERS.get(usize::from(first & !PADDED)) else { return reached };
    if first >= PADDED {
        reached.extend(padded(bytes).then_some("padded"));
    } else if check(bytes) {
        reached.insert(name);
        // What is one message is not another one by chance, but for those that differ in meaning only.
        for (_, other, _) in DECODERS {
            other(bytes);
        }
        extra(name, bytes);
    }
    reached
}

/// The names of all types, for whoever asks whether a corpus has them all.
pub fn schema_types() -> impl Iterator<Item = &'static str> {
    DECODERS.into_iter().map(|(name, ..)| name)
}

/// What was taken is the only encoding of what it means, no longer than it may be, and whole.
fn check<'a, T: Message<'a> + std::fmt::Debug>(bytes: &'a [u8], len_max: usize) -> bool {
    let Ok(message) = decode::<T>(bytes) else { return false };
    assert!(bytes.len() <= len_max, "{} bytes of {len_max}", bytes.len());
    assert!(parts(bytes).is_some(), "not in deterministic encoding: {bytes:02x?}");
    assert_eq!(encoded_len(&message), bytes.len());
    let mut again = vec![0; bytes.len()];
    assert_eq!(encode(&message, &mut again), Ok(bytes.len()));
    assert_eq!(again, bytes);
    let short = again.len() - 1;
    assert_eq!(encode(&message, &mut again[..short]), Err(SchemaError::BufferTooSmall));
    assert!(!format!("{message:?}").is_empty());
    true
}

/// What is taken as padded is a message and nothing but the mark and zeros behind it, and only where the length fits.
fn padded<'a, T: Message<'a> + std::fmt::Debug>(bytes: &'a [u8]) -> bool {
    let Ok((message, true)) = padding::decode_padded::<T>(bytes, true) else { return false };
    let len = encoded_len(&message);
    assert_eq!(first(bytes), Some(len), "the padding begins elsewhere than behind the first item: {bytes:02x?}");
    let mut again = vec![0xff; bytes.len()];
    assert_eq!(encode(&message, &mut again), Ok(len));
    assert_eq!(padding::pad(&mut again, len, bytes.len()), Ok(()));
    assert_eq!(again, bytes);
    assert!(
        matches!(padding::decode_padded::<T>(bytes, false), Err(SchemaError::OutOfRange)),
        "padded to a length that does not fit"
    );
    true
}

/// Not for the decoder: without a tail, with one, and what else a type promises.
fn extra(name: &str, bytes: &[u8]) {
    let Some(&(_, check, _)) = DECODERS.iter().find(|(known, ..)| *known == name) else { return };
    let longer = [bytes, &[0]].concat();
    assert!(!check(&longer), "{name}: a byte behind it is taken");
    assert!(!check(&bytes[..bytes.len() - 1]), "{name}: taken without its last byte");
    match name {
        "InboxSecret" => inbox(bytes),
        "MsgPost" => assert!(decode::<Ack<'_>>(bytes).is_ok() != decode::<MessagePost<'_>>(bytes).is_ok()),
        "NegotiateSecret" => assert!(decode::<A1>(bytes).is_ok() != decode::<A3>(bytes).is_ok()),
        "MessagePost" => {
            let post: MessagePost<'_> = decode(bytes).expect("just decoded");
            assert!(
                post.run > 0 && post.sequence <= limits::SEQUENCE_MAX && (post.sequence > 0 || post.salt.is_none())
            );
        }
        "MessageItem" => {
            let item: MessageItem<'_> = decode(bytes).expect("just decoded");
            assert!(
                item.run > 0 && item.sequence <= limits::SEQUENCE_MAX && (item.sequence > 0 || item.salt.is_none())
            );
        }
        "Half" => assert!(decode::<Half<'_>>(bytes).is_ok_and(|half| half.run > 0)),
        _ => {}
    }
}

/// Items have rising numbers and bodies that are one item each, and the writer makes the same of them.
fn inbox(bytes: &[u8]) {
    let secret: InboxSecret<'_> = decode(bytes).expect("just decoded");
    let seen: Vec<Item<'_>> = secret.items.iter().collect();
    assert_eq!(seen.len(), secret.items.len());
    assert_eq!(seen.is_empty(), secret.items.is_empty());
    let mut last = 0;
    let mut buf = vec![0; bytes.len() + ItemsWriter::OVERHEAD_LEN];
    let mut writer = ItemsWriter::new(&mut buf, bytes.len());
    for item in seen {
        assert!(item.number > last, "number {} after {last}", item.number);
        last = item.number;
        assert!(depth(&parts(item.body).expect("one item")) <= limits::DEPTH_MAX);
        assert!(writer.push(item.number, item.kind, item.body), "what was read cannot be written");
    }
    let len = writer.finish(secret.next);
    assert_eq!(&buf[..len], bytes);
}

/// How deep arrays stand in each other.
fn depth(all: &[Part]) -> usize {
    let arrays = || all.iter().filter(|part| part.major == 4);
    arrays()
        .map(|one| arrays().filter(|other| other.start <= one.start && other.end >= one.end).count())
        .max()
        .unwrap_or(0)
}
