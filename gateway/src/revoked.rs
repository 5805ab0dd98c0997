//! Devices that the operator has shut out: one file beside the store, so that no older backup brings one back.

use std::collections::HashSet;
use std::path::Path;

use sga_schema::DeviceId;

use crate::error::Error;
use crate::files;

const NAME: &str = "revoked.list";
const HEAD: &str = "# One id a line; `sga-gateway revoke` and `release` write here.\n";

/// Reads the list; none is an empty one.
pub(crate) fn load(data: &Path) -> Result<HashSet<DeviceId>, Error> {
    let path = data.join(NAME);
    let Some(bytes) = files::read_secret(&path)? else { return Ok(HashSet::new()) };
    let text = String::from_utf8_lossy(&bytes);
    let lines =
        text.lines().enumerate().map(|(number, line)| (number, line.split('#').next().unwrap_or_default().trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            let why = |_| Error::new(format!("{}:{}: {line:?} is not an id of 1–16 bytes", path.display(), number + 1));
            line.parse().map_err(why)
        })
        .collect()
}

/// Puts an id on the list or takes it off; false if that is how it was.
pub(crate) fn change(data: &Path, id: DeviceId, revoked: bool) -> Result<bool, Error> {
    let mut ids = load(data)?;
    let changed = if revoked { ids.insert(id) } else { ids.remove(&id) };
    if changed {
        let mut lines: Vec<String> = ids.iter().map(ToString::to_string).collect();
        lines.sort();
        files::write_secret(&data.join(NAME), format!("{HEAD}{}\n", lines.join("\n")).as_bytes())?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_on_the_list_until_it_is_released() {
        let folder = tempfile::tempdir().expect("a folder");
        let id = |text: &str| text.parse::<DeviceId>().expect("an id");
        assert!(load(folder.path()).expect("none").is_empty());
        assert!(change(folder.path(), id("lost-sensor"), true).expect("written"));
        assert!(!change(folder.path(), id("lost-sensor"), true).expect("as it was"));
        assert!(change(folder.path(), id("another"), true).expect("written"));
        assert_eq!(load(folder.path()).expect("readable"), HashSet::from([id("lost-sensor"), id("another")]));
        assert!(change(folder.path(), id("lost-sensor"), false).expect("written"));
        assert_eq!(load(folder.path()).expect("readable"), HashSet::from([id("another")]));
        std::fs::write(folder.path().join(NAME), "an id that is far too long for one\n").expect("written");
        let error = load(folder.path()).expect_err("refused").to_string();
        assert!(error.contains("revoked.list:1"), "{error}");
    }
}
