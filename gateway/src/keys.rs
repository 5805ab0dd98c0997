//! The gateway's own keys: made at the first start, kept in one file.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sga_crypto::{GroupId, Seed};
use sga_gateway_core::{GatewayKeys, KeyPair, Previous};
use sga_schema::{DeviceId, Profile};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::entropy;
use crate::error::Error;
use crate::files;

/// The file in the data folder.
pub(crate) const NAME: &str = "gateway.key";

/// The file's format. Files of format 1 have had no rotation.
const FORMAT: u32 = 2;

/// One at a time changes the file: the operator's orders, and the loop at the end of an overlap.
static CHANGES: Mutex<()> = Mutex::new(());

/// What is in the file. TOML, so that it can be looked at; every secret in hex.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u32,
    profile: String,
    id: String,
    private_key: String,
    ticket_key: String,
    echo_key: String,
    at_rest_key: String,
    /// How many key pairs there were before this one.
    #[serde(default)]
    rotations: u32,
    /// Empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    previous_key: String,
    /// In seconds of the gateway's uptime.
    #[serde(default)]
    previous_until_s: u64,
}

/// All that the gateway keeps secret.
pub struct Keys {
    pub(crate) gateway: GatewayKeys,
    pub(crate) at_rest: [u8; 32],
    pub(crate) profile: Profile,
    pub(crate) id: DeviceId,
    pub(crate) rotations: u32,
    pub(crate) previous: Option<Previous>,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.at_rest.zeroize();
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys {{ redacted, profile: {}, id: {} }}", self.profile, self.id)
    }
}

/// What the operator asked for; `None` leaves what the file has, or the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The group.
    pub profile: Option<Profile>,
    /// ID_G.
    pub id: Option<DeviceId>,
}

impl Keys {
    /// Reads the keys of a data folder, or makes them.
    ///
    /// # Errors
    /// The file is damaged or readable by others, or was made for another profile or id.
    pub fn open(data: &Path, wanted: Wanted) -> Result<Self, Error> {
        let path = data.join(NAME);
        files::make_folder(data)?;
        let file = match files::read_secret(&path)? {
            Some(bytes) => parse(&path, bytes)?,
            None => {
                let file = make(wanted)?;
                write(&path, &file)?;
                log::info!("new keys in {}: keep a copy, without it no device finds its gateway again", path.display());
                file
            }
        };
        let keys = unpack(&path, &file)?;
        keys.check(&path, wanted)?;
        Ok(keys)
    }

    /// Puts another key pair in the place of the one in a data folder. The old one is kept until `until_s`, or not at all.
    ///
    /// # Errors
    /// There are no keys, or the overlap of an earlier rotation is not over.
    pub fn rotate(data: &Path, until_s: Option<u64>) -> Result<Self, Error> {
        change(data, |path, file| {
            if !file.previous_key.is_empty() {
                return Err(Error::new(format!(
                    "{} still has the key pair before the current one, and devices that know no other: wait, or end that \
                     overlap with `rotate-key --end`",
                    path.display()
                )));
            }
            let mut old = std::mem::replace(&mut file.private_key, entropy::bytes::<32>().map(hex::encode)?);
            file.rotations += 1;
            match until_s {
                Some(until_s) => (file.previous_key, file.previous_until_s) = (old, until_s),
                None => old.zeroize(),
            }
            Ok(())
        })
    }

    /// Erases the key pair before the current one from the file.
    ///
    /// # Errors
    /// There are no keys.
    pub fn end_overlap(data: &Path) -> Result<Self, Error> {
        change(data, |_, file| {
            file.previous_key.zeroize();
            file.previous_key.clear();
            file.previous_until_s = 0;
            Ok(())
        })
    }

    /// The fingerprint that devices compare.
    #[must_use]
    pub fn pin(&self) -> String {
        hex::encode(sga_gateway_core::pin(self.profile, &self.gateway.pair.public))
    }

