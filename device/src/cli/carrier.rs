//! What takes requests to the gateway: a socket of our own, or whoever reads our stdout.

use std::io::{BufRead, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use sga_coap::{Code, Now};

use super::output::Output;
use super::{Stop, files};
use crate::agent::{Agent, CarriedAnswer, CarriedRequest};

pub(crate) enum Carrier {
    Socket(UdpSocket),
    Files(Files),
}

/// Payloads in files, and lines about them on stdout and stdin.
pub(crate) struct Files {
    folder: PathBuf,
    lines: Receiver<std::io::Result<String>>,
}

impl Carrier {
    pub(crate) fn socket(gateway: SocketAddr) -> Result<Self, Stop> {
        let any: SocketAddr = if gateway.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).map_err(|error| Stop::failed(format!("cannot open a socket: {error}")))?;
        Ok(Self::Socket(socket))
    }

    pub(crate) fn files(folder: &Path) -> Result<Self, Stop> {
        files::make_folder(folder)?;
        let (sender, lines) = channel();
        #[expect(clippy::disallowed_methods, reason = "stdin cannot be read with a deadline otherwise")]
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self::Files(Files { folder: folder.to_owned(), lines }))
    }

    /// Sends what the agent has to send.
    pub(crate) fn transmit(&self, agent: &mut Agent, output: Output) -> Result<(), Stop> {
        match self {
            Self::Socket(socket) => {
                while let Some(transmit) = agent.poll_transmit() {
                    // A datagram that cannot be sent is one that was lost.
                    if let Err(error) = socket.send_to(&transmit.bytes, transmit.peer) {
                        log::debug!("sending: {error}");
                    }
                }
                Ok(())
            }
            Self::Files(files) => match agent.poll_carried() {
                Some(request) => files.write(&request, output),
                None => Ok(()),
            },
        }
    }

    /// Waits for what comes back, at most so long; gives it to the agent.
    pub(crate) fn receive(&self, agent: &mut Agent, now: impl Fn() -> Now, wait: Option<Duration>) -> Result<(), Stop> {
        match self {
            Self::Socket(socket) => {
                let failed = |error: std::io::Error| Stop::failed(format!("the socket failed: {error}"));
                socket.set_read_timeout(wait).map_err(failed)?;
                let mut buffer = [0; 2_048];
                match socket.recv_from(&mut buffer) {
                    Ok((len, peer)) => agent.handle_datagram(now(), peer, &buffer[..len]),
                    Err(error) => match error.kind() {
                        // The last is an ICMP answer: the gateway is away, perhaps to come back.
                        ErrorKind::WouldBlock
                        | ErrorKind::TimedOut
                        | ErrorKind::Interrupted
                        | ErrorKind::ConnectionRefused => {}
                        _ => return Err(failed(error)),
                    },
                }
                Ok(())
            }
            Self::Files(files) => {
                let line = match wait {
                    Some(wait) => files.lines.recv_timeout(wait),
                    None => files.lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
                };
                match line {
                    Ok(Ok(line)) => files.take(agent, now(), &line),
                    Ok(Err(error)) => Err(Stop::failed(format!("standard input: {error}"))),
                    Err(RecvTimeoutError::Timeout) => Ok(()),
                    Err(RecvTimeoutError::Disconnected) => {
                        Err(Stop::Failed("nobody carries requests any more: standard input has ended".into()))
                    }
                }
            }
        }
    }
}

impl Files {
    fn file(&self, number: u64, kind: &str) -> PathBuf {
        self.folder.join(format!("{number}.{kind}"))
    }

    fn write(&self, request: &CarriedRequest, output: Output) -> Result<(), Stop> {
        let (file, answer) = (self.file(request.number, "request"), self.file(request.number, "answer"));
        // One of an earlier command would be taken for the answer.
        let _ = std::fs::remove_file(&answer);
        std::fs::write(&file, &request.payload).map_err(|e| Stop::failed(format!("{}: {e}", file.display())))?;
        let method = match request.method {
            Code::GET => "GET",
            Code::FETCH => "FETCH",
            _ => "POST",
        };
        let format = request.content_format.map_or("-".to_owned(), |format| format.to_string());
        let (file, answer) = (file.display(), answer.display());
        output.line(&format!("request {} {method} /{} {format} {file} {answer}", request.number, request.path))
    }

    /// `answer N C.DD [MAX-AGE]`, the body in N.answer if there is one; or `answer N failed`.
    fn take(&self, agent: &mut Agent, now: Now, line: &str) -> Result<(), Stop> {
        let wrong =
            || Stop::Failed(format!("{line:?} on standard input: `answer N C.DD [MAX-AGE]` or `answer N failed`"));
        let words: Vec<&str> = line.split_whitespace().collect();
        let (number, code, rest) = match words.as_slice() {
            ["answer", number, code, rest @ ..] if rest.len() <= 1 => (number, *code, rest),
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let answer = if code == "failed" && rest.is_empty() {
            None
        } else {
            let code = parse_code(code).ok_or_else(wrong)?;
            let max_age = rest.first().map(|age| age.parse().map_err(|_| wrong())).transpose()?;
            let file = self.file(number, "answer");
            let payload = if file.exists() { files::read(&file)? } else { Vec::new() };
            Some(CarriedAnswer { code, max_age, payload })
        };
        if agent.carried(now, number, answer) { Ok(()) } else { Err(wrong()) }
    }
}

fn parse_code(text: &str) -> Option<Code> {
    let (class, detail) = text.split_once('.')?;
    let (class, detail): (u8, u8) = (class.parse().ok()?, detail.parse().ok()?);
    (matches!(class, 2 | 4 | 5) && detail < 32).then_some(Code((class << 5) | detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        assert_eq!(parse_code("2.05"), Some(Code::CONTENT));
        assert_eq!(parse_code("4.29"), Some(Code::TOO_MANY_REQUESTS));
        for wrong in ["", "205", "2.", ".05", "0.01", "7.00", "2.32", "2.05 ", "2.-1"] {
            assert_eq!(parse_code(wrong), None, "{wrong}");
        }
    }
}
