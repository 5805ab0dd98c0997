//! `sga-device`: the command line around an [`Agent`](crate::agent::Agent).

mod args;
mod carrier;
mod clock;
mod commands;
mod files;
mod output;
mod pair;
mod run;
mod state;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use args::Cli;

/// Why a command ends without having done what it was asked for.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Refused or failed; the reason. Exit code 1.
    Failed(String),
    /// Not in time; what was waited for. Exit code 3.
    TimedOut(String),
}

impl Stop {
    pub(crate) fn failed(reason: impl std::fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

/// Runs a command; 0 done, 1 refused or failed with the reason on stderr, 2 wrong usage, 3 timed out.
pub fn main_from(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _ = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).try_init();
    match commands::run(&Cli::parse_from(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Failed(reason)) => {
            output::complain(&reason);
            ExitCode::from(1)
        }
        Err(Stop::TimedOut(what)) => {
            output::complain(&format!("timed out: {what}"));
            ExitCode::from(3)
        }
    }
}

/// All traffic keys of all sessions in a state folder: for checks that look whether they turn up where they must not.
///
/// # Errors
/// The state cannot be read.
pub fn session_secrets(folder: &Path) -> Result<Vec<Vec<u8>>, String> {
    let (_, image) = state::read(folder).map_err(|stop| format!("{stop:?}"))?;
    let device = commands::restored(&image).map_err(|stop| format!("{stop:?}"))?;
    Ok(crate::agent::Agent::traffic_secrets(&device))
}
