//! A server with the plugtests' own resources, on the same endpoint as the gateway: for the cases whose subject the gateway's
//! resources are not (PUT, DELETE, conditions, formats, observation of something that anyone may change).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use sga_coap::link_format::{self, Link, filtered};
use sga_coap::{Code, Config, Endpoint, Event, IncomingRequest, Now, RequestId, Response, Token};

use crate::clock::Clock;

const TEXT: u16 = 0;
const XML: u16 = 41;

/// How long `/separate` takes: longer than `separate_after`, so that an empty acknowledgement goes before it.
const SLOW: Duration = Duration::from_millis(120);

/// What a PUT may change and GET shows.
#[derive(Clone)]
struct State {
    format: u16,
    body: Vec<u8>,
}

struct Observer {
    peer: SocketAddr,
    token: Token,
    path: String,
    format: u16,
}

struct Testbed {
    endpoint: Endpoint<ChaCha12Rng>,
    socket: UdpSocket,
    clock: Clock,
    states: BTreeMap<String, State>,
    observers: Vec<Observer>,
    slow: Vec<(Now, RequestId, Response)>,
}

fn methods(path: &[Vec<u8>]) -> Option<&'static [Code]> {
    const GET: &[Code] = &[Code::GET];
    const POST: &[Code] = &[Code::POST];
    const ALL: &[Code] = &[Code::GET, Code::PUT, Code::POST, Code::DELETE];
    Some(match name(path).as_str() {
        ".well-known/core" | "query" | "seg1/seg2/seg3" | "separate" | "multi-format" | "large" | "link1" | "link2" => {
            GET
        }
        "large-create" | "large-post" | "location-query" | "guarded" => POST,
        "test" | "validate" | "create1" | "large-update" | "obs" | "obs-non" | "obs-large" => ALL,
        "fetch" => &[Code::FETCH],
        _ => return None,
    })
}

fn name(path: &[Vec<u8>]) -> String {
    path.iter().map(|segment| String::from_utf8_lossy(segment).into_owned()).collect::<Vec<_>>().join("/")
}

fn large(seed: u8) -> Vec<u8> {
    (0..1_400u32).map(|at| b'a' + ((at / 64) as u8 + seed) % 26).collect()
}

fn links() -> Vec<Link> {
    let link = |path: &str| Link::new(path);
    vec![
        link("/link1").with("rt", "Type1 Type2").with("if", "If1").with("sz", "32").with("ct", "0"),
        link("/link2").with("rt", "Type2").with("if", "foo").with("ct", "0 41"),
        link("/obs").with("rt", "observe").with("ct", "0").with_flag("obs"),
        link("/test").with("rt", "test").with("title", "Default test resource"),
        link("/large").with("rt", "block").with("sz", "1400"),
    ]
}

/// Serves on loopback until it is ended. Prints `listening on ADDR`.
#[expect(clippy::print_stdout, reason = "the one who started it waits for this line")]
pub fn main() -> ExitCode {
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else { return ExitCode::FAILURE };
    let Ok(address) = socket.local_addr() else { return ExitCode::FAILURE };
    let config = Config {
        separate_after: Duration::from_millis(50),
        // Twenty times as fast as RFC 7252's, so that who does not answer is given up in seconds.
        ack_timeout: Duration::from_millis(100),
        known_path: methods,
        observable: |_, path| name(path).starts_with("obs"),
        conditional: |_, path| matches!(name(path).as_str(), "validate" | "create1"),
        needs_verified_address: |_, path| name(path) == "guarded",
        ..Config::default()
    };
    let mut keys = [0; 64];
    if getrandom::fill(&mut keys).is_err() {
        return ExitCode::FAILURE;
    }
    let (mut seed, mut echo_key) = ([0; 32], [0; 32]);
    seed.copy_from_slice(&keys[..32]);
    echo_key.copy_from_slice(&keys[32..]);
    let text = |body: &str| State { format: TEXT, body: body.as_bytes().to_vec() };
    let states = [
        ("test", text("test")),
        ("validate", text("first")),
        ("obs", text("0")),
        ("obs-non", text("0")),
        ("obs-large", State { format: TEXT, body: large(0) }),
        ("large-update", State { format: TEXT, body: large(1) }),
    ];
    let mut testbed = Testbed {
        endpoint: Endpoint::new(config, ChaCha12Rng::from_seed(seed), echo_key),
        socket,
        clock: Clock::start(),
        states: states.into_iter().map(|(name, state)| (name.to_owned(), state)).collect(),
        observers: Vec::new(),
        slow: Vec::new(),
    };
    println!("listening on {address}");
    loop {
        if let Err(error) = testbed.step() {
            println!("the socket failed: {error}");
            return ExitCode::FAILURE;
        }
    }
}

