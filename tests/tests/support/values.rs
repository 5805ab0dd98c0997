//! The values of a recorded run, as whoever has PR and both k_d can compute them from what went over the network.
#![allow(dead_code, reason = "each test file uses its part")]

use sga_crypto::{CryptoError, Element, PkPurpose, SealKey, Secret, Seed, steps};
use sga_schema::{
    A1, A3, B6Secret, Half, HalfClassic, HalfCompact, KeyItem, Message, NegotiateSecret, Profile, Sealed, VERSION, kind,
};

use super::{AEAD, ALICE, BOB, Run};

pub(crate) fn opened(key: SealKey, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut bytes = sealed.to_vec();
    let len = key.open(&mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

pub(crate) fn decoded<'a, T: Message<'a>>(bytes: &'a [u8]) -> T {
    sga_schema::decode(bytes).expect("it decodes")
}

impl Run {
    pub(crate) fn negotiate(&self, device: usize) -> NegotiateSecret {
        let pair = &self.world.gateway.keys().pair;
        let request = &self.exchange(device, "negotiate", 0).request;
        let Sealed(sealed) = decoded(request);
        let mut out = vec![0; sealed.len()];
        let len = steps::pk_open(pair.group, &pair.secret, &pair.public, PkPurpose::Negotiate, sealed, &mut out)
            .expect("sealed for the gateway");
        decoded(&out[..len])
    }

    pub(crate) fn a1(&self) -> A1 {
        match self.negotiate(ALICE) {
            NegotiateSecret::Invite(a1) => a1,
            NegotiateSecret::Reply(_) => panic!("alice invites"),
        }
    }

    pub(crate) fn a3(&self) -> A3 {
        match self.negotiate(BOB) {
            NegotiateSecret::Reply(a3) => a3,
            NegotiateSecret::Invite(_) => panic!("bob replies"),
        }
    }

    pub(crate) fn k_d(&self, device: usize) -> &Secret<32> {
        &self.world.devices[device].registered_key
    }

    /// k_t of an end, as the gateway recovers it.
    pub(crate) fn k_t(&self, device: usize) -> Secret<16> {
        if device == ALICE {
            let a1 = self.a1();
            Secret::new(steps::a1_mask(self.k_d(ALICE), &a1.nonce_i, &a1.masked))
        } else {
            let a3 = self.a3();
            Secret::new(steps::a3_mask(self.k_d(BOB), &a3.nonce_j, &a3.masked))
        }
    }

    pub(crate) fn th_a(&self) -> [u8; 32] {
        let (a1, a3, profile) = (self.a1(), self.a3(), self.world.gateway.profile().id());
        let suite = a1.suite.id();
        steps::th_a(VERSION, profile, suite, b"alice", b"bob", b"gw", &a1.nonce_i, &a3.nonce_g, &a3.nonce_j)
    }

    /// N, F_G(r) and the tag inside a Half.
    pub(crate) fn half(&self, device: usize) -> (Element, Vec<u8>, Vec<u8>) {
        let half: Half<'_> = decoded(&self.exchange(device, "kex", 0).request);
        let (k_t, k_d, th_a, role) = (self.k_t(device), self.k_d(device), self.th_a(), device as u8);
        if self.world.gateway.profile() == Profile::Compact {
            let key = steps::b_body_compact(AEAD, &k_t, k_d, &th_a, role, half.run, None);
            let body = opened(key, half.body).expect("under k_t and k_d");
            let inner: HalfCompact<'_> = decoded(&body);
            return (self.element(inner.element), Vec::new(), inner.tag.to_vec());
        }
        let body = opened(steps::b_outer(AEAD, &k_t, &th_a, half.run, role, None), half.body).expect("under k_t");
        let inner: HalfClassic<'_> = decoded(&body);
        let key = steps::b_inner(AEAD, k_d, &th_a, half.run, role, inner.trapdoor, None);
        let mut element = opened(key, inner.sealed_element).expect("E_kd(N ⊕ pad)");
        let mut pad = vec![0; element.len()];
        steps::b_pad(k_d, &th_a, half.run, role, None, &mut pad);
        element.iter_mut().zip(&pad).for_each(|(byte, pad)| *byte ^= pad);
        (self.element(&element), inner.trapdoor.to_vec(), inner.tag.to_vec())
    }

    pub(crate) fn element(&self, bytes: &[u8]) -> Element {
        Element::parse(self.group(), bytes).expect("an element of the group")
    }

    /// r as the gateway recovers it with PR.
    pub(crate) fn r(&self, device: usize) -> Seed {
        let pair = &self.world.gateway.keys().pair;
        let (n, f, _) = self.half(device);
        if f.is_empty() {
            steps::decapsulated_r(pair.group, &pair.secret, &pair.public, &n)
        } else {
            steps::trapdoor_open(pair.group, &pair.secret, &pair.public, &f).expect("F_G(r)")
        }
    }

    /// K_is or K_js.
    pub(crate) fn k_s(&self, device: usize) -> Element {
        self.group().exp(&self.half(device).0, &self.r(device))
    }

    pub(crate) fn th_b(&self) -> [u8; 32] {
        steps::th_b(&self.th_a(), 1, self.half(ALICE).0.as_bytes(), self.half(BOB).0.as_bytes())
    }

    /// Y, h(N of the peer) and the tag that an end gets.
    pub(crate) fn b6(&self, device: usize) -> (Element, [u8; 16], [u8; 8]) {
        let item;
        let answer;
        let sealed = if device == ALICE {
            item = decoded::<KeyItem<'_>>(self.item(ALICE, kind::KEY));
            item.sealed
        } else {
            answer = decoded::<Sealed<'_>>(&self.exchange(BOB, "kex", 0).answer);
            answer.0
        };
        let key = steps::b6(AEAD, &self.k_t(device), &self.th_a(), 1, device as u8);
        let plain = opened(key, sealed).expect("under k_t");
        let secret: B6Secret<'_> = decoded(&plain);
        (self.element(secret.element), secret.peer_hash, secret.tag)
    }

    pub(crate) fn root(&self, z: &Element) -> Secret<32> {
        let (peer_i, peer_j) = (steps::peer_key(&self.k_t(ALICE)), steps::peer_key(&self.k_t(BOB)));
        steps::root(z, &peer_i, &peer_j, None, &self.th_b())
    }
}
