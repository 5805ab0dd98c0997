//! The text of a file: headings, comments and `name = hex`.

use std::fmt::Write;

/// A file in the making.
#[derive(Debug, Default)]
pub struct Lines(String);

impl Lines {
    /// A heading.
    pub fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.push(format_args!("## {title}"));
    }

    /// A comment.
    pub fn note(&mut self, text: &str) {
        self.push(format_args!("# {text}"));
    }

    /// Bytes.
    pub fn bytes(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.push(format_args!("{name} = {}", to_hex(value.as_ref())));
    }

    /// A number, as four bytes, big-endian.
    pub fn number(&mut self, name: &str, value: u32) {
        self.bytes(name, value.to_be_bytes());
    }

    /// A value that is there already.
    ///
    /// # Panics
    /// It is not.
    pub(super) fn value(&self, name: &str) -> Vec<u8> {
        find(&self.0, name).unwrap_or_else(|| panic!("no {name} yet"))
    }

    /// The whole file.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }

    fn push(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The value of a name in a file.
#[must_use]
pub fn find(text: &str, name: &str) -> Option<Vec<u8>> {
    let (_, value) = text.lines().filter_map(|line| line.split_once(" = ")).find(|(key, _)| *key == name)?;
    from_hex(value)
}

/// Bytes from an even number of hex digits.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let pairs = digits?;
    (pairs.len() % 2 == 0).then(|| pairs.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
