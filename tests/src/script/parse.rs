//! Text to steps. The format is described in `tests/scripts/README.md`.

use std::time::Duration;

use super::wire::{self, Format};

/// A script.
#[derive(Debug)]
pub struct Script {
    /// What it is about: its first line.
    pub title: String,
    pub(crate) lines: Vec<(usize, Step)>,
}

/// One line.
#[derive(Debug)]
pub(crate) enum Step {
    From(String),
    SendRaw(Vec<u8>),
    Send(Pattern),
    Expect(Pattern),
    Silence,
    Wait(Duration),
    /// The store and the accelerator stop, or go on.
    Work(bool),
}

/// A message with holes in it.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) mid: Field,
    /// `None`: not looked at; empty when sent.
    pub(crate) token: Option<Field>,
    /// `None` as the value: the option must be absent.
    pub(crate) options: Vec<(u16, Option<Field>)>,
    pub(crate) payload: Option<Field>,
    /// What must be found within the payload.
    pub(crate) contains: Vec<u8>,
    /// Bytes that the datagram may have at most.
    pub(crate) at_most: Option<usize>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    /// `*`
    Any,
    /// `$name`: what came back earlier, or what is to be remembered now.
    Variable(String),
    Bytes(Vec<u8>),
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// A line that is none of the language, with its number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let numbered: Vec<_> = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim().to_owned())).collect();
        let title = numbered.first().and_then(|(_, line)| line.strip_prefix("# ")).ok_or("line 1: no `# title`")?;
        let mut lines = Vec::new();
        for (number, line) in expand(&numbered)? {
            let text = line.trim();
            if !text.is_empty() && !text.starts_with('#') {
                let step = step(text).map_err(|why| format!("line {number}: {why}: {text}"))?;
                lines.push((number, step));
            }
        }
        Ok(Self { title: title.to_owned(), lines })
    }

    /// Whether it needs a clock or a store that can be stopped.
    #[must_use]
    pub fn needs_simulation(&self) -> bool {
        self.lines.iter().any(|(_, step)| matches!(step, Step::Wait(_) | Step::Work(_)))
    }
}

/// Writes out `repeat COUNT as NAME` … `end`, with `{NAME}` as four hex digits counting from 0.
fn expand(lines: &[(usize, String)]) -> Result<Vec<(usize, String)>, String> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some((number, line)) = lines.get(at) {
        at += 1;
        let Some(head) = line.strip_prefix("repeat ") else {
            out.push((*number, line.clone()));
            continue;
        };
        let (count, name) = head.split_once(" as ").ok_or_else(|| format!("line {number}: repeat COUNT as NAME"))?;
        let count: u32 = count.parse().map_err(|_| format!("line {number}: not a count: {count}"))?;
        let mut depth = 1;
        let body = lines.get(at..).unwrap_or_default();
        let end = body.iter().position(|(_, line)| {
            depth += i32::from(line.starts_with("repeat ")) - i32::from(line == "end");
            depth == 0
        });
        let end = end.ok_or_else(|| format!("line {number}: no end"))?;
        let inner = expand(&body[..end])?;
        for turn in 0..count {
            let digits = format!("{turn:04x}");
            out.extend(inner.iter().map(|(number, line)| (*number, line.replace(&format!("{{{name}}}"), &digits))));
        }
        at += end + 1;
    }
    Ok(out)
}

