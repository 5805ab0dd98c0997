//! Every bound of the gateway's core, with its reason. `docs/limits.md` lists them for operators.

use core::time::Duration;

/// Requests that wait for a load, a job or a commit, in all. Beside them are in work one notification for each attached device at most,
/// and one round of each kind of the gateway's own (`upkeep.rs`): as much as that may wait to be handed to the store. One costs about 2 KiB; more than this is a store that has stopped.
/// Fewer than the endpoint lets wait, so that 4.29 is said here, with a reason.
pub const TASKS_MAX: usize = 2_048;

/// Of these, requests that have proven nothing when they cost public-key work (Register, A1, A3): the rest is for those of sessions.
pub const TASKS_UNPROVEN_MAX: usize = TASKS_MAX / 2;

/// Requests from addresses that have not shown that they receive, and that wait for the store: past it more are asked for Echo.
/// What comes from forged addresses and names nothing that exists costs a look into the store each.
pub const UNVERIFIED_LOADS_MAX: usize = 256;

/// Public-key work for requests that have proven nothing, waiting for the accelerator; past it 4.29.
pub const JOBS_UNPROVEN_MAX: usize = 256;

/// Of it, what the accelerator holds at a time unless the shell says otherwise: work for a session waits behind no more than that.
pub const JOBS_IN_HAND: usize = 4;

/// Register, A1 and A3 of one source in a minute, from anywhere and again with Echo: a site of a thousand devices behind one
/// address is enrolled in a minute.
pub const WORK_PER_SOURCE: u32 = 1_200;

/// The same of all sources, in the compact group: a sixth of a core.
pub const WORK_TOTAL_COMPACT: u32 = 240_000;

/// The same in the classic groups, where one takes as long as fifty: half a core.
pub const WORK_TOTAL_CLASSIC: u32 = 18_000;

/// Requests of one source that fail with 4.01 in a minute, from anywhere and again with Echo. A tag of 64 bits is guessed within a
/// year with a chance of 2^-34 at this rate.
pub const GUESSES_PER_SOURCE: u32 = 600;

/// Cells of a row of the table of sources; the table has two rows of 32 bytes a cell, 2 MiB in all. A thousand sources over their
/// limit then take one in a thousand others with them.
pub const RATE_CELLS: usize = 32_768;

/// Halves of one leg in a minute that cost public-key work or end a run, from anywhere and again with Echo. A device opens a run after
/// a start, after a failure, and to rekey.
pub const RUNS_PER_LEG: u32 = 30;

/// Cells of a row of the table of legs; the table has two rows of 16 bytes a cell, 1 MiB in all.
pub const RUN_CELLS: usize = 32_768;

/// How long a source is asked for Echo after a Half from there found nothing left of what its leg may have from anywhere: longer than
/// a device waits before it tries again.
pub const RUN_ECHO: Duration = Duration::from_secs(30);

/// Cells of the table of these sources, of 8 bytes. Two that share one are both asked.
pub const RUN_ECHO_CELLS: usize = 4_096;

/// Invitations that one device has sent and that are not answered.
pub const INVITATIONS_SENT_MAX: usize = 64;

/// The same of all devices.
pub const INVITATIONS_OPEN_MAX: usize = 65_536;

/// Records that the store does not have, remembered as such.
pub const ABSENT_MAX: usize = 8_192;

/// Tasks that wait for one device, session or pair. A device has one request in flight (NSTART 1); the rest is slack for retries.
pub const WAITERS_MAX: usize = 16;

/// Records in the cache. About 1 KiB each in the compact profile.
pub const CACHE_RECORDS_MAX: usize = 65_536;

/// Mailboxes whose index is in memory.
pub const MAILBOXES_MAX: usize = 65_536;

/// Devices that are attached at a time; when full the one longest unused is dropped and has to attach again.
pub const ATTACHMENTS_MAX: usize = 65_536;

/// Bytes of a datagram; what is longer is refused.
pub const DATAGRAM_LEN_MAX: usize = sga_coap::limits::MAX_DATAGRAM;

/// Items in one mailbox that are not invitations, keys or answers of a negotiation.
pub const MAILBOX_MESSAGES_MAX: usize = 256;

/// Bytes of bodies up to which any session may add messages.
pub const MAILBOX_MESSAGE_BYTES_MAX: usize = 960 << 10;

/// Messages in one mailbox beyond those: this part of them, for sessions that have fewer there than places are left. So one that
/// fills a mailbox, or a few, do not keep the others out of it.
pub const MAILBOX_SHARE: usize = 4;

/// Bytes of bodies beyond [`MAILBOX_MESSAGE_BYTES_MAX`], for sessions that use fewer there than are left.
pub const MAILBOX_SHARED_BYTES: usize = 64 << 10;

/// Items in one mailbox that are the protocol's own. A session's are fewer than the places that are left.
pub const MAILBOX_OWN_MAX: usize = 64;

/// Items in one mailbox in all.
pub const MAILBOX_ITEMS_MAX: usize = MAILBOX_MESSAGES_MAX + MAILBOX_MESSAGES_MAX / MAILBOX_SHARE + MAILBOX_OWN_MAX;

