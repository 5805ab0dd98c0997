//! An agent on a socket, until something has come about.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use sga_coap::Now;

use super::Stop;
use super::carrier::Carrier;
use super::clock::{Clock, entropy};
use super::output::Output;
use super::state::State;
use crate::Device;
use crate::agent::{Agent, Image, Notice, PEERS};

/// A device at work.
pub(crate) struct Runner {
    pub(crate) agent: Agent,
    pub(crate) output: Output,
    state: State,
    carrier: Carrier,
    gateway: SocketAddr,
    clock: Clock,
}

/// What a command looks at to know whether it is done.
pub(crate) enum Seen<'a> {
    Notice(&'a Notice),
    /// It is on disk, printed, and will not come again.
    Text,
    /// Nothing is in flight and nothing is due.
    Idle,
}

impl Runner {
    /// `via_files`: where requests are put for others to carry.
    pub(crate) fn new(
        device: Device<PEERS>,
        image: Image,
        state: State,
        output: Output,
        via_files: Option<&Path>,
    ) -> Result<Self, Stop> {
        let gateway = resolve(&state.gateway)?;
        let mut agent = Agent::new(device, gateway, entropy()?, image);
        let carrier = match via_files {
            None => Carrier::socket(gateway)?,
            Some(folder) => {
                agent.let_others_carry();
                Carrier::files(folder)?
            }
        };
        Ok(Self { agent, output, state, carrier, gateway, clock: Clock::start() })
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn set_block_szx(&mut self, szx: Option<u8>) {
        self.agent.set_block_szx(szx);
    }

    /// Works until `done` says so; `done` may ask the agent for more.
    pub(crate) fn run<T>(
        &mut self,
        timeout: Option<Duration>,
        what: &str,
        mut done: impl FnMut(&mut Agent, Seen<'_>) -> Result<Option<T>, Stop>,
    ) -> Result<T, Stop> {
        let until = timeout.map(|timeout| self.clock.now() + timeout);
        loop {
            let now = self.clock.now();
            self.agent.drive(now);
            if self.save()? {
                continue;
            }
            if let Some(result) = self.report(&mut done)? {
                self.save()?;
                // What is due yet is for the next command, but acknowledgements are for now.
                if matches!(self.carrier, Carrier::Socket(_)) {
                    self.transmit()?;
                }
                return Ok(result);
            }
            self.transmit()?;
            if self.agent.poll_save().is_some() {
                continue;
            }
            if self.agent.is_idle()
                && let Some(result) = done(&mut self.agent, Seen::Idle)?
            {
                self.save()?;
                return Ok(result);
            }
            if self.agent.poll_save().is_some() {
                continue;
            }
            if until.is_some_and(|until| now >= until) {
                return Err(Stop::TimedOut(what.to_owned()));
            }
            self.wait(now, until)?;
        }
    }

    /// Texts and notices, in the order in which they may be shown.
    fn report<T>(
        &mut self,
        done: &mut impl FnMut(&mut Agent, Seen<'_>) -> Result<Option<T>, Stop>,
    ) -> Result<Option<T>, Stop> {
        while let Some(notice) = self.agent.poll_notice() {
            self.output.notice(&notice);
            if let Some(result) = done(&mut self.agent, Seen::Notice(&notice))? {
                return Ok(Some(result));
            }
        }
        while let Some(text) = self.agent.poll_text().cloned() {
            self.output.text(&text)?;
            self.agent.text_taken();
            if let Some(result) = done(&mut self.agent, Seen::Text)? {
                return Ok(Some(result));
            }
        }
        Ok(None)
    }

    /// Saves if there is something to be saved.
    fn save(&mut self) -> Result<bool, Stop> {
        let Some(image) = self.agent.poll_save() else { return Ok(false) };
        self.state.save(&image)?;
        self.agent.saved();
        Ok(true)
    }

    fn transmit(&mut self) -> Result<(), Stop> {
        self.carrier.transmit(&mut self.agent, self.output)
    }

    fn wait(&mut self, now: Now, until: Option<Now>) -> Result<(), Stop> {
        let deadline = [self.agent.poll_deadline(), until].into_iter().flatten().min();
        let wait = deadline.map(|at| at.saturating_sub(now).max(Duration::from_millis(1)));
        self.carrier.receive(&mut self.agent, || self.clock.now(), wait)
    }

    /// Saves the state as it is, before the first round.
    pub(crate) fn save_now(&mut self) -> Result<(), Stop> {
        self.save().map(|_| ())
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway
    }
}

/// The address behind `coap://HOST[:PORT]`.
fn resolve(url: &str) -> Result<SocketAddr, Stop> {
    let wrong = || Stop::Failed(format!("{url:?} is not coap://HOST[:PORT]"));
    let rest = url.strip_prefix("coap://").ok_or_else(wrong)?.trim_end_matches('/');
    let has_port = rest
        .rsplit_once(':')
        .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')));
    let full = if has_port { rest.to_owned() } else { format!("{rest}:5683") };
    full.to_socket_addrs()
        .map_err(|error| Stop::Failed(format!("cannot find {rest}: {error}")))?
        .next()
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_addresses() {
        for (url, address) in [
            ("coap://127.0.0.1", "127.0.0.1:5683"),
            ("coap://127.0.0.1:99/", "127.0.0.1:99"),
            ("coap://[::1]", "[::1]:5683"),
            ("coap://[::1]:99", "[::1]:99"),
        ] {
            assert_eq!(resolve(url).expect("an address").to_string(), address);
        }
        for url in ["127.0.0.1", "http://127.0.0.1", "coap://"] {
            assert!(resolve(url).is_err(), "{url}");
        }
    }
}
