//! What an operator may say: on the command line, or in a file with the same names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use sga_gateway_core::limits::{FORGET_AFTER, MAILBOX_AGE, MAILBOX_MESSAGES_MAX, SEPARATE_AFTER};
use sga_gateway_core::{Rate, Rates};
use sga_schema::{DeviceId, Policy, Profile, Suite, SuiteSet};

use crate::error::{Context, Error};

/// A security gateway for constrained devices: they register, agree on ciphers and keys through it, and leave sealed messages.
#[derive(Parser, Debug)]
#[command(name = "sga-gateway", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Serve. Prints `listening on ADDR` for each socket once it does.
    Run(Box<RunArgs>),
    /// Print the package's fingerprint, which devices compare when they register. Makes the keys if there are none.
    Pin(PinArgs),
    /// Write all that the store holds to a file, while the gateway runs or not. Of use with this gateway's keys only: keep a copy of
    /// DATA/gateway.key as well.
    Backup(BackupArgs),
    /// Put a backup in the place of the store, which is kept under another name. The gateway must not run.
    Restore(BackupArgs),
    /// Read the store through and say what is in it and what is damaged; exits with 1 if something is. Changes nothing.
    Doctor(DoctorArgs),
    /// Shut a device out: it can neither register nor attach nor send, at once and after any restore, until it is released.
    Revoke(RevokeArgs),
    /// Let a device in again that was revoked.
    Release(RevokeArgs),
    /// Put another key pair in the place of the gateway's, while it runs or not, and print the new pin. Devices are told in their
    /// inboxes and follow by themselves; the old pair is taken until the overlap is over, and then erased.
    RotateKey(RotateKeyArgs),
}

#[derive(Args, Debug)]
pub(crate) struct RotateKeyArgs {
    /// The folder with the gateway's keys and store.
    #[arg(long, default_value = "sga-data")]
    pub(crate) data: PathBuf,
    /// Days of the gateway's uptime in which the old pair is taken as well; 0 for none, if it has leaked.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(..=3650))]
    pub(crate) overlap: u32,
    /// End the overlap of the last rotation now.
    #[arg(long, conflicts_with = "overlap")]
    pub(crate) end: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// The device's id.
    pub(crate) id: DeviceId,
    /// The folder with the gateway's keys and store.
    #[arg(long, default_value = "sga-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The backup.
    pub(crate) file: PathBuf,
    /// The folder with the gateway's keys and store.
    #[arg(long, default_value = "sga-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// The folder with the gateway's keys and store.
    #[arg(long, default_value = "sga-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct PinArgs {
    /// The folder with the gateway's keys and store.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// The group, if the keys are to be made: compact, classic or classic3072.
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
}

/// Flags of `run`; the fields that a file may hold.
#[derive(Args, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RunArgs {
    /// Address and port to listen on; may be repeated. Port 0 picks a free one. [default: [::]:5683]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<SocketAddr>,
    /// The folder with the gateway's keys and store. [default: ./sga-data]
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Who may register: open, token (secret in DATA/enrol.token) or list (DATA/enrol.list).
    /// [default: open on loopback, else token]
    #[arg(long)]
    #[serde(deserialize_with = "named")]
    pub(crate) enrol: Option<Policy>,
    /// The group: compact (ristretto255), classic (ffdhe2048) or classic3072; chosen once. [default: compact]
    #[arg(long)]
    #[serde(deserialize_with = "named")]
    pub(crate) profile: Option<Profile>,
    /// The gateway's id, 1–16 bytes; chosen once. [default: a random one]
    #[arg(long)]
    #[serde(deserialize_with = "named")]
    pub(crate) id: Option<DeviceId>,
    /// The ciphers served, separated by commas. [default: all]
    #[arg(long, value_delimiter = ',')]
    #[serde(deserialize_with = "all_named")]
    pub(crate) suites: Vec<Suite>,
    /// Threads for public-key work. [default: one per core]
    #[arg(long)]
    pub(crate) accelerators: Option<usize>,
    /// Milliseconds after which a request still in work is acknowledged, and answered separately; at most 2000, when clients
    /// send again. [default: 500]
    #[arg(long, value_name = "MS")]
    pub(crate) ack_after: Option<u64>,
    /// Megabytes of items in all mailboxes together; beyond it messages are refused (5.03) until some are fetched. [default: 4096]
    #[arg(long, value_name = "MB")]
    pub(crate) store_max: Option<u64>,
    /// Messages that wait in one mailbox, up to 256; beyond it more are refused (5.03), but a quarter more for sessions that have
    /// few there. [default: 256]
    #[arg(long, value_name = "N")]
    pub(crate) mailbox_messages: Option<usize>,
    /// Days of the gateway's uptime after which an item that was not fetched is dropped, and its sender told. [default: 30]
    #[arg(long, value_name = "DAYS")]
    pub(crate) mailbox_age: Option<u64>,
    /// Days of the gateway's uptime after which a device that has not attached is forgotten; 0 for never. [default: 365]
    #[arg(long, value_name = "DAYS")]
    pub(crate) forget_after: Option<u64>,
    /// Registrations and negotiations a minute from one IPv4 address or IPv6 /64, and as many again that bring an Echo value; a
    /// minute's worth may come at once; 0 for no limit. Beyond it 4.29. [default: 1200]
    #[arg(long, value_name = "N")]
    pub(crate) work_per_source: Option<u32>,
    /// The same from all addresses together. [default: 240000; 18000 in the classic groups]
    #[arg(long, value_name = "N")]
    pub(crate) work_total: Option<u32>,
    /// Requests a minute from one IPv4 address or IPv6 /64 that may fail with 4.01, and as many again that bring an Echo value; 0
    /// for no limit. Beyond it 4.29. [default: 600]
    #[arg(long, value_name = "N")]
    pub(crate) failures_per_source: Option<u32>,
    /// Hours between snapshots of the store in DATA; the last two are kept, and used if the store is damaged.
    /// The first is made at a start. [default: none]
    #[arg(long, value_name = "HOURS")]
    pub(crate) snapshot_every: Option<u64>,
    /// A TOML file with these names; flags win over it.
    #[arg(long)]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
}

