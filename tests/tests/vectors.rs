//! The committed vectors: made again and compared; decoded, opened and verified from their inputs.

use std::path::PathBuf;

use sga_tests::vectors;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cbor-schema/vectors")
}

#[test]
fn committed_files_are_what_the_code_makes() {
    let write = std::env::var_os("SGA_WRITE_VECTORS").is_some();
    for (profile, suite) in vectors::FILES {
        let name = vectors::file_name(profile, suite);
        let (path, made) = (folder().join(&name), vectors::file(profile, suite));
        if write {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = (1..).zip(lines(&committed).zip(lines(&made))).find(|(_, (old, new))| old != new);
        if let Some((number, (old, new))) = differs.filter(|_| committed != made) {
            panic!("{name}, line {number}\ncommitted: {}\nmade:      {}", old.unwrap_or("-"), new.unwrap_or("-"));
        }
        assert_eq!(committed, made, "{name}: line ends");
    }
}

/// The lines, and then nothing, endlessly enough to compare with more lines.
fn lines(text: &str) -> impl Iterator<Item = Option<&str>> {
    text.lines().map(Some).chain(std::iter::repeat_n(None, 10_000))
}

#[test]
fn every_payload_decodes_and_every_seal_opens() {
    for (profile, suite) in vectors::FILES {
        let name = vectors::file_name(profile, suite);
        let text = std::fs::read_to_string(folder().join(&name)).unwrap();
        assert_eq!(vectors::check(&text), (profile.id(), suite.id()), "{name}");
    }
}

/// The check above is worth something only if it sees each value.
#[test]
fn a_change_of_any_value_is_noticed() {
    let text = vectors::file(vectors::FILES[0].0, vectors::FILES[0].1);
    let lines: Vec<&str> = text.lines().collect();
    let values = lines.iter().enumerate().filter(|(_, line)| !line.starts_with('#') && line.contains(" = "));
    for (at, line) in values {
        let (rest, last) = line.split_at(line.len() - 1);
        let other = if last == "0" { '1' } else { '0' };
        let changed = format!("{rest}{other}");
        let mut lines = lines.clone();
        lines[at] = &changed;
        let text = lines.join("\n");
        assert!(std::panic::catch_unwind(|| vectors::check(&text)).is_err(), "not noticed: {line}");
    }
}
