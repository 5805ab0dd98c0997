//! What each command does.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::args::{Cli, Command, ConnectArgs, ListenArgs, RegisterArgs, RotateArgs, SendArgs};
use super::clock::entropy;
use super::output::{Output, ended};
use super::run::{Runner, Seen};
use super::state::{self, State};
use super::{Stop, files, pair};
use crate::agent::{Image, Notice, PEERS, generator};
use crate::{Accept, Device, DeviceId, Failure, Handled, Phase, REQUEST_LEN_MAX, Refusal, Secret, SuiteSet};

/// CoAP codes of answers that come as files: 2.05 and 2.01.
const CONTENT: u8 = 0x45;
const CREATED: u8 = 0x41;

pub(crate) fn run(cli: &Cli) -> Result<(), Stop> {
    let output = Output { json: cli.json };
    match &cli.command {
        Command::Register(args) if args.read_answer.is_some() => read_answer(cli, args, output),
        Command::Register(args) => register(cli, args, output),
        Command::Connect(args) => connect(cli, args, output),
        Command::Send(args) => send(cli, args, output),
        Command::Listen(args) => listen(cli, args, output),
        Command::Rotate(args) => rotate(cli, args, output),
        Command::Pair(args) => pair::pair(cli, args, output),
        Command::Code(args) => pair::code(&cli.state, args, output),
        Command::Status => status(&cli.state, output),
    }
}

/// The device of an image. This process is a new life of its.
pub(crate) fn restored(image: &Image) -> Result<Device<PEERS>, Stop> {
    image.device(&mut generator(entropy()?)).map_err(Stop::failed)
}

fn open(cli: &Cli, output: Output) -> Result<Runner, Stop> {
    let (state, image) = State::open(&cli.state)?;
    let device = restored(&image)?;
    if !device.is_registered() {
        return Err(Stop::Failed("not registered yet: run `register` first".into()));
    }
    let mut runner = Runner::new(device, image, state, output, cli.via_files.as_deref())?;
    runner.set_block_szx(cli.block_szx);
    runner.agent.device_mut().set_pad(cli.pad_sizes);
    Ok(runner)
}

fn new_device(args: &RegisterArgs) -> Result<Device<PEERS>, Stop> {
    let id = args.id.ok_or_else(|| Stop::Failed("a new device needs --id".into()))?;
    let suites = if args.suites.is_empty() { SuiteSet::ALL } else { SuiteSet::of(&args.suites) };
    Device::new(id, Secret::new(entropy()?), args.suite, suites, Accept::All).map_err(Stop::failed)
}

/// The device of a state folder, or a new one.
fn registering(cli: &Cli, args: &RegisterArgs, output: Output) -> Result<Runner, Stop> {
    let gateway = args.gateway.as_deref().unwrap_or_default();
    let (state, image) = State::open_or_make(&cli.state, gateway)?;
    let mut device = match &image {
        Some(image) => restored(image)?,
        None => new_device(args)?,
    };
    if let Some(id) = args.id
        && id != device.id()
    {
        return Err(Stop::Failed(format!("{} holds the device {}, not {id}", cli.state.display(), device.id())));
    }
    if let Some(pin) = args.pin {
        device.set_pin(Some(pin.0));
    }
    if let Some(token) = &args.token {
        device.set_enrolment(&token.0).map_err(Stop::failed)?;
    }
    device.register();
    let mut runner = Runner::new(device, image.unwrap_or_default(), state, output, cli.via_files.as_deref())?;
    runner.set_block_szx(cli.block_szx);
    runner.agent.device_mut().set_pad(cli.pad_sizes);
    Ok(runner)
}

fn register(cli: &Cli, args: &RegisterArgs, output: Output) -> Result<(), Stop> {
    let mut runner = registering(cli, args, output)?;
    if let Some(file) = &args.print_request {
        return print_request(&mut runner, args, file);
    }
    let gateway = runner.gateway();
    runner.run(Some(Duration::from_secs(args.timeout)), &format!("no answer from {gateway}"), |_, seen| match seen {
        Seen::Notice(Notice::Registered) => Ok(Some(())),
        Seen::Notice(Notice::Failed(failure)) => Err(Stop::Failed(explain(failure))),
        _ => Ok(None),
    })
}

