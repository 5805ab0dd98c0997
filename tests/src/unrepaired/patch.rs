//! Patch files: a head of `Name: value` lines, and a unified diff.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The file's name without its ending.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The repair, by its number in `docs/security.md`.
    pub repair: u8,
    /// What is taken out.
    pub takes_out: String,
    /// Tests of the binary `attacks` that must fail: whole names, or modules, which end with `::`.
    pub tests: Vec<String>,
}

/// Repairs that there are.
pub(crate) const REPAIRS: u8 = 11;

/// All patches of a tree, by name.
///
/// # Errors
/// The folder cannot be read, or a file has no proper head.
pub fn patches(root: &Path) -> Result<Vec<Patch>, String> {
    let folder = root.join("tests/attacks/unrepaired");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "patch") {
            let text = std::fs::read_to_string(&path).map_err(failed)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            all.push(parse(name, path, &text)?);
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

fn parse(name: String, path: PathBuf, text: &str) -> Result<Patch, String> {
    let bad = |what: &str| format!("{name}.patch: {what}");
    let (head, _) = text.split_once("\ndiff --git ").ok_or_else(|| bad("no diff"))?;
    let values = |key: &str| -> Vec<String> {
        let lines = head.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        lines.map(|value| value.trim().to_owned()).collect()
    };
    let repair: u8 = values("Repair").first().and_then(|value| value.parse().ok()).ok_or_else(|| bad("no Repair"))?;
    if !(1..=REPAIRS).contains(&repair) || !name.starts_with(&format!("{repair:02}-")) {
        return Err(bad("its name begins with another number than its Repair"));
    }
    let takes_out = values("Takes out").join(" ");
    let tests = values("Test");
    if takes_out.is_empty() || tests.is_empty() {
        return Err(bad("says not what it takes out, or no Test"));
    }
    Ok(Patch { name, path, repair, takes_out, tests })
}

/// Whether a patch applies to a tree, which stays as it is.
///
/// # Errors
/// It does not: what git says.
pub fn applies(root: &Path, patch: &Patch) -> Result<(), String> {
    apply(root, patch, &["--check"])
}

/// `git apply`, in a folder that git need not know.
pub(super) fn apply(tree: &Path, patch: &Patch, flags: &[&str]) -> Result<(), String> {
    let output = Command::new("git")
        .current_dir(tree)
        .arg("apply")
        .args(flags)
        .arg(patch.path.canonicalize().map_err(|error| error.to_string())?)
        // A copy below another repository's folder is not that repository.
        .env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{} does not apply: {}", patch.name, String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, text: &str) -> Result<Patch, String> {
        parse(name.into(), PathBuf::new(), text)
    }

    #[test]
    fn a_head_is_read() {
        let text = "Repair: 3\nTakes out: a check\nTest: replay::one\nTest: replay::two\n\ndiff --git a/x b/x\n";
        let patch = parsed("03-x", text).expect("a patch");
        assert_eq!((patch.repair, patch.takes_out.as_str()), (3, "a check"));
        assert_eq!(patch.tests, ["replay::one", "replay::two"]);
    }

    #[test]
    fn a_head_that_says_too_little_is_an_error() {
        for (name, text) in [
            ("03-x", "Repair: 3\nTakes out: a check\nTest: replay::one\n"),
            ("04-x", "Repair: 3\nTakes out: a check\nTest: replay::one\n\ndiff --git a/x b/x\n"),
            ("03-x", "Takes out: a check\nTest: replay::one\n\ndiff --git a/x b/x\n"),
            ("03-x", "Repair: 3\nTest: replay::one\n\ndiff --git a/x b/x\n"),
            ("03-x", "Repair: 3\nTakes out: a check\n\ndiff --git a/x b/x\n"),
            ("12-x", "Repair: 12\nTakes out: a check\nTest: replay::one\n\ndiff --git a/x b/x\n"),
        ] {
            assert!(parsed(name, text).is_err(), "{text}");
        }
    }
}
