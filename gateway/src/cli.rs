//! `sga-gateway`: what its commands do.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::channel;

use clap::Parser;
use sga_gateway_core::{Gateway, Settings};

use crate::accelerator::Accelerator;
use crate::clock::Clock;
use crate::control::{self, Control, SnapshotsEvery};
use crate::enrol;
use crate::entropy;
use crate::error::Error;
use crate::event_loop::{Reactor, Shell};
use crate::keys::{self, Keys, Wanted};
use crate::options::{BackupArgs, Cli, Command, DoctorArgs, PinArgs, RevokeArgs, RotateKeyArgs, RunArgs};
use crate::revoked;
use crate::socket::Sockets;
use crate::store::{self, Store};

/// Runs a command; 0 done, 1 failed with the reason on stderr, 2 wrong usage.
pub fn main_from(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _ = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).try_init();
    quiet_guarded_panics();
    let result = match Cli::parse_from(args).command {
        Command::Run(args) => run(*args),
        Command::Pin(args) => pin(&args),
        Command::Backup(args) => backup(&args),
        Command::Restore(args) => restore(&args),
        Command::Doctor(args) => doctor(&args),
        Command::Revoke(args) => revoke(&args, true),
        Command::Release(args) => revoke(&args, false),
        Command::RotateKey(args) => rotate_key(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The store's engine asserts what a damaged file does not hold; the store takes that for an answer and says so itself.
fn quiet_guarded_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if sga_gateway_store::is_guarded() {
            log::debug!("the store's engine: {info}");
        } else {
            usual(info);
        }
    }));
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
    let mut held = store::open(&options.data, &keys.at_rest, &store::options(options.item_bytes_max)?)?;
    let boot = store::boot(&mut held.opened)?;
    let uptime_s = boot.uptime_s();
    let reactor = Reactor::new()?;
    let sockets = Sockets::bind(&options.listen, reactor.registry())?;
    let mut settings = Settings::new(keys.id, keys.profile);
    settings.suites = options.suites;
    settings.enrolment = enrolment;
    settings.separate_after = options.ack_after;
    settings.mailbox_messages_max = options.mailbox_messages_max;
    settings.mailbox_age = options.mailbox_age;
    settings.forget_after = options.forget_after;
    settings.rates = options.rates(keys.profile);
    settings.revoked = revoked::load(&options.data)?;
    let backups = held.opened.take_backups();
    let (orders, ordered) = channel();
    let waker = reactor.waker().clone();
    let mut shell = Shell {
        ordered,
        data: options.data.clone(),
        clock: Clock::start(),
        store: Store::start(held, reactor.waker())?,
        accelerator: Accelerator::start(options.accelerators, reactor.waker())?,
        gateway: Gateway::new(settings, keys.gateway.clone(), boot, entropy::generator()?),
        sockets,
        reactor,
    };
    shell.gateway.set_keys(shell.clock.now(), keys.gateway.pair.clone(), keys.rotations, keys.previous.clone());
    let snapshots = options.snapshot_every.map(|every| SnapshotsEvery { every, uptime_s });
    let _control = Control::start(&options.data, backups, snapshots, orders, waker)?;
    log::info!("gateway {}, profile {}, enrolment {}, pin {}", keys.id, keys.profile, options.policy, keys.pin());
    for address in shell.sockets.addresses() {
        print(&format!("listening on {address}"))?;
    }
    shell.run()
}

/// The keys of a folder that has some.
fn keys_of(data: &std::path::Path) -> Result<Keys, Error> {
    if !data.join(keys::NAME).exists() {
        return Err(Error::new(format!(
            "{} has no gateway.key: name the gateway's folder with --data, or put your copy of the key there",
            data.display()
        )));
    }
    Keys::open(data, Wanted::default())
}

fn backup(args: &BackupArgs) -> Result<(), Error> {
    let keys = keys_of(&args.data)?;
    let contents = store::backup(&args.data, &keys.at_rest, &args.file)?;
    print(&format!("{}: {} records, {} items in mailboxes", args.file.display(), contents.records, contents.items))
}

fn restore(args: &BackupArgs) -> Result<(), Error> {
    let keys = keys_of(&args.data)?;
    let (contents, kept) = store::restore(&args.data, &keys.at_rest, &args.file)?;
    if let Some(kept) = kept {
        log::warn!("the store that was there is kept as {}", args.data.join(kept).display());
    }
    print(&format!(
        "restored {}: {} records, {} items in mailboxes; what was stored after it was made is missing, devices are told so",
        args.file.display(),
        contents.records,
        contents.items
    ))
}

fn revoke(args: &RevokeArgs, revoked: bool) -> Result<(), Error> {
    drop(keys_of(&args.data)?);
    let what = if revoked { "revoked" } else { "released" };
    let before = if revoked::change(&args.data, args.id, revoked)? { "" } else { " (it was before)" };
    let running = control::tell(&args.data, "revoked")?;
    let when = if running { "the running gateway knows it" } else { "no gateway runs; the next start knows it" };
    print(&format!("{} is {what}{before}; {when}", args.id))
}

fn rotate_key(args: &RotateKeyArgs) -> Result<(), Error> {
    let keys = keys_of(&args.data)?;
    let overlap_s = u64::from(args.overlap) * 86_400;
    let order = if args.end { "end-overlap".to_owned() } else { format!("rotate-key {overlap_s}") };
    if control::tell(&args.data, &order)? {
        return print(&keys_of(&args.data)?.pin());
    }
    if args.end {
        return print(&Keys::end_overlap(&args.data)?.pin());
    }
    // The overlap is counted in the uptime that the store has.
    let mut held = store::open(&args.data, &keys.at_rest, &store::options(None)?)?;
    let until_s = store::boot(&mut held.opened)?.uptime_s().saturating_add(overlap_s);
    print(&Keys::rotate(&args.data, (overlap_s > 0).then_some(until_s))?.pin())
}

fn doctor(args: &DoctorArgs) -> Result<(), Error> {
    let keys = keys_of(&args.data)?;
    let diagnosis = store::doctor(&args.data, &keys.at_rest)?;
    print(&diagnosis.to_string())?;
    if diagnosis.another_key {
        return Err(Error::new("gateway.key is not the one of this store"));
    }
    if diagnosis.wrong.is_empty() { Ok(()) } else { Err(Error::new("the store is damaged")) }
}
