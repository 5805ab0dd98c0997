//! The short form of `sga-kill`: a gateway is killed under load and loses nothing that it has acknowledged.

use sga_tests::fleet::Program;
use sga_tests::kill::{Plan, run};

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Program::within(env!("CARGO_BIN_EXE_sga-kill"));
    let report = run(&program, folder.path(), &Plan { rounds: 12, seed: 1, pairs: 6 }).expect("all rounds");
    assert!(report.is_clean(), "{report}\n{}", report.remarks.join("\n"));
    assert!(report.verdict.acknowledged > 100, "that was no load: {report}");
}
