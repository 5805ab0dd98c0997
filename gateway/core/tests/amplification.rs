//! What an address that has shown nothing is sent, for what seems to come from it: each request type, and the cases of
//! draft-irtf-t2trg-amplification-attacks.
//!
//! The attacker forges the address of a victim, which answers nothing. Everything counts that reaches the victim in ten minutes.

mod support;

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use sga_coap::option_number as number;
use sga_gateway_core::Settings;
use sga_schema::{NegotiateSecret, Profile, Proof, Role, Suite};
use support::{Dev, Run, Session, World, encoded, id, sealed_bytes};

const CON: u8 = 0;
const NON: u8 = 1;
const GET: u8 = 1;
const POST: u8 = 2;
const FETCH: u8 = 5;

/// Of writing to a String.
const GROWS: &str = "a String grows";

/// A request, spelled out.
#[derive(Clone)]
struct Raw {
    kind: u8,
    code: u8,
    mid: u16,
    token: usize,
    options: Vec<(u16, Vec<u8>)>,
    payload: Vec<u8>,
}

impl Raw {
    fn new(code: u8, path: &[&str]) -> Self {
        let options = path.iter().map(|segment| (number::URI_PATH, segment.as_bytes().to_vec())).collect();
        Self { kind: CON, code, mid: 1, token: 0, options, payload: Vec::new() }
    }

    fn with(mut self, option: u16, value: &[u8]) -> Self {
        self.options.push((option, value.to_vec()));
        self
    }

    fn body(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self.with(number::CONTENT_FORMAT, &[60]) }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0x40 | self.kind << 4 | self.token as u8, self.code];
        out.extend(self.mid.to_be_bytes());
        out.extend(vec![7; self.token]);
        let mut options = self.options.clone();
        options.sort_by_key(|(option, _)| *option);
        let mut last = 0;
        for (option, value) in options {
            let nibble = |value: usize| match value {
                0..=12 => (value as u8, vec![]),
                13..=268 => (13, vec![(value - 13) as u8]),
                _ => (14, ((value - 269) as u16).to_be_bytes().to_vec()),
            };
            let ((delta, more), (len, longer)) = (nibble(usize::from(option - last)), nibble(value.len()));
            out.push(delta << 4 | len);
            out.extend(more.into_iter().chain(longer).chain(value));
            last = option;
        }
        if !self.payload.is_empty() {
            out.push(0xff);
            out.extend(&self.payload);
        }
        out
    }

    /// As CON and NON, without a token and with the longest.
    fn each_way(&self) -> Vec<Self> {
        let ways = [(CON, 0), (CON, 8), (NON, 0), (NON, 8)];
        ways.iter().map(|&(kind, token)| Self { kind, token, ..self.clone() }).collect()
    }

    /// Whole, and its first block of each size that is smaller than the payload.
    fn whole_and_first_block(&self) -> Vec<Self> {
        let mut all = vec![self.clone()];
        for szx in 0..7_u8 {
            if self.payload.len() > 16 << szx {
                let block = self.clone().with(number::BLOCK1, &[0x08 | szx]);
                all.push(Self { payload: self.payload[..16 << szx].to_vec(), ..block });
            }
        }
        all
    }
}

/// One row of the table: the worst of its variants.
struct Row {
    name: &'static str,
    bound: usize,
    got: usize,
    sent: usize,
    variants: usize,
}

/// A world with a registered device whose inbox is full, and the table so far.
struct Bench {
    world: World,
    amy: Dev,
    bob: Dev,
    session: Session,
    run: Run,
    sequence: u32,
    victims: u16,
    rows: Vec<Row>,
}

impl Bench {
    fn new() -> Self {
        let mut world = World::compact();
        let (mut amy, mut bob) = (world.device("amy", 1), world.device("bob", 2));
        let session = world.agree(&mut amy, &mut bob);
        let run = world.close(&session, &amy, &bob, 1);
        let mut bench = Self { world, amy, bob, session, run, sequence: 0, victims: 0, rows: Vec::new() };
        for _ in 0..8 {
            bench.message(&[7; 700]);
        }
        bench
    }

    /// Amy sends bob a message.
    fn message(&mut self, text: &[u8]) {
        let request = self.world.message(&self.session, &self.run, Role::Initiator, self.sequence, text);
        self.sequence += 1;
        self.world.post(self.amy.addr, "msg", &request);
    }

    /// Somebody who has never been heard of.
    fn victim(&mut self) -> SocketAddr {
        self.victims += 1;
        SocketAddr::from(([198, 51, (self.victims >> 8) as u8, self.victims as u8], 5_683))
    }

