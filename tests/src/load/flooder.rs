//! The flood: one thread, as a process of its own, that sends from many addresses and ports and hears nothing.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;
use sga_coap::option_number as number;
use sga_crypto::{GroupId, PkPurpose, Seed, steps};
use sga_schema::{Attach, Handle, Message, MessagePost, Register, Sealed};

use super::clock::Clock;

/// First argument that makes this program the flood.
pub(crate) const FLOODER: &str = "__flooder";

/// Datagrams from one source before its socket is given another address and port.
const PER_SOURCE: u32 = 16;

/// Payloads that are made before it begins and then sent again and again: the gateway remembers nothing of them.
const PAYLOADS: usize = 64;

/// The lowest priority: a flood comes from other machines, which take bandwidth and not the gateway's time slices.
const NICE: i32 = 19;

/// Datagrams between two looks at the clock.
const BATCH: u32 = 32;

/// Block1 0/1/6: the first of several, of the largest size.
const BLOCK_FIRST: u8 = 0x0e;
const BLOCK_LEN: usize = 1_024;

/// What the flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Variant {
    /// A1, well-formed, without Echo, from many sources.
    A1,
    /// Register, the same.
    Register,
    /// Random bytes, from many sources.
    Junk,
    /// Attaches with random tickets, from many sources.
    Attach,
    /// Messages for random handles, from many sources: each names something that may exist.
    Message,
    /// GET /register, from many sources: the answer is longer than the question.
    Get,
    /// The first block of an upload to /msg that never goes on, from many sources.
    Block,
    /// A1 with a valid Echo value, from one source.
    Echoed,
    /// A1 without; the established sessions send each text from another address, which is a stranger's.
    Moved,
}

impl Variant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A1 => "a1",
            Self::Register => "register",
            Self::Junk => "junk",
            Self::Attach => "attach",
            Self::Message => "message",
            Self::Get => "get",
            Self::Block => "block",
            Self::Echoed => "echoed",
            Self::Moved => "moved",
        }
    }

    fn path(self) -> (u8, &'static [u8]) {
        match self {
            Self::Register => (2, b"register"),
            Self::Get => (1, b"register"),
            Self::A1 | Self::Echoed | Self::Moved | Self::Junk => (2, b"negotiate"),
            Self::Attach => (5, b"msg"),
            Self::Message | Self::Block => (2, b"msg"),
        }
    }
}

fn encoded<'a, M: Message<'a>>(message: &M) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; sga_schema::encoded_len(message)];
    let len = sga_schema::encode(message, &mut bytes).map_err(|error| format!("cannot encode: {error}"))?;
    bytes.truncate(len);
    Ok(bytes)
}

