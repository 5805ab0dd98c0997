//! Our client, the device's, against servers of others.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use sga_coap::{Code, Config, IncomingResponse, Request};

use super::case;
use crate::bench::{Bench, PATIENCE};
use crate::check;
use crate::our_client::OurClient;
use crate::process::Process;
use crate::relay::Relay;
use crate::runner::Case;
use crate::seen::{Fate, Seen, Way};

/// Whose server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Libcoap,
    Aiocoap,
}

const SERVERS: [Server; 2] = [Server::Libcoap, Server::Aiocoap];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, servers: &[Server], run: fn(&mut Other) -> Result<(), String>| {
        for &server in servers {
            let peer = if server == Server::Libcoap { "libcoap coap-server" } else { "aiocoap server" };
            cases.push(case(name, peer, "client", move |bench| {
                let mut other = Other::start(bench, server)?;
                let result = run(&mut other);
                bench.traffic.push(other.relay.seen());
                result
            }));
        }
    };
    add("client_get", &SERVERS, get);
    add("client_discovery", &SERVERS, discovery);
    add("client_put_and_get_in_blocks", &SERVERS, put_and_get);
    add("client_get_in_blocks_of_any_size", &[Server::Aiocoap], get_large);
    add("client_post_in_blocks_both_ways", &[Server::Aiocoap], post_both_ways);
    add("client_separate_response", &SERVERS, separate);
    add("client_observe_and_cancel", &SERVERS, observe);
    add("client_echo", &[Server::Aiocoap], echo);
    add("client_losses", &SERVERS, losses);
    add("client_doubles", &SERVERS, doubles);
    add("client_no_answer", &SERVERS, no_answer);
    cases
}

/// A server of somebody else's behind a relay, and our client before it.
struct Other {
    server: Server,
    relay: Relay,
    client: OurClient,
    _process: Process,
}

impl Other {
    fn start(bench: &Bench, server: Server) -> Result<Other, String> {
        let (process, address) = match server {
            Server::Libcoap => start_libcoap()?,
            Server::Aiocoap => {
                let mut process = bench.start_python("aio_server.py", &[])?;
                let port = process.wait(PATIENCE, |line| line.strip_prefix("listening ")?.parse::<u16>().ok())?;
                (process, SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)))
            }
        };
        let relay = Relay::start(address)?;
        let client = OurClient::new(relay.address(), Config::default())?;
        Ok(Other { server, relay, client, _process: process })
    }

    fn ask(&mut self, request: Request, code: Code) -> Result<IncomingResponse, String> {
        let response = self.client.ask(request, PATIENCE)?;
        check!(response.code == code, "{} was expected: {}", code, response.code);
        Ok(response)
    }

    /// A path that takes PUT and GET.
    fn store(&self) -> &'static str {
        if self.server == Server::Libcoap { "example_data" } else { "store" }
    }
}

/// coap-server takes no port 0, so that one is looked for; it serves when a ping comes back.
fn start_libcoap() -> Result<(Process, SocketAddr), String> {
    let failed = |error: std::io::Error| error.to_string();
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(failed)?;
    let mut command = Command::new("coap-server-notls");
    command.args(["-A", "127.0.0.1", "-p", &free.port().to_string(), "-v", "0"]).stderr(Stdio::null());
    let process = Process::start("coap-server-notls", &mut command)?;
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
    socket.set_read_timeout(Some(Duration::from_millis(20))).map_err(failed)?;
    for _ in 0..500 {
        // Not connected, so that nothing is heard of what nobody took.
        let _ = socket.send_to(&[0x40, 0, 0, 1], free);
        if socket.recv(&mut [0; 16]).is_ok() {
            return Ok((process, free));
        }
    }
    Err("coap-server-notls does not serve".to_owned())
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| b'a' + ((at / 16 + at) % 26) as u8).collect()
}

