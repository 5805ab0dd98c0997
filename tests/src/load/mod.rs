//! `sga-load`: what a gateway bears, as a process of its own, over real sockets and on a real disk.
//!
//! Three questions: how many messages a second become durable, beside a broker that people know and beside what the disk
//! can do at all; what many messages for absent devices cost in memory, on disk and at a start; and how long an established
//! session's messages take while strangers flood the gateway.
#![expect(clippy::print_stderr, reason = "a command's report")]

mod absent;
mod clock;
mod drain;
mod drive;
mod durable;
mod figures;
mod flood;
mod flooder;
mod floor;
mod line;
mod mosquitto;
mod mqtt;
mod process;
mod procfs;
mod worker;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Puts a gateway under load and prints what it bore. The last line is one JSON object.
#[derive(Parser, Debug)]
#[command(name = "sga-load", version)]
struct Options {
    #[command(subcommand)]
    command: Command,
    /// Where files are made: on the disk that is to be measured. [default: the system's folder for temporary files]
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    /// Leave all files in place and say where.
    #[arg(long, global = true)]
    keep: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Durable messages per second, beside Mosquitto and the raw sync rate of the same folder.
    Durable(Durable),
    /// Messages for absent devices: memory, disk, and a start after a kill.
    Absent(Absent),
    /// An established session's messages while strangers flood the gateway. Ends with 1 if they take too long (`--at-most`).
    Flood(Flood),
}

/// Flags of `durable`.
#[derive(Args, Debug)]
pub(crate) struct Durable {
    /// Numbers of concurrent senders, each with one message in flight.
    #[arg(long, value_delimiter = ',', default_value = "1,16,256", value_parser = senders)]
    pub(crate) senders: Vec<usize>,
    /// How long each line of the table takes.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Bytes of each text.
    #[arg(long, default_value_t = 64, value_parser = bytes)]
    pub(crate) bytes: usize,
    /// The folder with the sga-gateway to be measured. [default: the gateway that is part of this program]
    #[arg(long)]
    pub(crate) release_dir: Option<PathBuf>,
    /// The Mosquitto 2 to compare with. [default: searched for]
    #[arg(long)]
    pub(crate) mosquitto: Option<PathBuf>,
    /// Compare with nothing.
    #[arg(long)]
    pub(crate) no_mosquitto: bool,
}

/// Flags of `absent`.
#[derive(Args, Debug)]
pub(crate) struct Absent {
    /// Receivers that are away.
    #[arg(long, default_value_t = 10_000, value_parser = devices)]
    pub(crate) devices: usize,
    /// Messages in all; each device gets an equal share of at most 250.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) messages: u64,
    /// Bytes of each text.
    #[arg(long, default_value_t = 64, value_parser = bytes)]
    pub(crate) bytes: usize,
    /// The folder with the sga-gateway to be measured. [default: the gateway that is part of this program]
    #[arg(long)]
    pub(crate) release_dir: Option<PathBuf>,
}

/// Flags of `flood`.
#[derive(Args, Debug)]
pub(crate) struct Flood {
    /// What the flood is made of.
    #[arg(long, value_delimiter = ',', default_value = "a1,register,junk,attach,message,get,block,echoed,moved")]
    pub(crate) variants: Vec<flooder::Variant>,
    /// Datagrams a second: 250,000 of 150 bytes are more than a Pi's port brings. 0 for as many as one thread can send, which measures
    /// how the kernel shares two cores.
    #[arg(long, default_value_t = 250_000)]
    pub(crate) pps: u32,
    /// How long each measurement takes: each variant is measured quiet and flooded.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Established sessions, each with one message in flight.
    #[arg(long, default_value_t = 1, value_parser = senders)]
    pub(crate) senders: usize,
    /// How many times the quiet p99 a flooded one may be. A line that is above is measured once more, since machines are noisy; if it
    /// is again, the command ends with 1. `moved` is shown and not held to it: who has just changed his address is a stranger.
    #[arg(long, value_name = "TIMES", default_value_t = 3.0, value_parser = times)]
    pub(crate) at_most: f64,
    /// The folder with the sga-gateway to be measured. [default: the gateway that is part of this program]
    #[arg(long)]
    pub(crate) release_dir: Option<PathBuf>,
}

fn times(text: &str) -> Result<f64, String> {
    let times: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if times > 0.0 && times.is_finite() { Ok(times) } else { Err("not above 0".to_owned()) }
}

fn within(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("not in {least}–{most}")) }
}

/// Each sender has a socket, and the gateway has at most 2,048 requests in work.
fn senders(text: &str) -> Result<usize, String> {
    within(text, 1, 2_000)
}

/// As many as the gateway keeps records in memory.
fn devices(text: &str) -> Result<usize, String> {
    within(text, 1, 50_000)
}

/// More than 900 would be sent in blocks, which is another measurement; 32 leave room for the receiver and the number.
fn bytes(text: &str) -> Result<usize, String> {
    within(text, 32, 900)
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err("not in 0.1–600".to_owned()) }
}

/// One line of the report, at once; nobody reading on is no reason to fail.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Runs a command; or, started by itself, the gateway.
pub fn main() -> ExitCode {
    let mut args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|first| first == process::GATEWAY) {
        args.remove(0);
        args[0] = "sga-gateway".into();
        return sga_gateway::cli::main_from(args);
    }
    if args.get(1).is_some_and(|first| first == flooder::FLOODER) {
        return flooder::main(&args);
    }
    let options = Options::parse_from(args);
    let below = options.dir.unwrap_or_else(std::env::temp_dir);
    let result = process::Folder::make(&below, options.keep).and_then(|folder| {
        let result = match &options.command {
            Command::Durable(durable) => durable::run(durable, &folder),
            Command::Absent(absent) => absent::run(absent, &folder),
            Command::Flood(flood) => flood::run(flood, &folder),
        };
        if options.keep {
            eprintln!("files are in {}", folder.path.display());
        }
        result
    });
    match result {
        Ok(figures) => {
            say(&figures.to_string());
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("sga-load failed: {why}");
            ExitCode::FAILURE
        }
    }
}