/// The new key is in the state folder before it leaves: where no answer comes, the next command asks again with the same one.
fn rotate(cli: &Cli, args: &RotateArgs, output: Output) -> Result<(), Stop> {
    let mut runner = open(cli, output)?;
    runner.agent.device_mut().rotate(Secret::new(entropy()?)).map_err(Stop::failed)?;
    let mut rotated = false;
    let gateway = runner.gateway();
    runner.run(Some(Duration::from_secs(args.timeout)), &format!("no answer from {gateway}"), |agent, seen| {
        match seen {
            Seen::Notice(Notice::KeyRotated) => rotated = true,
            Seen::Notice(Notice::Failed(failure)) => return Err(Stop::Failed(explain(failure))),
            _ => {}
        }
        Ok((rotated && agent.device().is_attached() && agent.is_idle()).then_some(()))
    })
}

/// Makes the request and lets somebody else carry it.
fn print_request(runner: &mut Runner, args: &RegisterArgs, file: &Path) -> Result<(), Stop> {
    runner.agent.hold_registration();
    let mut package = match &args.package {
        Some(path) => Some(files::read(path)?),
        None => None,
    };
    if let Some(package) = &mut package {
        runner.save_now()?;
        take_package(runner.agent.device_mut(), package)?;
    }
    runner.run(Some(Duration::from_secs(args.timeout)), "no package from the gateway", |agent, seen| match seen {
        Seen::Notice(Notice::Failed(failure)) => Err(Stop::Failed(explain(failure))),
        _ => Ok(agent.held_registration().map(|_| ())),
    })?;
    let request = runner.agent.held_registration().unwrap_or_default();
    let package = package.as_deref().or(runner.agent.package()).unwrap_or_default();
    let state = runner.state();
    files::write(&state.carried_package(), package)?;
    files::write(&state.carried_request(), request)?;
    std::fs::write(file, request).map_err(|error| Stop::failed(format!("{}: {error}", file.display())))
}

/// Gives a device a package that came by another way. Its state is saved.
fn take_package(device: &mut Device<PEERS>, package: &[u8]) -> Result<(), Stop> {
    let mut buffer = [0; REQUEST_LEN_MAX];
    let mut failure = None;
    device.poll_request(&mut generator(entropy()?), &mut buffer).map_err(Stop::failed)?;
    let handled = device.handle_response(CONTENT, &mut package.to_vec(), &mut |event| {
        if let crate::Event::Failed { what } = event {
            failure = Some(what);
        }
    });
    match (failure, handled) {
        (Some(failure), _) => Err(Stop::Failed(explain(&failure))),
        (None, Handled::Retry) => Err(Stop::Failed("that is not a package".into())),
        (None, Handled::Done) => Ok(()),
    }
}

/// Finishes what `print_request` began.
fn read_answer(cli: &Cli, args: &RegisterArgs, output: Output) -> Result<(), Stop> {
    let (state, image) = State::open(&cli.state)?;
    let mut device = restored(&image)?;
    let Some(file) = &args.read_answer else { return Ok(()) };
    let mut answer = files::read(file)?;
    let (package, request) = (files::read(&state.carried_package())?, files::read(&state.carried_request())?);
    device.set_pad(cli.pad_sizes);
    device.register();
    device.saved();
    take_package(&mut device, &package)?;
    device.resume_registration(&request);
    let mut registered = false;
    let mut failure = None;
    let handled = device.handle_response(CREATED, &mut answer, &mut |event| match event {
        crate::Event::Registered => registered = true,
        crate::Event::Failed { what } => failure = Some(what),
        _ => {}
    });
    if !registered || handled == Handled::Retry {
        return Err(Stop::Failed(match failure {
            Some(failure) => explain(&failure),
            None => "that is not this gateway's answer to this device's request".into(),
        }));
    }
    state.save(&Image::of(&device, image.kept, image.received))?;
    output.notice(&Notice::Registered);
    Ok(())
}

