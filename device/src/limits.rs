//! Every bound of a device. A bound that is reached is an error or an event, never a silent drop.

/// Longest enrolment secret.
pub const ENROLMENT_LEN_MAX: usize = 64;

/// Ids on the list of those who alone may invite.
pub const ALLOWED_MAX: usize = 16;

/// Runs kept for one peer: the established one, one whose confirmation is on its way, and the newest.
pub const RUNS_PER_PEER_MAX: usize = 3;

/// Enough for any request that [`crate::Device::poll_request`] writes, in every profile: the largest is a classic3072
/// Half (two elements, two masked seeds, tags). What [`crate::Device::send`] writes needs [`sealed_len_max`].
pub const REQUEST_LEN_MAX: usize = 1_280;

/// Bytes that a message payload needs beside its text: array, handle, run, sequence, lengths, tags.
pub(crate) const MESSAGE_OVERHEAD_MAX: usize = 64;

/// Longest text of one message.
pub(crate) const TEXT_LEN_MAX: usize = 8_192;

/// Messages sealed under one run.
pub(crate) const SEQUENCES_PER_RUN_MAX: u32 = 1 << 20;

/// Openings that may fail before a receiving key is given up.
pub(crate) const FAILED_OPENINGS_MAX: u32 = 1 << 14;

/// How far a run may be above the current one.
pub(crate) const RUN_SKIP_MAX: u32 = 1_024;

/// Times that one request may be refused by bare codes before it rests until the application asks again.
pub(crate) const STRIKES_MAX: u8 = 3;

/// Runs in a row whose message 0 does not open before no further one is opened until the application asks again.
pub(crate) const UNCONFIRMED_MAX: u8 = 2;

/// Bytes that [`crate::Device::send`] needs for a text of so many bytes, padded or not.
#[must_use]
pub const fn sealed_len_max(text_len: usize) -> usize {
    let padded = sga_schema::padding::text_len(text_len);
    MESSAGE_OVERHEAD_MAX + if let Some(padded) = padded { padded } else { text_len }
}

/// Most bytes of a snapshot of a device with room for this many peers.
#[must_use]
pub const fn snapshot_len_max(peers: usize) -> usize {
    SNAPSHOT_BASE_LEN + peers * (SNAPSHOT_PEER_LEN + RUNS_PER_PEER_MAX * SNAPSHOT_RUN_LEN)
}

const SNAPSHOT_BASE_LEN: usize = 768;
const SNAPSHOT_PEER_LEN: usize = 448;
const SNAPSHOT_RUN_LEN: usize = 288;

const _: () = assert!(MESSAGE_OVERHEAD_MAX >= 1 + 5 + 5 + 5 + 3 + 16 + 9);
