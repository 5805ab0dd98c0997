//! What an operator or an application chooses.

use core::time::Duration;

use crate::code::Code;
use crate::limits;

/// Settings of an [`crate::Endpoint`]. Start from `Config::default()` and change what differs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Largest datagram accepted and made, in bytes.
    pub max_datagram: usize,
    /// Largest block this endpoint sends or asks for, as an exponent: `16 << szx` bytes; at most 6.
    pub block_szx_max: u8,
    /// Largest body of a block-wise transfer in either direction, in bytes.
    pub max_body: usize,
    /// RFC 7252 ACK_TIMEOUT.
    pub ack_timeout: Duration,
    /// RFC 7252 ACK_RANDOM_FACTOR, at least 1.
    pub ack_random_factor: f64,
    /// RFC 7252 MAX_RETRANSMIT.
    pub max_retransmit: u32,
    /// A request that the application has not answered after this long gets an empty acknowledgement.
    pub separate_after: Duration,
    /// RFC 7252 EXCHANGE_LIFETIME: how long a message ID is remembered.
    pub exchange_lifetime: Duration,
    /// After an empty acknowledgement, how long the client side waits for the response.
    pub response_wait: Duration,
    /// Remembered message IDs in all.
    pub dedup_max: usize,
    /// Remembered message IDs of one peer.
    pub dedup_max_per_peer: usize,
    /// Bytes of stored replies in all.
    pub dedup_max_bytes: usize,
    /// How long answers to requests that must not run twice are kept whatever the pressure.
    pub dedup_protected: Duration,
    /// Requests with the application at once.
    pub pending_max: usize,
    /// The same of one peer.
    pub pending_max_per_peer: usize,
    /// Block1 uploads in progress.
    pub uploads_max: usize,
    /// Bytes held by them.
    pub upload_bytes_max: usize,
    /// Bodies kept for Block2 follow-ups.
    pub snapshots_max: usize,
    /// Bytes held by them.
    pub snapshot_bytes_max: usize,
    /// Observers in all.
    pub observers_max: usize,
    /// Observers of one peer.
    pub observers_max_per_peer: usize,
    /// An observer that has acknowledged nothing for so long is reported with [`crate::Event::ObserverIdle`].
    pub observer_idle: Duration,
    /// Addresses remembered as verified.
    pub verified_max: usize,
    /// How long an address stays verified.
    pub verified_lifetime: Duration,
    /// Bytes of own tokens, 1–8. Long ones cannot be guessed by who does not see the requests; short ones are for peers whose
    /// answers are sealed and frames that are small.
    pub token_len: usize,
    /// Client exchanges and observations in all.
    pub exchanges_max: usize,
    /// Of one peer.
    pub exchanges_max_per_peer: usize,
    /// Whether a request may only be passed on from an address that has answered an Echo. One in blocks always.
    pub needs_verified_address: fn(method: Code, path: &[Vec<u8>]) -> bool,
    /// The methods of a path; `None` is answered with 4.04, a method that is not listed with 4.05.
    pub known_path: fn(path: &[Vec<u8>]) -> Option<&'static [Code]>,
    /// Whether a resource can be observed; where not, Observe is ignored.
    pub observable: fn(method: Code, path: &[Vec<u8>]) -> bool,
    /// Whether the application looks at If-Match and If-None-Match here; where not, such a request gets 4.12.
    pub conditional: fn(method: Code, path: &[Vec<u8>]) -> bool,
    /// Whether the application answers the same request again as it did before. Where it does, a remembered answer may make
    /// room as soon as there is need; where not, it is kept for `dedup_protected` and new requests get 5.03 instead.
    /// GET and FETCH count as such anyway.
    pub idempotent: fn(method: Code, path: &[Vec<u8>]) -> bool,
}

impl Default for Config {
    /// RFC 7252's parameters, the crate's limits, and no resources: a pure client.
    fn default() -> Config {
        Config {
            max_datagram: limits::MAX_DATAGRAM,
            block_szx_max: 6,
            max_body: limits::MAX_BODY,
            ack_timeout: Duration::from_secs(2),
            ack_random_factor: 1.5,
            max_retransmit: 4,
            separate_after: Duration::from_millis(500),
            exchange_lifetime: Duration::from_secs(247),
            response_wait: limits::RESPONSE_WAIT,
            dedup_max: limits::MAX_DEDUP,
            dedup_max_per_peer: limits::MAX_DEDUP_PER_PEER,
            dedup_max_bytes: limits::MAX_DEDUP_BYTES,
            dedup_protected: limits::DEDUP_PROTECTED,
            pending_max: limits::MAX_PENDING,
            pending_max_per_peer: limits::MAX_PENDING_PER_PEER,
            uploads_max: limits::MAX_UPLOADS,
            upload_bytes_max: limits::MAX_UPLOAD_BYTES,
            snapshots_max: limits::MAX_SNAPSHOTS,
            snapshot_bytes_max: limits::MAX_SNAPSHOT_BYTES,
            observers_max: limits::MAX_OBSERVERS,
            observers_max_per_peer: limits::MAX_OBSERVERS_PER_PEER,
            observer_idle: limits::OBSERVER_IDLE,
            verified_max: limits::MAX_VERIFIED,
            verified_lifetime: limits::VERIFIED_LIFETIME,
            token_len: 8,
            exchanges_max: limits::MAX_EXCHANGES,
            exchanges_max_per_peer: limits::MAX_EXCHANGES_PER_PEER,
            needs_verified_address: |_, _| false,
            known_path: |_| None,
            observable: |_, _| false,
            conditional: |_, _| false,
            idempotent: |_, _| false,
        }
    }
}
