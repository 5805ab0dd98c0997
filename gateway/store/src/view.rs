//! Reading: the layers on top of the tables, as if all were one.

use std::cell::RefCell;
use std::ops::ControlFlow;

use sga_gateway_core::{DeviceIndex, Found, Key, StoreError, StoredItem, Want};
use sga_schema::Handle;

use crate::codec::{decode_item, item_key, item_of, void_value};
use crate::layer::{Entry, Layer};
use crate::limits::SCAN_MAX;
use crate::seal::Sealer;
use crate::tables::{Reading, failed, guarded, is_own};

/// One state of the store. `layers` has the newest first.
pub(crate) struct View<'a> {
    layers: [Option<&'a Layer>; 2],
    tables: Reading,
    sealer: &'a Sealer,
    damaged: RefCell<Option<String>>,
}

/// A record that was found, as the tables or a layer have it.
enum Raw {
    Plain(Vec<u8>),
    Sealed(Vec<u8>),
}

/// What a scan comes by.
pub(crate) enum Seen<'a> {
    Record(&'a [u8], Vec<u8>),
    /// It does not open: damaged, or under another `gateway.key`.
    Damaged(&'a [u8]),
}

impl<'a> View<'a> {
    pub(crate) fn new(layers: [Option<&'a Layer>; 2], tables: Reading, sealer: &'a Sealer) -> Self {
        Self { layers, tables, sealer, damaged: RefCell::default() }
    }

    /// What was passed over because it is damaged.
    pub(crate) fn damaged(&self) -> Option<String> {
        self.damaged.borrow().clone()
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().copied().flatten()
    }

    fn floor(&self, mailbox: DeviceIndex) -> u32 {
        self.layers().map(|layer| layer.floor(mailbox)).max().unwrap_or(0)
    }

    /// What the layers say of a key; the topmost that says more than `Void` decides.
    fn over(&self, key: &[u8]) -> (bool, Option<&Entry>) {
        let mut void = false;
        for layer in self.layers() {
            match layer.get(key) {
                Some(Entry::Void) => void = true,
                Some(entry) => return (void, Some(entry)),
                None => {}
            }
        }
        (void, None)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.over(key).1 {
            Some(Entry::Is(value)) => return Ok(Some(value.clone())),
            Some(Entry::Gone | Entry::Void) => return Ok(None),
            None => {}
        }
        let Some(sealed) = self.tables.get(key).map_err(failed)? else { return Ok(None) };
        match self.sealer.open(key, sealed.value()) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(StoreError::Failed(format!(
                "record {} does not open: it is damaged, or from under another gateway.key; `sga-gateway doctor` says what else is",
                name(key)
            ))),
        }
    }

    /// All records between two keys, both included, in order of their keys.
    pub(crate) fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        mut each: impl FnMut(Seen<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if from > to {
            return Ok(());
        }
        let mut first = keys(self.layers[0], from, to).peekable();
        let mut second = keys(self.layers[1], from, to).peekable();
        let mut below = self.tables.range(from..=to).map_err(failed)?;
        let mut under = below.next().transpose().map_err(failed)?;
        let mut last: Option<Vec<u8>> = None;
        loop {
            let over = [first.peek(), second.peek()].into_iter().flatten().min().copied();
            let below_key = under.as_ref().map(|(key, _)| key.value());
            let key = match (over, below_key) {
                (None, None) => return Ok(()),
                (Some(over), Some(under)) => over.as_slice().min(under).to_vec(),
                (Some(over), None) => over.clone(),
                (None, Some(under)) => under.to_vec(),
            };
            // Tables that were not read through at the start may have a damaged key in them.
            if last.is_some_and(|last| last >= key) {
                return Err(StoreError::Failed(format!("{} is out of order", name(&key))));
            }
            last = Some(key.clone());
            first.next_if(|candidate| **candidate == key);
            second.next_if(|candidate| **candidate == key);
            let mut sealed = None;
            if below_key == Some(key.as_slice()) {
                sealed = under.map(|(_, value)| value.value().to_vec());
                under = below.next().transpose().map_err(failed)?;
            }
            if self.show(&key, sealed, &mut each).is_break() {
                return Ok(());
            }
        }
    }

    /// Shows one key of a scan, if it is there.
    fn show(
        &self,
        key: &[u8],
        sealed: Option<Vec<u8>>,
        each: &mut impl FnMut(Seen<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if is_own(key) || item_of(key).is_some_and(|(mailbox, number)| number <= self.floor(mailbox)) {
            return ControlFlow::Continue(());
        }
        let (void, entry) = self.over(key);
        let raw = match entry {
            Some(Entry::Is(value)) => Raw::Plain(value.clone()),
            Some(Entry::Gone | Entry::Void) => return ControlFlow::Continue(()),
            None => match sealed {
                Some(sealed) => Raw::Sealed(sealed),
                None => return ControlFlow::Continue(()),
            },
        };
        let value = match raw {
            _ if void => Ok(void_value()),
            Raw::Plain(value) => Ok(value),
            Raw::Sealed(sealed) => self.sealer.open(key, &sealed),
        };
        match value {
            Ok(value) => each(Seen::Record(key, value)),
            Err(_) => each(Seen::Damaged(key)),
        }
    }

    /// Items of a mailbox from a number on. One that is damaged is void from here on: its number stays, and nothing else is lost.
    fn items(
        &self,
        mailbox: DeviceIndex,
        from: u32,
        mut each: impl FnMut(StoredItem) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(&item_key(mailbox, from), &item_key(mailbox, u32::MAX), |seen| {
            let (key, value) = match seen {
                Seen::Record(key, value) => (key, Some(value)),
                Seen::Damaged(key) => (key, None),
            };
            let number = item_of(key).map_or(0, |(_, number)| number);
            let item = value.and_then(|value| decode_item(number, &value).ok()).unwrap_or_else(|| {
                log::error!("{} is damaged and lost; its device is shown an empty one", name(key));
                *self.damaged.borrow_mut() = Some(name(key));
                StoredItem::void(number)
            });
            each(item)
        })
    }

    /// Answers questions. What the engine cannot read is an error, never a wrong answer.
    pub(crate) fn answer(&self, wants: &[Want]) -> Result<Vec<Found>, StoreError> {
        guarded(|| wants.iter().map(|want| self.answer_one(want)).collect())
            .unwrap_or_else(|why| Err(StoreError::Failed(why)))
    }

    fn answer_one(&self, want: &Want) -> Result<Found, StoreError> {
        Ok(match want {
            Want::Get(key) => Found::Value(self.get(&key.to_bytes())?),
            Want::Items { mailbox, from, items_max, bytes_max } => {
                let (mut items, mut bytes) = (Vec::new(), 0);
                if *items_max > 0 {
                    self.items(*mailbox, *from, |item| {
                        bytes += item.body.len();
                        if bytes > *bytes_max && !items.is_empty() {
                            return ControlFlow::Break(());
                        }
                        items.push(item);
                        if items.len() >= *items_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    })?;
                }
                Found::Items(items)
            }
            Want::ItemIndex { mailbox } => {
                let mut index = Vec::new();
                self.items(*mailbox, 0, |item| {
                    index.push(item.meta());
                    ControlFlow::Continue(())
                })?;
                Found::Index(index)
            }
            Want::Pending { up_to_s, max } => {
                let first = Key::Pending { due_s: 0, session: Handle([0; 4]) }.to_bytes();
                let last = Key::Pending { due_s: *up_to_s, session: Handle([0xff; 4]) }.to_bytes();
                let mut pending = Vec::new();
                self.scan(&first, &last, |seen| {
                    let (Seen::Record(key, _) | Seen::Damaged(key)) = seen;
                    if pending.len() >= *max {
                        return ControlFlow::Break(());
                    }
                    pending.extend(Key::from_bytes(key).and_then(|key| match key {
                        Key::Pending { due_s, session } => Some((due_s, session)),
                        _ => None,
                    }));
                    ControlFlow::Continue(())
                })?;
                Found::Pending(pending)
            }
            Want::Aged { from, before_s } => self.aged(*from, *before_s)?,
            Want::Keys { from, to, max } => {
                let (mut keys, mut more) = (Vec::new(), false);
                self.scan(&from.to_bytes(), &to.to_bytes(), |seen| {
                    let (Seen::Record(key, _) | Seen::Damaged(key)) = seen;
                    if keys.len() >= *max {
                        more = true;
                        return ControlFlow::Break(());
                    }
                    keys.extend(Key::from_bytes(key));
                    ControlFlow::Continue(())
                })?;
                Found::Keys { keys, more }
            }
        })
    }

    /// The next mailbox whose oldest item is from before a time: one seek a mailbox.
    fn aged(&self, from: DeviceIndex, before_s: u64) -> Result<Found, StoreError> {
        let mut at = from;
        for _ in 0..SCAN_MAX {
            let mut oldest = None;
            self.scan(&item_key(at, 0), &item_key(DeviceIndex::MAX, u32::MAX), |seen| {
                oldest = Some(match seen {
                    Seen::Record(key, value) => (item_of(key), decode_item(0, &value).map_or(0, |item| item.stored_s)),
                    Seen::Damaged(key) => (item_of(key), 0),
                });
                ControlFlow::Break(())
            })?;
            let Some((Some((mailbox, _)), stored_s)) = oldest else {
                return Ok(Found::Aged { mailbox: None, next: None });
            };
            let next = mailbox.checked_add(1);
            if stored_s < before_s {
                return Ok(Found::Aged { mailbox: Some(mailbox), next });
            }
            let Some(following) = next else { return Ok(Found::Aged { mailbox: None, next: None }) };
            at = following;
        }
        Ok(Found::Aged { mailbox: None, next: Some(at) })
    }
}

/// The keys that a layer says something of.
fn keys<'l>(layer: Option<&'l Layer>, from: &[u8], to: &[u8]) -> impl Iterator<Item = &'l Vec<u8>> + use<'l> {
    layer.map(|layer| layer.range(from, to)).into_iter().flatten().map(|(key, _)| key)
}

/// What a key is, in words for an operator.
pub(crate) fn name(key: &[u8]) -> String {
    match Key::from_bytes(key) {
        Some(Key::Item { mailbox, number }) => format!("item {number} of mailbox {mailbox}"),
        Some(key) => format!("{key:?}"),
        None => format!("an unknown record of {} bytes", key.len()),
    }
}
