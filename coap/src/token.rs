//! Tokens: what matches a response to its request.

use core::fmt;

/// Zero to eight opaque bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token {
    bytes: [u8; 8],
    len: u8,
}

impl Token {
    /// The longest token that version 1 of the protocol carries, in bytes.
    pub const MAX: usize = 8;

    /// `None` when `bytes` is longer than [`Token::MAX`].
    pub fn new(bytes: &[u8]) -> Option<Token> {
        let mut token = Token { bytes: [0; 8], len: u8::try_from(bytes.len()).ok()? };
        token.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(token)
    }

    /// A full-length token, as this endpoint's client side draws it.
    pub(crate) const fn full(bytes: [u8; 8]) -> Token {
        Token { bytes, len: 8 }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many bytes, 0–8.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether this is the empty token.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}
