//! What may be said on the command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::{DeviceId, Suite};

/// A device of SGA: registers with a gateway, agrees on keys with peers through it, sends and reads sealed messages.
#[derive(Parser, Debug)]
#[command(name = "sga-device", version, about)]
pub(crate) struct Cli {
    /// The folder with this device's keys and state.
    #[arg(long, global = true, default_value = "sga-device")]
    pub(crate) state: PathBuf,
    /// One JSON object per line on stdout.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Blocks of 2^(N+4) bytes, 0–6, for networks with small frames.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=6))]
    pub(crate) block_szx: Option<u8>,
    /// Pad all that is sent to a few sizes, and ask the gateway to do the same: an observer then cannot tell devices and texts by their
    /// lengths. Costs bytes: docs/sizes.md. With every command, as long as it is wanted.
    #[arg(long, global = true)]
    pub(crate) pad_sizes: bool,
    /// Let another CoAP client carry all requests. Each is put into DIR and named by a line on stdout,
    /// `request N METHOD PATH CONTENT-FORMAT REQUEST-FILE ANSWER-FILE` (`-` for no format). Put the response's body into
    /// ANSWER-FILE and say `answer N C.DD [MAX-AGE]` on stdin, or `answer N failed`.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) via_files: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Make this device known to a gateway, or get back in step with it.
    Register(RegisterArgs),
    /// Agree on a cipher and a key with a peer (A1…B7); waits until texts can be sent.
    Connect(ConnectArgs),
    /// Send a text; returns when the gateway has stored it.
    Send(SendArgs),
    /// Read texts, and answer peers that want to connect.
    Listen(ListenArgs),
    /// Take another key k_d; sessions and mailbox stay. Can be repeated if the gateway did not answer.
    Rotate(RotateArgs),
    /// Keep a secret that only this device and a peer have: it goes into all keys that they make from now on.
    ///
    /// Both ends need the same secret; it has to reach the other end by another way than the gateway: by hand, by QR code, from a
    /// label. With it even a gateway that does not follow the protocol can neither read nor write. Nothing is sent by this command.
    Pair(PairArgs),
    /// Show the comparison code of the session with a peer, or compare it with the one that the peer shows.
    ///
    /// If both ends show the same 60 digits at the same run, nobody is in the middle of that run.
    Code(CodeArgs),
    /// Say what this device knows.
    Status,
}

#[derive(Args, Debug)]
pub(crate) struct RegisterArgs {
    /// coap://HOST[:PORT] of the gateway.
    #[arg(long, required_unless_present = "read_answer")]
    pub(crate) gateway: Option<String>,
    /// This device's id, 1–16 bytes.
    #[arg(long)]
    pub(crate) id: Option<DeviceId>,
    /// The gateway's fingerprint, as `sga-gateway pin` prints it. Without it the first package seen is trusted.
    #[arg(long)]
    pub(crate) pin: Option<Pin>,
    /// The enrolment secret in hex.
    #[arg(long)]
    pub(crate) token: Option<HexSecret>,
    /// The cipher for all that is between this device and the gateway.
    #[arg(long, default_value = "aes-ccm-8")]
    pub(crate) suite: Suite,
    /// The ciphers that this device has, separated by commas. [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) suites: Vec<Suite>,
    /// Write the request to a file instead of sending it, so that another CoAP client can carry it.
    #[arg(long, value_name = "FILE")]
    pub(crate) print_request: Option<PathBuf>,
    /// With --print-request: the package, fetched by another CoAP client. Else it is fetched from the gateway.
    #[arg(long, value_name = "FILE", requires = "print_request")]
    pub(crate) package: Option<PathBuf>,
    /// Read the gateway's answer to a request that --print-request has written.
    #[arg(long, value_name = "FILE", conflicts_with = "print_request")]
    pub(crate) read_answer: Option<PathBuf>,
    /// Seconds to wait.
    #[arg(long, default_value_t = 60)]
    pub(crate) timeout: u64,
}

