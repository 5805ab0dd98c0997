//! `run --snapshot-every`: a gateway that is started again and again, with a clock that was ahead, leftovers, and a damaged store.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Hours that no test takes: what is made in one is made at a start.
const ARGS: [&str; 7] = ["run", "--listen", "127.0.0.1:0", "--enrol", "open", "--snapshot-every", "24"];

const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);

/// Long enough for a snapshot of a store with nothing in it that should not be made.
const NOTHING_COMES: Duration = Duration::from_millis(500);

/// A gateway that listens; killed when dropped.
struct Gateway(Child);

impl Gateway {
    fn start(data: &Path, log: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sga-gateway"));
        command.args(ARGS).arg("--data").arg(data).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(File::create(log).expect("a log")).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let gateway = Self(child);
        assert!(line.starts_with("listening on "), "{line}{}", fs::read_to_string(log).expect("a log"));
        gateway
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Names of snapshots and of what is to become one, in order.
fn snapshots(data: &Path) -> Vec<String> {
    let names = fs::read_dir(data).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.starts_with("snapshot-"));
    names.sort();
    names
}

#[expect(clippy::disallowed_methods, reason = "a folder tells nobody that it has changed")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn until(data: &Path, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
    for _ in 0..TRIES {
        let found = snapshots(data);
        if holds(&found) {
            return found;
        }
        pause(PAUSE);
    }
    panic!("there are {:?}", snapshots(data));
}

fn is_whole(name: &str) -> bool {
    name.ends_with(".sga")
}

#[test]
fn snapshots_outlive_power_cuts_wrong_clocks_and_a_damaged_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));

    // Who is always switched off before the first interval is over has one all the same.
    let gateway = Gateway::start(&data, &log);
    let first = until(&data, |found| found.len() == 1 && is_whole(&found[0]));
    drop(gateway);

    // But not one for each start; and what a kill left is gone.
    let leftover = data.join("snapshot-000000000001-1.sga.new");
    fs::write(&leftover, "cut off").expect("written");
    let gateway = Gateway::start(&data, &log);
    assert!(!leftover.exists());
    pause(NOTHING_COMES);
    assert_eq!(snapshots(&data), first);
    drop(gateway);

    // Two that a clock made which was centuries ahead, with a version that wrote no uptime.
    let ahead = ["snapshot-099999999997.sga", "snapshot-099999999998.sga"];
    fs::copy(data.join(&first[0]), data.join(ahead[0])).expect("copied");
    fs::rename(data.join(&first[0]), data.join(ahead[1])).expect("renamed");
    let gateway = Gateway::start(&data, &log);
    let found = until(&data, |found| found.len() == 2 && !found.contains(&ahead[0].to_owned()) && is_whole(&found[1]));
    assert_eq!(found[0], ahead[1]);
    assert!(found[1].starts_with("snapshot-099999999999-"), "{found:?}");
    drop(gateway);

    // The newest is what a start goes on from.
    let tables = OpenOptions::new().write(true).open(data.join("store.redb")).expect("the tables");
    tables.write_all_at(&[0xa5; 8_192], 0).expect("damaged");
    drop(tables);
    let gateway = Gateway::start(&data, &log);
    let said = fs::read_to_string(&log).expect("a log");
    assert!(said.lines().any(|line| line.contains(&found[1])), "{said}");
    drop(gateway);
}
