//! `sga-gateway`: what its commands do.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sga_gateway_core::{Boot, Commit, Found, Gateway, Key, Settings, Want};

use crate::accelerator::Accelerator;
use crate::clock::Clock;
use crate::enrol;
use crate::entropy;
use crate::error::Error;
use crate::event_loop::{Reactor, Shell};
use crate::keys::{Keys, Wanted};
use crate::options::{Cli, Command, PinArgs, RunArgs};
use crate::socket::Sockets;
use crate::store::{self, Engine, Reader, Sealer, Store};

/// Runs a command; 0 done, 1 failed with the reason on stderr, 2 wrong usage.
pub fn main_from(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _ = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).try_init();
    let result = match Cli::parse_from(args).command {
        Command::Run(args) => run(args),
        Command::Pin(args) => pin(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One line for scripts, at once.
fn print(line: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| Error::new(format!("cannot print: {error}")))
}

fn pin(args: &PinArgs) -> Result<(), Error> {
    let keys = Keys::open(&args.data, Wanted { profile: args.profile, id: None })?;
    print(&keys.pin())
}

fn run(args: RunArgs) -> Result<(), Error> {
    let options = args.resolve()?;
    let keys = Keys::open(&options.data, Wanted { profile: options.profile, id: options.id })?;
    let enrolment = enrol::load(options.policy, &options.data)?;
    let (mut engine, reader) = store::open(&options.data, Sealer::new(&keys.at_rest))?;
    let boot = boot(&mut engine, &reader)?;
    let reactor = Reactor::new()?;
    let sockets = Sockets::bind(&options.listen, reactor.registry())?;
    let mut settings = Settings::new(keys.id, keys.profile);
    settings.suites = options.suites;
    settings.enrolment = enrolment;
    settings.separate_after = options.ack_after;
    let shell = Shell {
        clock: Clock::start(),
        store: Store::start(engine, reader, reactor.waker())?,
        accelerator: Accelerator::start(options.accelerators, &keys.gateway.pair, reactor.waker())?,
        gateway: Gateway::new(settings, keys.gateway.clone(), boot, entropy::generator()?),
        sockets,
        reactor,
    };
    log::info!("gateway {}, profile {}, enrolment {}, pin {}", keys.id, keys.profile, options.policy, keys.pin());
    for address in shell.sockets.addresses() {
        print(&format!("listening on {address}"))?;
    }
    shell.run()
}

/// What the last start left, or a new generation in a new store.
fn boot(engine: &mut impl Engine, reader: &impl Reader) -> Result<Boot, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::new(format!("the store does not answer: {error}"));
    let found = reader.read(&[Want::Get(Key::Meta)]).map_err(|error| failed(&error))?;
    if let [Found::Value(Some(value))] = found.as_slice() {
        return Boot::from_meta(value).map_err(|error| failed(&error));
    }
    let boot = Boot::fresh(entropy::bytes()?);
    engine.apply(&[Commit { id: 0, changes: vec![boot.to_change()] }]).map_err(|error| failed(&error))?;
    Ok(boot)
}
