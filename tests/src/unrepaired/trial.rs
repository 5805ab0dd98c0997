//! A copy of the tree, built and tested.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::Patch;
use super::patch::apply;

/// The tests of one patch take a minute at most; one that hangs is no test that fails.
const TESTS_TIME: Duration = Duration::from_secs(900);

/// The copy.
pub(super) struct Trial {
    tree: PathBuf,
    target: PathBuf,
}

/// Which tests passed.
pub(super) struct Outcomes(BTreeMap<String, bool>);

impl Outcomes {
    /// How many tests of this name, or of this module, passed and failed.
    pub(super) fn of(&self, test: &str) -> (usize, usize) {
        let is_meant = |name: &str| if test.ends_with("::") { name.starts_with(test) } else { name == test };
        let meant = || self.0.iter().filter(|(name, _)| is_meant(name));
        (meant().filter(|(_, passed)| **passed).count(), meant().filter(|(_, passed)| !**passed).count())
    }
}

impl Trial {
    /// Copies what belongs to the tree: no build, nothing that git ignores.
    pub(super) fn new(root: &Path) -> Result<Self, String> {
        let tree = std::env::temp_dir().join(format!("sga-unrepaired-{}", std::process::id()));
        for name in files(root)? {
            let (from, to) = (root.join(&name), tree.join(&name));
            // git lists what was deleted and not committed, too.
            if !from.is_file() {
                continue;
            }
            let folder = to.parent().unwrap_or(&tree);
            std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
            std::fs::copy(&from, &to).map_err(|error| format!("cannot copy {}: {error}", from.display()))?;
        }
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target = std::path::absolute(target.join("unrepaired")).map_err(|error| error.to_string())?;
        Ok(Self { tree, target })
    }

    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    pub(super) fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.tree) {
            eprintln!("cannot remove {}: {error}", self.tree.display());
        }
    }

    /// With a patch, which is taken back.
    pub(super) fn patched<T>(&self, patch: &Patch, then: impl FnOnce(&Self) -> Result<T, String>) -> Result<T, String> {
        apply(&self.tree, patch, &[])?;
        let result = then(self);
        apply(&self.tree, patch, &["--reverse"])?;
        result
    }

    /// Builds the attacks and runs those of these names.
    pub(super) fn outcomes(&self, tests: &[&str]) -> Result<Outcomes, String> {
        let program = self.build()?;
        let mut command = Command::new(&program);
        command.current_dir(self.tree.join("tests"));
        // Without --exact a filter is a part of a name; what else it finds does not count.
        if !tests.iter().any(|test| test.ends_with("::")) {
            command.arg("--exact");
        }
        let mut child = command
            .args(tests)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let (sender, lines) = channel();
        let stdout = child.stdout.take().ok_or("the tests have no output")?;
        // A pipe cannot be read with a deadline.
        std::thread::Builder::new()
            .name("tests-stdout".into())
            .spawn(move || {
                let _ = BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
            })
            .map_err(|error| error.to_string())?;
        let mut outcomes = BTreeMap::new();
        let ended = loop {
            match lines.recv_timeout(TESTS_TIME) {
                Ok(line) => outcomes.extend(outcome(&line)),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break true,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => break false,
            }
        };
        if !ended {
            let _ = child.kill();
        }
        let _ = child.wait();
        if ended { Ok(Outcomes(outcomes)) } else { Err(format!("the tests say nothing for {TESTS_TIME:?}")) }
    }

    /// The binary of the attacks.
    fn build(&self) -> Result<PathBuf, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(&self.tree)
            .args(["test", "--no-run", "--package", "sga-tests", "--test", "attacks", "--message-format", "json"])
            // What is built anew for each patch is built fast; the arithmetic stays as it is.
            .args(["--config", "profile.dev.opt-level=0", "--config", "profile.dev.package.sga-crypto.opt-level=1"])
            .env("CARGO_TARGET_DIR", &self.target)
            // Nobody looks at a backtrace of a copy that is gone.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let first = text.lines().find(|line| line.starts_with("error")).unwrap_or("cargo fails");
            return Err(format!("it does not build: {first}"));
        }
        let stdout = String::from_utf8_lossy(&output.stdout);
        let executable = stdout.lines().rev().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_attacks = message["target"]["name"] == "attacks";
            is_attacks.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
        });
        executable.ok_or_else(|| "cargo names no program".into())
    }
}

/// The name and the result in a line of a test program's.
fn outcome(line: &str) -> Option<(String, bool)> {
    let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    match result.trim() {
        "ok" => Some((name.to_owned(), true)),
        "FAILED" => Some((name.to_owned(), false)),
        _ => None,
    }
}

/// What belongs to the tree, by git or, where there is none, all but builds.
fn files(root: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .stdin(Stdio::null())
        .output();
    if let Ok(listed) = listed
        && listed.status.success()
    {
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        return Ok(names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect());
    }
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let here = root.join(&folder);
        let entries = std::fs::read_dir(&here).map_err(|error| format!("cannot read {}: {error}", here.display()))?;
        for entry in entries {
            let entry = entry.map_err(|error| error.to_string())?;
            let name = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(|error| error.to_string())?;
            if kind.is_dir() && entry.file_name() != "target" && entry.file_name() != ".git" {
                folders.push(name);
            } else if kind.is_file() {
                found.push(name);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_test_program_are_understood() {
        assert_eq!(outcome("test replay::one ... ok"), Some(("replay::one".into(), true)));
        assert_eq!(outcome("test replay::two - should panic ... FAILED").map(|(_, passed)| passed), Some(false));
        for line in ["running 3 tests", "test result: FAILED. 1 passed", "test x ... ignored", ""] {
            assert_eq!(outcome(line), None, "{line}");
        }
        let outcomes =
            Outcomes([("a::x".to_owned(), true), ("a::y".to_owned(), false), ("b::x".to_owned(), true)].into());
        assert_eq!((outcomes.of("a::"), outcomes.of("a::y"), outcomes.of("a::z")), ((1, 1), (0, 1), (0, 0)));
    }
}
