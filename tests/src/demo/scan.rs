//! Looks for what the gateway must not have in all of its files.

use std::path::Path;

/// Something that must not be found.
pub(crate) struct Needle {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// How often any needle occurs in any file below a folder, and how many bytes were looked at.
pub(crate) fn scan(folder: &Path, needles: &[Needle]) -> Result<(Vec<String>, u64), String> {
    let mut found = Vec::new();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.is_dir() {
            let (below, bytes) = scan(&path, needles)?;
            found.extend(below);
            looked_at += bytes;
            continue;
        }
        let content = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        looked_at += content.len() as u64;
        for needle in needles {
            if contains(&content, &needle.bytes) {
                found.push(format!("{} in {}", needle.name, path.display()));
            }
        }
    }
    Ok((found, looked_at))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there() {
        let folder = std::env::temp_dir().join(format!("sga-scan-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("below")).expect("a folder");
        std::fs::write(folder.join("below/file"), b"....secret....").expect("a file");
        let needle = |bytes: &[u8]| Needle { name: "it".into(), bytes: bytes.to_vec() };
        assert_eq!(scan(&folder, &[needle(b"secret")]).expect("readable").0.len(), 1);
        assert_eq!(scan(&folder, &[needle(b"secreT")]).expect("readable").0.len(), 0);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
