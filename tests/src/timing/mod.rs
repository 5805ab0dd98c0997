//! `sga-timing`: whether time tells what it must not, as statistics over many samples of two classes, mixed at random.
//!
//! A difference of a few nanoseconds is found in a hundred thousand samples, far less than a network lets through. The first line is a
//! control: a comparison that leaks, which has to be found.
#![expect(clippy::print_stderr, reason = "a command's report")]

mod clock;
mod primitives;
mod refusals;
mod stats;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;
use sga_crypto::GroupId;

use refusals::{Bench, Question};
use stats::Finding;

/// Looks for differences in time. The last line is one JSON object; fails if it finds one, or misses the control.
#[derive(Parser, Debug)]
#[command(name = "sga-timing", version)]
struct Options {
    /// Samples of each class.
    #[arg(long, default_value_t = 100_000)]
    samples: usize,
    /// Samples of each class of exponentiations in ffdhe2048, which take a millisecond each.
    #[arg(long, default_value_t = 10_000)]
    samples_classic: usize,
    /// Only lines whose name holds this.
    #[arg(long)]
    only: Option<String>,
}

/// Times in nanoseconds, by class.
type Samples = [Vec<u64>; 2];

/// Mixes two classes at random until each has enough samples.
struct Sampler {
    each: usize,
    rng: ChaCha12Rng,
}

impl Sampler {
    fn run(&mut self, mut sample: impl FnMut(usize) -> Duration) -> Samples {
        let mut samples = [Vec::with_capacity(self.each), Vec::with_capacity(self.each)];
        while samples.iter().any(|times: &Vec<u64>| times.len() < self.each) {
            let class = (self.rng.next_u32() & 1) as usize;
            let took = sample(class);
            if samples[class].len() < self.each {
                samples[class].push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            }
        }
        samples
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// How a line is measured.
type Measure<'a> = Box<dyn FnOnce(&mut ChaCha12Rng, &mut Sampler) -> Samples + 'a>;

/// The lines, the control first.
fn lines<'a>() -> Vec<(&'static str, Measure<'a>)> {
    let refusal =
        |question: Question| -> Measure<'a> { Box::new(move |rng, sampler| Bench::new().run(question, rng, sampler)) };
    let exponents =
        |group: GroupId| -> Measure<'a> { Box::new(move |rng, sampler| primitives::exponents(group, rng, sampler)) };
    vec![
        (CONTROL, Box::new(primitives::leaky)),
        ("tags compared: wrong in the first or the last byte", Box::new(primitives::tags)),
        ("f8 made and compared: wrong in the first or the last byte", Box::new(primitives::f8)),
        ("ristretto255: exponents of few or many bits", exponents(GroupId::Ristretto255)),
        (CLASSIC, exponents(GroupId::Ffdhe2048)),
        ("A1: wrong tag, or no such device", refusal(Question::Inviter)),
        ("Register, wrong enrolment proof: name taken or free", refusal(Question::Name)),
        ("Register, no proof: name taken or free", refusal(Question::NameBare)),
        ("Register, wrong rotation proof: name taken or free", refusal(Question::NameRotated)),
        ("Attach: wrong seal, or a ticket of nobody's", refusal(Question::Ticket)),
        ("Half: wrong seal, or no such session", refusal(Question::HalfHandle)),
        ("Message: wrong hop tag, or no such session", refusal(Question::MessageHandle)),
    ]
}

const CONTROL: &str = "control: a comparison that stops at the first difference";
const CLASSIC: &str = "ffdhe2048: exponents of few or many bits";

fn row(name: &str, finding: &Finding) -> String {
    let t: Vec<String> = finding.t.iter().map(|t| format!("{t:>7.2}")).collect();
    let [samples, _] = finding.samples;
    let [first, second] = finding.means;
    let verdict = if finding.is_found() { "told apart" } else { "" };
    format!("{name:<58} {samples:>8} {first:>10.0} {second:>10.0}  {} {verdict}", t.join(" "))
}

/// Runs all lines.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let kept: Vec<String> = stats::KEPT.iter().map(|kept| format!("{:>5.0} %", kept * 100.0)).collect();
    say(&format!(
        "{:<58} {:>8} {:>10} {:>10}  t with the fastest\n{:<90}  {}",
        "",
        "samples",
        "ns",
        "ns",
        "",
        kept.join(" ")
    ));
    let (mut figures, mut wrong) = (Vec::new(), 0);
    for (name, measure) in lines() {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let each = if name == CLASSIC { options.samples_classic } else { options.samples };
        let mut sampler = Sampler { each, rng: ChaCha12Rng::from_seed([2; 32]) };
        let finding = stats::compare(&measure(&mut ChaCha12Rng::from_seed([1; 32]), &mut sampler));
        say(&row(name, &finding));
        if finding.is_found() != (name == CONTROL) {
            wrong += 1;
        }
        figures.push(json!({ "name": name, "samples": finding.samples[0], "means_ns": finding.means, "t": finding.t }));
    }
    say(&json!({ "command": "timing", "found_at": stats::FOUND, "lines": figures, "wrong": wrong }).to_string());
    if wrong == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("{wrong} lines are not as they should be");
    ExitCode::FAILURE
}
