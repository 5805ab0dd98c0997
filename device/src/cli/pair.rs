//! Pair secrets and comparison codes: what two people do so that nobody sits between their devices (`docs/pairing.md`). Both
//! commands only look at the state folder; nothing is sent.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::{Value, json};
use sga_crypto::steps::comparison_digits;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::args::{Cli, CodeArgs, PairArgs};
use super::clock::entropy;
use super::commands::restored;
use super::output::{Output, complain};
use super::state::{self, State};
use super::{Stop, files};
use crate::agent::Image;
use crate::{DeviceId, Secret, SessionStatus};

/// Bytes of a pair secret.
const SECRET_LEN: usize = 32;

/// Longest file that is read as a secret: 64 digits, and room for spaces and line ends between them.
const SECRET_FILE_LEN_MAX: u64 = 1_024;

pub(super) fn pair(cli: &Cli, args: &PairArgs, output: Output) -> Result<(), Stop> {
    let secret = wanted(args)?;
    let peer = args.peer;
    let (state, image) = State::open(&cli.state)?;
    let mut device = restored(&image)?;
    if args.forget && device.session(peer).is_none_or(|session| !session.paired) {
        return Err(Stop::Failed(format!("no secret is kept with {peer}")));
    }
    let copy = secret.as_ref().map(Secret::duplicate);
    device.set_pair_secret(peer, copy).map_err(Stop::failed)?;
    let session = device.session(peer).is_some_and(|session| session.role.is_some());
    // What is shown is what is kept.
    state.save(&Image::of(&device, image.kept, image.received))?;
    let next = next(peer, session, secret.is_some());
    let shown = secret.as_ref().filter(|_| args.generate).map(|secret| Zeroizing::new(hex::encode(secret.expose())));
    let drawn = match &secret {
        Some(secret) if args.qr => Some(qr(&Zeroizing::new(hex::encode_upper(secret.expose())))?),
        _ => None,
    };
    if output.json {
        let event = if secret.is_some() { "paired" } else { "unpaired" };
        let mut value = json!({ "event": event, "peer": peer.to_string(), "session": session, "next": next });
        add(&mut value, "secret", shown.as_ref().map(|shown| shown.as_str()));
        add(&mut value, "qr", drawn.as_deref());
        return output.line(&value.to_string());
    }
    // A secret alone on stdout can be handed on by a pipe.
    for line in [drawn.as_deref(), shown.as_ref().map(|shown| shown.as_str())].into_iter().flatten() {
        output.line(line)?;
    }
    complain(&next);
    Ok(())
}

fn add(value: &mut Value, name: &str, text: Option<&str>) {
    if let (Some(map), Some(text)) = (value.as_object_mut(), text) {
        map.insert(name.to_owned(), text.into());
    }
}

/// What has to happen before the change counts.
fn next(peer: DeviceId, session: bool, paired: bool) -> String {
    match (session, paired) {
        (false, true) => format!("the first session with {peer} will be made with this secret; {peer} needs the same"),
        (false, false) => format!("the first session with {peer} will be made without a secret"),
        (true, true) => format!(
            "texts to {peer} wait for keys made with this secret: {peer} needs the same; then run `connect {peer}` here while \
             {peer} listens"
        ),
        (true, false) => format!(
            "the next keys with {peer} are made without a secret: {peer} has to forget it, too; then run `connect {peer}` here \
             while {peer} listens"
        ),
    }
}

/// The secret that the arguments ask for; `None` to forget.
fn wanted(args: &PairArgs) -> Result<Option<Secret<SECRET_LEN>>, Stop> {
    if args.generate {
        return entropy().map(|bytes| Some(Secret::new(bytes)));
    }
    if let Some(typed) = &args.secret {
        return parse(typed.0.as_bytes()).map(Some);
    }
    let Some(path) = &args.secret_file else { return Ok(None) };
    parse(&read(path)?).map(Some)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let mut content = Zeroizing::new(Vec::new());
    let limit = SECRET_FILE_LEN_MAX + 1;
    if path == Path::new("-") {
        let read = std::io::stdin().take(limit).read_to_end(&mut content);
        read.map_err(|error| Stop::failed(format!("standard input: {error}")))?;
    } else {
        let file = files::open(path)?;
        let failed = |error| Stop::Failed(format!("cannot read {}: {error}", path.display()));
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            complain(&format!("others than its owner may read {}", path.display()));
        }
        file.take(limit).read_to_end(&mut content).map_err(failed)?;
    }
    if content.len() as u64 >= limit {
        return Err(Stop::Failed("too long: a pair secret is 64 hex digits".into()));
    }
    Ok(content)
}

/// 64 hex digits; spaces, line ends and dashes between them do not matter. The error does not show them.
fn parse(text: &[u8]) -> Result<Secret<SECRET_LEN>, Stop> {
    let digits = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-');
    let digits: Zeroizing<Vec<u8>> = Zeroizing::new(digits.collect());
    let mut bytes = [0; SECRET_LEN];
    if digits.len() != 2 * SECRET_LEN || hex::decode_to_slice(digits.as_slice(), &mut bytes).is_err() {
        bytes.zeroize();
        let len = digits.len();
        return Err(Stop::Failed(format!("a pair secret is 64 hex digits; this is {len} characters")));
    }
    let secret = Secret::new(bytes);
    bytes.zeroize();
    if secret.expose().iter().all(|byte| *byte == secret.expose()[0]) {
        return Err(Stop::Failed("a pair secret is 32 random bytes; this is one byte repeated".into()));
    }
    Ok(secret)
}

