//! `sga-gateway` as a process: what it prints, what it refuses, how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

struct Gateway {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

fn command(args: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sga-gateway"));
    command.args(args).arg("--data").arg(data).stdin(Stdio::null());
    command
}

fn run(args: &[&str], data: &Path) -> Output {
    command(args, data).output().expect("starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Gateway {
    fn start(args: &[&str], data: &Path) -> Self {
        let mut child = command(args, data).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdout }
    }

    fn address(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("readable");
        line.trim().strip_prefix("listening on ").expect("one line for each socket").to_owned()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().expect("kill").success());
    }

    /// Ends by itself; the exit code and what else was printed.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("readable");
        (self.child.wait().expect("ended").code(), rest)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn says_where_it_listens_once_for_each_socket_and_stops_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let data = tempfile::tempdir().expect("a folder");
        let args = ["run", "--listen", "127.0.0.1:0", "--listen", "[::1]:0"];
        let mut gateway = Gateway::start(&args, data.path());
        assert!(gateway.address().starts_with("127.0.0.1:"));
        assert!(gateway.address().starts_with("[::1]:"));
        gateway.signal(signal);
        assert_eq!(gateway.end(), (Some(0), String::new()), "{signal}");
    }
}

#[test]
fn answers_a_stranger_by_the_book() {
    let data = tempfile::tempdir().expect("a folder");
    let mut gateway = Gateway::start(&["run", "--listen", "127.0.0.1:0"], data.path());
    let address = gateway.address();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let ask = |bytes: &[u8]| {
        socket.send_to(bytes, &address).expect("sent");
        let mut buffer = [0; 2_048];
        let (len, _) = socket.recv_from(&mut buffer).expect("an answer");
        buffer[..len].to_vec()
    };
    assert_eq!(ask(&[0x40, 0, 0x12, 0x34]), [0x70, 0, 0x12, 0x34], "ping: RST");
    let package = ask(b"\x42\x01\x12\x35ab\xb8register");
    assert_eq!(package[..6], *b"\x62\x45\x12\x35ab", "a piggybacked 2.05 with the same MID and token");
    assert!(package.len() <= 3 * 15, "an address that has shown nothing gets at most three times what it sent");
    // What is no CoAP at all is survived, and the next request is served.
    socket.send_to(&[], &address).expect("sent");
    socket.send_to(&[0xff; 1_500], &address).expect("sent");
    assert_eq!(ask(b"\x42\x01\x12\x36ab\xb7nothing")[1], 0x84, "4.04");
}

/// A peer takes an answer only from where it asked; a wildcard socket has many addresses.
#[test]
fn answers_from_the_address_that_was_asked() {
    let data = tempfile::tempdir().expect("a folder");
    for (listen, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "127.0.0.3"), ("[::]:0", "::1")] {
        let mut gateway = Gateway::start(&["run", "--listen", listen, "--enrol", "open"], data.path());
        let port = gateway.address().rsplit_once(':').expect("a port").1.parse::<u16>().expect("a port");
        let asked = std::net::SocketAddr::new(asked.parse().expect("an address"), port);
        let any = if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        for _ in 0..3 {
            socket.send_to(&[0x40, 0, 0x12, 0x34], asked).expect("sent");
            let (len, from) = socket.recv_from(&mut [0; 64]).expect("a Reset");
            assert_eq!((len, from), (4, asked), "{listen}");
        }
        gateway.signal("-TERM");
        assert_eq!(gateway.end().0, Some(0));
    }
}

#[test]
fn keeps_its_keys_over_starts_and_from_others() {
    let data = tempfile::tempdir().expect("a folder");
    let pin = || {
        let output = run(&["pin"], data.path());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let (code, first) = pin();
    assert_eq!((code, first.len()), (Some(0), 32));
    assert_eq!(pin().1, first);
    let path = data.path().join("gateway.key");
    let set_mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    set_mode(0o644);
    let output = run(&["pin"], data.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("chmod 600"), "it says what to do: {}", stderr(&output));
    set_mode(0o600);
    let output = run(&["pin", "--profile", "classic"], data.path());
    assert_eq!(output.status.code(), Some(1), "the profile is chosen once");
    std::fs::write(&path, "format = 1").expect("written");
    assert_eq!(run(&["pin"], data.path()).status.code(), Some(1), "a damaged key file is not replaced");
}

#[test]
fn refuses_with_a_reason_and_a_code() {
    let data = tempfile::tempdir().expect("a folder");
    let fails = |args: &[&str], code: i32, reason: &str| {
        let output = run(args, data.path());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{args:?}: {}", stderr(&output));
    };
    fails(&["run", "--listen", "nowhere"], 2, "invalid value");
    fails(&["run", "--enrol", "anyone"], 2, "invalid value");
    fails(&["run", "--config", "/nonexistent"], 1, "/nonexistent");
    fails(&["run", "--ack-after", "2001"], 1, "at most 2000 ms");
    fails(&["run", "--listen", "127.0.0.1:0", "--enrol", "list"], 1, "enrol.list");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = taken.local_addr().expect("bound").to_string();
    fails(&["run", "--listen", &address], 1, "cannot listen");
    let mut first = Gateway::start(&["run", "--listen", "127.0.0.1:0"], data.path());
    first.address();
    fails(&["run", "--listen", "127.0.0.1:0"], 1, "in use");
}

#[test]
fn reads_a_file_and_lets_flags_win() {
    let data = tempfile::tempdir().expect("a folder");
    let config = data.path().join("config.toml");
    let text = "listen = [\"127.0.0.1:0\"]\nenrol = \"token\"\nprofile = \"classic\"\nid = \"file\"\n";
    std::fs::write(&config, text).expect("written");
    let path = config.display().to_string();
    let mut gateway = Gateway::start(&["run", "--config", &path, "--id", "flag"], data.path());
    gateway.address();
    let keys = std::fs::read_to_string(data.path().join("gateway.key")).expect("there");
    assert!(keys.contains("profile = \"classic\"") && keys.contains("id = \"flag\""));
    let token = std::fs::read_to_string(data.path().join("enrol.token")).expect("made");
    assert_eq!(token.trim().len(), 32, "128 bits in hex");
    std::fs::write(&config, "lisen = []\n").expect("written");
    let output = run(&["run", "--config", &path], data.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("lisen"), "an unknown name is named");
}

#[test]
fn says_which_line_of_the_list_is_wrong() {
    let data = tempfile::tempdir().expect("a folder");
    let list = data.path().join("enrol.list");
    let secret = "00112233445566778899aabbccddeeff";
    for (text, reason) in [
        (format!("# devices\nsensor {secret} extra\n"), "enrol.list:2"),
        ("sensor 0011\n".to_owned(), "16 are needed"),
        ("sensor zz\n".to_owned(), "not in hex"),
        (format!("a {secret}\na {secret}\n"), "enrol.list:2: a is there twice"),
        (format!("much-too-long-for-an-id {secret}\n"), "1–16 bytes"),
    ] {
        std::fs::write(&list, &text).expect("written");
        std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o600)).expect("set");
        let output = run(&["run", "--listen", "127.0.0.1:0", "--enrol", "list"], data.path());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{text:?}: {}", stderr(&output));
    }
}
