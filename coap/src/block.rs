//! The value of Block1 and Block2 (RFC 7959 §2.2).
//!
//! Our own, since coap-lite's keeps only 16 bits of the number and takes the reserved size 7 for 2048.

/// Which block of a body, whether more follow, and the size as an exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockValue {
    /// Block number, below 2^20.
    pub num: u32,
    /// Whether more blocks follow.
    pub more: bool,
    /// Size exponent: a block is `16 << szx` bytes, `szx` 0–6. 7 is reserved and only seen in [`BlockValue::parse`]d values.
    pub szx: u8,
}

impl BlockValue {
    /// The largest block number.
    pub const NUM_MAX: u32 = (1 << 20) - 1;
    /// The largest size exponent that may be used (1024 bytes).
    pub const SZX_MAX: u8 = 6;

    /// Reads an option value of 0–3 bytes; `None` when it is longer.
    pub fn parse(value: &[u8]) -> Option<BlockValue> {
        if value.len() > 3 {
            return None;
        }
        let raw = value.iter().fold(0u32, |sum, byte| (sum << 8) | u32::from(*byte));
        Some(BlockValue { num: raw >> 4, more: raw & 8 != 0, szx: (raw & 7) as u8 })
    }

    /// The option value in its shortest form.
    pub fn to_bytes(self) -> Vec<u8> {
        let raw = (self.num << 4) | (u32::from(self.more) << 3) | u32::from(self.szx & 7);
        crate::option::uint_bytes(raw)
    }

    /// Bytes in a full block.
    pub fn size(self) -> usize {
        size_of_szx(self.szx)
    }

    /// Where the block begins in the body. At most 2^20 × 1024, so that it fits 32 bits.
    pub fn offset(self) -> usize {
        self.num as usize * self.size()
    }
}

/// Bytes in a block of this size exponent.
pub(crate) fn size_of_szx(szx: u8) -> usize {
    16 << szx.min(BlockValue::SZX_MAX)
}
