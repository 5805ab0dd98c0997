//! What the core asks of a store, as values: loads, commits and their keys.
//!
//! A commit is atomic. Commits complete in the order in which they were submitted, so a later one may build on numbers that an
//! earlier one reserved. Nothing here knows how or where bytes are kept.

use sga_schema::{DeviceId, Handle};

/// Position of a device in the registry; never used twice.
pub type DeviceIndex = u32;

/// One record of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The gateway's own counters ([`crate::record::Meta`]).
    Meta,
    /// The index of the device with this id.
    Name(DeviceId),
    /// A device's record.
    Device(DeviceIndex),
    /// A session's record, under the handle of its initiator's leg.
    Session(Handle),
    /// Which session and which end a leg's handle belongs to.
    Leg(Handle),
    /// The sequence window of what one leg has sent.
    Window(Handle),
    /// The session that two devices have or are about to have (lower index first).
    Pair(DeviceIndex, DeviceIndex),
    /// An invitation that has not been answered, ordered by when it runs out (seconds of persisted uptime).
    Pending {
        /// Seconds of persisted uptime.
        due_s: u64,
        /// The session, by its initiator's handle.
        session: Handle,
    },
    /// A registered key that was replaced: the start of its hash.
    Retired([u8; 16]),
    /// An item of a mailbox.
    Item {
        /// Whose mailbox.
        mailbox: DeviceIndex,
        /// Rising from 1.
        number: u32,
    },
}

impl Key {
    /// The key's bytes: a tag, then fixed-length big-endian fields, so that byte order is the order of the fields.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        match self {
            Self::Meta => out.push(b'm'),
            Self::Name(id) => {
                out.push(b'n');
                out.extend_from_slice(id.as_bytes());
            }
            Self::Device(index) => {
                out.push(b'd');
                out.extend_from_slice(&index.to_be_bytes());
            }
            Self::Session(handle) => {
                out.push(b's');
                out.extend_from_slice(&handle.0);
            }
            Self::Leg(handle) => {
                out.push(b'l');
                out.extend_from_slice(&handle.0);
            }
            Self::Window(handle) => {
                out.push(b'w');
                out.extend_from_slice(&handle.0);
            }
            Self::Pair(a, b) => {
                out.push(b'p');
                out.extend_from_slice(&a.to_be_bytes());
                out.extend_from_slice(&b.to_be_bytes());
            }
            Self::Pending { due_s, session } => {
                out.push(b'q');
                out.extend_from_slice(&due_s.to_be_bytes());
                out.extend_from_slice(&session.0);
            }
            Self::Retired(hash) => {
                out.push(b'r');
                out.extend_from_slice(&hash);
            }
            Self::Item { mailbox, number } => {
                out.push(b'i');
                out.extend_from_slice(&mailbox.to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
        out
    }

    /// The key whose bytes these are.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        fn whole<const N: usize>(rest: &[u8]) -> Option<[u8; N]> {
            rest.try_into().ok()
        }
        fn two<const N: usize, const M: usize>(rest: &[u8]) -> Option<([u8; N], [u8; M])> {
            let (first, rest) = rest.split_first_chunk()?;
            Some((*first, whole(rest)?))
        }
        let (tag, rest) = bytes.split_first()?;
        Some(match tag {
            b'm' if rest.is_empty() => Self::Meta,
            b'n' => Self::Name(DeviceId::new(rest).ok()?),
            b'd' => Self::Device(u32::from_be_bytes(whole(rest)?)),
            b's' => Self::Session(Handle(whole(rest)?)),
            b'l' => Self::Leg(Handle(whole(rest)?)),
            b'w' => Self::Window(Handle(whole(rest)?)),
            b'p' => {
                let (a, b) = two(rest)?;
                Self::Pair(u32::from_be_bytes(a), u32::from_be_bytes(b))
            }
            b'q' => {
                let (due_s, session) = two(rest)?;
                Self::Pending { due_s: u64::from_be_bytes(due_s), session: Handle(session) }
            }
            b'r' => Self::Retired(whole(rest)?),
            b'i' => {
                let (mailbox, number) = two(rest)?;
                Self::Item { mailbox: u32::from_be_bytes(mailbox), number: u32::from_be_bytes(number) }
            }
            _ => return None,
        })
    }
}

/// One item of a mailbox, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredItem {
    /// Rising from 1.
    pub number: u32,
    /// One of [`sga_schema::kind`].
    pub kind: u32,
    /// One encoded CBOR item.
    pub body: Vec<u8>,
    /// Persisted uptime at which it was stored, in seconds.
    pub stored_s: u64,
}

impl StoredItem {
    /// What stands where an item was that is void.
    #[must_use]
    pub fn void(number: u32) -> Self {
        // An empty array: whatever is there has to be one CBOR item.
        Self { number, kind: sga_schema::kind::VOID, body: vec![0x80], stored_s: 0 }
    }

