//! The load command, small: that it runs to its end, and that its last line is what scripts expect.

use std::process::{Command, Output};

use serde_json::Value;

fn load(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_sga-load")).args(args).arg("--dir").arg(folder.path()).output().expect("starts")
}

fn figures(args: &[&str]) -> Value {
    let output = load(args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}:\n{out}\n{err}");
    serde_json::from_str(out.lines().last().expect("a last line")).expect("one JSON object")
}

#[test]
fn durable_messages_are_counted() {
    let figures = figures(&["durable", "--senders", "1,3", "--seconds", "0.3", "--no-mosquitto"]);
    let rows = figures["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 4, "two sizes of raw syncs, two numbers of senders");
    for row in rows {
        assert!(row["messages"].as_u64() > Some(0) && row["p99_ms"].as_f64() > Some(0.0), "{row}");
    }
}

#[test]
fn what_is_stored_for_absent_devices_is_there_after_a_kill() {
    let figures = figures(&["absent", "--devices", "5", "--messages", "60"]);
    assert_eq!((figures["messages"].as_u64(), figures["witnesses"].as_u64()), (Some(60), Some(5)));
    assert!(figures["rss_peak"].as_u64() > Some(0) && figures["disk"].as_u64() > Some(0));
}

#[test]
fn a_flood_is_sent_and_measured() {
    // How long messages take here says nothing: other tests run.
    let figures = figures(&["flood", "--seconds", "0.5", "--pps", "5000", "--at-most", "1e9"]);
    let rows = figures["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 9, "all variants");
    for row in rows {
        assert!(row["sent"].as_u64() > Some(100) && row["flooded"]["messages"].as_u64() > Some(0), "{row}");
        let echoed = row["variant"] == "echoed";
        assert_eq!(
            row["accelerator_woken"].as_u64() > Some(0),
            echoed,
            "work is done for who receives, and for nobody else: {row}"
        );
    }
}

#[test]
fn a_session_that_waits_too_long_under_a_flood_is_a_failure_with_a_name() {
    let args = ["flood", "--seconds", "0.2", "--pps", "1000", "--variants", "get,junk", "--at-most", "0.000001"];
    let output = load(&args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}\n{err}");
    assert!(err.contains("above 0.000001 times the quiet one: get (") && err.contains("junk ("), "{err}");
    let figures: Value = serde_json::from_str(out.lines().last().expect("a last line")).expect("one JSON object");
    let rows = figures["rows"].as_array().expect("rows").iter().map(|row| row["variant"].clone());
    assert_eq!(rows.collect::<Vec<_>>(), ["get", "get", "junk", "junk"], "each was given a second chance");
}

#[test]
fn errors_say_what_is_wrong() {
    for (args, what) in [
        (&["absent", "--devices", "2", "--messages", "10000"][..], "a mailbox takes 250 messages"),
        (&["durable", "--mosquitto", "/nowhere/mosquitto", "--seconds", "0.1"], "apt-get install mosquitto"),
        (&["durable", "--senders", "0"], "not in 1–2000"),
        (
            &["durable", "--no-mosquitto", "--seconds", "0.1", "--release-dir", "/nowhere"],
            "cannot start /nowhere/sga-gateway",
        ),
    ] {
        let output = load(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(what), "{args:?}: {said}");
    }
}
