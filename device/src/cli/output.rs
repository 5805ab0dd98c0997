//! What is shown: JSON lines for programs, few words for people.
#![expect(clippy::print_stderr, reason = "a command's output")]

use std::io::Write;

use serde_json::{Value, json};
use sga_coap::Code;
use sga_schema::DeviceId;

use super::{Stop, pair};
use crate::agent::{Notice, ReceivedText};
use crate::{RequestKind, Step};

pub(crate) fn complain(reason: &str) {
    eprintln!("sga-device: {reason}");
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// One line, at once: others wait for it.
    pub(crate) fn line(&self, line: &str) -> Result<(), Stop> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(|error| Stop::failed(format!("cannot print: {error}")))
    }

    fn value(&self, value: &Value) {
        if let Err(stop) = self.line(&value.to_string()) {
            log::warn!("{stop:?}");
        }
    }

    /// A text, named by who, run and sequence.
    pub(crate) fn text(&self, text: &ReceivedText) -> Result<(), Stop> {
        let readable = String::from_utf8_lossy(&text.text);
        if !self.json {
            return self.line(&format!("{}: {readable}", text.peer));
        }
        let value = json!({
            "event": "text", "from": text.peer.to_string(), "run": text.run, "sequence": text.sequence,
            "text": readable, "hex": hex::encode(&text.text),
        });
        self.line(&value.to_string())
    }

    pub(crate) fn notice(&self, notice: &Notice) {
        if !self.json {
            return self.words(notice);
        }
        let value = match notice {
            Notice::Exchange { kind, code, sent_len, received_len, took } => {
                // Steps of the paper are reported as such, with their answer's code.
                let (step, what) = exchange(*kind);
                json!({
                    "event": if step.is_empty() { "exchange" } else { "step" }, "step": step, "what": what,
                    "code": code.to_string(), "out": sent_len, "in": received_len, "ms": took.as_secs_f64() * 1e3,
                })
            }
            Notice::Step { step, peer, code, sent_len, received_len, took } => json!({
                "event": "step", "step": step.to_string(), "what": step_text(*step), "peer": peer.to_string(),
                "code": if *code == 0 { "item".to_owned() } else { Code(*code).to_string() },
                "out": sent_len, "in": received_len, "ms": took.as_secs_f64() * 1e3,
            }),
            Notice::Package { pin, pinned } => json!({ "event": "package", "pin": hex::encode(pin), "pinned": pinned }),
            Notice::Registered => json!({ "event": "registered" }),
            Notice::PackageChanged { pin } => json!({ "event": "package changed", "pin": hex::encode(pin) }),
            Notice::KeyRotated => json!({ "event": "key rotated" }),
            Notice::Attached => json!({ "event": "attached" }),
            Notice::Invited(peer) => json!({ "event": "invited", "peer": peer.to_string() }),
            Notice::SessionGone(peer) => json!({ "event": "session gone", "peer": peer.to_string() }),
            Notice::SessionEnded { peer, revoked } => {
                json!({ "event": "session ended", "peer": peer.to_string(), "revoked": revoked })
            }
            Notice::Expired { peer, run, sequence } => {
                json!({ "event": "expired", "peer": peer.to_string(), "run": run, "sequence": sequence })
            }
            Notice::Agreed(peer) => json!({ "event": "agreed", "peer": peer.to_string() }),
            Notice::Established { peer, run } => {
                json!({ "event": "established", "peer": peer.to_string(), "run": run })
            }
            Notice::NotConfirmed { peer, run, paired, again } => json!({
                "event": "not confirmed", "peer": peer.to_string(), "run": run, "paired": paired, "again": again,
                "why": pair::not_confirmed(*peer, *run, *paired),
            }),
            Notice::Sent { peer, run, sequence } => {
                json!({ "event": "sent", "peer": peer.to_string(), "run": run, "sequence": sequence })
            }
            Notice::Gap { peer, run, from, to } => {
                json!({ "event": "gap", "peer": peer.to_string(), "run": run, "from": from, "to": to })
            }
            Notice::Refused { peer, why } => {
                json!({ "event": "refused", "peer": peer.to_string(), "why": format!("{why:?}") })
            }
            Notice::Failed(what) => json!({ "event": "failed", "what": format!("{what:?}") }),
            Notice::Trouble(what) => json!({ "event": "trouble", "what": what }),
        };
        self.value(&value);
    }

    fn words(&self, notice: &Notice) {
        match notice {
            Notice::Package { pin, pinned: false } => {
                complain(&format!("trusting the first package seen; its pin is {}", hex::encode(pin)));
            }
            Notice::Established { peer, run } => complain(&format!("connected with {peer} (run {run})")),
            Notice::SessionGone(peer) => {
                complain(&format!("the gateway's store was replaced and has no session with {peer}: negotiating anew"));
            }
            Notice::PackageChanged { pin } => {
                complain(&format!("the gateway has another key pair; its pin is {} from now on", hex::encode(pin)));
            }
            Notice::SessionEnded { peer, revoked } => complain(&ended(*peer, *revoked)),
            Notice::Expired { peer, sequence, .. } => {
                complain(&format!(
                    "texts to {peer} up to {sequence} were not fetched in time: what was not delivered is gone"
                ));
            }
            Notice::NotConfirmed { peer, run, paired, again } => {
                let then = if *again { "; another run is tried" } else { "" };
                complain(&format!("{}{then}", pair::not_confirmed(*peer, *run, *paired)));
            }
            Notice::Gap { peer, from, to, .. } => complain(&format!("texts {from}–{to} from {peer} will not come")),
            Notice::Refused { peer, why } => complain(&format!("{peer}: refused: {why:?}")),
            Notice::Failed(what) => complain(&format!("{what:?}")),
            Notice::Trouble(what) => log::warn!("{what}"),
            other => log::info!("{other:?}"),
        }
    }
}

/// The name of a request that is shown as a step of its own; those of A and B come as [`Notice::Step`].
fn exchange(kind: RequestKind) -> (&'static str, &'static str) {
    match kind {
        RequestKind::Package => ("package", "GET /register"),
        RequestKind::Register => ("register", "POST /register"),
        RequestKind::Message => ("message", "POST /msg, stored"),
        RequestKind::Attach { .. } => ("", "FETCH /msg"),
        RequestKind::Ack => ("", "POST /msg, acknowledgement"),
        RequestKind::Invite | RequestKind::Reply => ("", "POST /negotiate"),
        RequestKind::Half => ("", "POST /kex"),
    }
}

fn step_text(step: Step) -> &'static str {
    match step {
        Step::A1 => "POST /negotiate: invite",
        Step::A2 => "item: invitation",
        Step::A3 => "POST /negotiate: accept",
        Step::A4 => "item: accepted",
        Step::A5 => "k_t recovered, cipher agreed",
        Step::B1 => "POST /kex: N_i, F(r_i), f_K",
        Step::B2 => "item: key exchange wanted",
        Step::B3 => "POST /kex: N_j, F(r_j), f_K",
        Step::B6 => "Y and f_K received",
        Step::B7 => "session key K_isj = Y^R",
    }
}

/// What a user is told of a session that the gateway has ended.
pub(crate) fn ended(peer: DeviceId, revoked: bool) -> String {
    let why = if revoked { "one of its ends was revoked by the operator" } else { "it does not say why" };
    format!("the gateway has ended the session with {peer}: {why}; `connect {peer}` asks for a new one")
}
