//! What the demo does, in order.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Options;
use super::process::{self, Gateway, Running};
use super::scan::{Needle, scan};

/// How long each command may take.
const TIMEOUT_S: &str = "60";

/// The paper's steps as the two ends see them; B4 and B5 are the gateway's own.
const STEPS: [&str; 10] = ["A1", "A2", "A3", "A4", "A5", "B1", "B2", "B3", "B6", "B7"];

struct Show {
    json: bool,
}

impl Show {
    /// One line; nobody reading on is no reason to fail.
    fn line(line: &str) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    fn say(&self, text: &str) {
        if self.json {
            Self::line(&serde_json::json!({ "event": "say", "text": text }).to_string());
        } else {
            Self::line(text);
        }
    }

    /// One line for a step of the paper; other events are not shown.
    fn step(&self, device: &str, event: &Value) {
        if event["event"] != "step" {
            return;
        }
        if self.json {
            let mut event = event.clone();
            event["device"] = device.into();
            Self::line(&event.to_string());
            return;
        }
        let text = |name: &str| event[name].as_str().unwrap_or("").to_owned();
        let bytes = |name: &str| event[name].as_u64().map_or(String::new(), |bytes| format!("{bytes} B"));
        Self::line(&format!(
            "  {:<12} {device:<6} {:<30} {:>5} {:>7} out {:>7} in {:>8.1} ms",
            text("step"),
            text("what"),
            text("code"),
            bytes("out"),
            bytes("in"),
            event["ms"].as_f64().unwrap_or(0.0),
        ));
    }
}

struct Demo<'a> {
    show: Show,
    options: &'a Options,
    a: PathBuf,
    b: PathBuf,
    sent: Vec<String>,
    received: Vec<String>,
}

/// Runs it; returns how many messages arrived, all of them as they were sent.
pub(crate) fn run(options: &Options, folder: &Path) -> Result<usize, String> {
    let mut demo = Demo {
        show: Show { json: options.json },
        options,
        a: folder.join("alice"),
        b: folder.join("bob"),
        sent: Vec::new(),
        received: Vec::new(),
    };
    let data = folder.join("gateway");
    std::fs::create_dir_all(&data).map_err(|error| error.to_string())?;
    let gateway = Gateway::start(&data, &options.profile, "127.0.0.1:0")?;
    demo.show
        .say(&format!("gateway at coap://{}, profile {}, suite {}", gateway.address, options.profile, options.suite));
    demo.register(&gateway, &data)?;
    demo.connect_and_send()?;
    let mut gateway = demo.away_and_restart(gateway)?;
    demo.back_and_large()?;
    demo.compare()?;
    gateway.stop()?;
    demo.look_for_secrets(&data)
}