    fn feed(&mut self, victim: SocketAddr, bytes: &[u8]) -> usize {
        self.world.gateway.handle_datagram(self.world.now, victim, bytes);
        self.world.pump();
        bytes.len()
    }

    /// Ten minutes pass in which the victim says nothing; what it was sent.
    fn wait(&mut self, victim: SocketAddr) -> usize {
        for _ in 0..600 {
            self.world.pass(1);
        }
        self.world.sent_to.get(&victim).copied().unwrap_or_default()
    }

    /// What a scenario sends from a victim's address, and what comes there.
    fn scenario(&mut self, name: &'static str, bound: usize, act: impl FnOnce(&mut Self, SocketAddr) -> usize) {
        let victim = self.victim();
        let got = act(self, victim);
        let sent = self.wait(victim);
        self.note(name, bound, got, sent);
    }

    fn note(&mut self, name: &'static str, bound: usize, got: usize, sent: usize) {
        assert!(sent <= bound * got, "{name}: {sent} bytes for {got}, at most {bound} times");
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => {
                row.variants += 1;
                if sent * row.got > row.sent * got {
                    (row.got, row.sent) = (got, sent);
                }
            }
            None => self.rows.push(Row { name, bound, got, sent, variants: 1 }),
        }
    }

    /// Each of these datagrams from a victim of its own.
    fn each(&mut self, name: &'static str, bound: usize, requests: impl IntoIterator<Item = Vec<u8>>) {
        for bytes in requests {
            let victim = self.victim();
            let got = self.feed(victim, &bytes);
            // What is answered at once needs no ten minutes.
            let sent = if self.world.gateway.is_idle() { self.settle(victim) } else { self.wait(victim) };
            self.note(name, bound, got, sent);
        }
    }

    /// As [`Self::wait`], for a victim that nothing is remembered of.
    fn settle(&mut self, victim: SocketAddr) -> usize {
        for _ in 0..8 {
            self.world.pass(20);
        }
        self.world.sent_to.get(&victim).copied().unwrap_or_default()
    }

    fn next_attach(&mut self) -> Vec<u8> {
        self.bob.attach_number += 1;
        self.bob.nonce = self.world.random();
        self.world.attach_bytes(&self.bob)
    }
}

fn all_ways(raw: &Raw) -> Vec<Vec<u8>> {
    raw.each_way().iter().map(Raw::bytes).collect()
}

/// Register, A1 and A3 as devices make them, and with the longest names: of each profile.
fn costly(bench: &mut Bench) {
    for profile in [Profile::Compact, Profile::Classic, Profile::Classic3072] {
        let mut world = World::with(Settings::new(id("gate"), profile));
        let dev = Dev::new("d", 9);
        let register = world.register_bytes(&dev, Proof::None);
        let a1 = world.a1(&dev, id("e"), Suite::ALL[0], [1; 16]);
        let a1 = world.negotiate_bytes(&NegotiateSecret::Invite(a1));
        // An A3 has no shape of its own on the wire: this is one of its length.
        let a3 = sealed_bytes(&vec![3; a1.len().saturating_sub(12)]);
        for (name, path, payload) in
            [("Register", "register", &register), ("A1", "negotiate", &a1), ("A3", "negotiate", &a3)]
        {
            let raw = Raw::new(POST, &[path]).body(payload);
            for part in raw.whole_and_first_block() {
                // A datagram of more than 1,280 bytes is refused for its length.
                let all = all_ways(&part).into_iter().filter(|bytes| bytes.len() <= 1_280);
                bench.each(name, 1, all.collect::<Vec<_>>());
            }
        }
    }
}

/// What anyone may ask for, in blocks of each size, and follow-ups.
fn public(bench: &mut Bench) {
    for (name, path) in [("GET /register", &["register"][..]), ("GET /.well-known/core", &[".well-known", "core"])] {
        let raw = Raw::new(GET, path);
        bench.each(name, 3, all_ways(&raw));
        bench.each(name, 3, all_ways(&raw.clone().with(number::OBSERVE, &[])));
        for szx in 0..8 {
            bench.each(name, 3, all_ways(&raw.clone().with(number::BLOCK2, &[szx])));
            bench.each(name, 3, all_ways(&raw.clone().with(number::BLOCK2, &[0x10 | szx])));
            bench.scenario("all blocks of GET /register, and of /.well-known/core", 3, |bench, victim| {
                (0..40_u16).fold(0, |got, num| {
                    let value = (num << 4 | u16::from(szx)).to_be_bytes();
                    let block = Raw { mid: num, ..raw.clone().with(number::BLOCK2, &value) };
                    got + bench.feed(victim, &block.bytes())
                })
            });
        }
        bench.scenario("one GET, ten times under one message ID and ten under others", 3, |bench, victim| {
            let repeated = (0..10).map(|_| raw.clone());
            let others = (2..12).map(|mid| Raw { mid, ..raw.clone() });
            repeated.chain(others).fold(0, |got, raw| got + bench.feed(victim, &raw.bytes()))
        });
    }
    bench.each(
        "GET /.well-known/core with a filter",
        3,
        all_ways(&Raw::new(GET, &[".well-known", "core"]).with(number::URI_QUERY, b"rt=sga.*")),
    );
}

