//! What must come of texts, whatever happens on the way: only what was sent arrives, in order, once, and nothing that was
//! confirmed is lost.

use std::collections::{BTreeMap, BTreeSet};

use sga_device::DeviceId;
use sga_device::agent::Notice;

use crate::sim::DeviceNode;

/// Sender and receiver, by position.
pub(crate) type Way = (usize, usize);

#[derive(Clone, Debug, Default)]
struct Account {
    /// Texts that the application has given its device.
    given: u32,
    /// Numbers of texts that the gateway has confirmed.
    confirmed: BTreeSet<u32>,
    /// Numbers of texts that have arrived, and how many.
    arrived: BTreeSet<u32>,
    looked_at: usize,
    last: Option<u32>,
}

/// All texts between honest devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    ways: BTreeMap<Way, Account>,
    /// Devices that were set back: what they have forgotten may come again, or not at all.
    pub(crate) set_back: BTreeSet<usize>,
}

/// Bytes of a text before what only makes it longer.
const HEAD_LEN: usize = 6;

impl Texts {
    /// The next text on a way.
    pub(crate) fn make(&mut self, way: Way, len: usize) -> Vec<u8> {
        let account = self.ways.entry(way).or_default();
        let mut text = vec![way.0 as u8, way.1 as u8];
        text.extend(account.given.to_be_bytes());
        text.resize(HEAD_LEN.max(len), b'.');
        account.given += 1;
        text
    }

    /// Ways that texts were sent on.
    pub(crate) fn ways(&self) -> Vec<Way> {
        self.ways.keys().copied().collect()
    }

    /// Whether the last text given on each way has arrived.
    pub(crate) fn is_through(&self) -> bool {
        self.ways.values().all(|account| account.last.map_or(0, |last| last + 1) == account.given)
    }

    /// Whether any text has arrived.
    pub(crate) fn is_any_through(&self) -> bool {
        self.ways.values().any(|account| account.last.is_some())
    }

    /// Looks at what has arrived and been confirmed since the last time.
    pub(crate) fn look(&mut self, devices: &mut [DeviceNode]) {
        let ids: Vec<DeviceId> = devices.iter().map(|node| node.id).collect();
        let position = |id: &DeviceId| ids.iter().position(|known| known == id);
        for (at, node) in devices.iter_mut().enumerate() {
            for (peer, texts) in &node.received {
                // What an insider sends is its own affair.
                if let Some(from) = position(peer) {
                    self.arrived((from, at), texts);
                }
            }
            for notice in std::mem::take(&mut node.notices) {
                let Notice::Sent { peer, run, sequence } = notice else { continue };
                let text = node.sealed.get(&(peer, run, sequence));
                if let (Some(to), Some(text)) = (position(&peer), text) {
                    self.confirmed((at, to), text);
                }
            }
        }
    }

    fn arrived(&mut self, way: Way, texts: &[Vec<u8>]) {
        let strict = !self.set_back.contains(&way.0) && !self.set_back.contains(&way.1);
        let account = self.ways.entry(way).or_default();
        for text in &texts[account.looked_at.min(texts.len())..] {
            let number = number(way, text).unwrap_or_else(|| panic!("{way:?}: nobody sent {text:02x?}"));
            assert!(number < account.given, "{way:?}: text {number} of {} arrived", account.given);
            if strict {
                assert!(account.last.is_none_or(|last| number > last), "{way:?}: {number} after {:?}", account.last);
            }
            account.last = Some(number.max(account.last.unwrap_or(0)));
            account.arrived.insert(number);
        }
        account.looked_at = texts.len();
    }

    fn confirmed(&mut self, way: Way, text: &[u8]) {
        // One from before a device was set back may have another's name.
        if let Some(number) = number(way, text) {
            self.ways.entry(way).or_default().confirmed.insert(number);
        }
    }

    /// At the end: what was confirmed has arrived.
    pub(crate) fn check_nothing_lost(&self) {
        for (way, account) in &self.ways {
            if self.set_back.contains(&way.0) || self.set_back.contains(&way.1) {
                continue;
            }
            let lost: Vec<_> = account.confirmed.difference(&account.arrived).collect();
            assert!(lost.is_empty(), "{way:?}: {lost:?} of {} texts were confirmed and did not arrive", account.given);
        }
    }
}

fn number(way: Way, text: &[u8]) -> Option<u32> {
    let (head, rest) = text.split_first_chunk::<HEAD_LEN>()?;
    let [from, to, number @ ..] = *head;
    let genuine = (usize::from(from), usize::from(to)) == way && rest.iter().all(|byte| *byte == b'.');
    genuine.then(|| u32::from_be_bytes(number))
}
