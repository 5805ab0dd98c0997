//! Contexts: `ctx(LABEL, a, …)`, and the arrays that serve as salts.

/// One element of a context.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    Uint(u32),
    Bytes(&'a [u8]),
}

/// An array to be written: a label, unless it is a salt, and parts.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) label: Option<&'static str>,
    pub(crate) parts: &'a [Part<'a>],
}

/// `ctx(label, parts…)`.
pub(crate) const fn ctx<'a>(label: &'static str, parts: &'a [Part<'a>]) -> Context<'a> {
    Context { label: Some(label), parts }
}

/// `[parts…]`.
pub(crate) const fn array<'a>(parts: &'a [Part<'a>]) -> Context<'a> {
    Context { label: None, parts }
}

/// Every label begins with this.
const PREFIX: &str = "SGA1 ";

impl Context<'_> {
    /// Hands the deterministic encoding to a sink, piece by piece.
    pub(crate) fn write(&self, sink: &mut dyn FnMut(&[u8])) {
        let count = self.parts.len() + usize::from(self.label.is_some());
        head(4, count as u32, sink);
        if let Some(label) = self.label {
            head(3, (PREFIX.len() + label.len()) as u32, sink);
            sink(PREFIX.as_bytes());
            sink(label.as_bytes());
        }
        for part in self.parts {
            match part {
                Part::Uint(value) => head(0, *value, sink),
                Part::Bytes(bytes) => {
                    head(2, bytes.len() as u32, sink);
                    sink(bytes);
                }
            }
        }
    }
}

/// The shortest head of a CBOR item (RFC 8949 §3).
fn head(major: u8, value: u32, sink: &mut dyn FnMut(&[u8])) {
    let major = major << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..=23 => sink(&[major | bytes[3]]),
        24..=0xff => sink(&[major | 24, bytes[3]]),
        0x100..=0xffff => sink(&[major | 25, bytes[2], bytes[3]]),
        _ => sink(&[major | 26, bytes[0], bytes[1], bytes[2], bytes[3]]),
    }
}

/// A context in a buffer, where one is needed: only small ones are.
pub(crate) struct Buffer {
    bytes: [u8; Self::LEN],
    len: usize,
}

impl Buffer {
    const LEN: usize = 128;

    pub(crate) fn of(context: Context<'_>) -> Self {
        let mut buffer = Self { bytes: [0; Self::LEN], len: 0 };
        context.write(&mut |piece| {
            let end = buffer.len + piece.len();
            buffer.bytes[buffer.len..end].copy_from_slice(piece);
            buffer.len = end;
        });
        buffer
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_deterministically() {
        let bytes = [7; 24];
        let parts = [Part::Uint(23), Part::Uint(24), Part::Uint(0x100), Part::Uint(0x1_0000), Part::Bytes(&bytes)];
        let buffer = Buffer::of(ctx("x", &parts));
        let mut expected = [0; 64];
        let mut at = 0;
        for piece in [
            &b"\x86\x66SGA1 x"[..],
            b"\x17",
            b"\x18\x18",
            b"\x19\x01\x00",
            b"\x1a\x00\x01\x00\x00",
            b"\x58\x18",
            &bytes,
        ] {
            expected[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        assert_eq!(buffer.as_bytes(), &expected[..at]);
        assert_eq!(Buffer::of(array(&[Part::Uint(1)])).as_bytes(), b"\x81\x01");
    }
}
