//! A full disk: what is not stored is refused with 5.03, what is stored stays, and all goes on when there is room again.
//!
//! Twice: on a tmpfs in a mount namespace of its own, which ends with the process that holds it; and with a limit on the size of
//! files, which needs no rights. Where mounting is refused the first says so and ends; any other reason fails it.
#![expect(clippy::print_stderr, reason = "figures for who runs it with --nocapture")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sga_coap::Code;
use sga_device::RequestKind;
use sga_tests::fleet::{Fleet, Gateway, Node, Program, Reading, Verdict, log_end};

/// Mailboxes enough to fill the disk long before one of them is full.
const PAIRS: usize = 32;
const TEXT_LEN: usize = 8_000;
/// Room that is left when the load begins.
const LEFT: u64 = 2 << 20;
/// The disk, when it is large.
const LARGE: u64 = 1 << 30;

const START_LIMIT: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(60);
/// What Max-Age says of a full store, and a little more.
const RECOVERY_LIMIT: Duration = Duration::from_secs(35);

/// What a device sends at most before the disk is full: half of what its peer's mailbox takes.
const SHARE: usize = 60;

/// Bounds of one mailbox (`docs/limits.md`): a refusal well below them is not about the mailbox.
const MAILBOX_MESSAGES: usize = 256;
const MAILBOX_BYTES: usize = 960 << 10;

fn run(words: &[&str]) -> Output {
    Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().expect("util-linux and coreutils are there")
}

/// A place for the gateway's data that can be made full.
enum Disk {
    /// A process in whose mount namespace there is a tmpfs.
    Tmpfs { holder: Child, enter: Vec<String>, folder: PathBuf },
    /// No file may be larger than a limit that is set on the gateway's process.
    Limit { folder: PathBuf },
}

impl Disk {
    /// A tmpfs, by right or in a user namespace; or what this system says of it.
    fn tmpfs(folder: &Path) -> Result<Self, String> {
        let mounted = Self::mounted(folder, &[]);
        mounted.or_else(|first| {
            Self::mounted(folder, &["--user", "--map-root-user"]).map_err(|second| format!("{first}; {second}"))
        })
    }

