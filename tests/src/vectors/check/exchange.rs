//! B1–B7 and messages.

use sga_crypto::accelerator::{VerifiedHalf, session_element, session_halves, verify_half};
use sga_crypto::{Element, Secret, sha256, steps};
use sga_schema::{
    B6Secret, BReason, BRefusal, Confirmation, Half, HalfClassic, HalfCompact, KeyItem, MessageItem, MessagePost,
    MsgPost, Role, Sealed, Tag8, Wanted, WantedItem, decode, kind,
};

use super::File;
use crate::vectors::inputs::end;

impl File {
    /// Returns the root.
    pub(super) fn exchange(&mut self, th_a: &[u8; 32]) -> Secret<32> {
        let run = self.number("run");
        let half_i = self.half(th_a, Role::Initiator, "B1", false);
        let later = self.half(th_a, Role::Initiator, "B1 of a later life", true);
        assert!(later.element == half_i.element);
        self.answers(run);
        let body = self.item(Role::Responder, "B2", 2, kind::WANTED);
        let item: WantedItem<'_> = decode(&body).expect("B2");
        self.same("handle j", item.handle.0);
        let key = steps::b2(self.aead, &self.key("k_t j"), th_a, item.run, 1);
        let inside = self.open(key, item.sealed, "B2 S", "B2 plaintext");
        assert_eq!((item.run, decode::<Wanted>(&inside)), (run, Ok(Wanted)));
        let half_j = self.half(th_a, Role::Responder, "B3", false);
        let later = self.half(th_a, Role::Responder, "B3 of a later life", true);
        assert!(later.element == half_j.element);

        let th_b = steps::th_b(th_a, run, half_i.element.as_bytes(), half_j.element.as_bytes());
        self.same("th_B", th_b);
        let (y_i, y_j) = session_halves(self.group, &half_i.element, &half_j.element, &self.seed("R_s"));
        self.same("Y i", y_i.as_bytes());
        self.same("Y j", y_j.as_bytes());
        let bytes = self.get("B6 j payload");
        let Sealed(sealed) = decode(&bytes).expect("B6 for d_j");
        let z_j = self.b6(th_a, Role::Responder, sealed);
        let body = self.item(Role::Initiator, "B6 i", 2, kind::KEY);
        let item: KeyItem<'_> = decode(&body).expect("B6 for d_i");
        self.same("handle i", item.handle.0);
        assert_eq!(item.run, run);
        let z_i = self.b6(th_a, Role::Initiator, item.sealed);
        assert!(z_i == z_j, "the two ends have another Z");
        self.same("Z", z_i.as_bytes());
        self.roots(&z_i, &th_b)
    }

    fn roots(&mut self, z: &Element, th_b: &[u8; 32]) -> Secret<32> {
        let (peer_i, peer_j) = (self.key("peer(k_t i)"), self.key("peer(k_t j)"));
        let pair = self.key("pair secret");
        self.same("root with pair secret", steps::root(z, &peer_i, &peer_j, Some(&pair), th_b).expose());
        let root = steps::root(z, &peer_i, &peer_j, None, th_b);
        self.same("root", root.expose());
        let code = steps::comparison_code(&root);
        self.same("comparison code", code);
        self.same("comparison digits", steps::comparison_digits(&code));
        for who in ["i", "j"] {
            let key = self.key(&format!("K' {who}"));
            self.same(&format!("hop key {who}"), steps::hop_key(&key, th_b).expose());
        }
        root
    }

    /// B4: as the gateway takes it.
    fn half(&mut self, th_a: &[u8; 32], role: Role, step: &str, later: bool) -> VerifiedHalf {
        let who = end(role);
        let bytes = self.get(&format!("{step} payload"));
        let Half { handle, run, body, salt } = decode(&bytes).expect("a Half");
        assert_eq!(salt.is_some(), later, "{step}");
        if let Some(salt) = salt {
            self.same(&format!("life {who}"), salt);
        }
        // Values that do not depend on the life are there once.
        let (life, values) = (salt.as_ref(), step.get(..2).unwrap_or(step));
        self.same(&format!("handle {who}"), handle.0);
        assert_eq!(run, self.number("run"));
        let (k_t, k_d) = (self.key(&format!("k_t {who}")), self.key(&format!("k_d {who}")));
        let (body_name, plain_name) = (format!("{step} body"), format!("{step} plaintext"));
        let (n, f, tag) = if self.group.is_compact() {
            let key = steps::b_body_compact(self.aead, &k_t, &k_d, th_a, role.id(), run, life);
            let inside = self.open(key, body, &body_name, &plain_name);
            let HalfCompact { element, tag } = decode(&inside).expect("a body");
            (element.to_vec(), Vec::new(), tag.to_vec())
        } else {
            let key = steps::b_outer(self.aead, &k_t, th_a, run, role.id(), life);
            let inside = self.open(key, body, &body_name, &plain_name);
            let HalfClassic { sealed_element, trapdoor, tag } = decode(&inside).expect("a body");
            self.same(&format!("{values} F"), trapdoor);
            let key = steps::b_inner(self.aead, &k_d, th_a, run, role.id(), trapdoor, life);
            let masked = self.open(key, sealed_element, &format!("{step} E"), &format!("{step} E plaintext"));
            let mut n = vec![0; masked.len()];
            steps::b_pad(&k_d, th_a, run, role.id(), life, &mut n);
            n.iter_mut().zip(masked).for_each(|(byte, with)| *byte ^= with);
            (n, trapdoor.to_vec(), tag.to_vec())
        };
        let (secret, public) = (&self.secret, &self.public);
        let half = verify_half(self.group, secret, public, &n, &f, &tag, role.id(), run, th_a).expect("a Half");
        let r = if self.group.is_compact() {
            steps::decapsulated_r(self.group, secret, public, &half.element)
        } else {
            steps::trapdoor_open(self.group, secret, public, &f).expect("F_G(r)")
        };
        self.same(&format!("r {who}"), r.expose());
        let whole_tag: [u8; 16] = self.array(&format!("{values} tag"));
        assert!(whole_tag.starts_with(&tag));
        assert_eq!(whole_tag, steps::b_tag(&half.key, role.id(), run, th_a, &n, &f));
        self.same(&format!("N {who}"), &n);
        let big_r = self.seed(&format!("R {who}"));
        assert_eq!(self.group.exp_base(&big_r).as_bytes(), n, "N = g^R");
        self.same(&format!("K' {who}"), half.key.expose());
        half
    }

