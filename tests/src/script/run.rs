//! Runs a script against a gateway.

use std::collections::BTreeMap;
use std::time::Duration;

use super::parse::{Field, Pattern, Script, Step};
use super::wire::{self, Message};

/// A gateway as a script sees it: datagrams to it and from it, each source with an inbox of its own.
pub trait Peer {
    /// Sends a datagram from a source, which begins to exist with its first.
    ///
    /// # Errors
    /// It cannot be sent.
    fn send(&mut self, source: &str, bytes: &[u8]) -> Result<(), String>;

    /// The next datagram that comes to a source; `None` when it is taking too long.
    ///
    /// # Errors
    /// Nothing can be received.
    fn receive(&mut self, source: &str) -> Result<Option<Vec<u8>>, String>;

    /// Lets what the gateway has in hand come to its end, where time can be made to pass.
    fn settle(&mut self);

    /// Lets time pass.
    ///
    /// # Errors
    /// This is the real time.
    fn wait(&mut self, time: Duration) -> Result<(), String>;

    /// Stops the store and the accelerator, or lets them go on.
    ///
    /// # Errors
    /// They are real.
    fn work(&mut self, goes_on: bool) -> Result<(), String>;
}

/// Message IDs of the runner's own pings count down from here; scripts stay below.
const PING_MID: u16 = 0xffff;

struct Runner<'a> {
    peer: &'a mut dyn Peer,
    source: String,
    /// All that were used, each with the message ID of its next ping.
    pings: BTreeMap<String, u16>,
    variables: BTreeMap<String, Vec<u8>>,
}

/// Runs a script, checks that nothing came that it does not name, and that the gateway still serves a stranger.
///
/// # Errors
/// The line, what was expected and what came.
pub fn run(script: &Script, peer: &mut dyn Peer) -> Result<(), String> {
    let mut runner = Runner { peer, source: "A".into(), pings: BTreeMap::new(), variables: BTreeMap::new() };
    for (number, step) in &script.lines {
        runner.step(step).map_err(|why| format!("line {number}: {why}"))?;
    }
    for source in runner.pings.keys().cloned().collect::<Vec<_>>() {
        runner.source = source;
        runner.silence().map_err(|why| format!("at the end, to {}: {why}", runner.source))?;
    }
    runner.serves_a_stranger().map_err(|why| format!("a good request afterwards: {why}"))
}

impl Runner<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::From(source) => self.source.clone_from(source),
            Step::SendRaw(bytes) => self.send(bytes)?,
            Step::Send(pattern) => {
                let bytes = self.build(pattern)?.encode();
                self.send(&bytes)?;
            }
            Step::Expect(pattern) => {
                let bytes = self.peer.receive(&self.source)?.ok_or("nothing came")?;
                let message = Message::decode(&bytes)?;
                let different = |why| format!("{why}\n  came: {}", message.describe());
                self.compare(pattern, &message, bytes.len()).map_err(different)?;
            }
            Step::Silence => self.silence()?,
            Step::Wait(time) => self.peer.wait(*time)?,
            Step::Work(goes_on) => self.peer.work(*goes_on)?,
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.pings.entry(self.source.clone()).or_insert(PING_MID);
        self.peer.send(&self.source, bytes)
    }

    /// A ping is answered at once and in turn: what came before its Reset answers something else.
    fn silence(&mut self) -> Result<(), String> {
        self.peer.settle();
        let mid = self.pings.entry(self.source.clone()).or_insert(PING_MID);
        let ping = Message { kind: 0, code: 0, mid: *mid, token: vec![], options: vec![], payload: vec![] };
        *mid -= 1;
        self.peer.send(&self.source, &ping.encode())?;
        let came = self.peer.receive(&self.source)?.ok_or("a ping was not answered")?;
        let came = Message::decode(&came)?;
        if came == (Message { kind: 3, ..ping }) { Ok(()) } else { Err(format!("not silent: {}", came.describe())) }
    }

    fn serves_a_stranger(&mut self) -> Result<(), String> {
        let options = vec![(11, b"register".to_vec())];
        let get = Message { kind: 0, code: 1, mid: 0x600d, token: vec![0x60, 0x0d], options, payload: vec![] };
        let sent = get.encode();
        self.peer.send("a stranger", &sent)?;
        let bytes = self.peer.receive("a stranger")?.ok_or("no answer")?;
        let answer = Message::decode(&bytes)?;
        let good = (answer.kind, answer.code, answer.mid, &answer.token) == (2, 0x45, get.mid, &get.token);
        let whole = !answer.payload.is_empty() && bytes.len() <= 3 * sent.len();
        if good && whole { Ok(()) } else { Err(answer.describe()) }
    }

    fn build(&self, pattern: &Pattern) -> Result<Message, String> {
        let value = |field: &Field| match field {
            Field::Any => Err("`*` cannot be sent".to_owned()),
            Field::Variable(name) => self.variables.get(name).cloned().ok_or_else(|| format!("${name} is not known")),
            Field::Bytes(bytes) => Ok(bytes.clone()),
        };
        let optional = |field: &Option<Field>| field.as_ref().map_or(Ok(Vec::new()), value);
        let mid = <[u8; 2]>::try_from(value(&pattern.mid)?).map_err(|_| "no message ID")?;
        let mut options = Vec::new();
        for (number, field) in &pattern.options {
            options.push((*number, optional(field)?));
        }
        Ok(Message {
            kind: pattern.kind,
            code: pattern.code,
            mid: u16::from_be_bytes(mid),
            token: optional(&pattern.token)?,
            options,
            payload: optional(&pattern.payload)?,
        })
    }

    /// Named fields must match; a variable that is not known yet takes what came.
    fn compare(&mut self, pattern: &Pattern, came: &Message, len: usize) -> Result<(), String> {
        if (pattern.kind, pattern.code) != (came.kind, came.code) {
            let (kind, code) = (wire::KINDS[usize::from(pattern.kind)], pattern.code);
            return Err(format!("not {kind} {}.{:02}", code >> 5, code & 31));
        }
        if pattern.at_most.is_some_and(|limit| len > limit) {
            return Err(format!("{len} bytes"));
        }
        let needle = pattern.contains.as_slice();
        if !needle.is_empty() && !came.payload.windows(needle.len()).any(|window| window == needle) {
            return Err(format!("nothing says {:?}", String::from_utf8_lossy(needle)));
        }
        self.field("message ID", &pattern.mid, Some(&came.mid.to_be_bytes()))?;
        if let Some(token) = &pattern.token {
            self.field("token", token, Some(&came.token))?;
        }
        if let Some(payload) = &pattern.payload {
            self.field("payload", payload, Some(&came.payload))?;
        }
        for (number, field) in &pattern.options {
            let value = came.value(*number);
            match field {
                Some(field) => self.field(&format!("option {number}"), field, value)?,
                None if value.is_some() => return Err(format!("option {number} is there")),
                None => {}
            }
        }
        Ok(())
    }

    fn field(&mut self, name: &str, field: &Field, value: Option<&[u8]>) -> Result<(), String> {
        let value = value.ok_or_else(|| format!("no {name}"))?;
        let same = match field {
            // Any payload is one that is there.
            Field::Any => name != "payload" || !value.is_empty(),
            Field::Bytes(bytes) => bytes == value,
            Field::Variable(variable) => match self.variables.get(variable) {
                Some(known) => known == value,
                None => {
                    self.variables.insert(variable.clone(), value.to_vec());
                    true
                }
            },
        };
        if same { Ok(()) } else { Err(format!("another {name}: {}, not {field:?}", wire::hex(value))) }
    }
}
