//! Cases, one after the other, and the table of what came out.

use std::path::Path;

use crate::bench::Bench;
use crate::clock::Clock;
use crate::seen::Seen;

/// Does a case; says why it failed.
pub type Run = Box<dyn Fn(&mut Bench) -> Result<(), String>>;

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

/// Runs all cases whose name, peer or own side contains `filter`; prints the table. Whether all went well.
#[expect(clippy::print_stdout, reason = "a command's report")]
pub fn run(cases: &[Case], filter: &str, python: &Path) -> bool {
    let chosen: Vec<&Case> = cases
        .iter()
        .filter(|case| [case.name.as_str(), case.peer, case.ours].iter().any(|text| text.contains(filter)))
        .collect();
    println!("{:<46} {:<22} {:<10} result", "case", "peer", "ours");
    let mut failed = 0;
    for case in &chosen {
        let clock = Clock::start();
        let mut traffic = Vec::new();
        let result = Bench::new(python).and_then(|mut bench| {
            let result = (case.run)(&mut bench);
            traffic = std::mem::take(&mut bench.traffic);
            result
        });
        let word = match &result {
            Ok(()) => format!("ok, {} ms", clock.elapsed().as_millis()),
            Err(why) => format!("FAILED: {why}"),
        };
        println!("{:<46} {:<22} {:<10} {word}", case.name, case.peer, case.ours);
        if result.is_err() {
            failed += 1;
            traffic.iter().flatten().for_each(|seen: &Seen| println!("    {seen}"));
        }
    }
    if chosen.is_empty() {
        println!("no case is called like {filter:?}");
    }
    println!("\n{} passed, {failed} failed, 0 skipped", chosen.len() - failed);
    failed == 0 && !chosen.is_empty()
}