pub(super) fn code(folder: &Path, args: &CodeArgs, output: Output) -> Result<(), Stop> {
    let (_, image) = state::read(folder)?;
    let device = restored(&image)?;
    let peer = args.peer;
    if peer == device.id() {
        return Err(Stop::failed(crate::DeviceError::OwnId));
    }
    let (session, code) = established(peer, device.session(peer))?;
    let digits = comparison_digits(&code);
    let (run, paired) = (session.run, session.paired);
    if let Some(theirs) = &args.compare {
        if !bool::from(digits.ct_eq(&theirs.0)) {
            return Err(Stop::Failed(format!(
                "the codes differ. If {peer} does not show run {run}, compare again when both show the same run; if it does, \
                 somebody is in the middle: send nothing, and `pair` the two devices by another way"
            )));
        }
        if output.json {
            let value = json!({ "event": "compared", "peer": peer.to_string(), "run": run, "equal": true });
            return output.line(&value.to_string());
        }
        return output.line(&format!("the same: nobody is in the middle of run {run} with {peer}"));
    }
    let groups: Vec<_> = digits.chunks(5).map(String::from_utf8_lossy).collect();
    let groups = groups.join(" ");
    let drawn = if args.qr { Some(qr(&String::from_utf8_lossy(&digits))?) } else { None };
    if output.json {
        let mut value =
            json!({ "event": "code", "peer": peer.to_string(), "run": run, "paired": paired, "digits": groups });
        add(&mut value, "qr", drawn.as_deref());
        return output.line(&value.to_string());
    }
    if let Some(drawn) = drawn {
        output.line(&drawn)?;
    }
    output.line(&groups)?;
    complain(&format!("run {run} with {peer}; both ends have to show the same run and the same digits"));
    Ok(())
}

/// The session, if its newest run is established.
fn established(peer: DeviceId, session: Option<SessionStatus>) -> Result<(SessionStatus, [u8; 32]), Stop> {
    let connect = format!("run `connect {peer}` first");
    let failed = |reason: String| Err(Stop::Failed(format!("{reason}: {connect}")));
    let Some(session) = session.filter(|session| session.role.is_some()) else {
        return failed(format!("no session with {peer}"));
    };
    match session.comparison_code {
        None => failed(format!("no keys with {peer} yet")),
        Some(_) if session.superseded => {
            failed(format!("the keys with {peer} were made before the pair secret was set"))
        }
        Some(_) if !session.established => failed(format!("run {} with {peer} is not established", session.run)),
        Some(code) => Ok((session, code)),
    }
}

/// What a message 0 that does not open means, in words.
pub(super) fn not_confirmed(peer: DeviceId, run: u32, paired: bool) -> String {
    let own = if paired { "has a pair secret" } else { "has no pair secret" };
    format!(
        "run {run} with {peer} is not confirmed: the pair secrets differ, or somebody is in the middle. This end {own}; \
         nothing was sent under that run. Give both ends the same secret with `pair`"
    )
}

/// Two modules to a character, light on dark.
fn qr(content: &str) -> Result<String, Stop> {
    let code = QrCode::new(content).map_err(|error| Stop::failed(format!("cannot draw the QR code: {error}")))?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use qrcode::Color;

    use super::*;

    #[test]
    fn secrets_are_64_hex_digits_and_errors_do_not_show_them() {
        let digits = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
        let spaced = format!("{}-{} {}\n", &digits[..10], &digits[10..33], &digits[33..]);
        for text in [digits, &spaced] {
            assert_eq!(hex::encode(parse(text.as_bytes()).expect("a secret").expose()), digits.to_lowercase());
        }
        for wrong in ["", &digits[1..], &format!("{digits}0"), &digits.replace('0', "x"), &"ab".repeat(32)] {
            let Err(Stop::Failed(reason)) = parse(wrong.as_bytes()) else { panic!("{wrong} was taken") };
            assert!(wrong.is_empty() || !reason.contains(wrong), "{reason}");
        }
    }

    #[test]
    fn a_qr_code_says_what_it_is_made_of() {
        let content = "0123456789ABCDEF".repeat(4);
        let code = QrCode::new(&content).expect("short");
        let width = code.width();
        let drawn = qr(&content).expect("short");
        let rows: Vec<Vec<char>> = drawn.lines().map(|line| line.chars().collect()).collect();
        // Four modules of quiet zone on each side; light modules are drawn.
        let is_light = |x: usize, y: usize| match rows[(y + 4) / 2][x + 4] {
            '\u{2588}' => true,
            '\u{2580}' => y.is_multiple_of(2),
            '\u{2584}' => !y.is_multiple_of(2),
            _ => false,
        };
        for (at, color) in code.to_colors().into_iter().enumerate() {
            assert_eq!(is_light(at % width, at / width), color == Color::Light, "module {at}");
        }
        assert!(rows[0].iter().all(|mark| *mark == '\u{2588}'), "the quiet zone is light");
    }
}