fn connect(cli: &Cli, args: &ConnectArgs, output: Output) -> Result<(), Stop> {
    let mut runner = open(cli, output)?;
    let peer = args.peer;
    let now = runner.now();
    runner.agent.listen(now, REFRESH);
    runner.agent.device_mut().connect(peer, args.suite).map_err(Stop::failed)?;
    let before = runner.agent.device().session(peer).map_or(0, |session| session.run);
    let mut reached = false;
    runner.run(Some(Duration::from_secs(args.timeout)), &format!("{peer} did not answer"), |agent, seen| {
        match seen {
            Seen::Notice(Notice::Established { peer: with, .. }) if *with == peer => reached = true,
            Seen::Notice(Notice::Refused { peer: about, why }) if *about == peer => refusal(*why)?,
            // It has ended while this device was away: that is what a new one is asked for.
            Seen::Notice(Notice::SessionEnded { peer: with, .. }) if *with == peer => {
                agent.device_mut().connect(peer, args.suite).map_err(Stop::failed)?;
            }
            Seen::Notice(Notice::NotConfirmed { peer: with, run, paired, again: false }) if *with == peer => {
                return Err(Stop::Failed(pair::not_confirmed(peer, *run, *paired)));
            }
            // A text of an earlier call went with its session: it is reported, and the session is negotiated anew.
            Seen::Notice(Notice::Failed(Failure::TextLost { .. })) => {}
            Seen::Notice(Notice::Failed(failure)) => return Err(Stop::Failed(explain(failure))),
            _ => {}
        }
        // The peer's confirmation has come; it also needs this device's.
        let confirmed =
            agent.device().session(peer).is_some_and(|session| session.established && session.run != before);
        Ok(((reached || confirmed) && agent.device().can_send(peer) && agent.is_idle()).then_some(()))
    })
}

/// How often an inbox that is open only for the time of a command is refreshed.
const REFRESH: Duration = Duration::from_secs(25);

/// A refusal that ends a connect; others lead to the same session another way.
fn refusal(why: Refusal) -> Result<(), Stop> {
    let text = match why {
        Refusal::Crossing | Refusal::Withdrawn | Refusal::RunClosed { .. } => return Ok(()),
        Refusal::NoCommonSuite { common } => {
            let names: Vec<_> = common.iter().map(|suite| suite.name()).collect();
            format!("the peer does not have that cipher; both have: {}", names.join(", "))
        }
        Refusal::NoSuchPeer => "the gateway knows no device of that name".into(),
        Refusal::PeerRefuses => "the peer takes no invitation from this device".into(),
        Refusal::MailboxFull { retry_s } => format!("the peer's mailbox is full; try again in {retry_s} s"),
        Refusal::Yourself => "that is this device itself".into(),
        Refusal::Declined => "the peer has declined".into(),
        Refusal::TimedOut => "the peer did not answer the invitation in time".into(),
        other => format!("{other:?}"),
    };
    Err(Stop::Failed(text))
}

fn explain(failure: &Failure) -> String {
    match failure {
        Failure::PinMismatch => {
            "the gateway does not have the key pair of that pin: it is another gateway, or it has rotated its keys while this device \
             was away. If its operator confirms a new pin, `register --pin NEW` takes it; id, key and sessions stay"
                .into()
        },
        Failure::PackageUnusable => {
            "the gateway's package cannot be used: other version, or no cipher in common".into()
        }
        Failure::Registration { code: 0x83 } | Failure::Attach { code: 0x83 } => {
            "the gateway's operator has revoked this device".into()
        }
        Failure::Registration { code: 0x81 } => {
            "the gateway does not accept this device: wrong --token, or not on its list".into()
        }
        Failure::Registration { code: 0x89 } => "that id is taken by another key".into(),
        Failure::Registration { code: 0x96 } => "no cipher in common with the gateway".into(),
        other => format!("{other:?}"),
    }
}