/// Bytes of bodies in one mailbox in all: the last 64 KiB are for the protocol's own items.
pub const MAILBOX_BYTES_MAX: usize = MAILBOX_MESSAGE_BYTES_MAX + MAILBOX_SHARED_BYTES + (64 << 10);

/// What is added to the numbers of a mailbox whose device has dealt with higher ones than the store knows of, at most.
pub const NUMBER_SHIFT_MAX: u32 = 1 << 31;

/// Numbers of one mailbox: with the most that may be added to them they are still below 2^32.
pub const ITEM_NUMBERS_MAX: u32 = u32::MAX - NUMBER_SHIFT_MAX;

/// Invitations in one mailbox.
pub const INVITATIONS_MAX: usize = sga_schema::limits::INVITATIONS_MAX;

/// An invitation that nobody answered is told to the one who sent it, and forgotten.
pub const INVITATION_LIFETIME: Duration = Duration::from_secs(3_600);

/// How long a run may stay half open.
pub const RUN_LIFETIME: Duration = Duration::from_secs(3_600);

/// How often invitations are looked through for such as ran out.
pub const EXPIRY_INTERVAL: Duration = Duration::from_secs(30);

/// Invitations that one look removes at most; the rest goes with the next.
pub const EXPIRY_BATCH_MAX: usize = 64;

/// An item that nobody fetched is dropped after so much uptime, unless the operator says otherwise.
pub const MAILBOX_AGE: Duration = Duration::from_secs(30 * 86_400);

/// A device that has not attached for so much uptime is forgotten, unless the operator says otherwise.
pub const FORGET_AFTER: Duration = Duration::from_secs(365 * 86_400);

/// How often mailboxes are looked through for items that are too old.
pub const AGED_INTERVAL: Duration = Duration::from_secs(600);

/// The same while the last look is still in work.
pub const AGED_BUSY_INTERVAL: Duration = Duration::from_secs(1);

/// Mailboxes that items are dropped from at a time; the look goes on when some are done.
pub const AGED_TASKS_MAX: usize = 64;

/// Items that one step drops at most, and their bytes; the next step takes the rest.
pub const AGED_ITEMS_MAX: usize = 64;
/// See [`AGED_ITEMS_MAX`].
pub const AGED_BYTES_MAX: usize = 64 << 10;

/// How often a few devices or sessions are looked at: a million devices are through in eleven days, which is short against a year.
pub const CENSUS_INTERVAL: Duration = Duration::from_secs(60);

/// The same while sessions of revoked devices are looked for: a thousand sessions are through in a second, if the store keeps up.
pub const CENSUS_HURRY_INTERVAL: Duration = Duration::from_millis(50);

/// How many a look takes.
pub const CENSUS_BATCH_MAX: usize = 64;

/// How often the gateway's uptime is written down. Ages are kept in it, since a Pi has no clock that can be trusted.
pub const UPTIME_INTERVAL: Duration = Duration::from_secs(600);

/// Sequence numbers whose tags are remembered for each leg and run. A device waits for the answer to one message before it seals the
/// next; each message writes the window anew.
pub const WINDOW_LEN: usize = 16;

/// Runs of which a leg's sequences are remembered: the one it sends under and the one before.
pub const RUNS_KEPT: usize = 2;

/// Closed runs of a session whose hop keys are kept, at most: those that an end may still have a message under. An end that has
/// one sends it before it helps to close another run, so more than two or three are restarts in a row.
pub const HOP_RUNS_MAX: usize = 8;

/// Tries to draw a handle that is not taken.
pub const HANDLE_TRIES_MAX: u8 = 8;

/// Seconds in Max-Age when a mailbox or the store is full.
pub const FULL_RETRY_S: u32 = 30;

/// Seconds in Max-Age when too many invitations are open.
pub const INVITATIONS_RETRY_S: u32 = 60;

/// Seconds in Max-Age when too many requests wait.
pub const BUSY_RETRY_S: u32 = 2;

const _: () = assert!(MAILBOX_MESSAGE_BYTES_MAX > sga_schema::limits::CIPHERTEXT_LEN_MAX);
const _: () = assert!(INVITATIONS_MAX < MAILBOX_OWN_MAX / 2);
const _: () = assert!(MAILBOX_SHARED_BYTES / 2 > sga_schema::limits::ITEM_LEN_MAX);
const _: () = assert!(UNVERIFIED_LOADS_MAX * 4 < ABSENT_MAX, "what a task finds absent is remembered until it runs");
const _: () = assert!(RATE_CELLS.is_power_of_two() && RUN_CELLS.is_power_of_two() && RUN_ECHO_CELLS.is_power_of_two());
const _: () = assert!(WINDOW_LEN <= 64, "the window's bits are a u64");

/// Longer than this a request is not left without an acknowledgement: a quarter of RFC 7252's ACK_TIMEOUT.
pub const SEPARATE_AFTER: Duration = Duration::from_millis(500);
