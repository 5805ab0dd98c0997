//! A file of vectors read as its receivers would: from the names and values in it alone.

mod exchange;
mod negotiate;
mod padding;

use std::collections::{BTreeMap, BTreeSet};

use sga_crypto::{Aead, Element, GroupId, PkPurpose, SealKey, Secret, Seed, sha256, short_hash, steps};
use sga_schema::{
    Attach, AttachSecret, EndedItem, ExpiredItem, Grant, Inbox, InboxSecret, Package, PinInput, Proof, Register,
    RegisterSecret, Registered, Role, SealedId, VERSION, decode, kind,
};

use super::inputs::end;
use super::lines::from_hex;

/// Decodes every payload of a file strictly, opens every seal with the receiver's keys, and makes every tag again. Returns the
/// numbers of its profile and suite.
///
/// # Panics
/// If anything is not as it should be, or a value in the file has no part in it.
#[must_use]
pub fn check(text: &str) -> (u8, u8) {
    let mut file = File::new(text);
    let found = (file.number("profile") as u8, file.number("suite") as u8);
    file.register();
    let ends = [Role::Initiator, Role::Responder];
    ends.into_iter().for_each(|role| file.attach(role));
    let th_a = file.negotiate();
    let root = file.exchange(&th_a);
    for (role, sequence, number) in [(ends[0], 0, 3), (ends[1], 0, 3), (ends[0], 1, 4), (ends[0], 2, 5)] {
        file.message(&root, role, sequence, number);
    }
    let body = file.item(ends[0], "expired", 4, kind::EXPIRED);
    let ExpiredItem { handle, run, sequence } = decode(&body).expect("an expired item");
    file.same("handle i", handle.0);
    assert_eq!((run, sequence), (file.number("run"), 1));
    let EndedItem { handle, reason } = decode(&file.item(ends[0], "ended", 7, kind::ENDED)).expect("an ended item");
    file.same("handle i", handle.0);
    assert_eq!(reason, EndedItem::REVOKED);
    file.padding(&root);
    assert!(file.left.is_empty(), "not looked at: {:?}", file.left);
    found
}

/// A file, read as its receivers would: from the names and values in it alone.
struct File {
    values: BTreeMap<String, Vec<u8>>,
    /// Names that nobody has asked for.
    left: BTreeSet<String>,
    group: GroupId,
    aead: Aead,
    secret: Seed,
    public: Element,
}

impl File {
    fn new(text: &str) -> Self {
        let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
        let values: BTreeMap<_, _> =
            pairs.map(|(name, hex)| (name.to_owned(), from_hex(hex).expect("hex digits"))).collect();
        let group = GroupId::from_profile(values["profile"][3]).expect("a profile");
        Self {
            left: values.keys().cloned().collect(),
            group,
            aead: Aead::from_id(values["suite"][3]).expect("a suite"),
            secret: Seed::from_bytes(values["PR"][..].try_into().expect("a seed")),
            public: Element::parse(group, &values["PK"]).expect("an element"),
            values,
        }
    }

    pub(super) fn get(&mut self, name: &str) -> Vec<u8> {
        self.left.remove(name);
        self.values.get(name).unwrap_or_else(|| panic!("no {name}")).clone()
    }

    pub(super) fn array<const N: usize>(&mut self, name: &str) -> [u8; N] {
        self.get(name).try_into().unwrap_or_else(|_| panic!("length of {name}"))
    }

    pub(super) fn number(&mut self, name: &str) -> u32 {
        u32::from_be_bytes(self.array(name))
    }

    pub(super) fn key<const N: usize>(&mut self, name: &str) -> Secret<N> {
        Secret::new(self.array(name))
    }

    pub(super) fn seed(&mut self, name: &str) -> Seed {
        Seed::from_bytes(self.array(name))
    }

    pub(super) fn same(&mut self, name: &str, value: impl AsRef<[u8]>) {
        assert_eq!(value.as_ref(), self.get(name), "{name}");
    }

    /// Opens what came in a payload, which is the value with the first name; the plaintext has the second.
    pub(super) fn open(&mut self, key: SealKey, arrived: &[u8], sealed: &str, plaintext: &str) -> Vec<u8> {
        self.same(sealed, arrived);
        let mut buf = arrived.to_vec();
        let len = key.open(&mut buf).unwrap_or_else(|_| panic!("{sealed} does not open"));
        buf.truncate(len);
        self.same(plaintext, &buf);
        buf
    }

    pub(super) fn pk_open(&mut self, name: &str, purpose: PkPurpose, arrived: &[u8], plaintext: &str) -> Vec<u8> {
        let mut buf = vec![0; arrived.len()];
        let len = steps::pk_open(self.group, &self.secret, &self.public, purpose, arrived, &mut buf).expect(name);
        buf.truncate(len);
        self.same(plaintext, &buf);
        let e = self.seed(&format!("e {name}"));
        assert!(arrived.starts_with(self.group.exp_base(&e).as_bytes()), "e of {name}");
        buf
    }

