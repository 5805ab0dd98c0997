//! The proof that the attack tests test: for each repair of the paper's protocol (`docs/security.md`) there are patches in
//! `tests/attacks/unrepaired/` that take it out. On a copy of this tree the named attacks must fail with the patch, as tests and not
//! as a build, and pass without it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's report")]

mod patch;
mod trial;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

pub use patch::{Patch, applies, patches};
use trial::Trial;

/// Takes repairs of the paper's protocol out of a copy of this tree, one patch at a time, and requires that the attack tests which
/// the patch names fail then, and pass before. Needs git and cargo.
#[derive(Parser, Debug)]
#[command(name = "sga-unrepaired")]
struct Options {
    /// Only patches whose file name contains this.
    filter: Option<String>,
    /// List the patches and what they take out, and do nothing.
    #[arg(long)]
    list: bool,
    /// Leave the copy in place and say where.
    #[arg(long)]
    keep: bool,
}

/// The workspace that this program was built from.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs the command.
pub fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// How many failed.
fn run(options: &Options) -> Result<usize, String> {
    let root = workspace();
    let filter = options.filter.as_deref().unwrap_or_default();
    let chosen: Vec<Patch> = patches(&root)?.into_iter().filter(|patch| patch.name.contains(filter)).collect();
    if chosen.is_empty() {
        return Err(format!("no patch has {filter:?} in its name"));
    }
    if options.list {
        for patch in &chosen {
            println!("{:<32} repair {:>2}  {}", patch.name, patch.repair, patch.takes_out);
        }
        return Ok(0);
    }
    let trial = Trial::new(&root)?;
    if options.keep {
        eprintln!("the copy is {}", trial.tree().display());
    }
    let rows = judge(&trial, &chosen);
    if !options.keep {
        trial.remove();
    }
    println!("\n{:<32} {:>6}  {:<76} without it", "patch", "repair", "attack");
    for (patch, test, result) in &rows {
        println!("{:<32} {:>6}  {test:<76} {}", patch.name, patch.repair, outcome(result));
    }
    let failed = rows.iter().filter(|(.., result)| result.is_err()).count();
    println!("\n{} passed, {failed} failed", rows.len() - failed);
    Ok(failed)
}

fn outcome(result: &Result<(), String>) -> String {
    result.as_ref().map_or_else(|why| format!("FAILED: {why}"), |()| "succeeds, as it must".into())
}

type Row<'a> = (&'a Patch, &'a str, Result<(), String>);

/// One row for each attack that a patch names.
fn judge<'a>(trial: &Trial, chosen: &'a [Patch]) -> Vec<Row<'a>> {
    println!("── without a patch");
    let all: Vec<&str> = chosen.iter().flat_map(|patch| patch.tests.iter().map(String::as_str)).collect();
    let whole = trial.outcomes(&all);
    let mut rows = Vec::new();
    for patch in chosen {
        println!("── {}", patch.name);
        let bent = match &whole {
            Ok(_) => trial
                .patched(patch, |trial| trial.outcomes(&patch.tests.iter().map(String::as_str).collect::<Vec<_>>())),
            Err(why) => Err(format!("without it: {why}")),
        };
        for test in &patch.tests {
            let result: Result<(), String> = match (&whole, &bent) {
                (Ok(whole), Ok(bent)) => verdict(whole.of(test), bent.of(test)),
                (_, Err(why)) | (Err(why), _) => Err(why.clone()),
            };
            println!("{test}: {}", outcome(&result));
            rows.push((patch, test.as_str(), result));
        }
    }
    rows
}

/// `whole`, `bent`: passed and failed tests of one name, without and with the patch.
fn verdict(whole: (usize, usize), bent: (usize, usize)) -> Result<(), String> {
    match (whole, bent) {
        ((0, 0), _) => Err("there is no such test".into()),
        ((_, failed), _) if failed > 0 => Err("the test fails without the patch".into()),
        (_, (_, 0)) => Err("the test passes although the repair is taken out".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_test_that_passes_without_and_fails_with_it_counts() {
        assert!(verdict((1, 0), (0, 1)).is_ok());
        assert!(verdict((4, 0), (3, 1)).is_ok(), "one of a module is enough");
        for (whole, bent) in [((0, 0), (0, 0)), ((0, 1), (0, 1)), ((1, 0), (1, 0)), ((1, 0), (0, 0)), ((0, 0), (0, 1))]
        {
            assert!(verdict(whole, bent).is_err(), "{whole:?} {bent:?}");
        }
    }
}
