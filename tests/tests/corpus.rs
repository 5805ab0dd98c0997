//! The committed inputs of the fuzz targets, run with a stable compiler.

use std::fs;
use std::path::{Path, PathBuf};

use sga_tests::fuzzing::{self, Reached};

/// Runs each file of a target's corpus, and returns what they come to; what a failing one is called is in the panic's output.
fn replay<T>(target: &str, run: fn(&[u8]) -> T) -> Vec<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let run = |file: &PathBuf| {
        let data = fs::read(file).expect("readable");
        std::panic::catch_unwind(|| run(&data)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let said = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            panic!("{}: {said}", file.display());
        })
    };
    files.iter().map(run).collect()
}

/// A corpus that has lost its way into something does not try that any more.
fn comes_to<'a>(target: &str, reached: &[Reached], wanted: impl IntoIterator<Item = &'a str>) {
    let missing: Vec<_> = wanted.into_iter().filter(|what| !reached.iter().any(|one| one.contains(what))).collect();
    assert!(missing.is_empty(), "no input of {target} comes to {missing:?}");
}

#[test]
fn endpoint() {
    replay("endpoint", fuzzing::endpoint);
}

#[test]
fn schema() {
    let reached = replay("schema", fuzzing::schema);
    comes_to("schema", &reached, fuzzing::schema_types().chain(["padded"]));
}

#[test]
fn gateway() {
    let wanted = [
        "text",
        "mailbox",
        "recovered",
        "replay",
        "rekey",
        "set back",
        "store trouble",
        "damaged record",
        "device restart",
        "gateway restart",
    ];
    comes_to("gateway", &replay("gateway", fuzzing::gateway), wanted);
}

#[test]
fn device() {
    let wanted = [
        "package",
        "register",
        "attach",
        "ack",
        "A1",
        "A3",
        "half",
        "message",
        "keys",
        "established",
        "sealed a text",
        "opened a text",
        "generation",
        "set back",
        "wild",
    ];
    comes_to("device", &replay("device", fuzzing::device), wanted);
}

#[test]
fn recovery() {
    let wanted = ["power cut", "damage", "told", "backup", "restored", "no backup"];
    comes_to("recovery", &replay("recovery", fuzzing::recovery), wanted);
}

/// No target, but inputs of one in another light.
#[test]
fn recovery_unread() {
    comes_to("recovery-unread", &replay("recovery-unread", fuzzing::recovery_unread), ["damage", "told", "suspect"]);
}

/// Every target of `fuzz/` has a corpus that is replayed here.
#[test]
fn no_target_is_forgotten() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("readable");
    let mut targets: Vec<_> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    targets.sort_unstable();
    assert_eq!(targets, ["device", "endpoint", "gateway", "recovery", "schema"], "and give a new one its test");
}