fn send(cli: &Cli, args: &SendArgs, output: Output) -> Result<(), Stop> {
    let text = if args.text == "-" {
        if cli.via_files.is_some() {
            return Err(Stop::Failed(
                "with --via-files standard input says how requests fared: give the text itself".into(),
            ));
        }
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).map_err(|error| Stop::failed(format!("standard input: {error}")))?;
        text
    } else {
        args.text.clone().into_bytes()
    };
    let (most, when) = if cli.pad_sizes {
        (sga_schema::padding::PADDED_TEXT_LEN_MAX, " with --pad-sizes")
    } else {
        (sga_schema::limits::TEXT_LEN_MAX, "")
    };
    if text.len() > most {
        return Err(Stop::Failed(format!("{} bytes; a text has at most {most}{when}", text.len())));
    }
    let mut runner = open(cli, output)?;
    let peer = args.peer;
    if runner.agent.device().session(peer).is_none_or(|session| session.phase == Phase::Idle) {
        return Err(Stop::Failed(format!("no session with {peer}: run `connect {peer}` first")));
    }
    let now = runner.now();
    runner.agent.listen(now, REFRESH);
    let mut own = None;
    runner.run(
        Some(Duration::from_secs(args.timeout)),
        &format!("the text to {peer} is not stored yet"),
        |agent, seen| {
            match seen {
                Seen::Notice(Notice::Sent { peer: to, run, sequence }) if own == Some((*to, *run, *sequence)) => {
                    return Ok(Some(()));
                }
                Seen::Notice(Notice::Refused { peer: about, why }) if *about == peer => refusal(*why)?,
                Seen::Notice(Notice::SessionEnded { peer: with, revoked }) if *with == peer => {
                    return Err(Stop::Failed(ended(peer, *revoked)));
                }
                Seen::Notice(Notice::NotConfirmed { peer: with, run, paired, again: false }) if *with == peer => {
                    return Err(Stop::Failed(pair::not_confirmed(peer, *run, *paired)));
                }
                // One of an earlier call: this one goes after it.
                Seen::Notice(Notice::Failed(Failure::TextLost { .. })) if own.is_none() => {}
                Seen::Notice(Notice::Failed(failure)) => return Err(Stop::Failed(explain(failure))),
                _ => {}
            }
            // What waits in the inbox may be the key of a newer run: it is looked at first.
            if own.is_none() && agent.device().is_attached() && agent.is_idle() && agent.device().can_send(peer) {
                let (run, sequence) = agent.send(peer, &text).map_err(Stop::failed)?;
                own = Some((peer, run, sequence));
            }
            Ok(None)
        },
    )
}

fn listen(cli: &Cli, args: &ListenArgs, output: Output) -> Result<(), Stop> {
    let mut runner = open(cli, output)?;
    let device = runner.agent.device_mut();
    match args.accept.as_str() {
        "all" => device.set_accept(Accept::All),
        "known" => device.set_accept(Accept::Known),
        "none" => device.set_accept(Accept::None),
        ids => {
            let parsed: Result<Vec<DeviceId>, _> = ids.split(',').map(str::parse).collect();
            let peers = parsed.map_err(|_| Stop::Failed(format!("--accept {ids:?}: not a list of ids")))?;
            device.set_accept(Accept::All);
            device.set_allowed(&peers).map_err(Stop::failed)?;
        }
    }
    let now = runner.now();
    runner.agent.listen(now, Duration::from_secs(args.refresh));
    let mut left = args.count;
    let timeout = args.timeout.map(Duration::from_secs);
    runner.run(timeout, "not enough texts came", |agent, seen| {
        if matches!(seen, Seen::Text)
            && let Some(left) = &mut left
        {
            *left = left.saturating_sub(1);
        }
        if let Seen::Notice(Notice::Failed(failure)) = seen
            && matches!(failure, Failure::Attach { .. } | Failure::Registration { .. })
        {
            return Err(Stop::Failed(explain(failure)));
        }
        // Idle: what came is acknowledged.
        Ok((left == Some(0) && agent.device().is_attached() && agent.is_idle()).then_some(()))
    })
}

fn status(folder: &Path, output: Output) -> Result<(), Stop> {
    let (gateway, image) = state::read(folder)?;
    let device = restored(&image)?;
    let sessions: Vec<_> = device
        .sessions()
        .map(|session| {
            json!({
                "peer": session.peer.to_string(),
                "phase": format!("{:?}", session.phase),
                "role": session.role.map(|role| format!("{role:?}")),
                "suite": session.suite.map(|suite| suite.name()),
                "run": session.run,
                "established": session.established,
                "paired": session.paired,
                "next_send": session.next_send,
                "next_receive": session.next_receive,
                "unconfirmed_text": session.in_flight.is_some(),
            })
        })
        .collect();
    let value = json!({
        "id": device.id().to_string(),
        "gateway": gateway,
        "gateway_id": device.gateway_id().map(|id| id.to_string()),
        "pin": device.pin().map(hex::encode),
        "profile": device.profile().map(|profile| profile.name()),
        "registered": device.is_registered(),
        "cursor": device.cursor(),
        "unread_texts": image.received.len(),
        "sessions": sessions,
    });
    if output.json {
        return output.line(&value.to_string());
    }
    output.line(&format!("{} at {gateway}, registered: {}", device.id(), device.is_registered()))?;
    for session in device.sessions() {
        let suite = session.suite.map_or("-", |suite| suite.name());
        let paired = if session.paired { ", paired" } else { "" };
        output.line(&format!("  {}: {:?}, run {}, {suite}{paired}", session.peer, session.phase, session.run))?;
    }
    Ok(())
}
