//! Everything that is not computed: ids, keys, randomness, texts.

use sga_crypto::{Aead, Element, GroupId, Secret, Seed, sha256};
use sga_schema::{DeviceId, Handle, Policy, Profile, Role, Suite, SuiteSet};

use super::lines::Lines;

/// The first N bytes of the hash of a name: different for each, and anybody can make them again.
fn made<const N: usize>(name: &str) -> [u8; N] {
    let hash = sha256(format!("SGA1 vectors {name}").as_bytes());
    std::array::from_fn(|at| hash[at])
}

fn id(bytes: &[u8; 8]) -> DeviceId {
    DeviceId::new(bytes).expect("an id may have 8 bytes")
}

/// The number of the attach under which A1 is sent.
pub(crate) const ATTACH_NUMBER: u32 = 1;

/// The short name of an end: i or j.
#[must_use]
pub const fn end(role: Role) -> &'static str {
    match role {
        Role::Initiator => "i",
        Role::Responder => "j",
    }
}

/// One end's own inputs.
#[derive(Debug)]
pub struct End {
    /// d_i or d_j.
    pub role: Role,
    /// ID_d.
    pub id: DeviceId,
    /// k_d.
    pub registered_key: Secret<32>,
    /// k_t.
    pub temporary_key: Secret<16>,
    /// n_i or n_j.
    pub nonce: [u8; 8],
    /// n_a.
    pub attach_nonce: [u8; 8],
    /// For its attach.
    pub ticket: [u8; 16],
    /// Handed out by the answer.
    pub next_ticket: [u8; 16],
    /// Of its leg.
    pub handle: Handle,
    /// R.
    pub big_r: Seed,
    /// r; of no use in the compact profile.
    pub r: Seed,
    /// The salt of a later life.
    pub life: [u8; 8],
}

impl End {
    fn new(role: Role, id: DeviceId) -> Self {
        let of = |what: &str| format!("{what} {}", end(role));
        Self {
            role,
            id,
            registered_key: Secret::new(made(&of("k_d"))),
            temporary_key: Secret::new(made(&of("k_t"))),
            nonce: made(&of("n")),
            attach_nonce: made(&of("n_a")),
            ticket: made(&of("ticket")),
            next_ticket: made(&of("next ticket")),
            handle: Handle(made(&of("handle"))),
            big_r: Seed::from_bytes(made(&of("R"))),
            r: Seed::from_bytes(made(&of("r"))),
            life: made(&of("life")),
        }
    }

    fn write(&self, classic: bool, out: &mut Lines) {
        let of = |what: &str| format!("{what} {}", end(self.role));
        out.bytes(&of("ID"), self.id.as_bytes());
        out.bytes(&of("k_d"), self.registered_key.expose());
        out.bytes(&of("k_t"), self.temporary_key.expose());
        out.bytes(&of("n"), self.nonce);
        out.bytes(&of("n_a"), self.attach_nonce);
        out.bytes(&of("ticket"), self.ticket);
        out.bytes(&of("next ticket"), self.next_ticket);
        out.bytes(&of("handle"), self.handle.0);
        out.bytes(&of("R"), self.big_r.expose());
        if classic {
            out.bytes(&of("r"), self.r.expose());
        }
        out.bytes(&of("life"), self.life);
    }
}

/// The inputs of one file.
#[derive(Debug)]
pub struct Inputs {
    /// The profile.
    pub profile: Profile,
    /// Its group.
    pub group: GroupId,
    /// x of both devices, and cid.
    pub suite: Suite,
    /// The same, for sealing.
    pub aead: Aead,
    /// CidSet of the gateway and of both devices.
    pub suites: SuiteSet,
    /// Who may register.
    pub policy: Policy,
    /// ID_G.
    pub id_g: DeviceId,
    /// PR.
    pub secret: Seed,
    /// PK.
    pub public: Element,
    /// d_i.
    pub i: End,
    /// d_j.
    pub j: End,
    /// d_i's key before a rotation.
    pub old_key: Secret<32>,
    /// What proofs of kind 1 are made with.
    pub enrolment: [u8; 32],
    /// Of Registered.
    pub registered_nonce: [u8; 8],
    /// Of the gateway's store.
    pub generation: [u8; 4],
    /// n_G.
    pub nonce_g: [u8; 8],
    /// R_s.
    pub r_s: Seed,
    /// What the two owners agreed on.
    pub pair: Secret<32>,
}

impl Inputs {
    /// All the same for each file but profile and suite.
    ///
    /// # Panics
    /// If the build has not the profile's group.
    #[must_use]
    pub fn new(profile: Profile, suite: Suite) -> Self {
        let group = GroupId::from_profile(profile.id()).expect("both features are on");
        let secret = Seed::from_bytes(made("PR"));
        Self {
            profile,
            group,
            suite,
            aead: Aead::from_id(suite.id()).expect("both crates have the same suites"),
            suites: SuiteSet::ALL,
            policy: Policy::Open,
            id_g: id(b"gateway1"),
            public: group.exp_base(&secret),
            secret,
            i: End::new(Role::Initiator, id(b"sensor-7")),
            j: End::new(Role::Responder, id(b"valve-12")),
            old_key: Secret::new(made("old k_d i")),
            enrolment: made("enrolment"),
            registered_nonce: made("registered nonce"),
            generation: made("generation"),
            nonce_g: made("n_G"),
            r_s: Seed::from_bytes(made("R_s")),
            pair: Secret::new(made("pair secret")),
        }
    }

    /// e of the `pk(…)` with this name.
    #[must_use]
    pub fn e(&self, name: &str) -> Seed {
        Seed::from_bytes(made(&format!("e {name}")))
    }

    /// The end with this role.
    #[must_use]
    pub const fn end(&self, role: Role) -> &End {
        match role {
            Role::Initiator => &self.i,
            Role::Responder => &self.j,
        }
    }

    /// Bytes of F_G(r) are on the wire.
    #[must_use]
    pub const fn is_classic(&self) -> bool {
        !self.group.is_compact()
    }

    pub(super) fn write(&self, out: &mut Lines) {
        out.section("Inputs");
        out.note("Each key and random value is the start of SHA-256 of \"SGA1 vectors \" followed by its name.");
        out.number("version", sga_schema::VERSION);
        out.number("profile", self.profile.id().into());
        out.note("x of both devices, and cid.");
        out.number("suite", self.suite.id().into());
        out.note("CidSet of the gateway and of both devices.");
        out.number("suites", self.suites.bits());
        out.number("policy", self.policy.id().into());
        out.bytes("ID_G", self.id_g.as_bytes());
        out.bytes("PR", self.secret.expose());
        out.bytes("old k_d i", self.old_key.expose());
        out.bytes("enrolment", self.enrolment);
        out.bytes("registered nonce", self.registered_nonce);
        out.bytes("generation", self.generation);
        out.bytes("n_G", self.nonce_g);
        out.bytes("R_s", self.r_s.expose());
        out.bytes("pair secret", self.pair.expose());
        out.note("One end: d_i.");
        self.i.write(self.is_classic(), out);
        out.note("The other end: d_j.");
        self.j.write(self.is_classic(), out);
        out.note("Of each encryption to the gateway.");
        for name in super::PK_NAMES {
            out.bytes(&format!("e {name}"), self.e(name).expose());
        }
        out.number("run", super::RUN);
        out.note(&format!("\"{}\"", String::from_utf8_lossy(super::TEXT)));
        out.bytes("text", super::TEXT);
    }
}
