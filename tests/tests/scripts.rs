//! Every script in `scripts/`, against the core in simulated time and against the process over UDP.

use std::fs;
use std::path::Path;

use sga_tests::script::{Loopback, Script, Simulated, run};

fn scripts() -> Vec<(String, Script)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut found: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "coap"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("text");
            let script = Script::parse(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
            (name, script)
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!found.is_empty(), "no scripts");
    found
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} scripts failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn in_simulated_time() {
    let mut failures = Vec::new();
    for (name, script) in scripts() {
        if let Err(why) = run(&script, &mut Simulated::new(1)) {
            failures.push(format!("{name} ({}): {why}", script.title));
        }
    }
    report(&failures);
}

#[test]
fn over_loopback() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut gateway = Loopback::start(env!("CARGO_BIN_EXE_sga-demo"), folder.path()).expect("starts");
    let mut failures = Vec::new();
    for (name, script) in scripts() {
        if script.needs_simulation() {
            continue;
        }
        gateway.forget_sources();
        if let Err(why) = run(&script, &mut gateway) {
            failures.push(format!("{name} ({}): {why}", script.title));
        }
        assert!(gateway.is_running(), "{name} ended the gateway");
    }
    report(&failures);
}
