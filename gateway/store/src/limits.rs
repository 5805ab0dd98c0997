//! Bounds of the store, with their reasons.

use std::time::Duration;

/// What a sync writes at least, on flash and on most file systems. Each group of commits begins at a multiple of it, so that no
/// write touches a block in which something is that was confirmed.
pub const BLOCK_BYTES: u64 = 4_096;

/// Length of each of the two journal files. Two thousand single commits, or seconds of full load: the longer, the more is
/// delivered before it has to go into the tables. It bounds the memory of what is not there yet, and what a start reads.
pub const SEGMENT_BYTES: u64 = 8 << 20;

/// Space put by for a full disk: what the tables may need for the two layers that wait for them.
pub const RESERVE_BYTES: u64 = 3 * SEGMENT_BYTES;

/// Bytes of changes in one group. A commit is far smaller; a group of many takes less than the sync that follows.
pub const GROUP_BYTES_MAX: usize = 1 << 20;

/// Memory that the tables may use as a cache. The engine's own default of 1 GiB is more than a Pi has.
pub const CACHE_BYTES: usize = 32 << 20;

/// Tables up to this size are read through and checked at each start, in less than a second. Larger ones are when there is a
/// reason to.
pub const CHECK_BYTES: u64 = 64 << 20;

/// Bytes of items in all mailboxes together, if the operator says nothing.
pub const ITEM_BYTES_MAX: u64 = 4 << 30;

/// What the protocol's own items may take above [`ITEM_BYTES_MAX`], in parts of it: 1/16.
pub const RESERVE_PART: u64 = 16;

/// How long to wait before what failed is tried again: a full disk has room again, or a card is back.
pub const RETRY: Duration = Duration::from_secs(1);

/// Records in one transaction, where a store is written anew.
pub const BATCH_RECORDS: usize = 16_384;

/// Longest value that a record of a backup may have; more is a damaged length.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Snapshots that are kept; older ones go when a new one is there.
pub const SNAPSHOTS_KEPT: usize = 2;

/// Mailboxes that one look for old items goes through.
pub const SCAN_MAX: usize = 256;