    fn mounted(folder: &Path, user: &[&str]) -> Result<Self, String> {
        let script = "mount -t tmpfs -o size=\"$1\" sga \"$0\" && echo ready && exec cat";
        let mut holder = Command::new("unshare")
            .args(user)
            .args(["--mount", "sh", "-c", script])
            .arg(folder)
            .arg(LARGE.to_string())
            // What is looked for in its words is English.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        // It ends with its stdin, so with this process, and the tmpfs with it.
        BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        if line.trim() != "ready" {
            let _ = holder.kill();
            let output = holder.wait_with_output().expect("its output");
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let id = holder.id().to_string();
        let mut enter = vec!["nsenter".to_owned(), "--target".into(), id, "--mount".into()];
        if !user.is_empty() {
            enter.extend(["--user".into(), "--preserve-credentials".into()]);
        }
        Ok(Self::Tmpfs { holder, enter, folder: folder.to_owned() })
    }

    /// The gateway's program, on this disk.
    fn program(&self) -> Program {
        let program = Program::within(env!("CARGO_BIN_EXE_sga-kill"));
        match self {
            Self::Tmpfs { enter, .. } => program.by_way_of(enter),
            // A file that grows past its limit then is an error, not a signal.
            Self::Limit { .. } => program.by_way_of(["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]),
        }
    }

    fn data(&self) -> PathBuf {
        match self {
            Self::Tmpfs { folder, .. } | Self::Limit { folder } => folder.join("data"),
        }
    }

    /// The folder, as it is seen from here.
    fn seen(&self) -> PathBuf {
        match self {
            Self::Tmpfs { holder, folder, .. } => Path::new("/proc")
                .join(holder.id().to_string())
                .join("root")
                .join(folder.strip_prefix("/").expect("absolute")),
            Self::Limit { folder } => folder.clone(),
        }
    }

    /// Bytes in use and free.
    fn space(&self) -> (u64, u64) {
        let seen = self.seen();
        let output = run(&["stat", "--file-system", "--format", "%b %f %S", &seen.display().to_string()]);
        let text = String::from_utf8(output.stdout).expect("text");
        let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        let [blocks, free, size] = numbers[..] else { panic!("{text:?}") };
        ((blocks - free) * size, free * size)
    }

    fn resize(&self, gateway: &Gateway, bytes: Option<u64>) {
        let output = match self {
            Self::Tmpfs { enter, folder, .. } => {
                let (size, folder) = (format!("remount,size={}", bytes.unwrap_or(LARGE)), folder.display().to_string());
                let mut words: Vec<&str> = enter.iter().map(String::as_str).collect();
                words.extend(["mount", "-o", &size, &folder]);
                run(&words)
            }
            Self::Limit { .. } => {
                let (id, limit) =
                    (gateway.id().to_string(), bytes.map_or("unlimited".into(), |bytes| bytes.to_string()));
                run(&["prlimit", "--pid", &id, &format!("--fsize={limit}:unlimited")])
            }
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Leaves a little room.
    fn shrink(&self, gateway: &Gateway) {
        let used = match self {
            Self::Tmpfs { .. } => self.space().0,
            Self::Limit { .. } => {
                let files = fs::read_dir(self.data()).expect("a folder").map(|file| file.expect("readable"));
                // What is put by lies there and is not written to; it is three times as long as the others.
                let written = files.filter(|file| file.file_name() != "reserve");
                written.map(|file| file.metadata().expect("there").len()).max().expect("a store")
            }
        };
        self.resize(gateway, Some(used + LEFT));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Tmpfs { holder, .. } = self {
            let _ = holder.stdin.take().map(|mut stdin| stdin.flush());
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

fn refusals(nodes: &[Node]) -> usize {
    let is_full = |node: &&Node| node.refused.iter().any(|refused| refused.code == Code::SERVICE_UNAVAILABLE);
    nodes.iter().filter(is_full).count()
}

fn acknowledged(fleet: &Fleet) -> usize {
    fleet.nodes.iter().map(|node| node.traffic.acknowledged()).sum()
}

/// Says how far each part of the promise is kept; the test fails at its end if one is not, so that all can be seen.
struct Findings(Vec<String>);

impl Findings {
    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
}

/// The two would take each other's time, and with it datagrams.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn a_full_tmpfs_refuses_keeps_and_recovers_where_mounting_is_allowed() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    match Disk::tmpfs(folder.path()) {
        Ok(disk) => refuses_keeps_and_recovers(&disk),
        // EPERM, as these programs say it; a missing program or anything else is no reason to pass.
        Err(why) if ["not permitted", "ermission denied"].iter().any(|refusal| why.contains(refusal)) => {
            eprintln!("NOT RUN, mounting is refused here; the limit on the size of files is what was tested: {why}");
        }
        Err(why) => panic!("no tmpfs, and not since it is refused: {why}"),
    }
}

#[test]
fn files_that_may_not_grow_are_refused_kept_and_recovered() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    refuses_keeps_and_recovers(&Disk::Limit { folder: folder.path().to_owned() });
}

fn refuses_keeps_and_recovers(disk: &Disk) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let (program, data) = (disk.program(), disk.data());
    let mut findings = Findings(Vec::new());
    let mut fleet = Fleet::new().expect("a fleet");
    let (gateway, address) =
        fleet.start(&program, &data, "127.0.0.1:0", &log, START_LIMIT).expect("a start with much room");
    for _ in 0..PAIRS {
        fleet.add_pair(address, 3, |_| TEXT_LEN).expect("sockets");
    }
    fleet.establish(LIMIT).expect("sessions");
    fleet.calm(LIMIT).expect("acknowledged");
    fleet.read_all(LIMIT).expect("read");
    for node in &mut fleet.nodes {
        node.read(Reading::Off);
        node.refused.clear();
        node.sends = true;
    }
    let before: Vec<_> =
        fleet.nodes.iter().map(|node| (node.traffic.acknowledged(), node.traffic.acknowledged_bytes())).collect();
    disk.shrink(&gateway);

    // Load, until nobody gets anything stored any more. Datagrams are lost on a busy machine, and who lost none would fill its
    // peer's mailbox while others wait: so none sends more than its share before the disk is full for half of them.
    let full = fleet.run_until(LIMIT, |nodes| {
        for (node, (messages, _)) in nodes.iter_mut().zip(&before) {
            node.sends = node.traffic.acknowledged() - messages < SHARE;
        }
        refusals(nodes) * 2 >= nodes.len()
    });
    assert!(full, "the disk does not get full");
    fleet.nodes.iter_mut().for_each(|node| node.sends = true);
    let full = fleet.run_until(LIMIT, |nodes| refusals(nodes) == nodes.len());
    assert!(full, "{} of {} are refused", refusals(&fleet.nodes), PAIRS * 2);
    for (node, (messages, bytes)) in fleet.nodes.iter().zip(&before) {
        let stored = node.traffic.acknowledged() - messages;
        let stored_bytes = node.traffic.acknowledged_bytes() - bytes;
        let is_mailbox = stored * 8 > MAILBOX_MESSAGES * 7 || stored_bytes * 8 > MAILBOX_BYTES * 7;
        assert!(!is_mailbox, "it was the mailbox that was full, with {stored} texts");
        let refused = node.refused.iter().find(|refused| refused.kind == RequestKind::Message).expect("refused");
        assert_eq!(refused.code, Code::SERVICE_UNAVAILABLE);
        assert!(refused.max_age.is_some(), "it says when to try again");
    }
    let stored = acknowledged(&fleet);
    eprintln!("full with {stored} texts acknowledged and {} KiB free", disk.space().1 >> 10);

    // What is there can be read: whole inboxes, attaches and acknowledgements included.
    fleet.nodes.iter_mut().for_each(|node| node.sends = false);
    let readers = [0, 1, 2, 3];
    let attached: Vec<u32> = readers.iter().map(|&at| fleet.nodes[at].attached).collect();
    for at in readers {
        fleet.nodes[at].read(Reading::ToTheEnd);
    }
    let read = fleet.run_until(LIMIT / 4, |nodes| readers.iter().all(|&at| *nodes[at].reading() == Reading::Done));
    for (at, attached) in readers.iter().zip(attached) {
        let node = &fleet.nodes[*at];
        let last = node.refused.last();
        findings.check(node.attached > attached, || format!("full disk: {} cannot attach, {last:?}", node.id()));
    }
    findings.check(read, || "full disk: inboxes cannot be read to their ends".into());
    for at in readers {
        fleet.nodes[at].read(Reading::Off);
    }

    // Room again: the same process takes messages.
    disk.resize(&gateway, None);
    let stored = acknowledged(&fleet);
    fleet.nodes.iter_mut().for_each(|node| node.sends = true);
    let since = fleet.now();
    let recovered = fleet.run_until(RECOVERY_LIMIT, |nodes| {
        nodes.iter().map(|node| node.traffic.acknowledged()).sum::<usize>() >= stored + nodes.len()
    });
    eprintln!(
        "after {} ms with room again: {} texts more",
        (fleet.now() - since).as_millis(),
        acknowledged(&fleet) - stored
    );
    findings.check(recovered, || format!("with room again, nothing is stored within {RECOVERY_LIMIT:?}"));

    // A kill, and all that was acknowledged is there.
    fleet.nodes.iter_mut().for_each(|node| node.sends = false);
    let before_kill = gateway.log();
    gateway.kill().expect("killed");
    match fleet.start(&program, &data, &address.to_string(), &log, START_LIMIT) {
        Err(why) => findings.check(false, || why),
        Ok((gateway, _)) => {
            fleet.nodes.iter_mut().for_each(|node| node.read(Reading::On));
            let ends = [fleet.calm(LIMIT), fleet.read_all(LIMIT)];
            ends.into_iter().filter_map(Result::err).for_each(|why| findings.check(false, || why));
            findings.check(!gateway.log().contains("panicked"), || "the gateway panicked".into());
        }
    }
    let verdict: Verdict = fleet.verdicts().into_iter().sum();
    findings.check(verdict.is_whole(), || verdict.to_string());
    findings.check(!before_kill.contains("set aside"), || "a full disk is no damage: the store was set aside".into());
    eprintln!("{verdict}");
    assert!(
        findings.0.is_empty(),
        "{}\nthe log before the kill ends with\n{}",
        findings.0.join("\n"),
        log_end(&before_kill)
    );
}