    fn answers(&mut self, run: u32) {
        let (k_t, hash) = (self.key("k_t i"), sha256(&self.get("B1 payload")));
        let bytes = self.get("B1 answer payload");
        assert_eq!(decode(&bytes), Ok(Tag8(steps::b_answer(&k_t, &hash))));
        for reason in BReason::ALL {
            let name = format!("B refusal {}", reason.id());
            let bytes = self.get(&format!("{name} payload"));
            let Sealed(sealed) = decode(&bytes).expect("a refusal of B1");
            let key = steps::b_refusal(self.aead, &k_t, &hash, 0);
            let inside = self.open(key, sealed, &format!("{name} S"), &format!("{name} plaintext"));
            assert_eq!(decode(&inside), Ok(BRefusal { reason, run }));
        }
    }

    /// B7: Z, as the receiving device makes it.
    fn b6(&mut self, th_a: &[u8; 32], role: Role, sealed: &[u8]) -> Element {
        let (who, run) = (end(role), self.number("run"));
        let key = steps::b6(self.aead, &self.key(&format!("k_t {who}")), th_a, run, role.id());
        let inside = self.open(key, sealed, &format!("B6 {who} S"), &format!("B6 {who} plaintext"));
        let B6Secret { element, peer_hash, tag } = decode(&inside).expect("B6");
        let big_r = self.seed(&format!("R {who}"));
        let own = sga_crypto::short_hash(self.group.exp_base(&big_r).as_bytes());
        let (h_i, h_j) = if role == Role::Initiator { (own, peer_hash) } else { (peer_hash, own) };
        let th_b = steps::th_b_of_hashes(th_a, run, &h_i, &h_j);
        let key = self.key(&format!("K' {who}"));
        assert_eq!(tag, steps::b6_tag(&key, role.id(), run, &th_b, element), "B6 {who}");
        self.same(&format!("B6 {who} tag"), tag);
        session_element(self.group, element, &big_r).expect("Y is an element")
    }

    /// One message: as the gateway takes it, and as the peer opens it.
    pub(super) fn message(&mut self, root: &Secret<32>, from: Role, number_in_run: u32, item_number: u32) {
        let who = end(from);
        let name = format!("message {number_in_run} {who}");
        let bytes = self.get(&format!("{name} payload"));
        let Ok(MsgPost::Message(post)) = decode(&bytes) else { panic!("{name}") };
        let MessagePost { handle, run, sequence, ciphertext, hop_tag, salt } = post;
        let life = salt.as_ref();
        if let Some(salt) = salt {
            self.same(&format!("life {who}"), salt);
        }
        self.same(&format!("handle {who}"), handle.0);
        assert_eq!((run, sequence), (self.number("run"), number_in_run));
        let hop_key = self.key(&format!("hop key {who}"));
        assert_eq!(hop_tag, steps::hop_tag(&hop_key, &handle.0, run, sequence, ciphertext, life), "{name}");
        self.same(&format!("{name} hop"), hop_tag);
        self.same(&format!("{name} ciphertext"), ciphertext);
        let answer = self.get(&format!("{name} answer payload"));
        assert_eq!(decode(&answer), Ok(Tag8(steps::stored_tag(&hop_key, &handle.0, run, sequence, life))), "{name}");

        let body = self.item(from.other(), &name, item_number, kind::MESSAGE);
        let item: MessageItem<'_> = decode(&body).expect("a message item");
        self.same(&format!("handle {}", end(from.other())), item.handle.0);
        assert_eq!((item.run, item.sequence, item.ciphertext, item.salt), (run, sequence, ciphertext, salt), "{name}");
        let mut key = steps::traffic(root, self.aead, from.id());
        self.same(&format!("traffic {who}"), key.expose());
        if let Some(salt) = life {
            key = key.in_life(salt);
            self.same(&format!("traffic {who} of a later life"), key.expose());
        }
        let mut text = item.ciphertext.to_vec();
        let len = key.open(run, sequence, &mut text).expect("a message opens");
        self.same(&format!("{name} plaintext"), &text[..len]);
        if sequence == 0 {
            assert_eq!(decode(&text[..len]), Ok(Confirmation { last: 0 }));
        } else {
            self.same("text", &text[..len]);
        }
    }
}
