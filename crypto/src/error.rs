use core::fmt;

/// Why something was not computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CryptoError {
    /// Not an element of the group that may be used.
    BadElement,
    /// It does not open or verify: nobody is told why.
    NotOpened,
    /// The caller's buffer has no room.
    BufferTooSmall,
    /// A length that this group or suite does not have.
    BadLength,
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadElement => "not an element that may be used",
            Self::NotOpened => "does not open or verify",
            Self::BufferTooSmall => "the buffer is too small",
            Self::BadLength => "wrong length",
        })
    }
}

impl core::error::Error for CryptoError {}