    /// What the core keeps of it in memory.
    #[must_use]
    pub fn meta(&self) -> ItemMeta {
        let len = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        ItemMeta { number: self.number, kind: self.kind, len, leg: leg_of(&self.body) }
    }
}

/// The receiver's leg, with which the body of each item begins; zero for one that is void or damaged.
pub(crate) fn leg_of(body: &[u8]) -> Handle {
    match *body {
        [_, 0x44, a, b, c, d, ..] => Handle([a, b, c, d]),
        _ => Handle([0; 4]),
    }
}

/// An item without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemMeta {
    /// Rising from 1.
    pub number: u32,
    /// One of [`sga_schema::kind`].
    pub kind: u32,
    /// Length of the body in bytes.
    pub len: u32,
    /// The receiver's leg that it came by.
    pub leg: Handle,
}

/// One change of a commit.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Write a record, whether or not it is there.
    Put {
        /// Which.
        key: Key,
        /// Its new value.
        value: Vec<u8>,
    },
    /// Remove a record, if it is there.
    Delete(Key),
    /// Append an item to a mailbox, under a number that the core has reserved.
    Append {
        /// Whose mailbox.
        mailbox: DeviceIndex,
        /// What.
        item: StoredItem,
    },
    /// Empty an item of a mailbox: its number stays taken, since a device may have seen it and never looks at that number again.
    Void {
        /// Whose mailbox.
        mailbox: DeviceIndex,
        /// Which.
        number: u32,
    },
    /// Remove the items of a mailbox up to and including a number.
    Acknowledge {
        /// Whose mailbox.
        mailbox: DeviceIndex,
        /// The last number to go.
        up_to: u32,
    },
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Comes back with the completion.
    pub id: u64,
    /// In this order.
    pub changes: Vec<Change>,
}

/// One question of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// A record.
    Get(Key),
    /// The oldest items of a mailbox, bodies included, while they fit `bytes_max` together; the first in any case.
    Items {
        /// Whose mailbox.
        mailbox: DeviceIndex,
        /// The first number.
        from: u32,
        /// At most this many.
        items_max: usize,
        /// At most this many bytes of bodies, but at least one item.
        bytes_max: usize,
    },
    /// What a mailbox holds, without bodies.
    ItemIndex {
        /// Whose mailbox.
        mailbox: DeviceIndex,
    },
    /// Invitations that ran out up to a time, oldest first.
    Pending {
        /// Seconds of persisted uptime.
        up_to_s: u64,
        /// At most this many.
        max: usize,
    },
    /// The next mailbox with an item that was stored before a time.
    Aged {
        /// The first mailbox to look at.
        from: DeviceIndex,
        /// Seconds of persisted uptime.
        before_s: u64,
    },
    /// Which records there are between two keys, both included.
    Keys {
        /// The first.
        from: Key,
        /// The last.
        to: Key,
        /// At most this many.
        max: usize,
    },
}

/// Questions answered from one view of the store, which holds at least all commits that had completed when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Comes back with the answers.
    pub id: u64,
    /// Answered in this order.
    pub wants: Vec<Want>,
}

/// The answer to one [`Want`].
#[derive(Clone, PartialEq, Eq)]
pub enum Found {
    /// To `Get`.
    Value(Option<Vec<u8>>),
    /// To `Items`.
    Items(Vec<StoredItem>),
    /// To `ItemIndex`.
    Index(Vec<ItemMeta>),
    /// To `Pending`: due time and session.
    Pending(Vec<(u64, Handle)>),
    /// To `Aged`.
    Aged {
        /// One that has such an item; none among those that were looked at.
        mailbox: Option<DeviceIndex>,
        /// Where to go on; none at the end.
        next: Option<DeviceIndex>,
    },
    /// To `Keys`.
    Keys {
        /// In the order of their bytes.
        keys: Vec<Key>,
        /// There are others behind them.
        more: bool,
    },
}

/// Why the store could not do it. Nothing of the commit has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No space left; goes away by itself when there is some.
    Full,
    /// A record is damaged, or the medium failed; the log says more.
    Failed(String),
}

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Full => f.write_str("the store's medium is full"),
            Self::Failed(why) => write!(f, "the store failed: {why}"),
        }
    }
}

impl core::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_bytes() {
        let id = DeviceId::new(b"sensor").expect("an id");
        let handle = Handle([1, 2, 3, 4]);
        let keys = [
            Key::Meta,
            Key::Name(id),
            Key::Device(7),
            Key::Session(handle),
            Key::Leg(handle),
            Key::Window(handle),
            Key::Pair(1, 2),
            Key::Pending { due_s: 9, session: handle },
            Key::Retired([5; 16]),
            Key::Item { mailbox: 3, number: 4 },
        ];
        for key in keys {
            let bytes = key.to_bytes();
            assert_eq!(Key::from_bytes(&bytes), Some(key));
            assert_ne!(Key::from_bytes(&bytes[..bytes.len() - 1]), Some(key));
        }
        assert_eq!(Key::from_bytes(b"!format"), None);
    }
}