impl Demo<'_> {
    fn register(&self, gateway: &Gateway, data: &Path) -> Result<(), String> {
        let pin = process::pin(data)?;
        let token =
            std::fs::read_to_string(data.join("enrol.token")).map_err(|error| format!("enrol.token: {error}"))?;
        let url = format!("coap://{}", gateway.address);
        self.show.say("\nregistration (4.1)");
        for (state, id) in [(&self.a, "alice"), (&self.b, "bob")] {
            let args = ["register", "--gateway", &url, "--id", id, "--pin", &pin, "--token", token.trim()];
            process::device(state, &args)?.finish(|event| self.show.step(id, event))?;
        }
        Ok(())
    }

    /// Both ends at once: bob listens, alice connects and sends.
    fn connect_and_send(&mut self) -> Result<(), String> {
        self.show.say("\nnegotiation A1–A5 (4.3) and key exchange B1–B7 (4.4)");
        let mut bob = process::device(&self.b, &["listen", "--count", "2", "--timeout", TIMEOUT_S, "--accept", "all"])?;
        bob.until("attached", |_| {})?;
        let (bob, mut steps) = std::thread::scope(|scope| {
            let listener = scope.spawn(move || -> Result<(Running, Vec<Value>), String> {
                let mut seen = Vec::new();
                bob.until("established", |event| seen.push(event.clone()))?;
                Ok((bob, seen))
            });
            let args = ["connect", "bob", "--suite", &self.options.suite, "--timeout", TIMEOUT_S];
            let mut steps = Vec::new();
            process::device(&self.a, &args)?.finish(|event| steps.push(("alice", event.clone())))?;
            let (bob, seen) = listener.join().map_err(|_| "the listener panicked".to_owned())??;
            steps.extend(seen.into_iter().map(|event| ("bob", event)));
            Ok::<_, String>((bob, steps))
        })?;
        // Both worked at the same time; the paper's order is easier to follow than two clocks.
        steps.sort_by_key(|(_, event)| STEPS.iter().position(|step| event["step"] == **step).unwrap_or(STEPS.len()));
        steps.iter().for_each(|(device, event)| self.show.step(device, event));
        self.show.say("\nmessages (4.5), bob listening");
        self.send("a", "b", "21.5 °C in the cold store")?;
        self.send("a", "b", "door open since 07:31")?;
        self.collect("b", bob)
    }

    /// Nobody listens; the gateway restarts with the message in its store.
    fn away_and_restart(&mut self, gateway: Gateway) -> Result<Gateway, String> {
        self.show.say("\nbob is away; the gateway restarts with his message in its store");
        self.send("a", "b", "are you there?")?;
        let gateway = gateway.restart()?;
        self.show.say(&format!("  gateway is back at {}", gateway.address));
        self.listen("b", 1)?;
        Ok(gateway)
    }

    /// The other way, and one that does not fit a block.
    fn back_and_large(&mut self) -> Result<(), String> {
        self.show.say("\nthe other way, and one of 3,000 bytes");
        self.send("b", "a", "I am now; valve closed")?;
        self.listen("a", 1)?;
        let large: String = (0..).map(|n| format!("{n:04} log line; ")).take(200).collect();
        self.send("a", "b", &large[..3_000])?;
        self.listen("b", 1)
    }

    fn state(&self, device: &str) -> (&Path, &'static str, &'static str) {
        if device == "a" { (&self.a, "alice", "bob") } else { (&self.b, "bob", "alice") }
    }

    fn send(&mut self, from: &str, _to: &str, text: &str) -> Result<(), String> {
        let (state, name, peer) = self.state(from);
        process::device(state, &["send", peer, text, "--timeout", TIMEOUT_S])?
            .finish(|event| self.show.step(name, event))?;
        self.sent.push(text.to_owned());
        Ok(())
    }

    fn listen(&mut self, device: &str, count: u32) -> Result<(), String> {
        let (state, _, _) = self.state(device);
        let count = count.to_string();
        let listener = process::device(state, &["listen", "--count", &count, "--timeout", TIMEOUT_S])?;
        self.collect(device, listener)
    }

    fn collect(&mut self, device: &str, listener: Running) -> Result<(), String> {
        let (_, name, _) = self.state(device);
        let mut texts = Vec::new();
        listener.finish(|event| {
            self.show.step(name, event);
            if event["event"] == "text" {
                texts.push(event["text"].as_str().unwrap_or("").to_owned());
            }
        })?;
        for text in &texts {
            let short: String = text.chars().take(40).collect();
            self.show.say(&format!("  {name} reads: {short}{}", if short.len() < text.len() { "…" } else { "" }));
        }
        self.received.extend(texts);
        Ok(())
    }

    fn compare(&self) -> Result<(), String> {
        if self.sent == self.received {
            self.show.say(&format!("\n{} texts sent, the same {} received", self.sent.len(), self.received.len()));
            return Ok(());
        }
        Err(format!("sent {:?}, received {:?}", self.sent, self.received))
    }

    /// All plaintexts and all session keys, in all of the gateway's files.
    fn look_for_secrets(&self, data: &Path) -> Result<usize, String> {
        let mut needles: Vec<Needle> = self
            .sent
            .iter()
            .map(|text| Needle {
                name: format!("text {text:.20}"),
                bytes: text.as_bytes()[..text.len().min(24)].to_vec(),
            })
            .collect();
        let mut keys = 0;
        for state in [&self.a, &self.b] {
            for key in sga_device::cli::session_secrets(state)? {
                keys += 1;
                needles.push(Needle { name: format!("session key {keys}"), bytes: key });
            }
        }
        if keys == 0 {
            return Err("the devices hold no session keys: nothing was looked for".into());
        }
        let (found, looked_at) = scan(data, &needles)?;
        if !found.is_empty() {
            return Err(format!("the gateway's files hold what it must not have: {found:?}"));
        }
        self.show.say(&format!(
            "looked for {} texts and {keys} session keys in {looked_at} bytes of the gateway's files: none there",
            self.sent.len()
        ));
        Ok(self.received.len())
    }
}