fn get(other: &mut Other) -> Result<(), String> {
    let (path, expected) = match other.server {
        Server::Libcoap => ("", "libcoap"),
        Server::Aiocoap => ("hello", "hello"),
    };
    let path: Vec<&str> = if path.is_empty() { Vec::new() } else { vec![path] };
    let response = other.ask(Request::new(Code::GET, path), Code::CONTENT)?;
    let text = String::from_utf8_lossy(&response.payload).into_owned();
    check!(text.contains(expected), "{text}");
    other.ask(Request::new(Code::GET, ["not-there"]), Code::NOT_FOUND).map(|_| ())
}

fn discovery(other: &mut Other) -> Result<(), String> {
    for szx in [0, 2, 6] {
        let get = Request::new(Code::GET, [".well-known", "core"]).with_accept(40).with_block_szx(szx);
        let response = other.ask(get, Code::CONTENT)?;
        check!(response.content_format == Some(40), "{:?}", response.content_format);
        let text = String::from_utf8_lossy(&response.payload).into_owned();
        check!(text.contains("</time>") && text.contains("obs"), "{text}");
    }
    Ok(())
}

fn put_and_get(other: &mut Other) -> Result<(), String> {
    let path = other.store();
    for (len, szx) in [(10, 6), (64, 2), (65, 2), (300, 0), (3_000, 4), (5_000, 6)] {
        let body = pattern(len);
        let put = Request::new(Code::PUT, [path]).with_payload(0, body.clone()).with_block_szx(szx);
        let code = other.client.ask(put, PATIENCE)?.code;
        check!(code.is_success(), "PUT of {len} bytes in blocks of {}: {code}", 16 << szx);
        let back = other.ask(Request::new(Code::GET, [path]).with_block_szx(szx), Code::CONTENT)?;
        check!(back.payload == body, "{len} bytes in blocks of {}: {} came back", 16 << szx, back.payload.len());
    }
    Ok(())
}

fn get_large(other: &mut Other) -> Result<(), String> {
    let whole = other.ask(Request::new(Code::GET, ["large"]), Code::CONTENT)?.payload;
    check!(whole.len() == 5_000, "{} bytes", whole.len());
    for szx in 0..=6 {
        let part = other.ask(Request::new(Code::GET, ["large"]).with_block_szx(szx), Code::CONTENT)?;
        check!(part.payload == whole, "blocks of {}", 16 << szx);
    }
    Ok(())
}

fn post_both_ways(other: &mut Other) -> Result<(), String> {
    for (len, szx) in [(100, 6), (100, 2), (2_500, 5), (5_000, 6)] {
        let body = pattern(len);
        let post = Request::new(Code::POST, ["store"]).with_payload(42, body.clone()).with_block_szx(szx);
        let back = other.ask(post, Code::CHANGED)?;
        check!(back.payload == body, "{len} bytes in blocks of {}: {} came back", 16 << szx, back.payload.len());
    }
    Ok(())
}

fn separate(other: &mut Other) -> Result<(), String> {
    let request = match other.server {
        Server::Libcoap => Request::new(Code::GET, ["async"]).with_query("1"),
        Server::Aiocoap => Request::new(Code::GET, ["separate"]),
    };
    let response = other.ask(request, Code::CONTENT)?;
    check!(!response.payload.is_empty(), "no body");
    let seen = other.relay.seen();
    check!(seen.iter().any(|seen| seen.way == Way::Down && seen.is("ACK", "0.00")), "no empty ACK went before it");
    let (_, answer) = other.relay.wait(0, PATIENCE, |seen| seen.way == Way::Down && seen.is("CON", "2.05"))?;
    let acked = |seen: &Seen| seen.way == Way::Up && seen.is("ACK", "0.00") && seen.mid() == answer.mid();
    other.relay.wait(0, PATIENCE, acked).map(|_| ())
}

