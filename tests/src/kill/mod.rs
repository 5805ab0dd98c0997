//! A gateway that is killed under load, again and again: what it has acknowledged must be there.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's report")]

mod rounds;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::fleet::Program;

pub use rounds::{Plan, Report, run};

/// Kills a gateway with SIGKILL under load, at random moments, and starts it again on the same data: what it has acknowledged
/// must be delivered once and in order, and it must always start.
#[derive(Parser, Debug)]
#[command(name = "sga-kill")]
struct Options {
    /// How often it is killed.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// Decides when; the same seed does not make the same run, since the machine has its own pace.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pairs of devices.
    #[arg(long, default_value_t = 6)]
    pairs: usize,
    /// The gateway's program, if not the one built into this.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Where its data goes; stays there. Without, a temporary folder, which stays only if something is wrong.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Runs the rounds; or, started by itself, the gateway.
pub fn main() -> ExitCode {
    let mut args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|first| first == crate::demo::GATEWAY) {
        args.remove(1);
        return sga_gateway::cli::main_from(args);
    }
    let options = Options::parse_from(args);
    match kill(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn kill(options: &Options) -> Result<bool, String> {
    let program = match &options.gateway {
        Some(path) => Program::plain(path),
        None => Program::within(std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?),
    };
    let own = std::env::temp_dir().join(format!("sga-kill-{}", std::process::id()));
    let folder = options.folder.as_ref().unwrap_or(&own);
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let plan = Plan { rounds: options.rounds, seed: options.seed, pairs: options.pairs };
    let report = run(&program, folder, &plan).map_err(|why| format!("{why}\nthe files are in {}", folder.display()))?;
    println!("{report}");
    for remark in &report.remarks {
        println!("{remark}");
    }
    if !report.is_clean() {
        eprintln!("the files are in {}", folder.display());
    } else if options.folder.is_none() {
        let _ = std::fs::remove_dir_all(folder);
    }
    Ok(report.is_clean())
}
