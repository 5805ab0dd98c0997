//! The gateway's own keys: made at the first start, kept in one file for life.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sga_crypto::{GroupId, Seed};
use sga_gateway_core::{GatewayKeys, KeyPair};
use sga_schema::{DeviceId, Profile};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::entropy;
use crate::error::Error;
use crate::files;

/// The file's format.
const FORMAT: u32 = 1;

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
}

/// All that the gateway keeps secret.
pub struct Keys {
    pub(crate) gateway: GatewayKeys,
    pub(crate) at_rest: [u8; 32],
    pub(crate) profile: Profile,
    pub(crate) id: DeviceId,
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
        let path = data.join("gateway.key");
        files::make_folder(data)?;
        let file = match files::read_secret(&path)? {
            Some(bytes) => parse(&path, bytes)?,
            None => {
                let file = make(wanted)?;
                let text = toml::to_string(&file).map_err(|error| Error::new(error.to_string()))?;
                files::write_secret(&path, text.as_bytes())?;
                log::info!("new keys in {}: keep a copy, without it no device finds its gateway again", path.display());
                file
            }
        };
        let keys = unpack(&path, &file)?;
        keys.check(&path, wanted)?;
        Ok(keys)
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
    if file.format != FORMAT {
        return Err(Error::new(format!(
            "{} is of format {}, this version reads {FORMAT}",
            path.display(),
            file.format
        )));
    }
    let profile: Profile = file.profile.parse().map_err(|error| damaged(path, error))?;
    let group = GroupId::from_profile(profile.id()).ok_or_else(|| damaged(path, "profile"))?;
    let secret = Seed::from_bytes(fixed(path, &file.private_key)?);
    let public = group.exp_base(&secret);
    Ok(Keys {
        gateway: GatewayKeys {
            pair: Arc::new(KeyPair { group, secret, public }),
            ticket_key: fixed(path, &file.ticket_key)?,
            echo_key: fixed(path, &file.echo_key)?,
        },
        at_rest: fixed(path, &file.at_rest_key)?,
        profile,
        id: file.id.parse().map_err(|error| damaged(path, error))?,
    })
}
