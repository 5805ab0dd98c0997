//! The drill: a backup is made under load, life goes on, the store is lost, the backup takes its place. What was acknowledged
//! before the backup is there, what is sent from then on arrives, nothing arrives twice; what came between is what a restore costs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sga_coap::Code;
use sga_tests::demo::GATEWAY;
use sga_tests::fleet::{Fleet, Program, Reading, log_end};

const LIMIT: Duration = Duration::from_secs(30);
const PAIRS: usize = 4;
const PROGRAM: &str = env!("CARGO_BIN_EXE_sga-kill");

fn command(words: &[&Path], data: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg(GATEWAY).args(words).arg("--data").arg(data);
    command
}

fn tool(words: &[&Path], data: &Path) -> Output {
    command(words, data).output().expect("the gateway runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn words<'a>(command: &'a str, file: &'a Path) -> [&'a Path; 2] {
    [Path::new(command), file]
}

/// Until every device has this many texts more acknowledged, or `or` holds. None sends more than that: a peer that fetches nothing
/// has room for 64, and how far ahead of others a device gets is the machine's to say.
fn load_or(fleet: &mut Fleet, more: usize, mut or: impl FnMut() -> bool) {
    let wanted: Vec<usize> = fleet.nodes.iter().map(|node| node.traffic.acknowledged() + more).collect();
    fleet.nodes.iter_mut().for_each(|node| node.sends = true);
    let enough = fleet.run_until(LIMIT, |nodes| {
        for (node, &wanted) in nodes.iter_mut().zip(&wanted) {
            node.sends = node.traffic.acknowledged() < wanted;
        }
        or() || nodes.iter().all(|node| !node.sends)
    });
    assert!(enough, "no texts are acknowledged");
}

fn load(fleet: &mut Fleet, more: usize) {
    load_or(fleet, more, || false);
}

#[test]
fn a_backup_made_under_load_takes_the_place_of_a_lost_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log, file) = (folder.path().join("data"), folder.path().join("log"), folder.path().join("monday.sga"));
    let program = Program::within(PROGRAM);
    let mut fleet = Fleet::new().expect("a fleet");
    let (gateway, address) = fleet.start(&program, &data, "127.0.0.1:0", &log, LIMIT).expect("a start");
    for _ in 0..PAIRS {
        fleet.add_pair(address, 5, |number| 20 + number as usize % 60).expect("sockets");
    }
    fleet.establish(LIMIT).expect("sessions");
    load(&mut fleet, 20);
    // Half of them fetch nothing for now: what is stored for them has to be in the backup.
    fleet.nodes.iter_mut().step_by(2).for_each(|node| node.read(Reading::Off));
    load(&mut fleet, 10);
    let before: Vec<u32> = fleet.nodes.iter().map(|node| node.traffic.count()).collect();
    // The last of these may be under way; all others are acknowledged.
    let mut backup = command(&words("backup", &file), &data);
    let mut backup = backup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the gateway runs");
    load_or(&mut fleet, 30, || matches!(backup.try_wait(), Ok(Some(_))));
    assert!(fleet.run_until(LIMIT, |_| matches!(backup.try_wait(), Ok(Some(_)))), "no backup in time");
    let output = backup.wait_with_output().expect("its output");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(" records, "), "{}", said(&output));
    assert!(!said(&tool(&words("restore", &file), &data)).contains("restored"), "not while the gateway runs");
    load(&mut fleet, 10);
    fleet.calm(LIMIT).expect("all acknowledged");
    let after: Vec<u32> = fleet.nodes.iter().map(|node| node.traffic.count()).collect();
    assert!(gateway.stop().expect("stopped").success());

    // The store is lost; only the keys are left, and the backup.
    for entry in fs::read_dir(&data).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.file_name().is_none_or(|name| name != "gateway.key") {
            fs::remove_file(entry).expect("removed");
        }
    }
    let output = tool(&words("restore", &file), &data);
    assert!(output.status.success(), "{}", said(&output));
    let (gateway, _) = fleet.start(&program, &data, &address.to_string(), &log, LIMIT).expect("a start");
    assert!(gateway.log().contains("begin anew"), "{}", log_end(&gateway.log()));
    fleet.nodes.iter_mut().for_each(|node| node.read(Reading::On));
    load(&mut fleet, 20);
    fleet.calm(LIMIT).expect("all acknowledged");
    fleet.read_all(LIMIT).expect("all fetched");
    assert!(gateway.stop().expect("stopped").success());
    let output = tool(&[Path::new("doctor")], &data);
    assert!(output.status.success() && said(&output).contains("the store is sound"), "{}", said(&output));

    let mut cost = 0;
    let verdicts = fleet.verdicts();
    for (at, (node, verdict)) in fleet.nodes.iter().zip(verdicts).enumerate() {
        assert_eq!((verdict.twice, verdict.strange, verdict.disordered), (0, 0, 0), "{}: {verdict}", node.id());
        let lost = node.traffic.lost();
        cost += lost.len();
        // The one that was under way when the backup began may be in it or not.
        let may_be = before[at].saturating_sub(1)..after[at];
        assert!(lost.iter().all(|number| may_be.contains(number)), "{}: lost {lost:?} of {may_be:?}", node.id());
        assert!(node.traffic.count() >= after[at] + 20);
    }
    let sum: u32 = fleet.nodes.iter().map(|node| node.traffic.count()).sum();
    assert!(cost > 0, "nothing was lost between the backup and the loss: that was no drill");
    assert!(cost < sum as usize / 2, "{cost} of {sum} lost");
}

