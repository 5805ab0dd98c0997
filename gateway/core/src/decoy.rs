//! What a check is made against when what a request names does not exist: records with random keys, so that a refusal costs the
//! same either way.
//!
//! They lie in the cache beside the real ones, under an index and a handle that nobody is given, and are found as those are.
//! The suite is the usual one: a device or session with another differs by the time of its cipher.

use std::sync::Arc;

use rand_core::CryptoRng;
use sga_crypto::Secret;
use sga_schema::{Accept, DeviceId, Handle, Suite, SuiteSet};

use crate::cache::Cache;
use crate::record::{DeviceRecord, End, Record, SessionRecord, Stage};
use crate::storage::{DeviceIndex, Key};

/// The index of no device: they count from 1.
pub(crate) const INDEX: DeviceIndex = 0;

/// The handle of no leg.
pub(crate) const HANDLE: Handle = Handle([0; 4]);

pub(crate) struct Decoys {
    pub(crate) device: Arc<DeviceRecord>,
    pub(crate) session: Arc<SessionRecord>,
    pub(crate) hop_keys: [Secret<32>; 2],
    pub(crate) nonce: [u8; 8],
    /// For the enrolment proof of a name that is not on the list.
    pub(crate) enrolment: Vec<u8>,
}

impl Decoys {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        let id = DeviceId::new(&[0; 8]).expect("8 bytes are an id");
        let (mut nonce, mut nonce_g, mut th_a) = ([0; 8], [0; 8], [0; 32]);
        rng.fill_bytes(&mut nonce);
        rng.fill_bytes(&mut nonce_g);
        rng.fill_bytes(&mut th_a);
        let mut end = || End { index: INDEX, id, handle: HANDLE, nonce, temporary_key: Some(Secret::random(rng)) };
        let ends = [end(), end()];
        Self {
            device: Arc::new(DeviceRecord {
                id,
                registered_key: Secret::random(rng),
                suite: Suite::AesCcm8,
                suites: SuiteSet::ALL,
                accept: Accept::None,
                attach_number: 0,
                request_number: 0,
                last_invite: None,
                acknowledged: 0,
                seen_s: None,
                told: 0,
                shift: 0,
            }),
            session: Arc::new(SessionRecord {
                ends,
                suite: Suite::AesCcm8,
                nonce_g,
                stage: Stage::Agreed { th_a },
                run: 0,
                half: None,
                closed: None,
                hops: Vec::new(),
            }),
            hop_keys: [Secret::random(rng), Secret::random(rng)],
            nonce,
            enrolment: Secret::<32>::random(rng).expose().to_vec(),
        }
    }

    /// Puts them where the real ones lie.
    pub(crate) fn place(&self, cache: &mut Cache) {
        cache.set(Key::Device(INDEX), Some(Record::Device(self.device.clone())));
        cache.set(Key::Session(HANDLE), Some(Record::Session(self.session.clone())));
    }
}
