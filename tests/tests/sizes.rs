//! The tables of `docs/sizes.md`: how many bytes and 802.15.4 frames each message takes.
//!
//! The payloads are those of the vectors; the CoAP messages are built, with the options that our device and gateway send.

use std::fmt::Write;
use std::path::PathBuf;

use coap_lite::{CoapOption, MessageClass, MessageType, Packet};
use sga_coap::option_number as number;
use sga_coap::{BlockValue, Code};
use sga_schema::{Profile, Suite};
use sga_tests::vectors;

/// What an 802.15.4 frame leaves for a CoAP message: without and with link security.
const FRAMES: [usize; 2] = [93, 72];
/// Block sizes, largest first, as exponents: 64, 32, 16.
const BLOCKS: [u8; 3] = [2, 1, 0];
const CBOR: u8 = 60;
/// Of writing to a String.
const GROWS: &str = "a String grows";

/// How a payload travels.
#[derive(Clone, Copy)]
enum Way {
    /// GET, POST or FETCH to a path; with or without a Content-Format.
    To(Code, &'static str, bool),
    /// An answer.
    Answer(Code),
    /// An answer that begins an observation, or a notification of it.
    Notification,
}

/// Name in the table, name in the vectors, way, budget of the design for the payload in the compact profile.
type Row = (&'static str, Option<&'static str>, Way, Option<usize>);

const REGISTER: Way = Way::To(Code::POST, "register", true);
const NEGOTIATE: Way = Way::To(Code::POST, "negotiate", true);
const KEX: Way = Way::To(Code::POST, "kex", false);
const MSG: Way = Way::To(Code::POST, "msg", false);
const CREATED: Way = Way::Answer(Code::CREATED);
const CHANGED: Way = Way::Answer(Code::CHANGED);

const ROWS: [Row; 37] = [
    ("GET of the package", None, Way::To(Code::GET, "register", false), None),
    ("package", Some("package"), Way::Answer(Code::CONTENT), None),
    ("Register (no proof)", Some("register 0"), REGISTER, None),
    ("Registered", Some("registered"), CREATED, None),
    ("Attach", Some("attach i"), Way::To(Code::FETCH, "msg", true), None),
    ("Inbox, empty answer", Some("inbox i"), Way::Notification, None),
    ("A1", Some("A1"), NEGOTIATE, Some(95)),
    ("A1 answer", Some("A1 answer"), CREATED, None),
    ("A2, notification", Some("A2 notification"), Way::Notification, Some(67)),
    ("A3", Some("A3"), NEGOTIATE, Some(85)),
    ("A3 answer", Some("A3 answer"), CHANGED, None),
    ("A4, notification", Some("A4 notification"), Way::Notification, Some(57)),
    ("B1", Some("B1"), KEX, Some(62)),
    ("B1 answer", Some("B1 answer"), CREATED, None),
    ("B2, notification", Some("B2 notification"), Way::Notification, Some(30)),
    ("B3", Some("B3"), KEX, Some(62)),
    ("B6, answer to B3", Some("B6 j"), CHANGED, Some(69)),
    ("B6, notification", Some("B6 i notification"), Way::Notification, Some(82)),
    ("message 0", Some("message 0 i"), MSG, None),
    ("message 0, notification", Some("message 0 i notification"), Way::Notification, None),
    ("message of 24 bytes", Some("message 1 i"), MSG, Some(52)),
    ("its answer", Some("message 1 i answer"), CHANGED, None),
    ("the same, notification", Some("message 1 i notification"), Way::Notification, Some(60)),
    ("Ack", Some("ack"), MSG, None),
    ("its answer", None, CHANGED, None),
    ("acknowledgement of a notification", None, Way::Answer(Code::EMPTY), None),
    ("B1, salted", Some("B1 of a later life"), KEX, None),
    ("message of 24 bytes, salted", Some("message 2 i"), MSG, None),
    ("salted message, notification", Some("message 2 i notification"), Way::Notification, None),
    ("Register, padded", Some("register padded"), REGISTER, None),
    ("Registered, padded", Some("registered padded"), CREATED, None),
    ("Attach, padded", Some("attach padded"), Way::To(Code::FETCH, "msg", true), None),
    ("Inbox, empty answer, padded", Some("inbox padded"), Way::Notification, None),
    ("Ack, padded", Some("ack padded"), MSG, None),
    ("A1, padded", Some("A1 padded"), NEGOTIATE, None),
    ("message of 24 bytes, padded", Some("message 1 padded"), MSG, None),
    ("its notification, padded", Some("message 1 padded notification"), Way::Notification, None),
];

/// Rows of A1…B7, and those of B1…B7 in them.
const HANDSHAKE: std::ops::Range<usize> = 6..18;
const RUN: std::ops::Range<usize> = 12..18;

/// A CoAP message; `block` is which of the payload, and how large.
fn message(way: Way, payload: &[u8], token: usize, block: Option<BlockValue>) -> usize {
    let mut packet = Packet::new();
    let mut push = |option: u16, value: &[u8]| packet.add_option(CoapOption::from(option), value.to_vec());
    let first = block.is_none_or(|block| block.num == 0);
    let (kind, code) = match way {
        Way::To(code, path, with_format) => {
            push(number::URI_PATH, path.as_bytes());
            if with_format {
                push(number::CONTENT_FORMAT, &[CBOR]);
            }
            if code == Code::FETCH {
                push(number::OBSERVE, &[]);
            }
            if let Some(block) = block {
                push(number::BLOCK1, &block.to_bytes());
                push(number::REQUEST_TAG, &[0; 4]);
            }
            if first && block.is_some_and(|block| block.szx > 2) {
                let len = payload.len().to_be_bytes();
                let zeros = len.iter().take_while(|byte| **byte == 0).count();
                push(number::SIZE1, &len[zeros..]);
            }
            (MessageType::Confirmable, code)
        }
        Way::Answer(code) => (MessageType::Acknowledgement, code),
        Way::Notification => {
            if first {
                push(number::OBSERVE, &[1, 0]);
            }
            (MessageType::Confirmable, Code::CONTENT)
        }
    };
    if !matches!(way, Way::To(..)) {
        if !payload.is_empty() {
            push(number::CONTENT_FORMAT, &[CBOR]);
        }
        if let Some(block) = block {
            push(number::ETAG, &[0; 4]);
            push(number::BLOCK2, &block.to_bytes());
        }
    }
    packet.header.set_type(kind);
    packet.header.code = MessageClass::from(code.0);
    // An empty message has no token.
    packet.set_token(vec![0; if code == Code::EMPTY { 0 } else { token }]);
    let (from, to) = match block {
        None => (0, payload.len()),
        Some(block) => (block.offset(), payload.len().min(block.offset() + (16 << block.szx))),
    };
    packet.payload = payload[from..to].to_vec();
    packet.to_bytes_unlimited().expect("no option is long").len()
}

/// How many frames: 1, or the number of blocks and their size.
fn frames(way: Way, payload: &[u8], token: usize, room: usize) -> (usize, Option<usize>) {
    if message(way, payload, token, None) <= room {
        return (1, None);
    }
    for szx in BLOCKS {
        let count = payload.len().div_ceil(16 << szx);
        let block = |num: usize| BlockValue { num: num as u32, more: num + 1 < count, szx };
        if (0..count).all(|num| message(way, payload, token, Some(block(num))) <= room) {
            return (count, Some(16 << szx));
        }
    }
    panic!("not even blocks of 16 bytes fit {room}");
}

fn payloads(profile: Profile) -> Vec<Vec<u8>> {
    let file = vectors::file(profile, Suite::AesCcm8);
    let find = |name: &str| vectors::find(&file, &format!("{name} payload")).expect(name);
    ROWS.iter().map(|(_, name, ..)| name.map(find).unwrap_or_default()).collect()
}

fn table(profile: Profile, out: &mut String) {
    let compact = profile == Profile::Compact;
    let payloads = payloads(profile);
    writeln!(out, "\n### {profile}\n").expect(GROWS);
    let budget = if compact { " budget |" } else { "" };
    writeln!(out, "| message | payload |{budget} CoAP | frames of 93 | frames of 72 |").expect(GROWS);
    writeln!(out, "|---|---|{}---|---|---|", if compact { "---|" } else { "" }).expect(GROWS);
    for ((name, _, way, budget), payload) in ROWS.iter().zip(&payloads) {
        write!(out, "| {name} | {} |", payload.len()).expect(GROWS);
        if compact {
            write!(out, " {} |", budget.map_or(String::new(), |bytes| bytes.to_string())).expect(GROWS);
        }
        write!(out, " {} |", message(*way, payload, 2, None)).expect(GROWS);
        for room in FRAMES {
            match frames(*way, payload, 2, room) {
                (count, None) => write!(out, " {count} |").expect(GROWS),
                (count, Some(size)) => write!(out, " {count} of {size} |").expect(GROWS),
            }
        }
        out.push('\n');
    }
}

/// Rows that fit with a token of 2 bytes, and with one of 8 do not.
fn longer_tokens(out: &mut String) {
    writeln!(out, "\n### Tokens of 8 bytes (`compact`)\n").expect(GROWS);
    for room in FRAMES {
        let payloads = payloads(Profile::Compact);
        let lost = ROWS.iter().zip(&payloads).filter(|((_, _, way, _), payload)| {
            frames(*way, payload, 2, room).0 == 1 && frames(*way, payload, 8, room).0 > 1
        });
        let names: Vec<_> = lost.map(|((name, ..), _)| *name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join("; ") };
        writeln!(out, "- Fit {room} with a token of 2 bytes, and not with one of 8: {names}.").expect(GROWS);
    }
}

/// The block that has the most options.
fn first_blocks(out: &mut String) {
    writeln!(out, "\n### First block of 64 bytes, as a CoAP message\n").expect(GROWS);
    for profile in [Profile::Compact, Profile::Classic] {
        for ((name, _, way, _), payload) in ROWS.iter().zip(payloads(profile)) {
            if matches!(way, Way::To(..)) && payload.len() > 64 {
                let block = BlockValue { num: 0, more: true, szx: 2 };
                writeln!(out, "- {profile}, {name}: {}", message(*way, &payload, 2, Some(block))).expect(GROWS);
            }
        }
    }
}

fn totals(out: &mut String) {
    writeln!(out, "\n### Handshake\n\n| payload bytes | compact | classic | classic3072 |\n|---|---|---|---|")
        .expect(GROWS);
    let profiles = [Profile::Compact, Profile::Classic, Profile::Classic3072].map(payloads);
    let mut row = |name: &str, rows: &[usize]| {
        let sum = |payloads: &Vec<Vec<u8>>| rows.iter().map(|row| payloads[*row].len()).sum::<usize>();
        let [compact, classic, classic3072] = [0, 1, 2].map(|at: usize| sum(&profiles[at]));
        writeln!(out, "| {name} | {compact} | {classic} | {classic3072} |").expect(GROWS);
    };
    let of = |kind: fn(Way) -> bool| HANDSHAKE.filter(|row| kind(ROWS[*row].2)).collect::<Vec<_>>();
    row("A1…B7, both ends", &HANDSHAKE.collect::<Vec<_>>());
    row("of these: to the gateway", &of(|way| matches!(way, Way::To(..))));
    row("of these: from the gateway", &of(|way| !matches!(way, Way::To(..))));
    row("a further run: B1…B7, both ends", &RUN.collect::<Vec<_>>());
    writeln!(out, "| EDHOC | 101–242 | | |\n| DTLS 1.3 | 345–894 | | |\n| cTLS | 120–405 | | |").expect(GROWS);
}

const BEGIN: &str = "<!-- sizes: begin -->\n";
const END: &str = "<!-- sizes: end -->\n";

#[test]
fn committed_tables_are_what_the_code_makes() {
    let mut made = String::new();
    for profile in [Profile::Compact, Profile::Classic, Profile::Classic3072] {
        table(profile, &mut made);
    }
    longer_tokens(&mut made);
    first_blocks(&mut made);
    totals(&mut made);
    std::io::Write::write_all(&mut std::io::stdout(), made.as_bytes()).unwrap();

    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/sizes.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("the mark of the begin");
    let (committed, tail) = rest.split_once(END).expect("the mark of the end");
    let made = made.trim_start().to_owned() + "\n";
    if std::env::var_os("SGA_WRITE_SIZES").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}\n{made}{END}{tail}")).unwrap();
        return;
    }
    assert!(committed.trim() == made.trim(), "docs/sizes.md differs: SGA_WRITE_SIZES=1 writes it anew");
}
