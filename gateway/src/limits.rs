//! Bounds of the shell, with their reasons.

use std::time::Duration;

/// Datagrams that are dealt with before the sockets are read again and the work in hand has its turn.
pub(crate) const BATCH_MAX: usize = 64;

/// The same, and [`READ_MAX`], for a loop that is behind: its wake-ups are to be short, since whoever waits for his turn, and for the
/// store's word after it, waits for two of them.
pub(crate) const BATCH_PRESSED_MAX: usize = 16;

/// See [`BATCH_PRESSED_MAX`]. So many are read faster than they come at a million a second.
pub(crate) const READ_PRESSED_MAX: usize = 512;

/// Datagrams read from one socket in that time, most of which may be thrown away unread: half a millisecond.
pub(crate) const READ_MAX: usize = 1_024;

/// Datagrams that were read and wait until it is their source's turn: as much as is dealt with in a tenth of a second, 8 MiB.
pub(crate) const WAITING_MAX: usize = 4_096;

/// Bytes kept of one of these: more than is dealt with, since what is longer is to be refused for it and not to be cut.
pub(crate) const WAITING_LEN_MAX: usize = 2_048;

const _: () = assert!(WAITING_LEN_MAX > sga_gateway_core::limits::DATAGRAM_LEN_MAX, "what is too long still is");

/// Bytes that the system is asked to hold for a socket: a twentieth of a second of a flood of small datagrams. It may grant less.
pub(crate) const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// A loop that has left datagrams unread for so long without a pause is behind: longer than a burst of its devices takes, and as much
/// as a flood may delay what comes with its first datagrams.
pub(crate) const BEHIND: Duration = Duration::from_millis(5);

/// The rate below holds until nothing had to be thrown away for so long.
pub(crate) const CALM: Duration = Duration::from_secs(1);

/// Datagrams of strangers that a loop which is behind looks at in a second; a tenth of a second's may come at once. Others are thrown away
/// and, like any that are lost, sent again by who means it. A tenth of a core, or more of a small one: time is left for those who
/// are known.
pub(crate) const STRANGERS_PER_S: u32 = 10_000;

/// What threads have done, of each kind, that one wake-up takes in before sockets have their turn again.
pub(crate) const DONE_MAX: usize = 256;

/// A UDP datagram's largest payload: what is longer than the endpoint takes is its to refuse.
pub(crate) const DATAGRAM_LEN_MAX: usize = 65_535;

/// Datagrams that wait for a socket to be writable; beyond it they are lost like any other and sent again by their senders.
pub(crate) const UNSENT_MAX: usize = 1_024;

/// Peers whose way in is remembered, where there are several sockets or a socket has several addresses.
pub(crate) const ROUTES_MAX: usize = 65_536;

/// Commits that one sync makes durable together: it bounds the time that the first of them waits.
pub(crate) const GROUP_MAX: usize = 1_024;

/// Work of a kind that was handed to threads and whose outcome was not taken in: one group that is being synced, and the next. What
/// is more waits in the core, which bounds it.
pub(crate) const QUEUE_MAX: usize = 2 * GROUP_MAX;

/// How long a clean stop waits for what was handed to the store.
pub(crate) const STOP_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether a snapshot is due.
pub(crate) const SNAPSHOT_LOOK: Duration = Duration::from_secs(60);

/// After one that could not be made: each try reads the whole store and writes as much.
pub(crate) const SNAPSHOT_RETRY: Duration = Duration::from_secs(3_600);

/// Bytes of an order to a running gateway.
pub(crate) const CONTROL_LINE_MAX: u64 = 256;

/// How long an order, or somebody who takes a backup, may keep the control thread waiting.
pub(crate) const CONTROL_WAIT: Duration = Duration::from_secs(10);
