//! libcoap's `coap-client` against our gateway. It exits with 0 whatever happens, so what it prints is what counts.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use sga_schema::Package;

struct Gateway {
    child: Child,
    url: String,
    data: tempfile::TempDir,
}

impl Gateway {
    fn start(profile: &str) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_sga-both"))
            .args(["gateway", "run", "--listen", "[::1]:0", "--enrol", "open", "--profile", profile, "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("readable");
        let address = line.trim().strip_prefix("listening on ").expect("says where it listens").to_owned();
        Self { child, url: format!("coap://{address}"), data }
    }

    fn pin(&self) -> String {
        let output = both(&["gateway", "pin", "--data", &self.data.path().display().to_string()]);
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn both(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_sga-both")).args(args).output().expect("starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs coap-client; returns the body that it wrote and what it said.
fn coap_client(args: &[&str], body: &Path) -> (Vec<u8>, String) {
    let output = Command::new("coap-client-notls")
        .args(["-B", "10", "-o"])
        .arg(body)
        .args(args)
        .output()
        .expect("coap-client-notls is there: `cargo verify` installs it (Debian package libcoap3-bin)");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (std::fs::read(body).unwrap_or_default(), said)
}

fn get_package(gateway: &Gateway, folder: &Path) -> Vec<u8> {
    let (body, said) = coap_client(&["-m", "get", &format!("{}/register", gateway.url)], &folder.join("package"));
    assert!(!body.is_empty(), "no package; coap-client says: {said}");
    body
}

#[test]
fn prints_the_package_in_both_profiles() {
    for profile in ["compact", "classic"] {
        let gateway = Gateway::start(profile);
        let folder = tempfile::tempdir().expect("a folder");
        let body = get_package(&gateway, folder.path());
        let package: Package<'_> = sga_schema::decode(&body).expect("a package");
        assert_eq!(package.profile.name(), profile);
        let pin = sga_crypto::steps::pin(1, package.profile.id(), package.public_key);
        assert_eq!(hex::encode(pin), gateway.pin());
    }
}

#[test]
fn carries_a_registration_that_the_device_finishes() {
    for profile in ["compact", "classic"] {
        let gateway = Gateway::start(profile);
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("package"), get_package(&gateway, folder.path())).expect("written");
        let state = path("state");
        let device = |args: &[&str]| both(&[&["device", "--state", &state], args].concat());
        device(&[
            "register",
            "--gateway",
            &gateway.url,
            "--id",
            "sensor-1",
            "--pin",
            &gateway.pin(),
            "--package",
            &path("package"),
            "--print-request",
            &path("request"),
        ]);
        let url = format!("{}/register", gateway.url);
        let request = path("request");
        // Echo (RFC 9175) is answered by coap-client itself.
        let args = ["-m", "post", "-t", "application/cbor", "-f", &request, &url];
        let (body, said) = coap_client(&args, &folder.path().join("answer"));
        assert!(!body.is_empty(), "no answer; coap-client says: {said}");
        device(&["register", "--read-answer", &path("answer")]);
        let status = String::from_utf8(device(&["status", "--json"]).stdout).expect("text");
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        assert_eq!(status["registered"], true, "{status}");
        // The inbox opens only with a key that the gateway really has.
        device(&["listen", "--count", "0", "--timeout", "10"]);
    }
}

#[test]
fn hears_why_it_is_refused() {
    let gateway = Gateway::start("compact");
    let folder = tempfile::tempdir().expect("a folder");
    let body = folder.path().join("body");
    let ask = |method: &str, path: &str, extra: &[&str]| {
        let url = format!("{}/{path}", gateway.url);
        coap_client(&[&["-m", method], extra, &[url.as_str()]].concat(), &body).1
    };
    assert!(ask("get", "nothing", &[]).contains("4.04"));
    assert!(ask("put", "register", &["-e", "x"]).contains("4.05"));
    assert!(ask("post", "kex", &["-t", "0", "-e", "x"]).contains("4.15"));
    assert!(ask("post", "kex", &["-t", "60", "-e", "x"]).contains("4.00"));
    assert!(ask("post", "register", &["-t", "60", "-e", "%83%02%40%40"]).contains("4.00"), "an unknown version");
    assert!(ask("post", "negotiate", &["-t", "60", "-e", "%41x"]).contains("4.01"));
}