#[derive(Args, Debug)]
pub(crate) struct RotateArgs {
    /// Seconds to wait.
    #[arg(long, default_value_t = 60)]
    pub(crate) timeout: u64,
}

#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    /// The peer's id.
    pub(crate) peer: DeviceId,
    /// The cipher to agree on. [default: this device's own, or one that both have]
    #[arg(long)]
    pub(crate) suite: Option<Suite>,
    /// Seconds to wait.
    #[arg(long, default_value_t = 120)]
    pub(crate) timeout: u64,
}

#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// The peer's id.
    pub(crate) peer: DeviceId,
    /// The text, or - for standard input.
    pub(crate) text: String,
    /// Seconds to wait. A text that was not confirmed by then is sent with the next command.
    #[arg(long, default_value_t = 60)]
    pub(crate) timeout: u64,
}

#[derive(Args, Debug)]
pub(crate) struct ListenArgs {
    /// Stop after so many texts; 0: take what is there, answer what is asked, and stop. [default: go on]
    #[arg(long)]
    pub(crate) count: Option<u64>,
    /// Seconds to wait at most. [default: go on]
    #[arg(long)]
    pub(crate) timeout: Option<u64>,
    /// Whose invitations to take: all, known (peers that had a session), none, or ids separated by commas.
    #[arg(long, default_value = "all")]
    pub(crate) accept: String,
    /// Seconds between refreshes of the inbox, which keep a NAT's way back open.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) refresh: u64,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("way").required(true).args(["secret", "secret_file", "generate", "forget"])))]
pub(crate) struct PairArgs {
    /// The peer's id.
    pub(crate) peer: DeviceId,
    /// The secret, 64 hex digits. Whoever may list this machine's processes can read it here (`ps`), and the shell may keep it in
    /// its history: better use --secret-file.
    #[arg(long, value_name = "HEX")]
    pub(crate) secret: Option<Typed>,
    /// Read the secret's 64 hex digits from a file, or from standard input if it is -.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Make a new secret and print it once, for the other end.
    #[arg(long)]
    pub(crate) generate: bool,
    /// Forget the secret: keys are made without one from now on.
    #[arg(long, conflicts_with = "qr")]
    pub(crate) forget: bool,
    /// Show the secret as a QR code on the terminal.
    #[arg(long)]
    pub(crate) qr: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CodeArgs {
    /// The peer's id.
    pub(crate) peer: DeviceId,
    /// Show the digits as a QR code, too.
    #[arg(long)]
    pub(crate) qr: bool,
    /// Compare with the digits that the peer shows. Ends with 0 if they are the same, with 1 if not.
    #[arg(long, value_name = "DIGITS", conflicts_with = "qr")]
    pub(crate) compare: Option<Digits>,
}

/// What was typed where a secret belongs. It is parsed later: what the parser of the command line refuses it shows.
#[derive(Clone)]
pub(crate) struct Typed(pub(crate) String);

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("redacted")
    }
}

impl From<&str> for Typed {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A comparison code: 60 ASCII digits; spaces and dashes between them do not matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits(pub(crate) [u8; 60]);

impl FromStr for Digits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')).collect();
        if let Some(other) = digits.iter().find(|byte| !byte.is_ascii_digit()) {
            return Err(format!("a comparison code is 60 digits; {:?} is none", char::from(*other)));
        }
        let len = digits.len();
        digits.try_into().map(Self).map_err(|_| format!("a comparison code has 60 digits, not {len}"))
    }
}

/// 16 bytes in hex.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pin(pub(crate) [u8; 16]);

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| "a pin is 32 hex digits".to_owned())?;
        Ok(Self(bytes))
    }
}

/// A secret in hex.
#[derive(Clone)]
pub(crate) struct HexSecret(pub(crate) Vec<u8>);

impl std::fmt::Debug for HexSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("redacted")
    }
}

impl FromStr for HexSecret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        hex::decode(text).map(Self).map_err(|_| "a secret is written in hex".to_owned())
    }
}
