//! `cargo verify`: everything that has to hold before a change lands, on a machine with nothing but Rust.
//!
//! Ends with a table and one line `N passed, N failed`; exits with 0 if nothing failed.
#![expect(clippy::print_stdout, reason = "a command's report")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// A stranger that the checks need: what shows that it is there, and the Debian package that has it.
const PEERS: [(&[&str], &str); 4] = [
    (&["coap-client-notls"], "libcoap3-bin"),
    (&["coap-server-notls"], "libcoap3-bin"),
    (&["tshark"], "tshark"),
    // Debian's python3 comes without what makes virtual environments.
    (&["python3", "-c", "import venv, ensurepip"], "python3-venv"),
];

/// Profile and suite of each run of the demo.
const DEMOS: [(&str, &str); 8] = [
    ("compact", "aes-ccm-8"),
    ("compact", "aes-ccm-16"),
    ("compact", "chacha20-poly1305"),
    ("compact", "ascon-aead128"),
    ("classic", "aes-ccm-8"),
    ("classic", "aes-ccm-16"),
    ("classic", "chacha20-poly1305"),
    ("classic", "ascon-aead128"),
];

struct Report {
    rows: Vec<(String, Result<(), String>)>,
    /// What was not done, and what to do for it.
    skipped: Vec<(String, String)>,
}

impl Report {
    fn run(&mut self, name: &str, command: &mut Command) {
        println!("── {name}");
        let result = match command.stdin(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(status.to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.rows.push((name.to_owned(), result));
    }

    fn note(&mut self, name: &str, result: Result<(), String>) {
        self.rows.push((name.to_owned(), result));
    }

    fn print(&self) -> bool {
        println!("\n{:<52} result", "check");
        for (name, result) in &self.rows {
            match result {
                Ok(()) => println!("{name:<52} ok"),
                Err(why) => println!("{name:<52} FAILED: {why}"),
            }
        }
        for (name, why) in &self.skipped {
            println!("{name:<52} SKIPPED: {why}");
        }
        let failed = self.rows.iter().filter(|(_, result)| result.is_err()).count();
        println!("\n{} passed, {failed} failed", self.rows.len() - failed);
        failed == 0
    }
}

const HELP: &str = "\
usage: cargo verify

Installs missing test peers through apt-get and pip where it may, or names them and fails; then format, clippy, licences and
sources of what is not ours (where cargo-deny is installed), all tests, interop, and the demo in all variants. Takes no arguments.
Exit codes: 0 all passed, 1 something failed, 2 wrong usage.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {}
        ["-h" | "--help"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            println!("cargo verify takes no arguments; a single check is run by its own command.\n\n{HELP}");
            return ExitCode::from(2);
        }
    }
    let root = workspace();
    let mut report = Report { rows: Vec::new(), skipped: Vec::new() };
    for (check, package) in PEERS {
        report.note(&format!("peer {}", check[0]), provide(check, package));
    }
    report.run("format", cargo(&root).args(["fmt", "--all", "--check"]));
    report.run(
        "clippy",
        cargo(&root).args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    );
    if is_there(&["cargo-deny", "--version"]) {
        let checks = ["deny", "--offline", "--log-level", "error", "check", "licenses", "bans", "sources"];
        report.run("supply chain", cargo(&root).args(checks));
    } else {
        let how = "cargo install --locked cargo-deny".to_owned();
        report.skipped.push(("supply chain".to_owned(), how));
    }
    report.run("build", cargo(&root).args(["build", "--quiet", "--workspace", "--bins"]));
    report.run("tests", cargo(&root).args(["test", "--workspace", "--no-fail-fast"]));
    report.run("interop", cargo(&root).args(["run", "--quiet", "--package", "sga-interop", "--bin", "sga-interop"]));
    report.run(
        "build for the demo",
        cargo(&root).args(["build", "--quiet", "--release", "--package", "sga-tests", "--bin", "sga-demo"]),
    );
    for (profile, suite) in DEMOS {
        report.run(
            &format!("demo --profile {profile} --suite {suite}"),
            cargo(&root).args(["demo", "--profile", profile, "--suite", suite]),
        );
    }
    if report.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Whether a peer is there: its program is found, and what it is asked goes well.
fn is_there(check: &[&str]) -> bool {
    let (program, args) = (check[0], &check[1..]);
    let runs = || {
        let quiet =
            Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    };
    on_path(program) && (args.is_empty() || runs())
}

/// Makes sure that a peer is there: installs it where that is allowed, and says what to do where it is not.
fn provide(check: &[&str], package: &str) -> Result<(), String> {
    if is_there(check) {
        return Ok(());
    }
    let program = check[0];
    println!("── installing {package} for {program}");
    let quiet = |args: &[&str]| {
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
    };
    // A list of packages that cannot be renewed may still be good enough.
    let _ = quiet(&["update", "-q"]);
    match quiet(&["install", "-y", "-q", "--no-install-recommends", package]) {
        Ok(status) if status.success() && is_there(check) => Ok(()),
        _ => Err(format!("not found and not installable here; as root: apt-get install {package}")),
    }
}
