//! Bodies that arrive in Block1 pieces (RFC 7959 §2.5).
//!
//! Keyed by peer, method, path, query and Request-Tag, never by token: clients may change it with every block.

use std::net::SocketAddr;

use crate::Now;
use crate::block::BlockValue;
use crate::config::Config;
use crate::expiry::ExpiryMap;
use crate::limits;
use crate::snapshot::Resource;
use crate::source::{Shares, Source, source};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UploadKey {
    pub(crate) peer: SocketAddr,
    pub(crate) resource: Resource,
    pub(crate) tags: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Upload {
    body: Vec<u8>,
    content_format: Option<u16>,
    /// Its first block brought an Echo value.
    proven: bool,
}

/// What a block led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Taken; more are expected.
    Continue,
    /// That was the last.
    Complete { body: Vec<u8>, content_format: Option<u16>, proven: bool },
    /// Size 7, or a block of the wrong size: 4.00.
    WrongSize,
    /// Not the block that comes next: 4.08.
    Gap,
    /// 4.13.
    TooLarge,
    /// No room for it any more: 5.03.
    Full,
}

#[derive(Debug)]
pub(crate) struct Uploads {
    table: ExpiryMap<UploadKey, Upload>,
    bytes: usize,
    /// What each source has of the places and bytes.
    shares: Shares,
}

/// What a place counts beside the bytes in it: as much as is there for each.
const PLACE: usize = limits::MAX_UPLOAD_BYTES / limits::MAX_UPLOADS;

impl Uploads {
    pub(crate) fn new() -> Uploads {
        Uploads { table: ExpiryMap::new(), bytes: 0, shares: Shares::default() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a block. A failed block leaves the upload as it was, except that a body too large ends it.
    pub(crate) fn take(
        &mut self,
        now: Now,
        key: &UploadKey,
        block: BlockValue,
        (payload, content_format, proven): (&[u8], Option<u16>, bool),
        config: &Config,
    ) -> Step {
        self.expire(now);
        let fits = if block.more { payload.len() == block.size() } else { payload.len() <= block.size() };
        if block.szx > BlockValue::SZX_MAX || !fits {
            return Step::WrongSize;
        }
        let offset = block.offset();
        if offset + payload.len() > config.max_body {
            self.remove(key);
            return Step::TooLarge;
        }
        if offset == 0 {
            self.remove(key);
            if !block.more {
                return Step::Complete { body: payload.to_vec(), content_format, proven };
            }
            return self.start(now, key, (payload, content_format, proven), config);
        }
        let Some(upload) = self.table.get_mut(key) else {
            return Step::Gap;
        };
        let have = upload.body.len();
        if block.more && offset + payload.len() == have && upload.body.ends_with(payload) {
            // The block we took last, again under a new message ID: our answer was lost.
            return Step::Continue;
        }
        if offset != have {
            return Step::Gap;
        }
        self.make_room(key, (0, payload.len()), config);
        let Some(upload) = self.table.get_mut(key) else {
            return Step::Full;
        };
        upload.body.extend_from_slice(payload);
        self.bytes += payload.len();
        self.shares.add(source(key.peer), payload.len());
        if block.more {
            self.table.touch(key, now + limits::UPLOAD_LIFETIME);
            return Step::Continue;
        }
        match self.remove(key) {
            Some(Upload { body, content_format, proven }) => Step::Complete { body, content_format, proven },
            None => Step::Gap,
        }
    }

    fn start(
        &mut self,
        now: Now,
        key: &UploadKey,
        (payload, content_format, proven): (&[u8], Option<u16>, bool),
        config: &Config,
    ) -> Step {
        let first = UploadKey { peer: key.peer, resource: Resource::first(), tags: Vec::new() };
        let own: Vec<_> = self.table.range_from(&first).take_while(|(other, _)| other.peer == key.peer).collect();
        if own.len() >= limits::MAX_UPLOADS_PER_PEER {
            let oldest = own.iter().min_by_key(|(_, time)| *time).map(|(other, _)| (*other).clone());
            log::debug!("{}: too many uploads, its oldest is given up", key.peer);
            if let Some(oldest) = oldest {
                self.remove(&oldest);
            }
        }
        self.make_room(key, (1, payload.len()), config);
        self.bytes += payload.len();
        self.shares.add(source(key.peer), PLACE + payload.len());
        let upload = Upload { body: payload.to_vec(), content_format, proven };
        self.table.insert(key.clone(), now + limits::UPLOAD_LIFETIME, upload);
        Step::Continue
    }

    /// Gives up the oldest uploads of who has most, which may be the one that wants more.
    fn make_room(&mut self, key: &UploadKey, (places, bytes): (usize, usize), config: &Config) {
        while self.table.len() + places > config.uploads_max || self.bytes + bytes > config.upload_bytes_max {
            let Some(oldest) = self.shares.largest().and_then(|source| self.oldest_of(source)) else { return };
            log::debug!("{}: an upload is given up for one of {}", oldest.peer, key.peer);
            self.remove(&oldest);
        }
    }

    fn oldest_of(&self, of: Source) -> Option<UploadKey> {
        let all = self.table.iter().filter(|(key, _)| source(key.peer) == of);
        all.min_by_key(|(_, time)| *time).map(|(key, _)| key.clone())
    }

    pub(crate) fn remove_key(&mut self, key: &UploadKey) {
        self.remove(key);
    }

    fn remove(&mut self, key: &UploadKey) -> Option<Upload> {
        let upload = self.table.remove(key)?;
        self.bytes -= upload.body.len();
        self.shares.take(source(key.peer), PLACE + upload.body.len());
        Some(upload)
    }

    pub(crate) fn next_expiry(&self) -> Option<Now> {
        self.table.next_expiry()
    }

    pub(crate) fn expire(&mut self, now: Now) {
        let Self { table, bytes, shares } = self;
        table.drop_expired(now, |key, upload| {
            log::debug!("{}: upload of {} bytes expired", key.peer, upload.body.len());
            *bytes -= upload.body.len();
            shares.take(source(key.peer), PLACE + upload.body.len());
        });
    }
}
