//! The state folder: one file with everything, written as a whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use minicbor::{Decoder, Encoder};

use super::{Stop, files};
use crate::agent::Image;

/// A device's folder, locked.
pub(crate) struct State {
    folder: PathBuf,
    pub(crate) gateway: String,
    _lock: File,
}

fn state_file(folder: &Path) -> PathBuf {
    folder.join("state.cbor")
}

/// What is in a folder, without locking it: for those who only look.
pub(crate) fn read(folder: &Path) -> Result<(String, Image), Stop> {
    let path = state_file(folder);
    if !path.exists() {
        return Err(Stop::Failed(format!(
            "no device in {}: run `sga-device --state {0} register` first",
            folder.display()
        )));
    }
    let bytes = files::read(&path)?;
    let damaged = |why: String| {
        Stop::Failed(format!("{} is damaged ({why}); put a copy back, or register under a new id", path.display()))
    };
    let mut d = Decoder::new(&bytes);
    let mut parse = || -> Result<(String, Image), String> {
        if d.array().map_err(|error| error.to_string())? != Some(2) {
            return Err("wrong shape".into());
        }
        let gateway = d.str().map_err(|error| error.to_string())?.to_owned();
        let image = Image::decode(d.bytes().map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
        Ok((gateway, image))
    };
    parse().map_err(damaged)
}

impl State {
    /// Opens a folder that has a device.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Image), Stop> {
        if !state_file(folder).exists() {
            read(folder)?;
        }
        let lock = files::lock(folder)?;
        let (gateway, image) = read(folder)?;
        Ok((Self { folder: folder.to_owned(), gateway, _lock: lock }, image))
    }

    /// Opens a folder, with or without a device.
    pub(crate) fn open_or_make(folder: &Path, gateway: &str) -> Result<(Self, Option<Image>), Stop> {
        files::make_folder(folder)?;
        let lock = files::lock(folder)?;
        let image = if state_file(folder).exists() { Some(read(folder)?.1) } else { None };
        Ok((Self { folder: folder.to_owned(), gateway: gateway.to_owned(), _lock: lock }, image))
    }

    /// Makes an image durable.
    pub(crate) fn save(&self, image: &Image) -> Result<(), Stop> {
        let mut e = Encoder::new(Vec::new());
        e.array(2)
            .and_then(|e| e.str(&self.gateway))
            .and_then(|e| e.bytes(&image.encode()))
            .expect("encoding into a Vec cannot fail");
        files::write(&state_file(&self.folder), &e.into_writer())
    }

    /// Where the request is kept that another client carries.
    pub(crate) fn carried_request(&self) -> PathBuf {
        self.folder.join("register.request")
    }

    /// Where the package is kept that it was made for.
    pub(crate) fn carried_package(&self) -> PathBuf {
        self.folder.join("register.package")
    }
}
