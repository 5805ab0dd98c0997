//! A Python with aiocoap and what the second implementation needs, in a virtual environment of the build's.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::python_folder;
use crate::process::run_well;

/// The interpreter to use: that of `SGA_INTEROP_PYTHON`, or one of a virtual environment under the build folder, made anew
/// when what it is to hold has changed.
///
/// # Errors
/// There is no Python 3 with `venv`, or the packages cannot be had.
pub fn python() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("SGA_INTEROP_PYTHON") {
        return Ok(path.into());
    }
    let wanted_file = python_folder().join("requirements.txt");
    let wanted =
        std::fs::read_to_string(&wanted_file).map_err(|error| format!("{}: {error}", wanted_file.display()))?;
    let folder = build_folder()?.join("interop-venv");
    let (stamp, python) = (folder.join("made-from"), folder.join("bin").join("python"));
    if std::fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) && python.is_file() {
        return Ok(python);
    }
    let _ = std::fs::remove_dir_all(&folder);
    run_well("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .map_err(|why| format!("{why}\nas root: apt-get install python3-venv"))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted_file);
    run_well("pip", &mut pip)?;
    std::fs::write(&stamp, &wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(python)
}

/// The folder that this program was built into.
fn build_folder() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
    let is_build = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    own.ancestors().find(is_build).map(Path::to_owned).ok_or_else(|| format!("{} is in no build folder", own.display()))
}