fn random<const N: usize>(rng: &mut ChaCha12Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A payload with a true element of the group: only the work would show that it is sealed for another gateway.
fn payload(variant: Variant, rng: &mut ChaCha12Rng) -> Result<Vec<u8>, String> {
    let group = GroupId::Ristretto255;
    let sealed = |rng: &mut ChaCha12Rng, plain: &[u8]| {
        let public = group.exp_base(&Seed::new(rng));
        let mut out = vec![0; plain.len() + steps::pk_overhead(group)];
        let len = steps::pk_seal(group, &public, &Seed::new(rng), PkPurpose::Negotiate, plain, &mut out);
        out.truncate(len.map_err(|error| format!("cannot seal: {error}"))?);
        Ok::<_, String>(out)
    };
    match variant {
        Variant::A1 | Variant::Echoed | Variant::Moved => encoded(&Sealed(&sealed(rng, &[7; 52])?)),
        Variant::Register => encoded(&Register { sealed_key: &sealed(rng, &[7; 42])?, sealed_id: &random::<24>(rng) }),
        Variant::Attach => encoded(&Attach { ticket: random(rng), nonce: random(rng), sealed: &random::<20>(rng) }),
        Variant::Message => encoded(&MessagePost {
            handle: Handle(random(rng)),
            run: 1,
            sequence: 1,
            ciphertext: &random::<32>(rng),
            hop_tag: random(rng),
            salt: None,
        }),
        Variant::Get => Ok(Vec::new()),
        Variant::Block => {
            let mut bytes = vec![0; BLOCK_LEN];
            rng.fill_bytes(&mut bytes);
            Ok(bytes)
        }
        Variant::Junk => {
            let len = rng.next_u32() as usize % 200;
            let mut bytes = vec![0; len];
            rng.fill_bytes(&mut bytes);
            Ok(bytes)
        }
    }
}

/// CON, no token, one path segment of fewer than 13 bytes.
fn request(variant: Variant, payload: &[u8], echo: Option<&[u8]>) -> Vec<u8> {
    if variant == Variant::Junk {
        return payload.to_vec();
    }
    let (code, path) = variant.path();
    let mut bytes = vec![0x40, code, 0, 0, 0xb0 | path.len() as u8];
    bytes.extend_from_slice(path);
    if variant == Variant::Block {
        bytes.extend_from_slice(&[0xd1, (number::BLOCK1 - number::URI_PATH - 13) as u8, BLOCK_FIRST]);
    }
    if let Some(echo) = echo {
        bytes.extend_from_slice(&[0xd0 | echo.len() as u8, (number::ECHO - number::URI_PATH - 13) as u8]);
        bytes.extend_from_slice(echo);
    }
    if !payload.is_empty() {
        bytes.push(0xff);
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// Another source: nearly all of 127.0.0.0/8 that nobody else uses here.
fn source(count: u32) -> SocketAddr {
    let [_, b, c, d] = count.to_be_bytes();
    SocketAddr::from(([127, 64 | (b & 63), c, d.max(1)], 0))
}

fn bind(address: SocketAddr, gateway: SocketAddr) -> Result<UdpSocket, String> {
    let failed = |error: std::io::Error| format!("cannot open a socket at {address}: {error}");
    let socket = UdpSocket::bind(address).map_err(failed)?;
    socket.connect(gateway).map_err(failed)?;
    Ok(socket)
}

/// An Echo value for a socket's address.
fn ask_echo(socket: &UdpSocket, request: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("asking for Echo: {error}");
    socket.set_read_timeout(Some(Duration::from_secs(1))).map_err(failed)?;
    let mut answer = [0; 64];
    for _ in 0..5 {
        socket.send(request).map_err(failed)?;
        if let Ok(len) = socket.recv(&mut answer)
            && len == 18
        {
            return Ok(answer[6..18].to_vec());
        }
    }
    Err("the gateway asks for no Echo".to_owned())
}

struct Flooder {
    gateway: SocketAddr,
    socket: UdpSocket,
    sources: u32,
    sent: u64,
    datagrams: Vec<Vec<u8>>,
    variant: Variant,
}

impl Flooder {
    fn new(gateway: SocketAddr, variant: Variant) -> Result<Self, String> {
        let mut rng = ChaCha12Rng::from_seed([9; 32]);
        let payloads = (0..PAYLOADS).map(|_| payload(variant, &mut rng)).collect::<Result<Vec<_>, _>>()?;
        let socket = bind(source(1), gateway)?;
        let echo = match variant {
            Variant::Echoed => Some(ask_echo(&socket, &request(variant, &payloads[0], None))?),
            _ => None,
        };
        socket.set_nonblocking(true).map_err(|error| format!("a socket: {error}"))?;
        let datagrams = payloads.iter().map(|payload| request(variant, payload, echo.as_deref())).collect();
        Ok(Self { gateway, socket, sources: 1, sent: 0, datagrams, variant })
    }

    fn send_one(&mut self) -> Result<(), String> {
        let at = self.sent as usize % self.datagrams.len();
        let datagram = &mut self.datagrams[at];
        if self.variant != Variant::Junk {
            // Never the number before: what is remembered of one must not answer for another.
            datagram[2..4].copy_from_slice(&(self.sent as u16).to_be_bytes());
        }
        // What cannot be sent is as good as lost; refusals come by ICMP once a source has moved on.
        let _ = self.socket.send(datagram);
        self.sent += 1;
        if self.variant == Variant::Echoed {
            // Its answers would fill its own buffer, at no cost to the gateway; they are read so that none is refused.
            let mut answer = [0; 256];
            while self.socket.recv(&mut answer).is_ok() {}
        } else if self.sent.is_multiple_of(u64::from(PER_SOURCE)) {
            self.sources += 1;
            self.socket = bind(source(self.sources), self.gateway)?;
        }
        Ok(())
    }

    /// `pps`: datagrams a second, or 0.
    fn run(&mut self, time: Duration, pps: u32) -> Result<Duration, String> {
        let clock = Clock::start();
        loop {
            let now = clock.now();
            if now >= time {
                return Ok(now);
            }
            let due = if pps == 0 { u64::MAX } else { (now.as_secs_f64() * f64::from(pps)) as u64 };
            for _ in 0..BATCH {
                if self.sent < due {
                    self.send_one()?;
                }
            }
            if self.sent >= due {
                std::thread::yield_now();
            }
        }
    }
}

/// `__flooder GATEWAY VARIANT SECONDS PPS`: says `flooding`, and at the end one JSON object.
pub(crate) fn main(args: &[std::ffi::OsString]) -> ExitCode {
    let text = |at: usize| args.get(at).map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default();
    let run = || {
        let gateway = text(2).parse().map_err(|_| "no address of a gateway")?;
        let variant = <Variant as clap::ValueEnum>::from_str(&text(3), false)?;
        let time = text(4).parse().map(Duration::from_secs_f64).map_err(|_| "no time")?;
        let pps = text(5).parse().map_err(|_| "no rate")?;
        let mut flooder = Flooder::new(gateway, variant)?;
        rustix::process::nice(NICE).map_err(|error| format!("cannot lower its priority: {error}"))?;
        super::say("flooding");
        let took = flooder.run(time, pps)?;
        let figures = json!({ "sent": flooder.sent, "sources": flooder.sources, "seconds": took.as_secs_f64() });
        super::say(&figures.to_string());
        Ok::<_, String>(())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "the flood: {why}");
            ExitCode::FAILURE
        }
    }
}