impl Testbed {
    fn step(&mut self) -> std::io::Result<()> {
        let now = self.clock.elapsed();
        let slow = self.slow.iter().map(|(at, ..)| *at).min();
        let due = self.endpoint.poll_deadline().map(|(at, _)| at).into_iter().chain(slow).min();
        let wait = due.map(|at| at.saturating_sub(now).max(Duration::from_millis(1)));
        self.socket.set_read_timeout(wait)?;
        let mut buffer = [0; 65_536];
        match self.socket.recv_from(&mut buffer) {
            Ok((len, peer)) => self.endpoint.handle_datagram(self.clock.elapsed(), peer, &buffer[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
        let now = self.clock.elapsed();
        self.endpoint.handle_timeout(now);
        while let Some(event) = self.endpoint.poll_event() {
            self.take(now, event);
        }
        for at in (0..self.slow.len()).rev() {
            if self.slow[at].0 <= now {
                let (_, id, response) = self.slow.remove(at);
                self.endpoint.respond(now, id, response);
            }
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            // What cannot be sent is lost.
            let _ = self.socket.send_to(&transmit.bytes, transmit.peer);
        }
        Ok(())
    }

    fn take(&mut self, now: Now, event: Event) {
        match event {
            Event::Request(request) => {
                let id = request.id;
                // It serves nobody but this machine, so that there is no address to doubt.
                self.endpoint.mark_verified(request.peer, now);
                let path = name(&request.path);
                let slow = path == "separate";
                let response = self.serve(now, &path, request);
                if slow {
                    self.slow.push((now + SLOW, id, response));
                } else {
                    self.endpoint.respond(now, id, response);
                }
            }
            Event::ObserverGone { peer, token, .. } => {
                self.observers.retain(|observer| (observer.peer, observer.token) != (peer, token));
            }
            Event::ObserverIdle { peer, token } => {
                let of = self.observers.iter().find(|observer| (observer.peer, observer.token) == (peer, token));
                if let Some(path) = of.map(|observer| observer.path.clone()) {
                    self.tell(now, &path);
                }
            }
            _ => {}
        }
    }

    fn serve(&mut self, now: Now, path: &str, request: IncomingRequest) -> Response {
        let content = |format: u16, body: &[u8]| Response::new(Code::CONTENT).with_payload(format, body);
        match (path, request.method) {
            (".well-known/core", _) => match filtered(&links(), &request.query) {
                Some(text) => content(link_format::CONTENT_FORMAT, text.as_bytes()).with_hashed_etag(),
                None => Response::problem(Code::BAD_REQUEST, "not a filter", ""),
            },
            ("query", _) => content(TEXT, name(&request.query).as_bytes()),
            ("seg1/seg2/seg3" | "separate" | "link1" | "link2", _) => content(TEXT, path.as_bytes()),
            ("large", _) => content(TEXT, &large(7)),
            ("multi-format", _) => match request.accept {
                None | Some(TEXT) => content(TEXT, b"text"),
                Some(XML) => content(XML, b"<xml/>"),
                Some(_) => Response::problem(Code::NOT_ACCEPTABLE, "0 or 41", ""),
            },
            ("large-create", _) => {
                let response = Response::new(Code::CREATED).with_location(["large-create", "1"]);
                Response { payload: request.payload.len().to_string().into_bytes(), ..response }
            }
            ("large-post" | "guarded", _) => {
                Response::new(Code::CHANGED).with_payload(TEXT, request.payload.to_ascii_uppercase())
            }
            ("location-query", _) => Response::new(Code::CREATED).with_location_query(["first=1", "second=2"]),
            ("fetch", _) => content(TEXT, &request.payload.repeat(40)),
            (_, Code::GET) => self.get(path, &request),
            (_, Code::PUT) => self.put(now, path, request),
            (_, Code::DELETE) => {
                self.states.remove(path);
                self.end_observers(now, path, Code::NOT_FOUND, |_| true);
                Response::new(Code::DELETED)
            }
            _ => Response::new(Code::CREATED).with_location(["test", "1"]),
        }
    }

    fn get(&mut self, path: &str, request: &IncomingRequest) -> Response {
        let Some(state) = self.states.get(path) else {
            return Response::problem(Code::NOT_FOUND, "not there", "");
        };
        if !request.accepts(state.format) {
            return Response::problem(Code::NOT_ACCEPTABLE, "not in that format", "");
        }
        if request.registers() {
            let (peer, token) = (request.peer, request.token);
            self.observers.retain(|observer| (observer.peer, observer.token) != (peer, token));
            self.observers.push(Observer { peer, token, path: path.to_owned(), format: state.format });
        }
        Response::new(Code::CONTENT).with_payload(state.format, state.body.clone()).with_hashed_etag().with_observe()
    }

    fn put(&mut self, now: Now, path: &str, request: IncomingRequest) -> Response {
        let old = self.states.get(path);
        let etag = old.map(|state| Response::new(Code::CONTENT).with_payload(0, state.body.clone()).with_hashed_etag());
        let etag = etag.and_then(|response| response.etag);
        let matches = |wanted: &Vec<u8>| wanted.is_empty() && etag.is_some() || Some(wanted) == etag.as_ref();
        let fails = !request.if_match.is_empty() && !request.if_match.iter().any(matches);
        if fails || (request.if_none_match && old.is_some()) {
            return Response::problem(Code::PRECONDITION_FAILED, "the condition does not hold", "");
        }
        let code = if old.is_some() { Code::CHANGED } else { Code::CREATED };
        let format = request.content_format.unwrap_or(TEXT);
        self.states.insert(path.to_owned(), State { format, body: request.payload });
        self.end_observers(now, path, Code::NOT_ACCEPTABLE, |observer| observer.format != format);
        self.tell(now, path);
        Response::new(code)
    }

    /// Sends the observers of a path its state.
    fn tell(&mut self, now: Now, path: &str) {
        let Some(state) = self.states.get(path) else { return };
        let response = Response::new(Code::CONTENT).with_payload(state.format, state.body.clone()).with_hashed_etag();
        let response = if path == "obs-non" { response.non_confirmable() } else { response };
        for observer in self.observers.iter().filter(|observer| observer.path == path) {
            // One that is gone is reported with an event.
            let _ = self.endpoint.notify(now, observer.peer, &observer.token, response.clone());
        }
    }

    fn end_observers(&mut self, now: Now, path: &str, code: Code, which: impl Fn(&Observer) -> bool) {
        let (gone, stay) = self.observers.drain(..).partition(|observer| observer.path == path && which(observer));
        self.observers = stay;
        let gone: Vec<Observer> = gone;
        for observer in gone {
            let _ = self.endpoint.notify(now, observer.peer, &observer.token, Response::new(code));
        }
    }
}
