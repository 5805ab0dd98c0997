//! No allocator: `examples/bare.rs` instantiates the whole device without std. Neither it nor any crate it is made of may
//! name the allocator's entry points. Built for an explicit target, so that build-time crates stay apart.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn rlibs(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rlibs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rlib") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_refers_to_an_allocator() {
    let version = Command::new(std::env::var("RUSTC").unwrap_or("rustc".into())).arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-alloc");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "sga-device", "--example", "bare", "--target", host])
        .args(["--no-default-features", "--features", "classic,compact", "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success());
    let mut found = Vec::new();
    rlibs(&target.join(host), &mut found);
    for wanted in ["bare", "sga_device", "sga_crypto", "sga_schema"] {
        assert!(found.iter().any(|path| path.to_string_lossy().contains(wanted)), "{wanted}");
    }
    for path in found {
        let bytes = std::fs::read(&path).unwrap();
        let names = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
        if path.to_string_lossy().contains("bare") {
            // The generic code of the device is really in here.
            assert!(names("send_half") && names("handle_items") && names("make_keys"));
        }
        for name in ["__rust_alloc", "__rust_realloc", "__rg_alloc"] {
            assert!(!names(name), "{} refers to {name}", path.display());
        }
    }
}
