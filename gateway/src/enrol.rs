//! Who may register: the operator's choice, and the secrets behind it.

use std::collections::HashMap;
use std::path::Path;

use sga_gateway_core::Enrolment;
use sga_schema::{DeviceId, Policy};

use crate::entropy;
use crate::error::Error;
use crate::files;

/// Shortest secret that is taken: what is shorter can be guessed.
const SECRET_LEN_MIN: usize = 16;

/// Loads what a policy needs from the data folder; makes the token if there is none.
pub(crate) fn load(policy: Policy, data: &Path) -> Result<Enrolment, Error> {
    match policy {
        Policy::Open => Ok(Enrolment::Open),
        Policy::Token => token(&data.join("enrol.token")),
        Policy::List => list(&data.join("enrol.list")),
    }
}

fn token(path: &Path) -> Result<Enrolment, Error> {
    let bytes = match files::read_secret(path)? {
        Some(bytes) => bytes,
        None => {
            let text = format!("{}\n", hex::encode(entropy::bytes::<16>()?));
            files::write_secret(path, text.as_bytes())?;
            log::info!("new enrolment token in {}", path.display());
            text.into_bytes()
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    secret(text.trim()).map(Enrolment::Token).map_err(|why| Error::new(format!("{}: {why}", path.display())))
}

fn list(path: &Path) -> Result<Enrolment, Error> {
    let Some(bytes) = files::read_secret(path)? else {
        return Err(Error::new(format!(
            "policy list needs {}: one line per device, its id and its secret in hex (16 bytes or more), mode 600",
            path.display()
        )));
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut devices = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (id, value) = entry(line).map_err(|why| Error::new(format!("{}:{}: {why}", path.display(), number + 1)))?;
        if devices.insert(id, value).is_some() {
            return Err(Error::new(format!("{}:{}: {id} is there twice", path.display(), number + 1)));
        }
    }
    Ok(Enrolment::List(devices))
}

fn entry(line: &str) -> Result<(DeviceId, Vec<u8>), String> {
    let mut words = line.split_whitespace();
    let (Some(id), Some(value), None) = (words.next(), words.next(), words.next()) else {
        return Err("expected an id and a secret in hex".into());
    };
    let id = id.parse().map_err(|_| format!("{id:?} is not an id of 1–16 bytes"))?;
    Ok((id, secret(value)?))
}

fn secret(text: &str) -> Result<Vec<u8>, String> {
    let bytes = hex::decode(text).map_err(|_| "the secret is not in hex".to_owned())?;
    if bytes.len() < SECRET_LEN_MIN {
        return Err(format!("the secret has {} bytes, {SECRET_LEN_MIN} are needed", bytes.len()));
    }
    Ok(bytes)
}
