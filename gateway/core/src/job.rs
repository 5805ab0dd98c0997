//! Public-key work as values: the core asks, the shell's accelerator (the paper's CA) runs, the result comes back by id.

use core::fmt;
use std::sync::Arc;

use sga_crypto::{Element, GroupId, Secret, Seed, accelerator, steps};
use sga_schema::Role;
use zeroize::Zeroizing;

/// The gateway's key pair as the accelerator needs it.
#[derive(Debug)]
pub struct KeyPair {
    /// The group of the gateway's profile.
    pub group: GroupId,
    /// PR.
    pub secret: Seed,
    /// PK.
    pub public: Element,
}

/// What a `pk(…)` was made for; part of its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Registration under the package with this hash.
    Register([u8; 32]),
    /// A1 and A3.
    Negotiate,
}

/// A Half as it stands inside its seals, to be verified (B4).
#[derive(Clone, Debug)]
pub struct HalfInput {
    /// N.
    pub element: Vec<u8>,
    /// F_G(r); empty in the compact profile.
    pub trapdoor: Vec<u8>,
    /// f or f8 under K.
    pub tag: Vec<u8>,
    /// Who made it.
    pub role: Role,
    /// Its run.
    pub run: u32,
    /// th_A.
    pub th_a: [u8; 32],
}

/// What to compute.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "few exist at a time, and elements are not worth an allocation")]
pub enum Work {
    /// Open a `pk(…)`.
    Open {
        /// enc ‖ ct.
        bytes: Vec<u8>,
        /// Its context.
        purpose: Purpose,
    },
    /// B4 for the first Half of a run.
    Verify(HalfInput),
    /// B4 for the second, and B5.
    Close {
        /// The second Half.
        half: HalfInput,
        /// N of the other end, verified before.
        other: Element,
        /// R_s.
        session_secret: Seed,
    },
}

/// A Half that was verified: only the accelerator makes one.
#[derive(Debug)]
pub struct VerifiedHalf {
    /// N.
    pub element: Element,
    /// K'.
    pub key: Secret<32>,
}

/// B4 and B5 done.
#[derive(Debug)]
pub struct Closed {
    /// The second Half.
    pub half: VerifiedHalf,
    /// Y for the end that made the second Half.
    pub y_own: Element,
    /// Y for the other end.
    pub y_other: Element,
}

/// What was in a `pk(…)`.
pub struct Opened {
    /// One encoded CBOR item: of a registration, with k_d in it.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Whether it was sealed to the key pair before the current one.
    pub previous: bool,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened(redacted, previous: {})", self.previous)
    }
}

/// What came of a [`Work`]. `None`: it did not open or verify; which check failed is nobody's business.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "few exist at a time, and elements are not worth an allocation")]
pub enum Outcome {
    /// Of `Open`.
    Opened(Option<Opened>),
    /// Of `Verify`.
    Verified(Option<VerifiedHalf>),
    /// Of `Close`.
    Closed(Option<Closed>),
}

/// One piece of work for the accelerator.
#[derive(Debug)]
pub struct Job {
    /// Comes back with the outcome.
    pub id: u64,
    /// What.
    pub work: Work,
    /// The key pair in force.
    pub keys: Arc<KeyPair>,
    /// The one before it and the hash of its package, as long as both are taken.
    pub previous: Option<(Arc<KeyPair>, [u8; 32])>,
}

impl Job {
    /// Does the work, with the key pair in force and, if that does not fit, with the one before it. Slow: for the accelerator's
    /// threads, or for a simulation.
    #[must_use]
    pub fn run(self) -> (u64, Outcome) {
        let previous = self.previous.as_ref();
        let outcome = match self.work {
            Work::Open { bytes, purpose } => {
                let opened = |plaintext, previous| Opened { plaintext, previous };
                let current = open(&self.keys, &bytes, purpose).map(|plaintext| opened(plaintext, false));
                Outcome::Opened(current.or_else(|| {
                    let (keys, package_hash) = previous?;
                    let purpose = match purpose {
                        Purpose::Register(_) => Purpose::Register(*package_hash),
                        Purpose::Negotiate => purpose,
                    };
                    open(keys, &bytes, purpose).map(|plaintext| opened(plaintext, true))
                }))
            }
            Work::Verify(half) => {
                let again = || verify(&previous?.0, &half);
                Outcome::Verified(verify(&self.keys, &half).or_else(again))
            }
            Work::Close { half, other, session_secret } => {
                let again = || close(&previous?.0, &half, &other, &session_secret);
                Outcome::Closed(close(&self.keys, &half, &other, &session_secret).or_else(again))
            }
        };
        (self.id, outcome)
    }
}

fn open(keys: &KeyPair, bytes: &[u8], purpose: Purpose) -> Option<Zeroizing<Vec<u8>>> {
    let purpose = match purpose {
        Purpose::Register(package_hash) => sga_crypto::PkPurpose::Register { package_hash },
        Purpose::Negotiate => sga_crypto::PkPurpose::Negotiate,
    };
    let mut out = Zeroizing::new(vec![0; bytes.len()]);
    let len = steps::pk_open(keys.group, &keys.secret, &keys.public, purpose, bytes, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}

fn verify(keys: &KeyPair, half: &HalfInput) -> Option<VerifiedHalf> {
    let verified = accelerator::verify_half(
        keys.group,
        &keys.secret,
        &keys.public,
        &half.element,
        &half.trapdoor,
        &half.tag,
        half.role.id(),
        half.run,
        &half.th_a,
    )
    .ok()?;
    Some(VerifiedHalf { element: verified.element, key: verified.key })
}

fn close(keys: &KeyPair, half: &HalfInput, other: &Element, session_secret: &Seed) -> Option<Closed> {
    let own = verify(keys, half)?;
    let y_own = keys.group.exp(other, session_secret);
    let y_other = keys.group.exp(&own.element, session_secret);
    Some(Closed { half: own, y_own, y_other })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Change, Commit, Found, Key};
    use crate::task::{Phase, Scratch, Task};

    /// 0xa5 = 165.
    const SECRET: u8 = 0xa5;

    fn opened() -> Opened {
        Opened { plaintext: Zeroizing::new(vec![SECRET; 32]), previous: false }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut task = Task::new(1, Phase::Register, None);
        task.scratch =
            Scratch { outcome: Some(Outcome::Opened(Some(opened()))), opened: Some(opened()), ..Scratch::default() };
        let pair = KeyPair {
            group: GroupId::Ristretto255,
            secret: Seed::from_bytes([SECRET; 32]),
            public: GroupId::Ristretto255.exp_base(&Seed::from_bytes([1; 32])),
        };
        let half = VerifiedHalf { element: pair.public.clone(), key: Secret::new([SECRET; 32]) };
        // Records hold k_d, k_t and hop keys.
        let changes = vec![Change::Put { key: Key::Device(7), value: vec![SECRET; 32] }];
        let commit = Commit { id: 1, changes };
        let found = Found::Value(Some(vec![SECRET; 32]));
        let printed = format!("{task:?} {pair:?} {half:?} {commit:?} {found:?}");
        assert!(printed.contains("Opened(redacted") && printed.contains("32 bytes"), "{printed}");
        assert!(!printed.contains("165") && !printed.contains("a5a5"), "{printed}");
    }
}
