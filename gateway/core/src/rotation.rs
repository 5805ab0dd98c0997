//! The gateway's key pair, and the one before it while devices follow.
//!
//! A device is told of another package in its inbox, at its next attach, so a rotation costs nothing for those who are away. Until the
//! overlap is over, what was made for the old package is taken too; that costs a second opening for whatever the first does not open.

use std::sync::Arc;

use rand_core::CryptoRng;
use sga_coap::Now;
use sga_crypto::sha256;
use sga_schema::kind;

use crate::gateway::Gateway;
use crate::job::{KeyPair, Opened};
use crate::route;
use crate::storage::{DeviceIndex, StoredItem};
use crate::task::{Plan, Stop};

/// The key pair before the one in force.
#[derive(Clone, Debug)]
pub struct Previous {
    /// It.
    pub pair: Arc<KeyPair>,
    /// It is taken until then, in seconds of persisted uptime.
    pub until_s: u64,
}

/// What there was before the pair in force.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    /// How many pairs there were before.
    pub(crate) count: u32,
    previous: Option<(Previous, [u8; 32])>,
    /// The overlap is over, and nobody was told yet.
    over: bool,
}

impl<R: CryptoRng> Gateway<R> {
    /// Serves another key pair from now on: the `count`-th after the first. Each device is told when it attaches. What was made for
    /// `previous` is taken until its time is over; [`Self::poll_overlap_over`] says when that is.
    pub fn set_keys(&mut self, now: Now, pair: Arc<KeyPair>, count: u32, previous: Option<Previous>) {
        self.begin(now);
        self.package = self.settings.package(&pair.public);
        self.package_hash = sha256(&self.package);
        self.links = route::links(self.package.len());
        self.keys.pair = pair;
        let previous = previous.map(|previous| {
            let hash = sha256(&self.settings.package(&previous.pair.public));
            (previous, hash)
        });
        self.rotation = Rotation { count, previous, over: false };
        self.end_overlap(now);
    }

    /// Whether the previous key pair's time has just run out: it is to be erased wherever it is kept. True once.
    pub fn poll_overlap_over(&mut self) -> bool {
        core::mem::take(&mut self.rotation.over)
    }

    pub(crate) fn end_overlap(&mut self, now: Now) {
        let now_s = self.uptime_s(now);
        if self.rotation.previous.take_if(|(previous, _)| previous.until_s <= now_s).is_some() {
            log::info!("the previous key pair is not taken any more");
            self.rotation.over = true;
        }
    }

    pub(crate) fn previous_pair(&self) -> Option<(Arc<KeyPair>, [u8; 32])> {
        self.rotation.previous.as_ref().map(|(previous, hash)| (previous.pair.clone(), *hash))
    }

    /// P of the package that something was made for.
    pub(crate) fn package_hash_of(&self, opened: &Opened) -> [u8; 32] {
        let previous = self.rotation.previous.as_ref().filter(|_| opened.previous);
        previous.map_or(self.package_hash, |(_, hash)| *hash)
    }

    /// The count of the key pair that whoever made something knows.
    pub(crate) fn told_by(&self, opened: &Opened) -> u32 {
        self.rotation.count.wrapping_sub(u32::from(opened.previous))
    }

    /// Tells a device which package there is; the item, or `None` if its mailbox has no room.
    pub(crate) fn append_package(
        &mut self,
        now: Now,
        plan: &mut Plan,
        device: DeviceIndex,
    ) -> Result<Option<StoredItem>, Stop> {
        let body = self.package.clone();
        let number = self.append(now, plan, device, kind::PACKAGE, body.clone())?;
        let stored_s = self.uptime_s(now);
        Ok(number.map(|number| StoredItem { number, kind: kind::PACKAGE, body, stored_s }))
    }
}
