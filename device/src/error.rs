//! What a caller may be told at once; what the other side did is an [`crate::Event`].

/// Why a call did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// Caller: the buffer has no room for what was to be written.
    BufferTooSmall,
    /// Caller: the secret, the text or the bytes are longer than allowed.
    TooLong,
    /// Caller: the id is the device's own.
    OwnId,
    /// Caller: the suite is not one of the device's.
    SuiteNotOwn,
    /// Caller: the device must register first.
    NotRegistered,
    /// State: no room for another peer.
    TooManyPeers,
    /// State: no session with this peer.
    NoSession,
    /// State: no established run, an older text in flight, or a newer run not confirmed yet.
    NotReady,
    /// State: the run has sealed all it may; the next run was opened.
    RunUsedUp,
    /// State: a number that only rises has reached its end.
    NumbersUsedUp,
    /// State: the snapshot has to be saved first.
    SaveFirst,
    /// Local: a message did not encode or seal; a bug.
    Internal,
}

impl core::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BufferTooSmall => "the buffer is too small",
            Self::TooLong => "longer than allowed",
            Self::OwnId => "that is this device's own id",
            Self::SuiteNotOwn => "not a suite of this device",
            Self::NotRegistered => "not registered yet",
            Self::TooManyPeers => "no room for another peer",
            Self::NoSession => "no session with this peer",
            Self::NotReady => "the session cannot take a text now",
            Self::RunUsedUp => "this run is used up, the next was opened",
            Self::NumbersUsedUp => "a number has reached its end",
            Self::SaveFirst => "the snapshot must be saved first",
            Self::Internal => "a message could not be made",
        })
    }
}

impl core::error::Error for DeviceError {}

/// Why a snapshot was not written or not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The buffer has no room; [`crate::snapshot_len_max`] says how much is enough.
    BufferTooSmall,
    /// Written by another version.
    Version,
    /// Not a snapshot, or damaged.
    Malformed,
    /// It holds more peers than this device has room for.
    TooManyPeers,
}

impl core::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BufferTooSmall => "the buffer is too small for the snapshot",
            Self::Version => "the snapshot is of another version",
            Self::Malformed => "not a snapshot, or damaged",
            Self::TooManyPeers => "the snapshot holds more peers than there is room for",
        })
    }
}

impl core::error::Error for SnapshotError {}