/// What is refused, and what is none.
fn refused(bench: &mut Bench) {
    let get = Raw::new(GET, &["register"]);
    let oversized = Raw::new(POST, &["register"]).body(&[0; 1_300]);
    for (name, raw) in [
        ("no path, unknown path", Raw::new(GET, &[])),
        ("no path, unknown path", Raw::new(GET, &["x"])),
        ("wrong method", Raw::new(3, &["msg"])),
        ("wrong method", Raw::new(GET, &["msg"])),
        ("wrong method", Raw::new(31, &["kex"])),
        ("unknown critical option", get.clone().with(65_001, &[])),
        ("unknown elective option", get.clone().with(65_000, &[])),
        ("Proxy-Uri, Proxy-Scheme", get.clone().with(number::PROXY_URI, b"coap://victim/")),
        ("Proxy-Uri, Proxy-Scheme", get.clone().with(number::PROXY_SCHEME, b"coap")),
        ("conditional", get.clone().with(number::IF_NONE_MATCH, &[])),
        ("Accept, Content-Format that is not served", get.clone().with(number::ACCEPT, &[50])),
        ("Accept, Content-Format that is not served", Raw::new(POST, &["kex"]).with(number::CONTENT_FORMAT, &[50])),
        ("no body", Raw::new(POST, &["register"])),
        ("no body", Raw::new(POST, &["negotiate"])),
        ("no body", Raw::new(POST, &["kex"])),
        ("no body", Raw::new(POST, &["msg"])),
        ("no body", Raw::new(FETCH, &["msg"])),
        ("later block of nothing", Raw::new(POST, &["register"]).with(number::BLOCK1, &[0x10])),
        ("later block of nothing", Raw::new(POST, &["msg"]).with(number::BLOCK1, &[0x18])),
        ("later block of nothing", Raw::new(FETCH, &["msg"]).with(number::BLOCK2, &[0x16])),
        ("longer than 1,280 bytes", oversized),
        ("Echo of somebody else", Raw::new(POST, &["negotiate"]).with(number::ECHO, &[1; 12])),
    ] {
        bench.each(name, 3, all_ways(&raw));
    }
    let strays = [
        vec![0x40, 0, 0, 1],
        vec![0x60, 0, 0, 1],
        vec![0x70, 0, 0, 1],
        vec![0x60, 0x45, 0, 1],
        vec![0x40, 0x45, 0, 1],
        vec![0x50, 0x45, 0, 1, 0x60],
        vec![0x50, 0, 0, 1],
    ];
    bench.each("ping, ACK, RST, answers to nothing", 3, strays);
    let malformed = [
        vec![0x40],
        vec![0x4f, 1, 0, 1],
        vec![0x40, 1, 0, 1, 0xff],
        vec![0x40, 1, 0, 1, 0xf0],
        vec![0x40, 1, 0, 1, 0xbd, 9],
        vec![0xc0, 1, 0, 1],
        vec![0x50, 1, 0, 1, 0xff],
        vec![],
    ];
    bench.each("malformed", 3, malformed);
}

/// Outsiders: junk that decodes, and what was recorded.
fn outsiders(bench: &mut Bench) {
    let attach = bench.next_attach();
    let fetch = Raw::new(FETCH, &["msg"]).body(&attach);
    let at = bench.bob.addr;
    bench.feed(at, &Raw { mid: 7, ..fetch.clone() }.bytes());
    for observe in [None, Some(&[][..]), Some(&[1])] {
        let mut raw = fetch.clone();
        if let Some(value) = observe {
            raw = raw.with(number::OBSERVE, value);
        }
        bench.each("Attach that was recorded", 3, all_ways(&raw));
    }
    let text = bench.world.message(&bench.session, &bench.run, Role::Initiator, 0, &[7; 700]);
    bench.each("Message that was recorded", 3, all_ways(&Raw::new(POST, &["msg"]).body(&text)));
    bench.each(
        "Half that was recorded",
        3,
        all_ways(&Raw::new(POST, &["kex"]).body(&bench.run.made[0].request.clone())),
    );
    let mut junk = text;
    if let Some(last) = junk.last_mut() {
        *last ^= 1;
    }
    bench.each("Message, Half, Attach that do not open", 3, all_ways(&Raw::new(POST, &["msg"]).body(&junk)));
    let mut junk = attach;
    if let Some(last) = junk.last_mut() {
        *last ^= 1;
    }
    bench.each(
        "Message, Half, Attach that do not open",
        3,
        all_ways(&Raw::new(FETCH, &["msg"]).body(&junk).with(number::OBSERVE, &[])),
    );
}

