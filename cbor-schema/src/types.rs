//! The small types that messages are made of (`docs/protocol.md` §1–§6).

use core::fmt;
use core::str::FromStr;

use crate::SchemaError;
use crate::limits::ID_LEN_MAX;

/// Id of a device or of the gateway: 1–16 bytes, compared bytewise (§1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceId {
    bytes: [u8; ID_LEN_MAX],
    len: u8,
}

impl DeviceId {
    /// From its bytes.
    ///
    /// # Errors
    /// `OutOfRange` if there are not 1–16 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, SchemaError> {
        if bytes.is_empty() || bytes.len() > ID_LEN_MAX {
            return Err(SchemaError::OutOfRange);
        }
        let mut id = Self { bytes: [0; ID_LEN_MAX], len: bytes.len() as u8 };
        id.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(id)
    }

    /// The id's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl PartialOrd for DeviceId {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DeviceId {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Printable ASCII as it is, all else as hex.
impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        match core::str::from_utf8(bytes) {
            Ok(text) if bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) => f.write_str(text),
            _ => hex(f, bytes),
        }
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DeviceId {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, SchemaError> {
        Self::new(text.as_bytes())
    }
}

/// Names one leg of a session: 4 random bytes (§5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub [u8; 4]);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $id:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant = $id),* }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($id),*].len()] = [$(Self::$variant),*];

            /// The number on the wire.
            #[must_use]
            pub const fn id(self) -> u8 {
                self as u8
            }

            /// From the number on the wire.
            #[must_use]
            pub const fn from_id(id: u8) -> Option<Self> {
                match id {
                    $($id => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name in command lines.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = SchemaError;

            fn from_str(text: &str) -> Result<Self, SchemaError> {
                Self::ALL.into_iter().find(|value| value.name() == text).ok_or(SchemaError::OutOfRange)
            }
        }
    };
}

numbered! {
    /// An AEAD (the paper's E^x, x its id; §1).
    Suite {
        /// AES-CCM-16-64-128 (COSE 10).
        AesCcm8 = 1, "aes-ccm-8";
        /// AES-CCM-16-128-128 (COSE 30).
        AesCcm16 = 2, "aes-ccm-16";
        /// ChaCha20-Poly1305 (COSE 24).
        ChaCha20Poly1305 = 3, "chacha20-poly1305";
        /// Ascon-AEAD128 (NIST SP 800-232).
        Ascon128 = 4, "ascon-aead128";
    }
}

impl Suite {
    /// Bytes of a key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        if matches!(self, Self::ChaCha20Poly1305) { 32 } else { 16 }
    }

    /// Bytes of a nonce.
    #[must_use]
    pub const fn nonce_len(self) -> usize {
        match self {
            Self::AesCcm8 | Self::AesCcm16 => 13,
            Self::ChaCha20Poly1305 => 12,
            Self::Ascon128 => 16,
        }
    }

    /// Bytes of a tag.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        if matches!(self, Self::AesCcm8) { 8 } else { 16 }
    }
}

numbered! {
    /// Which group all public-key arithmetic is in (§1; the paper's (p, g)).
    Profile {
        /// ffdhe2048.
        Classic = 1, "classic";
        /// ristretto255.
        Compact = 2, "compact";
        /// ffdhe3072.
        Classic3072 = 3, "classic3072";
    }
}

impl Profile {
    /// Bytes of an element.
    #[must_use]
    pub const fn element_len(self) -> usize {
        match self {
            Self::Classic => 256,
            Self::Compact => 32,
            Self::Classic3072 => 384,
        }
    }
}

numbered! {
    /// Who may register (§2).
    Policy {
        /// Anyone.
        Open = 0, "open";
        /// Who knows a secret.
        Token = 1, "token";
        /// Who is on a list.
        List = 2, "list";
    }
}

numbered! {
    /// Whose invitations a device takes (§4).
    Accept {
        /// Everyone's.
        All = 0, "all";
        /// Those of peers it has had a session with.
        Known = 1, "known";
        /// Nobody's.
        None = 2, "none";
    }
}

numbered! {
    /// The end of a session (§6).
    Role {
        /// d_i, who sent A1.
        Initiator = 0, "initiator";
        /// d_j, who sent A3.
        Responder = 1, "responder";
    }
}

impl Role {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

numbered! {
    /// Why an A1 is refused (§5).
    A1Reason {
        /// The suite is not in both devices' sets.
        NoCommonSuite = 1, "no common suite";
        /// There is no device of that name.
        NoSuchPeer = 2, "no such peer";
        /// The peer takes no invitation from this device.
        PeerRefuses = 3, "the peer takes no invitation from you";
        /// The peer has invited this device already.
        Crossing = 4, "the peer has invited you";
        /// No room for another invitation.
        MailboxFull = 5, "the peer's mailbox is full";
        /// ID_i = ID_j.
        Yourself = 6, "the peer is yourself";
    }
}

numbered! {
    /// Why nothing was agreed: the plaintext of item 3, a bare uint (§5).
    A4Reason {
        /// The peer has refused.
        Refused = 1, "refused";
        /// Nobody answered.
        TimedOut = 2, "timed out";
        /// The peer's own A1 goes first.
        Withdrawn = 3, "withdrawn";
    }
}

numbered! {
    /// Why a Half is refused (§6).
    BReason {
        /// The run is closed or passed.
        Closed = 1, "closed";
        /// What was inside did not verify.
        Failed = 2, "failed";
    }
}

/// A set of suites: one uint, suite x is bit x − 1 (§1; the paper's CidSet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SuiteSet(u8);

impl SuiteSet {
    /// All suites.
    pub const ALL: Self = Self(0b1111);
    /// None.
    pub const EMPTY: Self = Self(0);

    /// From the wire; unknown bits are refused.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits <= Self::ALL.0 as u32 { Some(Self(bits as u8)) } else { None }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// A set of these.
    #[must_use]
    pub fn of(suites: &[Suite]) -> Self {
        Self(suites.iter().fold(0, |bits, suite| bits | 1 << (suite.id() - 1)))
    }

    /// Whether it has a suite.
    #[must_use]
    pub const fn contains(self, suite: Suite) -> bool {
        self.0 & (1 << (suite.id() - 1)) != 0
    }

    /// What both have.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its suites, by id.
    pub fn iter(self) -> impl Iterator<Item = Suite> {
        Suite::ALL.into_iter().filter(move |&suite| self.contains(suite))
    }
}
