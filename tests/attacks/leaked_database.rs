//! The gateway's store leaks: a stolen disk, a backup in the wrong hands.
//!
//! Without `gateway.key` the attacker has bytes. With it, it has what the gateway has: it can pose as the gateway and as any device from
//! then on, and knows who has a session with whom. What it cannot do is read texts, also not with all that the store held at any moment
//! of a run.

use std::collections::HashSet;
use std::sync::Arc;

use sga_crypto::{Secret, Seed};
use sga_gateway_core::Commit;
use sga_gateway_store::{Folder, OpenError, Options};
use sga_schema::Profile;

use crate::support::opener::{open_by_element, open_by_root, texts};
use crate::support::taped::{self, ALICE, BOB};

/// All runs of 32 bytes in what the store holds.
fn candidates(found: &mut HashSet<[u8; 32]>, values: impl Iterator<Item = impl AsRef<[u8]>>) {
    for value in values {
        found.extend(value.as_ref().windows(32).map(|window| <[u8; 32]>::try_from(window).unwrap()));
    }
}

#[test]
fn no_moment_of_a_run_leaves_a_key_to_the_texts_in_the_store() {
    let mut found = HashSet::new();
    let mut last = None;
    let run = taped::run_watched(Profile::Compact, |world| {
        let store = &world.gateway.store;
        if last.as_ref() != Some(store) {
            candidates(&mut found, store.bytes());
            last = Some(store.clone());
        }
    });
    let texts = texts(&run);
    let [y_i, y_j] = [ALICE, BOB].map(|device| run.b6(device).0);
    let [n_i, n_j] = [ALICE, BOB].map(|device| run.half(device).0);
    assert!(found.len() > 500, "{} strings", found.len());
    for string in &found {
        // As the root; as R_i or R_j; as R_s with what would still be missing.
        assert!(open_by_root(&texts, &Secret::new(*string)).is_empty(), "a root lies in the store");
        let seed = Seed::from_bytes(*string);
        for element in [&y_i, &y_j, &n_i, &n_j] {
            let reached = run.group().exp(element, &seed);
            assert!(open_by_element(&run, &texts, &reached).is_empty(), "an exponent lies in the store");
        }
    }
    // The search finds what is there: k_d of both, which is why the store is sealed, and why a leak of it with its key is severe.
    for device in [ALICE, BOB] {
        assert!(found.contains(run.world.devices[device].registered_key.expose()));
    }
    // And it finds R where somebody has it.
    let big_r = run.ephemeral(ALICE, &n_i);
    assert_eq!(open_by_element(&run, &texts, &run.group().exp(&y_i, &big_r)).len(), 2);
}

/// What lies on the disk, and in a backup of it, without the key.
#[test]
fn without_the_gateways_key_nothing_in_its_files_can_be_read() {
    let run = taped::run(Profile::Compact);
    let folder = tempfile::tempdir().unwrap();
    let at_rest = [0x42; 32];
    let options = Options::new(1, [7; 32]);
    let mut opened = sga_gateway_store::open(Arc::new(Folder::new(folder.path())), &at_rest, &options).unwrap();
    let changes = run.world.gateway.store.changes();
    opened.writer.apply(&[Commit { id: 1, changes }]).unwrap();
    let mut backup = Vec::new();
    opened.backups.write(&mut backup).unwrap();
    drop(opened);
    let mut files: Vec<Vec<u8>> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    files.push(backup);
    // k_d, k_t, and every value of the store as it is.
    let mut needles: Vec<Vec<u8>> = Vec::new();
    for device in [ALICE, BOB] {
        needles.push(run.k_d(device).expose().to_vec());
        needles.push(run.k_t(device).expose().to_vec());
    }
    needles.extend(run.world.gateway.store.bytes().filter(|value| value.len() >= 12).map(<[u8]>::to_vec));
    assert!(needles.len() >= 8, "{}", needles.len());
    let stored: usize = needles.iter().map(Vec::len).sum();
    assert!(files.iter().map(Vec::len).sum::<usize>() > stored, "it is all there");
    for file in &files {
        // Files are laid out in advance: what is zero needs no search.
        let end = file.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
        for needle in &needles {
            let first = needle[0];
            let hit = file[..end].windows(needle.len()).any(|window| window[0] == first && window == needle.as_slice());
            assert!(!hit, "this lies open in a file: {needle:02x?}");
        }
    }
    // The search finds what does lie open: names are keys of the tables (`docs/security.md` says so).
    assert!(files.iter().any(|file| file.windows(5).any(|window| window == b"alice")));
    // With the key it opens, and with another it does not.
    let open = |key: &[u8; 32]| sga_gateway_store::open(Arc::new(Folder::new(folder.path())), key, &options);
    assert!(matches!(open(&[0x43; 32]), Err(OpenError::Key)));
    assert!(open(&at_rest).unwrap().findings.is_empty());
}
