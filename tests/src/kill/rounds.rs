//! The rounds: start, load, kill.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::fleet::{Fleet, Gateway, Program, Reading, Verdict, log_end};

/// A start that takes longer has failed.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Longer than this nothing else may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A kill comes up to this long after the gateway serves: enough for some hundred texts.
const LIFE_MAX_US: u32 = 300_000;

/// Or up to this long after the process was made, in one round out of four: it may be at its keys, its store or its sockets.
const BIRTH_MAX_US: u32 = 8_000;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often the gateway is killed.
    pub rounds: u32,
    /// Decides when.
    pub seed: u64,
    /// Pairs of devices.
    pub pairs: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Kills.
    pub rounds: u32,
    /// How many of them came before the gateway served.
    pub unborn: u32,
    /// Starts that did not come to serve, by themselves.
    pub failed_starts: u32,
    /// The longest time from a start to serving.
    pub slowest_start: Duration,
    /// Of all texts.
    pub verdict: Verdict,
    /// Whatever else was wrong.
    pub remarks: Vec<String>,
}

impl Report {
    /// Nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed_starts == 0 && self.verdict.is_whole() && self.remarks.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, failed_starts, unborn, verdict, slowest_start, .. } = self;
        write!(
            f,
            "{rounds} rounds, {} acknowledged, {} lost, {} twice, {failed_starts} failed starts",
            verdict.acknowledged, verdict.lost, verdict.twice
        )?;
        if (verdict.strange, verdict.disordered) != (0, 0) {
            write!(f, ", {} never sent, {} disordered", verdict.strange, verdict.disordered)?;
        }
        write!(f, " ({unborn} kills before it served, slowest start {} ms)", slowest_start.as_millis())
    }
}

/// Mostly what a sensor says; now and then more than fits one datagram.
fn text_len(number: u32) -> usize {
    if number % 32 == 31 { 3_000 } else { 16 + (number % 8) as usize * 16 }
}

/// Everything that a round needs.
struct Run<'a> {
    fleet: Fleet,
    program: &'a Program,
    folder: &'a Path,
    listen: String,
    rng: ChaCha12Rng,
    report: Report,
}

/// Starts a gateway with its data in a folder, loads it, and kills it as often as the plan says; then looks at what arrived.
///
/// # Errors
/// It could not be done to the end.
pub fn run(program: &Program, folder: &Path, plan: &Plan) -> Result<Report, String> {
    let report = Report {
        rounds: 0,
        unborn: 0,
        failed_starts: 0,
        slowest_start: Duration::ZERO,
        verdict: Verdict::default(),
        remarks: Vec::new(),
    };
    let fleet = Fleet::new().map_err(|error| format!("cannot wait for sockets: {error}"))?;
    let rng = ChaCha12Rng::seed_from_u64(plan.seed);
    let mut run = Run { fleet, program, folder, listen: "127.0.0.1:0".into(), rng, report };
    let (mut gateway, address) = run.start()?;
    run.listen = address.to_string();
    for _ in 0..plan.pairs {
        run.fleet.add_pair(address, plan.seed, text_len).map_err(|error| format!("no socket: {error}"))?;
    }
    run.fleet.establish(LIMIT)?;
    while run.report.rounds < plan.rounds {
        run.live(&mut gateway)?;
        gateway = run.kill_and_restart(gateway)?;
    }
    // A full mailbox is no loss: it is emptied first.
    run.fleet.nodes.iter_mut().for_each(|node| node.read(Reading::On));
    // Who does not come to an end here has most likely lost something: what, the judge says.
    let ends = [run.fleet.calm(LIMIT), run.fleet.read_all(LIMIT)];
    run.report.remarks.extend(ends.into_iter().filter_map(Result::err));
    Ok(run.judge(&gateway))
}

impl Run<'_> {
    fn start(&mut self) -> Result<(Gateway, SocketAddr), String> {
        let before = self.fleet.now();
        let (data, log) = (self.folder.join("data"), self.folder.join("log"));
        let started = self.fleet.start(self.program, &data, &self.listen, &log, START_LIMIT)?;
        self.report.slowest_start = self.report.slowest_start.max(self.fleet.now() - before);
        Ok(started)
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound.max(1)
    }

    /// Lets the gateway serve for a random time.
    fn live(&mut self, gateway: &mut Gateway) -> Result<(), String> {
        self.wake_some();
        let life = Duration::from_micros(self.below(LIFE_MAX_US).into());
        if self.fleet.run_until(life, |_| gateway.has_ended()) {
            return Err(format!("the gateway ended by itself:\n{}", log_end(&gateway.log())));
        }
        Ok(())
    }

    /// Some of the devices sleep through several lives of the gateway, so that what it holds for them has to last; what
    /// is fetched at once would hardly show a loss. One session in a while gets new keys, which have to last as well.
    fn wake_some(&mut self) {
        for at in 0..self.fleet.nodes.len() {
            let dice = self.below(12);
            let node = &mut self.fleet.nodes[at];
            match node.reading() {
                Reading::Off if dice < 4 => node.read(Reading::On),
                Reading::On if dice < 2 => node.read(Reading::Off),
                _ => {}
            }
            if dice == 11 {
                node.rekey();
            }
        }
    }

    fn kill_and_restart(&mut self, gateway: Gateway) -> Result<Gateway, String> {
        gateway.kill().map_err(|error| format!("cannot kill the gateway: {error}"))?;
        self.report.rounds += 1;
        if self.below(4) == 0 {
            self.kill_at_birth()?;
        }
        match self.start() {
            Ok((gateway, _)) => Ok(gateway),
            Err(why) => {
                self.report.failed_starts += 1;
                self.report.remarks.push(why);
                // It may be its moment that was bad: the next start decides whether the rounds can go on.
                self.start().map(|(gateway, _)| gateway).map_err(|why| format!("{}\nand again: {why}", self.report))
            }
        }
    }

    /// Starts it only to kill it while it starts.
    fn kill_at_birth(&mut self) -> Result<(), String> {
        let (data, log) = (self.folder.join("data"), self.folder.join("log"));
        let mut gateway = self
            .fleet
            .spawn(self.program, &data, &self.listen, &log)
            .map_err(|error| format!("cannot start a gateway: {error}"))?;
        let age = Duration::from_micros(self.below(BIRTH_MAX_US).into());
        if self.fleet.run_until(age, |_| gateway.has_ended()) {
            self.report.failed_starts += 1;
            self.report.remarks.push(format!("the gateway ended at its start:\n{}", log_end(&gateway.log())));
            return Ok(());
        }
        if gateway.address().is_none() {
            self.report.unborn += 1;
        }
        self.report.rounds += 1;
        gateway.kill().map_err(|error| format!("cannot kill the gateway: {error}"))
    }

    fn judge(mut self, gateway: &Gateway) -> Report {
        let verdicts = self.fleet.verdicts();
        self.report.verdict = verdicts.iter().copied().sum();
        for (node, verdict) in self.fleet.nodes.iter().zip(verdicts) {
            if !verdict.is_whole() {
                self.report.remarks.push(format!("texts of {}: {verdict}", node.id()));
            }
            let failures = node.failures.iter().map(|what| format!("{} gave up: {what}", node.id()));
            self.report.remarks.extend(failures);
        }
        let panics = gateway.log().lines().filter(|line| line.contains("panicked")).count();
        if panics > 0 {
            self.report.remarks.push(format!("the gateway panicked {panics} times"));
        }
        self.report
    }
}
