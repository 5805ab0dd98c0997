//! The committed inputs of the fuzz targets, run with a stable compiler.

use std::fs;
use std::path::Path;

/// Runs each file of a folder; what a failing one is called is in the panic's output.
fn replay(folder: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let data = fs::read(&file).expect("readable");
        if let Err(panic) = std::panic::catch_unwind(|| run(&data)) {
            let said = panic.downcast_ref::<String>().map_or("no text", String::as_str);
            panic!("{}: {said}", file.display());
        }
    }
}

#[test]
fn endpoint() {
    replay("corpus/endpoint", sga_tests::fuzzing::endpoint);
}
