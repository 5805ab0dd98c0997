//! `docs/dependencies.md` is held against the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata(manifest: &str, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--manifest-path"])
        .arg(root().join(manifest))
        .args(args)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{manifest}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value[field].as_array().into_iter().flatten()
}

/// The part of a version that says whether another is compatible.
fn major(version: &str) -> String {
    let version = version.trim_start_matches(['^', '=', '~']);
    let parts: Vec<&str> = version.split('.').collect();
    if parts[0] == "0" { parts[..2.min(parts.len())].join(".") } else { parts[0].to_owned() }
}

#[test]
fn each_direct_dependency_is_listed_with_its_version_and_nothing_else() {
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml", "tests/engines/Cargo.toml"] {
        let metadata = metadata(manifest, &["--no-deps"]);
        for dependency in list(&metadata, "packages").flat_map(|package| list(package, "dependencies")) {
            if dependency["path"].is_null() {
                let text = |field: &str| dependency[field].as_str().expect("text").to_owned();
                needed.entry(text("name")).or_default().insert(major(&text("req")));
            }
        }
    }
    let page = std::fs::read_to_string(root().join("docs/dependencies.md")).expect("the page");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeMap<String, BTreeSet<String>> = rows
        .map(|row| {
            let mut cells = row.split('|').map(|cell| cell.trim().trim_end_matches('`').to_owned());
            (cells.next().expect("a name"), BTreeSet::from([cells.next().expect("a version")]))
        })
        .collect();
    let missing: Vec<_> = needed.iter().filter(|(name, versions)| listed.get(*name) != Some(*versions)).collect();
    assert!(missing.is_empty(), "not on the page, or with another version: {missing:?}");
    let left_over: Vec<_> = listed.keys().filter(|name| !needed.contains_key(*name)).collect();
    assert!(left_over.is_empty(), "on the page and used nowhere: {left_over:?}");
}

#[test]
fn the_programs_need_no_c_compiler() {
    for package in ["sga-gateway", "sga-device"] {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--package", package])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let crates: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(crates.contains("sga-crypto"), "{text}");
        let bad: Vec<_> = crates
            .into_iter()
            .filter(|name| {
                matches!(*name, "cc" | "cmake" | "bindgen" | "pkg-config")
                    || (name.ends_with("-sys") && *name != "linux-raw-sys")
            })
            .collect();
        assert!(bad.is_empty(), "{package}: {bad:?}");
    }
}
