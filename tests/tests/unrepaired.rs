//! The patches that take the repairs out (`sga-unrepaired` builds and tries them): they still fit the tree, there is one for each
//! repair, and the attacks that they name are there.

use std::collections::BTreeSet;

use sga_tests::unrepaired::{applies, patches, workspace};

#[test]
fn each_patch_applies_and_names_tests_that_there_are() {
    let root = workspace();
    let patches = patches(&root).expect("patches");
    for patch in &patches {
        applies(&root, patch).expect("it applies");
        for test in &patch.tests {
            let (module, name) = test.split_once("::").expect("module and name");
            if name.is_empty() {
                continue;
            }
            let file = root.join(format!("tests/attacks/{module}.rs"));
            let source = std::fs::read_to_string(&file).expect("the module");
            assert!(source.contains(&format!("fn {name}()")), "{}: there is no {test}", patch.name);
        }
    }
    let repairs: BTreeSet<u8> = patches.iter().map(|patch| patch.repair).collect();
    assert_eq!(repairs, (1..=11).collect(), "one for each repair");
}