fn step(line: &str) -> Result<Step, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (word, rest) {
        (">", "hex") => Ok(Step::SendRaw(Vec::new())),
        (">", _) if rest.starts_with("hex ") => Ok(Step::SendRaw(bytes(&rest[4..].replace(' ', ","))?)),
        (">", _) => pattern(rest).map(Step::Send),
        ("<", "silence") => Ok(Step::Silence),
        ("<", _) => pattern(rest).map(Step::Expect),
        ("from", name) if !name.is_empty() => Ok(Step::From(name.to_owned())),
        ("work", "stops") => Ok(Step::Work(false)),
        ("work", "goes on") => Ok(Step::Work(true)),
        ("wait", time) => {
            let seconds = time.strip_suffix('s').and_then(|number| number.parse().ok());
            seconds.map(|seconds| Step::Wait(Duration::from_secs_f64(seconds))).ok_or("wait SECONDSs".into())
        }
        _ => Err("no such step".into()),
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let mut words = words(text).into_iter().peekable();
    let kind = words.next().and_then(|word| wire::KINDS.iter().position(|kind| *kind == word)).ok_or("no such type")?;
    let code = match words.next_if(|word| code(word).is_some()) {
        Some(word) => code(word).unwrap_or(0),
        None => 0,
    };
    let mid = field(words.next().ok_or("no message ID")?, Format::Opaque)?;
    if matches!(&mid, Field::Bytes(bytes) if bytes.len() != 2) {
        return Err("a message ID has four digits".into());
    }
    let (token, options, payload, contains, at_most) = (None, Vec::new(), None, Vec::new(), None);
    let mut made = Pattern { kind: kind as u8, code, mid, token, options, payload, contains, at_most };
    for word in words {
        if let Some(limit) = word.strip_prefix("bytes<=") {
            made.at_most = Some(limit.parse().map_err(|_| "not a number")?);
            continue;
        }
        let (name, value) = word.split_once('=').unwrap_or((word, "0x"));
        match name {
            "token" => made.token = Some(field(value, Format::Opaque)?),
            "contains" => made.contains = bytes(value)?,
            "payload" if value == "none" => made.payload = Some(Field::Bytes(Vec::new())),
            "payload" => made.payload = Some(field(value, Format::Opaque)?),
            _ => {
                let (number, format) = wire::option(name).ok_or_else(|| format!("no such option: {name}"))?;
                let value = if value == "none" { None } else { Some(field(value, format)?) };
                made.options.push((number, value));
            }
        }
    }
    Ok(made)
}

/// Splits at blanks that are not within quotes.
fn words(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let blank = |letter: char| {
        quoted ^= letter == '\'';
        letter == ' ' && !quoted
    };
    text.split(blank).filter(|word| !word.is_empty()).collect()
}

fn code(word: &str) -> Option<u8> {
    let method = ["Empty", "GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "iPATCH"].iter().position(|m| *m == word);
    if let Some(method) = method {
        return Some(method as u8);
    }
    let (class, detail) = word.split_once('.').filter(|_| !word.starts_with("0x"))?;
    let (class, detail): (u8, u8) = (class.parse().ok()?, detail.parse().ok()?);
    (class < 8 && detail < 32).then_some(class << 5 | detail)
}

fn field(value: &str, format: Format) -> Result<Field, String> {
    if value == "*" {
        return Ok(Field::Any);
    }
    if let Some(name) = value.strip_prefix('$') {
        return Ok(Field::Variable(name.to_owned()));
    }
    if let Some(digits) = value.strip_prefix("0x") {
        return bytes(digits).map(Field::Bytes);
    }
    Ok(Field::Bytes(match format {
        Format::Opaque => bytes(value)?,
        Format::Text => value.as_bytes().to_vec(),
        Format::Uint => wire::uint(value.parse().map_err(|_| format!("not a number: {value}"))?),
        Format::Block => block(value).ok_or_else(|| format!("a block is NUMBER/MORE/SIZE: {value}"))?,
    }))
}

/// `3/1/64`: the fourth block, of 64 bytes, and more follow. 2048 is the reserved size.
fn block(value: &str) -> Option<Vec<u8>> {
    let [number, more, size] = value.split('/').collect::<Vec<_>>().try_into().ok()?;
    let (number, more, size): (u32, u32, u32) = (number.parse().ok()?, more.parse().ok()?, size.parse().ok()?);
    let exponent = (0..8).find(|szx| 16 << szx == size)?;
    (number < 1 << 20 && more < 2).then(|| wire::uint(number << 4 | more << 3 | exponent))
}

/// Hex digits and texts: `4001`, `00*16` (sixteen zeros), `'text'`, joined by commas.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (unit, times) = part.split_once('*').unwrap_or((part, "1"));
        let times: usize = times.parse().map_err(|_| format!("not a number: {times}"))?;
        let unit = match unit.strip_prefix('\'').and_then(|unit| unit.strip_suffix('\'')) {
            Some(text) => text.as_bytes().to_vec(),
            None => digits(unit).ok_or_else(|| format!("not in hex: {unit}"))?,
        };
        out.extend(unit.repeat(times));
    }
    Ok(out)
}

fn digits(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    text.as_bytes()
        .chunks(2)
        .map(|pair| if let [a, b] = pair { Some(digit(*a)? << 4 | digit(*b)?) } else { None })
        .collect()
}