fn named<'de, D: serde::Deserializer<'de>, T: std::str::FromStr<Err: std::fmt::Display>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
}

fn all_named<'de, D: serde::Deserializer<'de>, T: std::str::FromStr<Err: std::fmt::Display>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let parse = |text: &String| text.parse().map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")));
    texts.iter().map(parse).collect()
}

/// RFC 7252 ACK_TIMEOUT: a client that has heard nothing for so long sends again.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// What `run` works with.
#[derive(Debug)]
pub(crate) struct RunOptions {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) data: PathBuf,
    pub(crate) policy: Policy,
    pub(crate) profile: Option<Profile>,
    pub(crate) id: Option<DeviceId>,
    pub(crate) suites: SuiteSet,
    pub(crate) accelerators: usize,
    pub(crate) ack_after: Duration,
    pub(crate) item_bytes_max: Option<u64>,
    pub(crate) mailbox_messages_max: usize,
    pub(crate) mailbox_age: Duration,
    pub(crate) forget_after: Option<Duration>,
    pub(crate) snapshot_every: Option<Duration>,
    work_per_source: Option<u32>,
    work_total: Option<u32>,
    failures_per_source: Option<u32>,
}

impl RunOptions {
    /// What anyone may ask, in a profile.
    pub(crate) fn rates(&self, profile: Profile) -> Rates {
        let usual = Rates::of(profile);
        Rates {
            work_per_source: self.work_per_source.map_or(usual.work_per_source, Rate),
            work_total: self.work_total.map_or(usual.work_total, Rate),
            guesses_per_source: self.failures_per_source.map_or(usual.guesses_per_source, Rate),
            // Enough that no thread waits for the loop between two of them.
            jobs_in_hand: usual.jobs_in_hand.max(2 * self.accelerators),
        }
    }
}

impl RunArgs {
    /// Flags over file over defaults.
    pub(crate) fn resolve(self) -> Result<RunOptions, Error> {
        let file = match &self.config {
            None => Self::default(),
            Some(path) => read(path)?,
        };
        let mut listen = if self.listen.is_empty() { file.listen } else { self.listen };
        if listen.is_empty() {
            listen.push(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 5683)));
        }
        let loopback = listen.iter().all(|address| address.ip().is_loopback());
        let suites = if self.suites.is_empty() { file.suites } else { self.suites };
        let ack_after = self.ack_after.or(file.ack_after).map_or(SEPARATE_AFTER, Duration::from_millis);
        if ack_after > ACK_TIMEOUT {
            return Err(Error::new(format!("--ack-after {}: at most 2000 ms", ack_after.as_millis())));
        }
        let mailbox_messages_max = self.mailbox_messages.or(file.mailbox_messages).unwrap_or(MAILBOX_MESSAGES_MAX);
        if !(1..=MAILBOX_MESSAGES_MAX).contains(&mailbox_messages_max) {
            return Err(Error::new(format!("--mailbox-messages {mailbox_messages_max}: 1 to {MAILBOX_MESSAGES_MAX}")));
        }
        let days = |days: u64| Duration::from_secs(days.saturating_mul(86_400));
        let mailbox_age = self.mailbox_age.or(file.mailbox_age).map_or(MAILBOX_AGE, days);
        if mailbox_age.is_zero() {
            return Err(Error::new("--mailbox-age 0: at least 1 day"));
        }
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(RunOptions {
            policy: self.enrol.or(file.enrol).unwrap_or(if loopback { Policy::Open } else { Policy::Token }),
            listen,
            data: self.data.or(file.data).unwrap_or_else(|| PathBuf::from("sga-data")),
            profile: self.profile.or(file.profile),
            id: self.id.or(file.id),
            suites: if suites.is_empty() { SuiteSet::ALL } else { SuiteSet::of(&suites) },
            accelerators: self.accelerators.or(file.accelerators).unwrap_or_else(cores),
            ack_after,
            mailbox_messages_max,
            mailbox_age,
            forget_after: match self.forget_after.or(file.forget_after) {
                None => Some(FORGET_AFTER),
                Some(0) => None,
                Some(after) => Some(days(after)),
            },
            item_bytes_max: self.store_max.or(file.store_max).map(|megabytes| megabytes.saturating_mul(1_000_000)),
            work_per_source: self.work_per_source.or(file.work_per_source),
            work_total: self.work_total.or(file.work_total),
            failures_per_source: self.failures_per_source.or(file.failures_per_source),
            snapshot_every: self
                .snapshot_every
                .or(file.snapshot_every)
                .filter(|&hours| hours > 0)
                .map(|hours| Duration::from_secs(hours.saturating_mul(3_600))),
        })
    }
}

fn read(path: &Path) -> Result<RunArgs, Error> {
    let text = std::fs::read_to_string(path).doing("read", path)?;
    toml::from_str(&text).map_err(|error| Error::new(format!("{}: {error}", path.display())))
}