/// A registered device that forges an address: its own full inbox, its own messages.
fn registered(bench: &mut Bench) {
    for (kind, token) in [(CON, 0), (CON, 8), (NON, 0), (NON, 8)] {
        for szx in [None, Some(0), Some(2), Some(6)] {
            for observe in [false, true] {
                let name = if observe {
                    "Attach that observes, then 20 messages"
                } else {
                    "Attach to a full inbox, ten times"
                };
                bench.scenario(name, 3, |bench, victim| {
                    let mut raw = Raw { kind, token, ..Raw::new(FETCH, &["msg"]).body(&bench.next_attach()) };
                    if let Some(szx) = szx {
                        raw = raw.with(number::BLOCK2, &[szx]);
                    }
                    if !observe {
                        return (0..10)
                            .fold(0, |got, mid| got + bench.feed(victim, &Raw { mid, ..raw.clone() }.bytes()));
                    }
                    let got = bench.feed(victim, &raw.with(number::OBSERVE, &[]).bytes());
                    for _ in 0..20 {
                        bench.message(&[7; 40]);
                    }
                    got
                });
            }
        }
        // With an inbox that is empty the registration is granted, and there is something to tell.
        bench.scenario("Attach that observes an empty inbox, then 20 messages", 3, |bench, victim| {
            let mut bob = bench.bob.clone();
            bench.world.take(&mut bob);
            bench.bob = bob;
            let raw = Raw { kind, token, ..Raw::new(FETCH, &["msg"]).body(&bench.next_attach()) };
            let got = bench.feed(victim, &raw.with(number::OBSERVE, &[]).bytes());
            for _ in 0..20 {
                bench.message(&[7; 40]);
            }
            got
        });
        bench.scenario("Message that is good, answered late and not acknowledged", 3, |bench, victim| {
            let text = bench.world.message(&bench.session, &bench.run, Role::Initiator, bench.sequence, b"late");
            bench.sequence += 1;
            bench.world.holding = true;
            let got = bench.feed(victim, &Raw { kind, token, ..Raw::new(POST, &["msg"]).body(&text) }.bytes());
            bench.world.pass(5);
            bench.world.release();
            got
        });
    }
}

const BEGIN: &str = "<!-- amplification: begin -->\n";
const END: &str = "<!-- amplification: end -->\n";

#[test]
fn nobody_who_has_shown_nothing_is_sent_more_than_the_bounds() {
    let mut bench = Bench::new();
    costly(&mut bench);
    public(&mut bench);
    refused(&mut bench);
    outsiders(&mut bench);
    registered(&mut bench);
    // Nobody can be answered there, so nothing is sent at all.
    let got = encoded(&sga_schema::Sealed(&[1; 40]));
    for multicast in ["224.0.1.187:5683", "[ff02::fd]:5683", "0.0.0.0:5683"] {
        let peer = multicast.parse().expect("an address");
        let got = bench.feed(peer, &Raw::new(POST, &["negotiate"]).body(&got).bytes());
        let sent = bench.world.sent_to.get(&peer).copied().unwrap_or_default();
        assert_eq!(sent, 0);
        bench.note("from a multicast or unspecified address", 1, got, sent);
    }

    let mut made = String::from(
        "| from a forged address | variants | bytes got | bytes sent | times | at most |\n|---|---|---|---|---|---|\n",
    );
    for Row { name, bound, got, sent, variants } in &bench.rows {
        let times = *sent as f64 / *got as f64;
        writeln!(made, "| {name} | {variants} | {got} | {sent} | {times:.2} | {bound} |").expect(GROWS);
    }
    std::io::Write::write_all(&mut std::io::stdout(), made.as_bytes()).expect("standard output");

    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
    let text = std::fs::read_to_string(&path).expect("docs/security.md");
    let (head, rest) = text.split_once(BEGIN).expect("the mark of the begin");
    let (committed, tail) = rest.split_once(END).expect("the mark of the end");
    if std::env::var_os("SGA_WRITE_AMPLIFICATION").is_some() {
        return std::fs::write(&path, format!("{head}{BEGIN}{made}{END}{tail}")).expect("docs/security.md is written");
    }
    assert!(committed.trim() == made.trim(), "docs/security.md differs: SGA_WRITE_AMPLIFICATION=1 writes it anew");
}
