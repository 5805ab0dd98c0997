//! Between a client and a server: sees every datagram, loses or doubles some, and may move a client to another port as a NAT does.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::seen::{Fate, Seen, Way};

/// How often a thread looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

type Rule = Box<dyn FnMut(&Seen) -> Fate + Send>;

struct Shared {
    clock: Clock,
    inner: UdpSocket,
    server: SocketAddr,
    stop: AtomicBool,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    rule: Option<Rule>,
    /// The outer socket of each client.
    outer: HashMap<SocketAddr, (usize, Arc<UdpSocket>)>,
    ports: usize,
    threads: Vec<JoinHandle<()>>,
}

/// A relay to one server.
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Relay {
    /// Starts one on loopback.
    ///
    /// # Errors
    /// There is no socket to be had.
    pub fn start(server: SocketAddr) -> Result<Relay, String> {
        let failed = |error: std::io::Error| format!("relay: {error}");
        let any: SocketAddr =
            if server.is_ipv4() { ([127, 0, 0, 1], 0).into() } else { ([0, 0, 0, 0, 0, 0, 0, 1], 0).into() };
        let inner = UdpSocket::bind(any).map_err(failed)?;
        inner.set_read_timeout(Some(LOOK)).map_err(failed)?;
        let address = inner.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            clock: Clock::start(),
            inner,
            server,
            stop: AtomicBool::new(false),
            state: Mutex::new(State::default()),
            moved: Condvar::new(),
        });
        let up = shared.clone();
        let thread = spawn(move || up.serve_clients());
        shared.lock().threads.push(thread);
        Ok(Relay { shared, address })
    }

    /// Where clients are to send.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this decides on each datagram.
    pub fn rule(&self, rule: impl FnMut(&Seen) -> Fate + Send + 'static) {
        self.shared.lock().rule = Some(Box::new(rule));
    }

    /// Every client's next datagram comes from another port; what comes to the old ones is seen and goes no further.
    pub fn rebind(&self) {
        self.shared.lock().outer.clear();
    }

    /// All that has gone by.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// Waits until a datagram from number `from` on is so, and says which one.
    ///
    /// # Errors
    /// None was, within `timeout`.
    pub fn wait(&self, from: usize, timeout: Duration, so: impl Fn(&Seen) -> bool) -> Result<(usize, Seen), String> {
        let until = self.shared.clock.elapsed() + timeout;
        let mut state = self.shared.lock();
        loop {
            if let Some(at) = state.seen.iter().skip(from).position(&so).map(|at| at + from) {
                return Ok((at, state.seen[at].clone()));
            }
            let left = until.saturating_sub(self.shared.clock.elapsed());
            if left.is_zero() {
                return Err(format!("what was waited for did not come within {timeout:?}"));
            }
            state = self.shared.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.shared.lock().threads);
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve_clients(self: Arc<Self>) {
        let mut buffer = [0; 65_536];
        while !self.stop.load(Ordering::Relaxed) {
            match self.inner.recv_from(&mut buffer) {
                Ok((len, client)) => {
                    let Some((port, outer)) = self.outer(client) else { return };
                    let times = self.pass(Way::Up, (client, port), &buffer[..len]);
                    for _ in 0..times {
                        let _ = outer.send_to(&buffer[..len], self.server);
                    }
                }
                Err(error) if is_quiet(&error) => {}
                Err(_) => return,
            }
        }
    }

    /// The socket by which a client's datagrams go on, opened at its first.
    fn outer(self: &Arc<Self>, client: SocketAddr) -> Option<(usize, Arc<UdpSocket>)> {
        let mut state = self.lock();
        if let Some(known) = state.outer.get(&client) {
            return Some(known.clone());
        }
        let any: SocketAddr =
            if self.server.is_ipv4() { ([127, 0, 0, 1], 0).into() } else { ([0, 0, 0, 0, 0, 0, 0, 1], 0).into() };
        let socket = Arc::new(UdpSocket::bind(any).ok()?);
        socket.set_read_timeout(Some(LOOK)).ok()?;
        let port = state.ports;
        state.ports += 1;
        state.outer.insert(client, (port, socket.clone()));
        let (shared, back) = (self.clone(), socket.clone());
        state.threads.push(spawn(move || shared.serve_server(client, port, &back)));
        Some((port, socket))
    }

    fn serve_server(&self, client: SocketAddr, port: usize, outer: &UdpSocket) {
        let mut buffer = [0; 65_536];
        while !self.stop.load(Ordering::Relaxed) {
            match outer.recv_from(&mut buffer) {
                Ok((len, _)) => {
                    let times = self.pass(Way::Down, (client, port), &buffer[..len]);
                    let current = self.lock().outer.get(&client).is_some_and(|(own, _)| *own == port);
                    for _ in 0..if current { times } else { 0 } {
                        let _ = self.inner.send_to(&buffer[..len], client);
                    }
                }
                Err(error) if is_quiet(&error) => {}
                Err(_) => return,
            }
        }
    }

    /// Writes a datagram down and says how often it is to go on.
    fn pass(&self, way: Way, of: (SocketAddr, usize), bytes: &[u8]) -> usize {
        let mut seen = Seen::new(self.clock.elapsed(), way, of, bytes);
        let mut state = self.lock();
        if let Some(rule) = &mut state.rule {
            seen.fate = rule(&seen);
        }
        let times = match seen.fate {
            Fate::Pass => 1,
            Fate::Drop => 0,
            Fate::Double => 2,
        };
        state.seen.push(seen);
        self.moved.notify_all();
        times
    }
}

fn is_quiet(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused)
}

#[expect(clippy::disallowed_methods, reason = "a socket each; they end with the relay")]
fn spawn(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(work)
}