#[test]
fn a_bad_backup_is_refused_and_nothing_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("backup.sga"));
    let missing = tool(&words("backup", &file), &data);
    assert!(!missing.status.success() && said(&missing).contains("no gateway.key"), "{}", said(&missing));
    assert!(tool(&[Path::new("pin")], &data).status.success());
    let first = tool(&words("backup", &file), &data);
    assert!(first.status.success(), "{}", said(&first));
    let whole = fs::read(&file).expect("readable");
    let store = fs::read(data.join("store.redb")).expect("readable");
    for (bytes, why) in [
        (&whole[..whole.len() - 1], "cut off"),
        (&whole[..20], "cut off"),
        (b"something else entirely", "does not begin like one"),
        (&[&whole[..], b"x"].concat(), "does not fit"),
    ] {
        fs::write(&file, bytes).expect("written");
        let output = tool(&words("restore", &file), &data);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(why), "{why}: {}", said(&output));
        assert!(fs::read(data.join("store.redb")).expect("readable") == store);
    }
    // Under another gateway's key it is of no use.
    fs::write(&file, &whole).expect("written");
    let other = folder.path().join("other");
    assert!(tool(&[Path::new("pin")], &other).status.success());
    let output = tool(&words("restore", &file), &other);
    assert!(!output.status.success() && said(&output).contains("under this gateway.key"), "{}", said(&output));
    let output = tool(&words("restore", &file), &data);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("kept as"), "{}", said(&output));
}

#[test]
fn who_was_revoked_stays_out_after_the_restore_of_an_older_backup() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log, file) = (folder.path().join("data"), folder.path().join("log"), folder.path().join("old.sga"));
    let program = Program::within(PROGRAM);
    let mut fleet = Fleet::new().expect("a fleet");
    let (gateway, address) = fleet.start(&program, &data, "127.0.0.1:0", &log, LIMIT).expect("a start");
    fleet.add_pair(address, 8, |_| 30).expect("sockets");
    fleet.establish(LIMIT).expect("a session");
    fleet.calm(LIMIT).expect("all acknowledged");
    assert!(tool(&words("backup", &file), &data).status.success());
    let lost = fleet.nodes[0].id().to_string();
    let refused = |fleet: &mut Fleet| {
        fleet.nodes[0].refused.clear();
        fleet.nodes[0].read(Reading::On);
        fleet.run_until(LIMIT, |nodes| nodes[0].refused.iter().any(|refused| refused.code == Code::FORBIDDEN))
    };
    let output = tool(&words("revoke", Path::new(&lost)), &data);
    assert!(output.status.success() && said(&output).contains("the running gateway knows it"), "{}", said(&output));
    assert!(refused(&mut fleet), "at once");
    // Its peer is told that there is nobody there.
    assert!(fleet.run_until(LIMIT, |nodes| nodes[1].peer_revoked), "the peer is told");
    assert!(gateway.stop().expect("stopped").success());
    assert!(tool(&words("restore", &file), &data).status.success());
    let (gateway, _) = fleet.start(&program, &data, &address.to_string(), &log, LIMIT).expect("a start");
    assert!(refused(&mut fleet), "after the restore");
    let before = fleet.nodes[0].attached;
    let output = tool(&words("release", Path::new(&lost)), &data);
    assert!(output.status.success(), "{}", said(&output));
    // An attach may still be under way from before, and be refused; then it asks again.
    let released = (0..3).any(|_| {
        fleet.nodes[0].refused.clear();
        fleet.nodes[0].read(Reading::On);
        fleet.run_until(LIMIT, |nodes| nodes[0].attached > before || !nodes[0].refused.is_empty());
        fleet.nodes[0].attached > before
    });
    assert!(released, "{}\n{}", fleet.nodes[0].describe(), std::fs::read_to_string(&log).unwrap_or_default());
    assert!(gateway.stop().expect("stopped").success());
}