    fn register(&mut self) {
        assert_eq!(self.number("version"), VERSION);
        assert_eq!(self.group.exp_base(&self.secret), self.public);
        self.same("PK", self.public.clone().as_bytes());
        self.get("PR");
        let bytes = self.get("package payload");
        let package: Package<'_> = decode(&bytes).expect("package");
        assert_eq!(package.public_key, self.public.as_bytes());
        self.same("ID_G", package.gateway_id.as_bytes());
        assert_eq!((package.suites.bits(), package.policy as u32), (self.number("suites"), self.number("policy")));
        let hash = sha256(&bytes);
        self.same("P", hash);
        let input = self.get("pin input");
        let pinned: PinInput<'_> = decode(&input).expect("pin input");
        assert_eq!(pinned.public_key, package.public_key);
        self.same("pin", short_hash(&input));
        for number in 0..3 {
            self.register_of_kind(&format!("register {number}"), &hash);
        }
        let request = self.get("register 0 payload");
        let bytes = self.get("registered payload");
        let Registered { nonce, sealed } = decode(&bytes).expect("registered");
        self.same("registered nonce", nonce);
        let key = steps::registered(self.aead, &self.key("k_d i"), &sha256(&request), &nonce);
        let grant = self.open(key, sealed, "registered G", "registered plaintext");
        let grant: Grant = decode(&grant).expect("grant");
        self.same("ticket i", grant.ticket);
        self.same("generation", grant.generation);
    }

    fn register_of_kind(&mut self, name: &str, package_hash: &[u8; 32]) {
        let bytes = self.get(&format!("{name} payload"));
        let Register { sealed_key, sealed_id } = decode(&bytes).expect(name);
        self.same(&format!("{name} A"), sealed_key);
        let purpose = PkPurpose::Register { package_hash: *package_hash };
        let inside = self.pk_open(name, purpose, sealed_key, &format!("{name} A plaintext"));
        let inside: RegisterSecret = decode(&inside).expect(name);
        self.same("k_d i", inside.registered_key);
        let k_d = Secret::new(inside.registered_key);
        let key = steps::register_id(self.aead, &k_d, &sha256(sealed_key));
        let id = self.open(key, sealed_id, &format!("{name} B"), &format!("{name} B plaintext"));
        let SealedId(id) = decode(&id).expect(name);
        self.same("ID i", id.as_bytes());
        let (suite, suites) = (inside.suite.id(), inside.suites.bits());
        let (proof, expected) = match inside.proof {
            Proof::None => return,
            Proof::Enrolment(proof) => {
                let secret = self.get("enrolment");
                (proof, steps::enrol_proof(&secret, package_hash, &k_d, suite, suites, id.as_bytes()))
            }
            Proof::Rotation(proof) => {
                let old = self.key("old k_d i");
                (proof, steps::rotation_proof(&old, package_hash, &k_d, suite, suites, id.as_bytes()))
            }
        };
        assert_eq!(proof, expected, "{name}");
        self.same(&format!("{name} proof"), proof);
    }

    fn attach(&mut self, role: Role) {
        let who = end(role);
        let bytes = self.get(&format!("attach {who} payload"));
        let Attach { ticket, nonce, sealed } = decode(&bytes).expect("attach");
        self.same(&format!("ticket {who}"), ticket);
        self.same(&format!("n_a {who}"), nonce);
        let key = steps::attach(self.aead, &self.key(&format!("k_d {who}")), &nonce);
        let inside = self.open(key, sealed, &format!("attach {who} S"), &format!("attach {who} plaintext"));
        assert_eq!(decode::<AttachSecret>(&inside).expect("an attach").attach_number, 1);
        let inbox = self.inbox(role, &format!("inbox {who}"), 0);
        let inbox: InboxSecret<'_> = decode(&inbox).expect("inbox");
        assert!(inbox.items.is_empty());
        self.same(&format!("next ticket {who}"), inbox.next.expect("a next ticket").ticket);
    }

    pub(super) fn inbox(&mut self, role: Role, name: &str, c: u32) -> Vec<u8> {
        let who = end(role);
        let bytes = self.get(&format!("{name} payload"));
        let Inbox { counter, sealed } = decode(&bytes).expect(name);
        assert_eq!(counter, c, "{name}");
        let (k_d, nonce) = (self.key(&format!("k_d {who}")), self.array(&format!("n_a {who}")));
        let key = steps::inbox(self.aead, &k_d, &nonce, counter);
        self.open(key, sealed, &format!("{name} S"), &format!("{name} plaintext"))
    }

    /// The body of an item, from its notification.
    pub(super) fn item(&mut self, to: Role, name: &str, number: u32, kind: u32) -> Vec<u8> {
        let inbox = self.inbox(to, &format!("{name} notification"), number);
        let inbox: InboxSecret<'_> = decode(&inbox).expect(name);
        let item = inbox.items.iter().next().expect("an item");
        assert_eq!((inbox.items.len(), item.number, item.kind, inbox.next), (1, number, kind, None), "{name}");
        self.same(&format!("{name} item"), item.body);
        item.body.to_vec()
    }
}
