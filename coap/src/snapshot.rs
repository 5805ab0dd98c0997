//! Answers kept while a client fetches the rest of them in Block2 pieces (RFC 7959 §2.4).

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use crate::Now;
use crate::code::Code;
use crate::config::Config;
use crate::expiry::ExpiryMap;
use crate::limits;
use crate::message::Response;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resource {
    pub(crate) method: Code,
    pub(crate) path: Vec<Vec<u8>>,
    pub(crate) query: Vec<Vec<u8>>,
    /// FETCH: a hash of the body, which is part of what is asked for (RFC 8132 §2). `None` where it is not known or none.
    pub(crate) body: Option<[u8; 8]>,
}

impl Resource {
    /// The one that sorts before all others.
    pub(crate) const fn first() -> Resource {
        Resource { method: Code::EMPTY, path: Vec::new(), query: Vec::new(), body: None }
    }

    pub(crate) fn with_body(mut self, payload: &[u8]) -> Resource {
        if self.method == Code::FETCH && !payload.is_empty() {
            self.body = Sha256::digest(payload).first_chunk().copied();
        }
        self
    }

    /// The same but for the body.
    fn is_like(&self, other: &Resource) -> bool {
        (self.method, &self.path, &self.query) == (other.method, &other.path, &other.query)
    }
}

type Key = (SocketAddr, Resource);

#[derive(Debug)]
pub(crate) struct Snapshots {
    table: ExpiryMap<Key, Response>,
    bytes: usize,
}

impl Snapshots {
    pub(crate) fn new() -> Snapshots {
        Snapshots { table: ExpiryMap::new(), bytes: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The answer that follow-ups are cut from; reading keeps it alive. A FETCH without its body means the last one asked for:
    /// a client whose request went in blocks does not send them again (RFC 7959 §3.3).
    pub(crate) fn read(&mut self, now: Now, key: &Key) -> Option<&Response> {
        let key = match key.1.body {
            Some(_) => key.clone(),
            None => self.latest_like(key)?,
        };
        self.table.get_live(now, &key)?;
        self.table.touch(&key, now + limits::SNAPSHOT_LIFETIME);
        self.table.get(&key)
    }

    fn latest_like(&self, key: &Key) -> Option<Key> {
        let like = self.table.range_from(key).take_while(|(other, _)| other.0 == key.0 && other.1.is_like(&key.1));
        like.max_by_key(|(_, time)| *time).map(|(other, _)| other.clone())
    }

    /// Keeps an answer; the oldest make room.
    pub(crate) fn store(&mut self, now: Now, key: Key, response: Response, config: &Config) {
        self.expire(now);
        self.remove(&key);
        let first = (key.0, Resource::first());
        let own: Vec<_> = self.table.range_from(&first).take_while(|(other, _)| other.0 == key.0).collect();
        if own.len() >= limits::MAX_SNAPSHOTS_PER_PEER {
            let oldest = own.iter().min_by_key(|(_, time)| *time).map(|(other, _)| (*other).clone());
            if let Some(oldest) = oldest {
                self.remove(&oldest);
            }
        }
        let len = response.payload.len();
        while self.table.len() >= config.snapshots_max || self.bytes + len > config.snapshot_bytes_max {
            let Some((_, oldest)) = self.table.pop_oldest() else {
                log::debug!("{}: no room for a snapshot of {len} bytes", key.0);
                return;
            };
            self.bytes -= oldest.payload.len();
        }
        self.bytes += len;
        self.table.insert(key, now + limits::SNAPSHOT_LIFETIME, response);
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(response) = self.table.remove(key) {
            self.bytes -= response.payload.len();
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Now> {
        self.table.next_expiry()
    }

    pub(crate) fn expire(&mut self, now: Now) {
        let bytes = &mut self.bytes;
        self.table.drop_expired(now, |_, response| *bytes -= response.payload.len());
    }
}
