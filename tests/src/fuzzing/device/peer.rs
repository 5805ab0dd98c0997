//! What peers do, and the gateway on its own account: items of every kind, true and false.

use sga_crypto::{Secret, steps};
use sga_device::{DeviceId, Role, Suite};
use sga_schema::{self as wire, Handle, kind};

use super::hostile::{Hostile, encoded};
use super::leg::{Leg, aead, seal};
use super::victim::id;

impl Hostile {
    /// A2.
    pub(crate) fn invitation(&mut self, peer: DeviceId, suite: Suite) {
        let leg = Leg {
            peer,
            role: Role::Responder,
            handle: Handle(self.random()),
            suite,
            nonce_i: self.random(),
            nonce_g: self.random(),
            nonce_j: [0; 8],
            own_key: None,
            peer_key: self.random(),
            th_a: [0; 32],
            runs: Vec::new(),
        };
        let item = wire::InvitationItem {
            handle: leg.handle,
            nonce_i: leg.nonce_i,
            nonce_g: leg.nonce_g,
            peer_key: *steps::peer_key(&Secret::new(leg.peer_key)).expose(),
            id_i: peer,
            suite,
        };
        self.append(kind::INVITATION, encoded(&item));
        self.add(leg);
    }

    /// A4: the peer has taken the invitation, or not for this reason.
    pub(crate) fn agreed(&mut self, at: usize, refused: Option<wire::A4Reason>) {
        let Some(leg) = self.legs.get(at).filter(|leg| leg.role == Role::Initiator) else { return };
        let Some(own_key) = leg.own_key() else { return };
        let (handle, nonce_g, suite) = (leg.handle, leg.nonce_g, aead(leg.suite));
        if let Some(reason) = refused {
            let plain = self.shape_a4_refusal(reason);
            let sealed = seal(steps::a4_refusal(suite, &own_key, &self.legs[at].nonce_i), &plain);
            return self.append(kind::NOT_AGREED, encoded(&wire::NotAgreedItem { handle, sealed: &sealed }));
        }
        let peer_key = *steps::peer_key(&Secret::new(leg.peer_key)).expose();
        let (key, secret) =
            (steps::a4(suite, &own_key, &leg.nonce_i, &nonce_g), wire::A4Secret { nonce_j: leg.nonce_j, peer_key });
        let plain = self.shape(encoded(&secret));
        self.append(kind::AGREED, encoded(&wire::AgreedItem { handle, nonce_g, sealed: &seal(key, &plain) }));
    }

    fn shape_a4_refusal(&mut self, reason: wire::A4Reason) -> Vec<u8> {
        self.shape(encoded(&reason))
    }

    /// B2 for a run.
    pub(crate) fn wanted(&mut self, at: usize, run: u32) {
        let Some(leg) = self.legs.get(at) else { return };
        let Some(own_key) = leg.own_key() else { return };
        let (handle, key) = (leg.handle, steps::b2(aead(leg.suite), &own_key, &leg.th_a, run, leg.role.id()));
        let plain = self.shape(encoded(&wire::Wanted));
        self.append(kind::WANTED, encoded(&wire::WantedItem { handle, run: run.max(1), sealed: &seal(key, &plain) }));
    }

    /// A message of the peer's under its newest run but `back`; whether it has such a run.
    pub(crate) fn peer_message(
        &mut self,
        at: usize,
        back: usize,
        sequence: u32,
        salt: Option<[u8; 8]>,
        text: &[u8],
    ) -> bool {
        let Some(leg) = self.legs.get_mut(at) else { return false };
        let (handle, tag_len) = (leg.handle, leg.suite.tag_len());
        let Some(run) = leg.runs.iter_mut().rev().nth(back) else { return false };
        let number = run.run;
        let mut ciphertext = text.to_vec();
        ciphertext.resize(text.len() + tag_len, 0);
        // Message 0 never has one.
        let salt = salt.filter(|_| sequence > 0);
        let key = salt.map_or_else(|| run.to_device.duplicate(), |salt| run.to_device.in_life(&salt));
        let len = key.seal(number, sequence, &mut ciphertext, text.len()).expect("there is room for a tag");
        ciphertext.truncate(len);
        run.next = run.next.max(sequence.saturating_add(1));
        run.offered |= sequence == 0;
        let item = wire::MessageItem { handle, run: number, sequence, ciphertext: &ciphertext, salt };
        self.append(kind::MESSAGE, encoded(&item));
        true
    }

    /// Message 0 of the peer's newest run but `back`.
    pub(crate) fn peer_confirms(&mut self, at: usize, back: usize, last: u32) {
        let plain = self.shape(encoded(&wire::Confirmation { last }));
        self.peer_message(at, back, 0, None, &plain);
    }

    /// Texts of the device that nobody fetched.
    pub(crate) fn expired(&mut self, at: usize, run: u32, sequence: u32) {
        let Some(handle) = self.legs.get(at).map(|leg| leg.handle) else { return };
        self.append(kind::EXPIRED, encoded(&wire::ExpiredItem { handle, run: run.max(1), sequence }));
    }

    /// Everything that was ever in the inbox is in it once more.
    pub(crate) fn all_again(&mut self) {
        let all = std::mem::take(&mut self.all_items);
        let from = all.len().saturating_sub(16);
        all.iter().skip(from).cloned().for_each(|(kind, body)| self.append(kind, body));
        self.all_items = all;
    }

    /// Whom the device may talk to.
    pub(crate) fn peer(choice: u8) -> DeviceId {
        // Below and above the device's own id, the own one, and more than there is room for.
        id(["bob", "zoe", "amy", "yan", "mia", "tom"][usize::from(choice) % 6])
    }
}