    fn check(&self, path: &Path, wanted: Wanted) -> Result<(), Error> {
        let differs = |what: &str, has: String, asked: String| {
            Err(Error::new(format!(
                "{} was made for {what} {has}, not {asked}; its devices know it as that. Use another --data for another gateway",
                path.display()
            )))
        };
        match (wanted.profile, wanted.id) {
            (Some(asked), _) if asked != self.profile => {
                differs("profile", self.profile.to_string(), asked.to_string())
            }
            (_, Some(asked)) if asked != self.id => differs("id", self.id.to_string(), asked.to_string()),
            _ => Ok(()),
        }
    }
}

/// Reads the file, changes it, and puts the new one in its place.
fn change(data: &Path, change: impl FnOnce(&Path, &mut KeyFile) -> Result<(), Error>) -> Result<Keys, Error> {
    let _one = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let path = data.join(NAME);
    let bytes = files::read_secret(&path)?.ok_or_else(|| Error::new(format!("{} is not there", path.display())))?;
    let mut file = parse(&path, bytes)?;
    unpack(&path, &file)?;
    change(&path, &mut file)?;
    file.format = FORMAT;
    let keys = unpack(&path, &file)?;
    write(&path, &file)?;
    Ok(keys)
}

fn write(path: &Path, file: &KeyFile) -> Result<(), Error> {
    let mut text = toml::to_string(file).map_err(|error| Error::new(error.to_string()))?;
    let written = files::write_secret(path, text.as_bytes());
    text.zeroize();
    written
}

fn make(wanted: Wanted) -> Result<KeyFile, Error> {
    let secret = || entropy::bytes::<32>().map(hex::encode);
    let id = match wanted.id {
        Some(id) => id.to_string(),
        None => format!("gw-{}", hex::encode(entropy::bytes::<4>()?)),
    };
    Ok(KeyFile {
        format: FORMAT,
        profile: wanted.profile.unwrap_or(Profile::Compact).name().to_owned(),
        id,
        private_key: secret()?,
        ticket_key: hex::encode(entropy::bytes::<16>()?),
        echo_key: secret()?,
        at_rest_key: secret()?,
        rotations: 0,
        previous_key: String::new(),
        previous_until_s: 0,
    })
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(format!("{} is damaged ({why}); put your copy of it back", path.display()))
}

fn parse(path: &Path, mut bytes: Vec<u8>) -> Result<KeyFile, Error> {
    let file = std::str::from_utf8(&bytes)
        .map_err(|error| damaged(path, error))
        .and_then(|text| toml::from_str::<KeyFile>(text).map_err(|error| damaged(path, error.message())));
    bytes.zeroize();
    file
}

fn unpack(path: &Path, file: &KeyFile) -> Result<Keys, Error> {
    fn fixed<const N: usize>(path: &Path, text: &str) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(|error| damaged(path, error))?;
        Ok(bytes)
    }
    if !(1..=FORMAT).contains(&file.format) {
        return Err(Error::new(format!(
            "{} is of format {}, this version reads up to {FORMAT}",
            path.display(),
            file.format
        )));
    }
    let profile: Profile = file.profile.parse().map_err(|error| damaged(path, error))?;
    let group = GroupId::from_profile(profile.id()).ok_or_else(|| damaged(path, "profile"))?;
    let pair = |private_key: &str| {
        let secret = Seed::from_bytes(fixed(path, private_key)?);
        let public = group.exp_base(&secret);
        Ok::<_, Error>(Arc::new(KeyPair { group, secret, public }))
    };
    let previous = match file.previous_key.as_str() {
        "" => None,
        key => Some(Previous { pair: pair(key)?, until_s: file.previous_until_s }),
    };
    Ok(Keys {
        gateway: GatewayKeys {
            pair: pair(&file.private_key)?,
            ticket_key: fixed(path, &file.ticket_key)?,
            echo_key: fixed(path, &file.echo_key)?,
        },
        at_rest: fixed(path, &file.at_rest_key)?,
        profile,
        rotations: file.rotations,
        previous,
        id: file.id.parse().map_err(|error| damaged(path, error))?,
    })
}
