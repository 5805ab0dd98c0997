//! Cases, some at a time, and the table of what came out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use crate::bench::Bench;
use crate::clock::Clock;
use crate::seen::Seen;

/// Does a case; says why it failed.
pub type Run = Box<dyn Fn(&mut Bench) -> Result<(), String> + Send + Sync>;

/// One check of ours against one stranger.
pub struct Case {
    /// The plugtest's identifier, or what is checked.
    pub name: String,
    /// The stranger.
    pub peer: &'static str,
    /// What of ours it meets.
    pub ours: &'static str,
    /// Does it; says why not.
    pub run: Run,
}

/// Makes a case fail with a reason.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err(format!($($why)+));
        }
    };
}

/// Cases at work at once: most wait for a retransmission or for a stranger to start.
const WORKERS: usize = 4;

/// What came of a case: its line in the table, and what is said of a failure.
struct Outcome {
    line: String,
    failed: bool,
}

/// Runs all cases whose name, peer or own side contains `filter`; prints the table. Whether all went well.
#[expect(clippy::print_stdout, reason = "a command's report")]
pub fn run(cases: &[Case], filter: &str, python: &Path) -> bool {
    let chosen: Vec<&Case> = cases
        .iter()
        .filter(|case| [case.name.as_str(), case.peer, case.ours].iter().any(|text| text.contains(filter)))
        .collect();
    println!("{:<46} {:<22} {:<10} result", "case", "peer", "ours");
    let next = AtomicUsize::new(0);
    let mut failed = 0;
    let (sender, outcomes) = channel();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let (sender, next, chosen) = (sender.clone(), &next, &chosen);
            scope.spawn(move || {
                while let Some((at, case)) = take(next, chosen) {
                    if sender.send((at, run_one(case, python))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut done = BTreeMap::new();
        let mut printed = 0;
        for (at, outcome) in outcomes {
            done.insert(at, outcome);
            while let Some(outcome) = done.remove(&printed) {
                println!("{}", outcome.line);
                failed += usize::from(outcome.failed);
                printed += 1;
            }
        }
    });
    if chosen.is_empty() {
        println!("no case is called like {filter:?}");
    }
    println!("\n{} passed, {failed} failed, 0 skipped", chosen.len() - failed);
    failed == 0 && !chosen.is_empty()
}

fn take<'a>(next: &AtomicUsize, chosen: &[&'a Case]) -> Option<(usize, &'a Case)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    chosen.get(at).map(|case| (at, *case))
}

fn run_one(case: &Case, python: &Path) -> Outcome {
    let clock = Clock::start();
    let mut traffic = Vec::new();
    let result = Bench::new(python).and_then(|mut bench| {
        let result = (case.run)(&mut bench);
        traffic = std::mem::take(&mut bench.traffic);
        result
    });
    let head = format!("{:<46} {:<22} {:<10}", case.name, case.peer, case.ours);
    match result {
        Ok(()) => Outcome { line: format!("{head} ok, {} ms", clock.elapsed().as_millis()), failed: false },
        Err(why) => {
            let mut line = format!("{head} FAILED: {why}");
            traffic.iter().flatten().for_each(|seen: &Seen| line.push_str(&format!("\n    {seen}")));
            Outcome { line, failed: true }
        }
    }
}