fn observe(other: &mut Other) -> Result<(), String> {
    let id = other.client.start(Request::new(Code::GET, ["time"]).with_observe())?;
    let first = other.client.next(id, PATIENCE)?;
    check!(first.observe.is_some(), "not an observation");
    let mut last = first;
    for _ in 0..2 {
        if other.server == Server::Aiocoap {
            // It ticks when it is told to; libcoap's ticks by itself.
            other.ask(Request::new(Code::POST, ["tick"]), Code::CHANGED)?;
        }
        let told = other.client.next(id, PATIENCE)?;
        check!(told.observe.is_some() && told.payload != last.payload, "nothing new");
        last = told;
    }
    other.client.cancel(id)?;
    let from = other.relay.seen().len();
    if other.server == Server::Aiocoap {
        other.ask(Request::new(Code::POST, ["tick"]), Code::CHANGED)?;
    }
    other.client.serve(Duration::from_millis(1_500))?;
    // Who is told that its observer is gone sends at most what was under way.
    let told = |seen: &&Seen| seen.way == Way::Down && seen.option(6).is_some();
    let seen: Vec<Seen> = other.relay.seen().into_iter().skip(from).collect();
    let after = seen.iter().filter(told).count();
    check!(after <= 1, "{after} notifications after the end");
    if after == 1 {
        let reset = seen.iter().any(|seen| seen.way == Way::Up && seen.is("RST", "0.00"));
        check!(reset, "it was not reset");
    }
    Ok(())
}

fn echo(other: &mut Other) -> Result<(), String> {
    for (method, code) in [(Code::GET, Code::CONTENT), (Code::POST, Code::CHANGED)] {
        let response = other.ask(Request::new(method, ["echo"]), code)?;
        check!(response.payload == b"you are there", "{:?}", response.payload);
    }
    let seen = other.relay.seen();
    let echoes: Vec<_> = seen.iter().filter(|seen| seen.is_request()).map(|seen| seen.option(252)).collect();
    check!(echoes.len() == 4 && echoes[0].is_none() && echoes[1].is_some(), "{echoes:?}");
    Ok(())
}

/// A third of all datagrams is lost.
fn losses(other: &mut Other) -> Result<(), String> {
    let mut count = 0;
    other.relay.rule(move |_| {
        count += 1;
        if count % 3 == 2 { Fate::Drop } else { Fate::Pass }
    });
    let (path, body) = (other.store(), pattern(120));
    let put = Request::new(Code::PUT, [path]).with_payload(0, body.clone()).with_block_szx(2);
    let code = other.client.ask(put, PATIENCE * 2)?.code;
    check!(code.is_success(), "{code}");
    let back = other.client.ask(Request::new(Code::GET, [path]), PATIENCE * 2)?;
    check!(back.payload == body, "{} bytes came back", back.payload.len());
    Ok(())
}

/// All datagrams come twice; with libcoap those of the server, since it serves a request again that comes again, and changes
/// the ETag with it.
fn doubles(other: &mut Other) -> Result<(), String> {
    let both = other.server == Server::Aiocoap;
    other.relay.rule(move |seen| if both || seen.way == Way::Down { Fate::Double } else { Fate::Pass });
    put_and_get(other)?;
    separate(other)
}

/// A server that is away: the client says so, and does not send more than it may.
fn no_answer(other: &mut Other) -> Result<(), String> {
    other.relay.rule(|_| Fate::Drop);
    // A twentieth of RFC 7252's times.
    let config = Config { ack_timeout: Duration::from_millis(100), ..Config::default() };
    let mut client = OurClient::new(other.relay.address(), config)?;
    let failed = client.ask(Request::new(Code::GET, ["time"]), PATIENCE);
    check!(failed.as_ref().is_err_and(|why| why == "no answer in time"), "{failed:?}");
    let seen = other.relay.seen();
    check!(seen.len() == 5 && seen.iter().all(|again| again.bytes == seen[0].bytes), "{} datagrams", seen.len());
    let gaps: Vec<Duration> = seen.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    check!(gaps.windows(2).all(|pair| pair[1] > pair[0].mul_f64(1.8)), "the waits do not double: {gaps:?}");
    Ok(())
}
