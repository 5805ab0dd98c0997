//! Package and registration (4.1; `docs/protocol.md` §2, §3).

use core::fmt;

use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use crate::field::{Field, array, array_message, bare_message};
use crate::{DeviceId, EncodeError, Message, Policy, Profile, SchemaError, Suite, SuiteSet, VERSION};

/// The package, which a device fetches first: `[version, profile, PK bstr, ID_G bstr, CidSet^G, policy]` (§2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package<'a> {
    /// The group.
    pub profile: Profile,
    /// PK, as long as an element of the profile.
    pub public_key: &'a [u8],
    /// ID_G.
    pub gateway_id: DeviceId,
    /// CidSet^G.
    pub suites: SuiteSet,
    /// Who may register.
    pub policy: Policy,
}

fn version(d: &mut Decoder<'_>) -> Result<(), SchemaError> {
    match u32::get(d)? {
        VERSION => Ok(()),
        other => Err(SchemaError::UnknownVersion(other)),
    }
}

fn public_key<'a>(d: &mut Decoder<'a>, profile: Profile) -> Result<&'a [u8], SchemaError> {
    let bytes = d.bytes()?;
    if bytes.len() == profile.element_len() { Ok(bytes) } else { Err(SchemaError::Malformed) }
}

impl<'a> Message<'a> for Package<'a> {
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.array(6)?.u32(VERSION)?;
        self.profile.put(e)?;
        self.public_key.put(e)?;
        self.gateway_id.put(e)?;
        self.suites.put(e)?;
        self.policy.put(e)
    }

    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        array(d, 6)?;
        version(d)?;
        let profile = Profile::get(d)?;
        Ok(Self {
            profile,
            public_key: public_key(d, profile)?,
            gateway_id: DeviceId::get(d)?,
            suites: SuiteSet::get(d)?,
            policy: Policy::get(d)?,
        })
    }
}

/// What the pin is a hash of: `[version, profile, PK bstr]` (§2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinInput<'a> {
    /// The group.
    pub profile: Profile,
    /// PK, as long as an element of the profile.
    pub public_key: &'a [u8],
}

impl<'a> Message<'a> for PinInput<'a> {
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.array(3)?.u32(VERSION)?;
        self.profile.put(e)?;
        self.public_key.put(e)
    }

    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        array(d, 3)?;
        version(d)?;
        let profile = Profile::get(d)?;
        Ok(Self { profile, public_key: public_key(d, profile)? })
    }
}

/// POST `/register`: `[version, A bstr, B bstr]` (§3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register<'a> {
    /// A, `pk(…)` over a [`RegisterSecret`].
    pub sealed_key: &'a [u8],
    /// B, a sealed [`SealedId`].
    pub sealed_id: &'a [u8],
}

impl<'a> Message<'a> for Register<'a> {
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.array(3)?.u32(VERSION)?.bytes(self.sealed_key)?.bytes(self.sealed_id)?.ok()
    }

    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        array(d, 3)?;
        version(d)?;
        Ok(Self { sealed_key: d.bytes()?, sealed_id: d.bytes()? })
    }
}

/// What shows that a device may register under its name: a kind and a bstr (§3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Kind 0: an empty bstr.
    None,
    /// Kind 1: a keyed hash under the enrolment secret.
    Enrolment([u8; 16]),
    /// Kind 2: a keyed hash under the key that is to be replaced.
    Rotation([u8; 16]),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Enrolment(_) => "Enrolment(redacted)",
            Self::Rotation(_) => "Rotation(redacted)",
        })
    }
}

/// Inside A: `[k_d bstr32, x, CidSet, kind, proof bstr]` (§3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RegisterSecret {
    /// k_d.
    pub registered_key: [u8; 32],
    /// x.
    pub suite: Suite,
    /// CidSet^i.
    pub suites: SuiteSet,
    /// Why this device may register.
    pub proof: Proof,
}

impl fmt::Debug for RegisterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RegisterSecret {{ redacted, suite: {}, suites: {:?}, proof: {:?} }}",
            self.suite, self.suites, self.proof
        )
    }
}

impl<'a> Message<'a> for RegisterSecret {
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.array(5)?.bytes(&self.registered_key)?;
        self.suite.put(e)?;
        self.suites.put(e)?;
        match &self.proof {
            Proof::None => e.u8(0)?.bytes(&[])?,
            Proof::Enrolment(proof) => e.u8(1)?.bytes(proof)?,
            Proof::Rotation(proof) => e.u8(2)?.bytes(proof)?,
        }
        .ok()
    }

    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        array(d, 5)?;
        let (registered_key, suite, suites) = (<[u8; 32]>::get(d)?, Suite::get(d)?, SuiteSet::get(d)?);
        let proof = match u32::get(d)? {
            0 => <[u8; 0]>::get(d).map(|_| Proof::None)?,
            1 => Proof::Enrolment(<[u8; 16]>::get(d)?),
            2 => Proof::Rotation(<[u8; 16]>::get(d)?),
            _ => return Err(SchemaError::OutOfRange),
        };
        Ok(Self { registered_key, suite, suites, proof })
    }
}

/// Inside B: ID_d, one bare bstr (§3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedId(pub DeviceId);

bare_message! {
    SealedId, DeviceId, |message| message.0, |id| Some(SealedId(id));
}

array_message! {
    /// The answer to a registration: `[nonce bstr8, G bstr]` (§3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Registered<'a> {
        /// Salt of the seal.
        nonce: [u8; 8],
        /// G, a sealed [`Grant`].
        sealed: &'a [u8],
    }
}

array_message! {
    /// Inside G: `[ticket bstr16, attach number, request number, generation bstr4]` (§3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Grant {
        /// For the first attach.
        ticket: [u8; 16],
        /// The last attach number that was accepted.
        attach_number: u32,
        /// The last request number that was accepted.
        request_number: u32,
        /// Of the gateway's store.
        generation: [u8; 4],
    }
}
