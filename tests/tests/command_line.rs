//! Both programs as processes: what their commands do, and how they fail.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn program(role: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sga-demo"));
    command.arg(role).stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

struct Gateway {
    child: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Gateway {
    fn start(enrol: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = program("__gateway")
            .args(["run", "--listen", "127.0.0.1:0", "--enrol", enrol, "--data"])
            .arg(folder.path().join("gateway"))
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let url = format!("coap://{}", line.trim().strip_prefix("listening on ").expect("it says where"));
        Self { child, url, folder }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn device(&self, name: &str, args: &[&str]) -> Output {
        program("__device").arg("--state").arg(self.state(name)).args(args).output().expect("starts")
    }

    /// The same with something on its standard input.
    fn device_with_input(&self, name: &str, args: &[&str], input: &str) -> Output {
        let mut command = program("__device");
        let mut child =
            command.arg("--state").arg(self.state(name)).args(args).stdin(Stdio::piped()).spawn().expect("starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
        child.wait_with_output().expect("ends")
    }

    fn register(&self, name: &str) {
        done(&self.device(name, &["register", "--gateway", &self.url, "--id", name]));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn fails(output: &Output, code: i32, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(reason), "{said}");
}

fn said(output: &Output) -> String {
    done(output);
    String::from_utf8(output.stdout.clone()).expect("UTF-8").trim().to_owned()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_str(said(output).lines().last().expect("a line")).expect("JSON")
}

/// A device that listens, ready.
struct Listener {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Listener {
    fn start(state: &Path, args: &[&str]) -> Self {
        let mut child = program("__device")
            .args(["--json", "--state"])
            .arg(state)
            .arg("listen")
            .args(args)
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut listener = Self { child, lines };
        listener.until("attached");
        listener
    }

    fn until(&mut self, event: &str) -> serde_json::Value {
        let mut line = String::new();
        while self.lines.read_line(&mut line).expect("readable") > 0 {
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if value["event"] == event {
                return value;
            }
            line.clear();
        }
        panic!("it ended without {event}");
    }

    fn end(&mut self) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("readable");
        assert!(self.child.wait().expect("ended").success());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn commands_end_with_the_code_and_the_reason_that_fit() {
    let gateway = Gateway::start("open");
    fails(&gateway.device("alice", &["status"]), 1, "register");
    fails(&gateway.device("alice", &["register", "--gateway", "nowhere", "--id", "alice"]), 1, "coap://");
    fails(&gateway.device("alice", &["register", "--gateway", &gateway.url, "--id", ""]), 2, "--id");
    fails(&gateway.device("alice", &["register", "--gateway", &gateway.url, "--pin", "12", "--id", "a"]), 2, "32 hex");
    gateway.register("alice");
    gateway.register("bob");
    gateway.register("alice");
    fails(&gateway.device("mallory", &["register", "--gateway", &gateway.url, "--id", "alice"]), 1, "taken");
    let wrong_pin = ["register", "--gateway", &gateway.url, "--id", "carol", "--pin", &"0".repeat(32)];
    fails(&gateway.device("carol", &wrong_pin), 1, "another gateway");
    fails(&gateway.device("alice", &["connect", "nobody"]), 1, "no device of that name");
    fails(&gateway.device("alice", &["connect", "alice"]), 1, "own id");
    fails(&gateway.device("alice", &["send", "bob", "hello"]), 1, "connect bob");
    fails(&gateway.device("alice", &["connect", "bob", "--timeout", "1"]), 3, "bob did not answer");
    fails(&gateway.device("alice", &["listen", "--count", "1", "--timeout", "1"]), 3, "not enough");
    fails(&gateway.device("alice", &["send", "bob", &"x".repeat(8_193)]), 1, "8192");
    let _working = Listener::start(&gateway.state("bob"), &["--timeout", "30"]);
    fails(&gateway.device("bob", &["connect", "alice"]), 1, "another sga-device");
}

#[test]
fn only_who_knows_the_token_registers() {
    let gateway = Gateway::start("token");
    let token = std::fs::read_to_string(gateway.state("gateway").join("enrol.token")).expect("made");
    let with = |name: &str, token: &str| {
        gateway.device(name, &["register", "--gateway", &gateway.url, "--id", name, "--token", token])
    };
    fails(&gateway.device("a", &["register", "--gateway", &gateway.url, "--id", "a"]), 1, "--token");
    fails(&with("b", &"00".repeat(16)), 1, "--token");
    done(&with("c", token.trim()));
}

#[test]
fn a_whole_session_goes_through_64_byte_blocks_and_refusals_are_heard() {
    let gateway = Gateway::start("open");
    gateway.register("alice");
    gateway.register("bob");
    let stranger = Listener::start(&gateway.state("bob"), &["--accept", "carol", "--timeout", "30"]);
    fails(&gateway.device("alice", &["connect", "bob", "--timeout", "20"]), 1, "declined");
    drop(stranger);
    let mut bob = Listener::start(&gateway.state("bob"), &["--count", "2", "--block-szx", "2", "--timeout", "30"]);
    done(&gateway.device("alice", &["--block-szx", "2", "connect", "bob", "--suite", "ascon-aead128"]));
    let large = "0123456789".repeat(40);
    for text in ["short", &large] {
        done(&gateway.device("alice", &["--block-szx", "2", "send", "bob", text]));
    }
    assert_eq!(bob.until("text")["text"], "short");
    assert_eq!(bob.until("text")["text"], large.as_str());
    bob.end();
}

impl Gateway {
    fn order(&self, args: &[&str]) -> Output {
        program("__gateway").args(args).arg("--data").arg(self.folder.path().join("gateway")).output().expect("starts")
    }

    fn key_file(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("gateway/gateway.key")).expect("the key file")
    }

    fn pin_of(&self, name: &str) -> String {
        let output = self.device(name, &["--json", "status"]);
        done(&output);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        status["pin"].as_str().expect("a pin").to_owned()
    }
}

fn line(output: &Output) -> String {
    done(output);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn keys_are_replaced_while_a_session_goes_on() {
    let gateway = Gateway::start("token");
    let token = std::fs::read_to_string(gateway.folder.path().join("gateway/enrol.token")).expect("a token");
    for name in ["a", "b"] {
        done(&gateway.device(name, &["register", "--gateway", &gateway.url, "--id", name, "--token", token.trim()]));
    }
    let mut listener = Listener::start(&gateway.state("b"), &["--count", "2"]);
    done(&gateway.device("a", &["connect", "b"]));
    done(&gateway.device("a", &["send", "b", "before"]));
    // The device's key, without the token: the old key is the proof.
    done(&gateway.device("a", &["rotate"]));
    // The gateway's, while it runs.
    let old = gateway.pin_of("a");
    let new = line(&gateway.order(&["rotate-key", "--overlap", "30"]));
    assert!(new != old && new == line(&gateway.order(&["pin"])));
    assert!(gateway.key_file().contains("previous_key"));
    fails(&gateway.order(&["rotate-key"]), 1, "--end");
    done(&gateway.device("a", &["send", "b", "after"]));
    listener.end();
    done(&gateway.device("b", &["listen", "--count", "0"]));
    assert_eq!([gateway.pin_of("a"), gateway.pin_of("b")], [new.clone(), new.clone()], "both have followed");
    done(&gateway.order(&["rotate-key", "--end"]));
    assert!(!gateway.key_file().contains("previous_key"), "the old one is erased");
    done(&gateway.device("a", &["rotate"]));
    done(&gateway.device("a", &["send", "b", "and again"]));
}

#[test]
fn an_operator_revokes_and_the_peer_is_told() {
    let gateway = Gateway::start("open");
    ["a", "b"].iter().for_each(|name| gateway.register(name));
    let mut listener = Listener::start(&gateway.state("a"), &[]);
    done(&gateway.device("b", &["connect", "a"]));
    done(&gateway.order(&["revoke", "b"]));
    let ended = listener.until("session ended");
    assert_eq!((ended["peer"].as_str(), ended["revoked"].as_bool()), (Some("b"), Some(true)));
    drop(listener);
    fails(&gateway.device("a", &["send", "b", "x"]), 1, "connect b");
    fails(&gateway.device("a", &["connect", "b", "--timeout", "10"]), 1, "knows no device of that name");
    fails(&gateway.device("b", &["listen", "--count", "0", "--timeout", "10"]), 1, "revoked");
    done(&gateway.order(&["release", "b"]));
    let mut listener = Listener::start(&gateway.state("a"), &["--count", "1"]);
    done(&gateway.device("b", &["connect", "a"]));
    done(&gateway.device("b", &["send", "a", "back"]));
    listener.end();
}

/// Alice and Bob, registered.
fn two() -> Gateway {
    let gateway = Gateway::start("open");
    gateway.register("alice");
    gateway.register("bob");
    gateway
}

#[test]
fn a_pair_secret_that_is_wrong_is_refused_and_not_shown() {
    let gateway = two();
    let secret = "0123456789abcdef".repeat(4);
    fails(&gateway.device("carol", &["pair", "bob", "--secret", &secret]), 1, "register");
    fails(&gateway.device("alice", &["pair", "alice", "--secret", &secret]), 1, "own id");
    fails(&gateway.device("alice", &["pair", "bob"]), 2, "--generate");
    fails(&gateway.device("alice", &["pair", "bob", "--generate", "--secret", &secret]), 2, "--generate");
    fails(&gateway.device("alice", &["pair", "bob", "--forget"]), 1, "no secret is kept");
    fails(&gateway.device("alice", &["pair", "bob", "--secret-file", "/nowhere"]), 1, "/nowhere");
    for wrong in [&secret[1..], &format!("{secret}0"), &secret.replace('e', "z"), &"7".repeat(64)] {
        for output in [
            gateway.device("alice", &["pair", "bob", "--secret", wrong]),
            gateway.device_with_input("alice", &["pair", "bob", "--secret-file", "-"], wrong),
        ] {
            fails(&output, 1, "a pair secret is");
            assert!(!String::from_utf8_lossy(&output.stderr).contains(wrong), "it shows the secret");
        }
    }
    fails(
        &gateway.device_with_input("alice", &["pair", "bob", "--secret-file", "-"], &" ".repeat(1_025)),
        1,
        "too long",
    );
    for args in [["code", "bob", "--qr"], ["code", "nobody", "--json"]] {
        fails(&gateway.device("alice", &args), 1, &format!("no session with {0}: run `connect {0}`", args[1]));
    }
    fails(&gateway.device("alice", &["code", "alice"]), 1, "own id");
    fails(&gateway.device("alice", &["code", "bob", "--compare", "12"]), 2, "60 digits");
    let status = json(&gateway.device("alice", &["--json", "status"]));
    assert_eq!(status["sessions"], serde_json::json!([]), "nothing has changed");
    // Room for 32 peers.
    for number in 0..32 {
        done(&gateway.device("alice", &["pair", &format!("peer {number}"), "--secret", &secret]));
    }
    fails(&gateway.device("alice", &["pair", "bob", "--secret", &secret]), 1, "no room for another peer");
    let help = said(&gateway.device("alice", &["pair", "--help"]));
    assert!(help.contains("`ps`") && help.contains("standard input"), "{help}");
}

#[test]
fn a_generated_secret_goes_to_the_other_end_and_the_codes_are_compared() {
    let gateway = two();
    let made = gateway.device("alice", &["pair", "bob", "--generate"]);
    let secret = said(&made);
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    assert!(!String::from_utf8_lossy(&made.stderr).contains(&secret));
    let file = gateway.state("secret");
    std::fs::write(&file, secret.to_uppercase()).expect("writable");
    let file = file.to_str().expect("UTF-8");
    let taken = gateway.device("bob", &["pair", "alice", "--secret-file", file]);
    assert_eq!(said(&taken), "", "only a secret that was made is shown");
    assert!(String::from_utf8_lossy(&taken.stderr).contains("others than its owner"), "a file that all may read");
    // As a QR code as well, the same each time; nothing changes by it.
    let drawn = json(&gateway.device("bob", &["--json", "pair", "alice", "--secret-file", file, "--qr"]));
    assert!(drawn["qr"].as_str().expect("drawn").lines().count() > 16 && drawn["secret"].is_null(), "{drawn}");
    assert_eq!((&drawn["event"], &drawn["session"]), (&"paired".into(), &false.into()));

    let listener = Listener::start(&gateway.state("bob"), &["--timeout", "60"]);
    let mut command = program("__device");
    let loud = command.env("RUST_LOG", "trace").arg("--state").arg(gateway.state("alice")).args(["connect", "bob"]);
    let connected = loud.output().expect("starts");
    done(&connected);
    assert!(!String::from_utf8_lossy(&connected.stderr).contains(&secret), "the log shows the secret");
    fails(&gateway.device("bob", &["pair", "alice", "--forget"]), 1, "another sga-device");
    let code = said(&gateway.device("alice", &["code", "bob"]));
    assert_eq!(code.split(' ').map(str::len).collect::<Vec<_>>(), [5; 12]);
    // Looking needs no lock.
    let theirs = json(&gateway.device("bob", &["--json", "code", "alice"]));
    assert_eq!((theirs["digits"].as_str(), theirs["paired"].as_bool()), (Some(code.as_str()), Some(true)));
    assert!(said(&gateway.device("bob", &["code", "alice", "--qr"])).ends_with(&code));
    done(&gateway.device("bob", &["code", "alice", "--compare", &code.replace(' ', "-")]));
    assert_eq!(json(&gateway.device("bob", &["--json", "code", "alice", "--compare", &code]))["equal"], true);
    let other = format!("{}{}", &code[..code.len() - 1], if code.ends_with('0') { '1' } else { '0' });
    fails(&gateway.device("bob", &["code", "alice", "--compare", &other]), 1, "the codes differ");
    drop(listener);
}

#[test]
fn a_secret_of_one_end_alone_is_reported_at_both_and_no_text_leaves() {
    let gateway = two();
    let mut bob = Listener::start(&gateway.state("bob"), &["--timeout", "60"]);
    done(&gateway.device("alice", &["connect", "bob"]));
    let secret = json(&gateway.device("alice", &["--json", "pair", "bob", "--generate"]));
    assert_eq!(secret["session"], true);
    assert!(secret["next"].as_str().expect("said").contains("connect bob"), "{secret}");
    fails(&gateway.device("alice", &["code", "bob"]), 1, "made before the pair secret was set");
    fails(&gateway.device("alice", &["send", "bob", "hello", "--timeout", "30"]), 1, "pair secrets differ");
    let report = bob.until("not confirmed");
    assert_eq!((&report["peer"], &report["paired"]), (&"alice".into(), &false.into()), "{report}");
    fails(&gateway.device("bob", &["code", "alice"]), 1, "is not established");
    drop(bob);
    let hex = secret["secret"].as_str().expect("shown once");
    done(&gateway.device_with_input("bob", &["pair", "alice", "--secret-file", "-"], hex));
    let mut bob = Listener::start(&gateway.state("bob"), &["--count", "1", "--timeout", "60"]);
    done(&gateway.device("alice", &["connect", "bob"]));
    done(&gateway.device("alice", &["send", "bob", "after"]));
    assert_eq!(bob.until("text")["text"], "after");
    bob.end();
    assert!(said(&gateway.device("alice", &["status"])).contains("paired"));
    assert_eq!(json(&gateway.device("alice", &["--json", "pair", "bob", "--forget"]))["event"], "unpaired");
    assert!(!said(&gateway.device("alice", &["status"])).contains("paired"));
}

#[test]
fn padded_commands_do_what_others_do() {
    let gateway = Gateway::start("open");
    let long = "x".repeat(8_183);
    for name in ["alice", "bob"] {
        done(&gateway.device(name, &["--pad-sizes", "register", "--gateway", &gateway.url, "--id", name]));
    }
    let mut bob = Listener::start(&gateway.state("bob"), &["--pad-sizes", "--count", "3", "--timeout", "60"]);
    done(&gateway.device("alice", &["connect", "bob", "--pad-sizes"]));
    fails(&gateway.device("alice", &["--pad-sizes", "send", "bob", &format!("{long}x")]), 1, "at most 8183");
    done(&gateway.device("alice", &["--pad-sizes", "send", "bob", "padded"]));
    done(&gateway.device("alice", &["send", "bob", "not padded"]));
    done(&gateway.device("alice", &["--pad-sizes", "send", "bob", &long]));
    for text in ["padded", "not padded", &long] {
        assert_eq!(bob.until("text")["text"], text);
    }
    bob.end();
}
