//! The main job, shown: register, negotiate, exchange keys, deliver sealed messages, survive a restart of the gateway.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's report")]

mod process;
mod scan;
mod script;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

pub use process::GATEWAY;

/// Runs a gateway with its embedded store and two devices on loopback, through all phases, and shows each step.
#[derive(Parser, Debug)]
#[command(name = "cargo demo", bin_name = "cargo demo")]
pub(crate) struct Options {
    /// The group: compact (ristretto255), classic (ffdhe2048) or classic3072.
    #[arg(long, default_value = "compact")]
    pub(crate) profile: String,
    /// The cipher that the devices agree on: aes-ccm-8, aes-ccm-16, chacha20-poly1305 or ascon-aead128.
    #[arg(long, default_value = "aes-ccm-8")]
    pub(crate) suite: String,
    /// One JSON object per line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave the gateway's and the devices' files in place and say where.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Runs the demo; or, started by itself, the gateway or a device.
pub fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let mut rest: Vec<_> = args.collect();
    match rest.first().and_then(|first| first.to_str()) {
        Some(process::GATEWAY) => {
            rest[0] = "sga-gateway".into();
            sga_gateway::cli::main_from(rest)
        }
        Some(process::DEVICE) => {
            rest[0] = "sga-device".into();
            sga_device::cli::main_from(rest)
        }
        _ => show(&Options::parse_from(std::iter::once(program).chain(rest))),
    }
}

fn show(options: &Options) -> ExitCode {
    let folder = std::env::temp_dir().join(format!("sga-demo-{}", std::process::id()));
    let result = std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))
        .and_then(|()| script::run(options, &folder));
    match result {
        Ok(delivered) => {
            tidy(options, &folder);
            let line = format!("demo ok: {delivered} messages delivered, 0 readable at the gateway");
            if options.json {
                println!(
                    "{}",
                    serde_json::json!({ "event": "ok", "delivered": delivered, "readable": 0, "text": line })
                );
            } else {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("demo failed: {why}\nits files are in {}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn tidy(options: &Options, folder: &PathBuf) {
    if options.keep {
        eprintln!("files are in {}", folder.display());
    } else if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("cannot remove {}: {error}", folder.display());
    }
}
