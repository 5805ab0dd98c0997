//! A1–A5, and the acknowledgement between.

use sga_crypto::{PkPurpose, sha256, steps};
use sga_schema::{
    A1Reason, A1Refusal, A4Reason, A4Secret, Ack, AckSecret, AgreedItem, HandlePlain, InvitationItem, MsgPost,
    NegotiateSecret, NotAgreedItem, Role, Sealed, Suite, Tag8, VERSION, decode, kind,
};

use super::File;

impl File {
    /// Returns th_A.
    pub(super) fn negotiate(&mut self) -> [u8; 32] {
        self.a1();
        self.a2();
        self.ack();
        self.a3("A3", true);
        self.a3("A3 no", false);
        self.a4();
        let cid = self.number("suite") as u8;
        let profile = self.number("profile") as u8;
        let ids = ["ID i", "ID j", "ID_G"].map(|name| self.get(name));
        let nonces = ["n i", "n_G", "n j"].map(|name| self.array(name));
        let th_a = steps::th_a(VERSION, profile, cid, &ids[0], &ids[1], &ids[2], &nonces[0], &nonces[1], &nonces[2]);
        self.same("th_A", th_a);
        th_a
    }

    fn a1(&mut self) {
        let request = self.get("A1 payload");
        let Sealed(sealed) = decode(&request).expect("A1");
        self.same("A1 sealed", sealed);
        let inside = self.pk_open("A1", PkPurpose::Negotiate, sealed, "A1 plaintext");
        let Ok(NegotiateSecret::Invite(a1)) = decode(&inside) else { panic!("A1 inside") };
        self.same("n i", a1.nonce_i);
        self.same("A1 masked", a1.masked);
        self.same("ID i", a1.id_i.as_bytes());
        self.same("ID j", a1.id_j.as_bytes());
        let (k_d, id_g) = (self.key("k_d i"), self.get("ID_G"));
        let tag = steps::a1_tag(
            &k_d,
            a1.request_number,
            crate::vectors::inputs::ATTACH_NUMBER,
            &a1.nonce_i,
            &a1.masked,
            a1.id_i.as_bytes(),
            a1.id_j.as_bytes(),
            a1.suite.id(),
            &id_g,
        );
        assert_eq!(tag, a1.tag, "A1 tag");
        self.same("A1 tag", tag);
        self.same("k_t i", steps::a1_mask(&k_d, &a1.nonce_i, &a1.masked));

        let (k_t, hash) = (self.key("k_t i"), sha256(&request));
        let bytes = self.get("A1 answer payload");
        let Sealed(sealed) = decode(&bytes).expect("A1 answer");
        let key = steps::a1_answer(self.aead, &k_t, &hash);
        let inside = self.open(key, sealed, "A1 answer S", "A1 answer plaintext");
        let HandlePlain(handle) = decode(&inside).expect("A1 answer");
        self.same("handle i", handle.0);
        for reason in A1Reason::ALL {
            let name = format!("A1 refusal {}", reason.id());
            let bytes = self.get(&format!("{name} payload"));
            let Sealed(sealed) = decode(&bytes).expect("a refusal of A1");
            let key = steps::a1_refusal(self.aead, &k_t, &hash);
            let inside = self.open(key, sealed, &format!("{name} S"), &format!("{name} plaintext"));
            assert_eq!(decode::<A1Refusal>(&inside).expect("a refusal of A1").reason, reason);
        }
    }

    fn a2(&mut self) {
        let body = self.item(Role::Responder, "A2", 1, kind::INVITATION);
        let item: InvitationItem = decode(&body).expect("A2");
        self.same("handle j", item.handle.0);
        self.same("n i", item.nonce_i);
        self.same("n_G", item.nonce_g);
        self.same("ID i", item.id_i.as_bytes());
        assert_eq!(u32::from(item.suite.id()), self.number("suite"));
        let k_t = self.key("k_t i");
        assert_eq!(item.peer_key, *steps::peer_key(&k_t).expose());
        self.same("peer(k_t i)", item.peer_key);
    }

    fn ack(&mut self) {
        let bytes = self.get("ack payload");
        let Ok(MsgPost::Ack(Ack { ticket, counter, sealed })) = decode(&bytes) else { panic!("ack") };
        self.same("ticket j", ticket);
        let (k_d, nonce) = (self.key("k_d j"), self.array("n_a j"));
        let inside = self.open(steps::ack(self.aead, &k_d, &nonce, counter), sealed, "ack S", "ack plaintext");
        assert_eq!((counter, decode::<AckSecret>(&inside).expect("ack").cursor), (1, 1));
    }

    fn a3(&mut self, name: &str, accepts: bool) {
        let request = self.get(&format!("{name} payload"));
        let Sealed(sealed) = decode(&request).expect("A3");
        self.same(&format!("{name} sealed"), sealed);
        let inside = self.pk_open(name, PkPurpose::Negotiate, sealed, &format!("{name} plaintext"));
        let Ok(NegotiateSecret::Reply(a3)) = decode(&inside) else { panic!("A3 inside") };
        assert_eq!(a3.suite.is_some(), accepts);
        self.same("handle j", a3.handle.0);
        self.same("n_G", a3.nonce_g);
        self.same("n j", a3.nonce_j);
        self.same(&format!("{name} masked"), a3.masked);
        let (k_d, ids) = (self.key("k_d j"), ["ID i", "ID j", "ID_G"].map(|id| self.get(id)));
        let tag = steps::a3_tag(
            &k_d,
            &a3.handle.0,
            &a3.nonce_g,
            &a3.nonce_j,
            &a3.masked,
            a3.suite.map_or(0, Suite::id),
            &ids[0],
            &ids[1],
            &ids[2],
        );
        assert_eq!(tag, a3.tag, "{name} tag");
        self.same(&format!("{name} tag"), tag);
        self.same("k_t j", steps::a3_mask(&k_d, &a3.nonce_j, &a3.masked));
        let answer = self.get(&format!("{name} answer payload"));
        let Tag8(tag) = decode(&answer).expect("A3 answer");
        assert_eq!(tag, steps::a3_answer(&self.key("k_t j"), &sha256(&request)), "{name} answer");
    }

    fn a4(&mut self) {
        let (k_t, n_i) = (self.key("k_t i"), self.array("n i"));
        let body = self.item(Role::Initiator, "A4", 1, kind::AGREED);
        let item: AgreedItem<'_> = decode(&body).expect("A4");
        self.same("handle i", item.handle.0);
        self.same("n_G", item.nonce_g);
        let key = steps::a4(self.aead, &k_t, &n_i, &item.nonce_g);
        let inside = self.open(key, item.sealed, "A4 S", "A4 plaintext");
        let A4Secret { nonce_j, peer_key } = decode(&inside).expect("A4 inside");
        self.same("n j", nonce_j);
        let k_t_j = self.key("k_t j");
        assert_eq!(peer_key, *steps::peer_key(&k_t_j).expose());
        self.same("peer(k_t j)", peer_key);
        for reason in A4Reason::ALL {
            let name = format!("A4 no {}", reason.id());
            let body = self.item(Role::Initiator, &name, 1, kind::NOT_AGREED);
            let item: NotAgreedItem<'_> = decode(&body).expect("a refused A4");
            self.same("handle i", item.handle.0);
            let key = steps::a4_refusal(self.aead, &k_t, &n_i);
            let inside = self.open(key, item.sealed, &format!("{name} S"), &format!("{name} plaintext"));
            assert_eq!(decode::<A4Reason>(&inside), Ok(reason));
        }
    }
}
