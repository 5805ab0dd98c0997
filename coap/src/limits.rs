//! Every bound of this crate that is not a matter of configuration, and the defaults of those that are.
//!
//! What happens when a bound is reached stands with each; nothing that was accepted is dropped in silence.

use core::time::Duration;

/// Largest datagram read or written, in bytes: the IPv6 minimum MTU, what RFC 7252 §4.6 takes for granted.
/// A longer request is answered with 4.13 or, when it cannot be read, Reset.
pub const MAX_DATAGRAM: usize = 1280;
/// Options in one message. Each costs an allocation or two when decoded; more is a format error.
pub const MAX_OPTIONS: usize = 48;
/// Largest body assembled from blocks or cut into them, in bytes; more is answered with 4.13.
pub const MAX_BODY: usize = 16 * 1024;
/// Events waiting for the application; past it new requests get 5.03.
pub const MAX_EVENTS: usize = 4096;

/// Requests with the application at once; past it 5.03 with Max-Age.
pub const MAX_PENDING: usize = 4096;
/// The same of one peer.
pub const MAX_PENDING_PER_PEER: usize = 64;

/// Remembered message IDs in all. A quarter of a million per 247 s would be 1000 requests a second.
pub const MAX_DEDUP: usize = 65_536;
/// Remembered message IDs of one peer.
pub const MAX_DEDUP_PER_PEER: usize = 1024;
/// Bytes of stored replies in all. Admission looks at it before a request is taken, so that it may be exceeded by what the pending requests' answers hold.
pub const MAX_DEDUP_BYTES: usize = 32 * 1024 * 1024;
/// How long the answer to a request that must not run twice is kept whatever the pressure: MAX_TRANSMIT_SPAN of
/// RFC 7252 §4.8.2, after which a client that follows the protocol no longer retransmits.
pub const DEDUP_PROTECTED: Duration = Duration::from_secs(45);

/// Block1 uploads in progress; past it the oldest of the source with most is given up, and 5.03 with Max-Age if that is the one in hand.
pub const MAX_UPLOADS: usize = 1024;
/// Of one peer; past it the peer's own oldest is given up.
pub const MAX_UPLOADS_PER_PEER: usize = 4;
/// Bytes held by uploads in progress; past it the same.
pub const MAX_UPLOAD_BYTES: usize = 4 * 1024 * 1024;
/// An upload without a new block for this long is given up: longer than MAX_TRANSMIT_WAIT (93 s).
pub const UPLOAD_LIFETIME: Duration = Duration::from_secs(120);

/// Bodies kept for Block2 follow-ups; the oldest makes room (its reader gets 4.08 or, for GET, a fresh copy).
pub const MAX_SNAPSHOTS: usize = 1024;
/// Of one peer; its own oldest makes room.
pub const MAX_SNAPSHOTS_PER_PEER: usize = 4;
/// Bytes held by snapshots.
pub const MAX_SNAPSHOT_BYTES: usize = 8 * 1024 * 1024;
/// A snapshot that nobody reads from for this long goes.
pub const SNAPSHOT_LIFETIME: Duration = Duration::from_secs(120);

/// Observers in all; past it a registration is answered as a plain request.
pub const MAX_OBSERVERS: usize = 65_536;
/// Observers of one peer.
pub const MAX_OBSERVERS_PER_PEER: usize = 16;

/// How long an observer may go without acknowledging anything before the application is asked to send it the current state
/// confirmably (RFC 7641 §4.5: at least every 24 hours).
pub const OBSERVER_IDLE: Duration = Duration::from_secs(24 * 3600);
/// Notifications in a row that may go non-confirmable; then one is confirmable, so that an observer that left is found out.
pub const MAX_UNPROVEN_NOTIFICATIONS: u32 = 8;

/// Addresses remembered as verified; the oldest of the source with most makes room and has to answer an Echo again.
pub const MAX_VERIFIED: usize = 65_536;
/// How long an address stays verified after it last proved itself. Short enough that a NAT binding handed to
/// someone else does not inherit much, long enough that a device that polls each quarter of an hour is not asked each time.
pub const VERIFIED_LIFETIME: Duration = Duration::from_secs(20 * 60);
/// How long an Echo value is accepted.
pub const ECHO_LIFETIME: Duration = Duration::from_secs(60);
/// Message IDs before the one that brought an Echo value which may be late duplicates of refused requests: they are asked
/// for Echo again. Clients number in sequence and have few requests open; one that numbers otherwise loses a round trip.
pub const ECHO_MID_WINDOW: u16 = 32;
/// What an unverified address may be sent, as a multiple of what it sent (RFC 9000 §8.1, RFC 9175 §2.4).
pub const AMPLIFICATION: usize = 3;

/// Timers that one call of `handle_timeout` does, and entries of each table that it lets expire; the rest is for the next call.
/// A hundred microseconds or so, after which whoever waits has its turn.
pub const MAX_TIMERS_AT_ONCE: usize = 256;
/// See [`MAX_TIMERS_AT_ONCE`].
pub const MAX_EXPIRED_AT_ONCE: usize = 256;

/// Peers for which the last message ID used is remembered; the oldest makes room and would start at a random one.
pub const MAX_MID_PEERS: usize = 65_536;

/// Client exchanges and observations in all; past it `RequestError::Full`.
pub const MAX_EXCHANGES: usize = 4096;
/// Of one peer, in flight, queued or observing.
pub const MAX_EXCHANGES_PER_PEER: usize = 32;
/// Confirmable responses whose acknowledgement is repeated when they come again, in all; past it the oldest is forgotten and its duplicate reset.
pub const MAX_SEEN_RESPONSES: usize = 4096;
/// After an empty acknowledgement, how long a client waits for the separate response: MAX_TRANSMIT_WAIT.
pub const RESPONSE_WAIT: Duration = Duration::from_secs(93);

/// Max-Age with 5.03 when a table is full, in seconds: as long as a client's first retransmissions take.
pub const BUSY_MAX_AGE_S: u32 = 5;
/// Bytes of an ETag that the endpoint makes: short, since it travels with each block.
pub const ETAG_LEN: usize = 4;
/// An observe sequence older by this much time counts as fresh whatever its number (RFC 7641 §3.4).
pub const OBSERVE_FRESH: Duration = Duration::from_secs(128);

const _: () = assert!(MAX_PENDING < MAX_DEDUP && MAX_PENDING_PER_PEER < MAX_DEDUP_PER_PEER);
const _: () = assert!(MAX_UPLOADS_PER_PEER * MAX_BODY <= MAX_UPLOAD_BYTES);
const _: () = assert!(MAX_SNAPSHOTS_PER_PEER * MAX_BODY <= MAX_SNAPSHOT_BYTES);
