//! Registration (4.1).

use rand_core::CryptoRng;
use sga_crypto::{Element, GroupId, PkPurpose, Seed, sha256, steps};
use sga_schema::{
    Grant, Package as WirePackage, Proof, Register, RegisterSecret, Registered, SealedId, VERSION, padding,
};
use zeroize::Zeroizing;

use crate::answer::{Answer, code};
use crate::device::{Device, post};
use crate::error::DeviceError;
use crate::event::{Event, Failure};
use crate::gateway_side::Package;
use crate::inbox::Dealt;
use crate::request::{Flight, Handled, InFlight, Method, Outgoing, RequestKind};
use crate::seal::{ELEMENT_SCRATCH_LEN, aead, encode, seal_padded, seal_pk};

impl<const PEERS: usize> Device<PEERS> {
    pub(crate) fn send_package_request(&mut self) -> Result<Outgoing, DeviceError> {
        self.flight = Some(Flight { sent_len: 0, what: InFlight::Package });
        let mut outgoing = post(RequestKind::Package, "register", 0, None);
        outgoing.method = Method::Get;
        outgoing.content_format = None;
        Ok(outgoing)
    }

    pub(crate) fn on_package(&mut self, answer: &Answer<'_>, sink: &mut impl FnMut(Event<'_>)) -> Handled {
        if answer.code != code::CONTENT {
            return Handled::Retry;
        }
        let Some((package, pin)) = self.check_package(answer.payload) else {
            return self.stop_registration(Failure::PackageUnusable, sink);
        };
        let pinned = self.identity.pin.is_some();
        if self.identity.pin.is_some_and(|expected| expected != pin) {
            if !self.holds_pinned_package() {
                return self.stop_registration(Failure::PinMismatch, sink);
            }
            // Whoever has PR of the pinned package decides: a gateway that has rotated its key pair takes the old one for a while.
            self.home.other_package = true;
            self.home.candidate = None;
            self.home.due.package = false;
            return Handled::Done;
        }
        self.home.other_package = false;
        if !pinned {
            self.identity.pin = Some(pin);
            self.unsaved = true;
        }
        self.home.candidate = Some(package);
        self.home.due.package = false;
        sink(Event::PackageAccepted { pin, pinned });
        Handled::Done
    }

    /// Whether the package under which this device is registered is the pinned one.
    fn holds_pinned_package(&self) -> bool {
        let pin = |held: &Package| steps::pin(VERSION, held.profile.id(), held.public.as_bytes());
        self.home.ticket.is_some() && self.home.package.as_ref().map(pin) == self.identity.pin
    }

    /// Item 8: the gateway has another key pair, and says so under k_d.
    pub(crate) fn on_new_package(&mut self, body: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Dealt {
        let Some((package, pin)) = self.check_package(body) else { return Dealt::Malformed };
        let Some(held) = &self.home.package else { return Dealt::Stale };
        if package.profile != held.profile || package.gateway_id != held.gateway_id {
            return Dealt::Malformed;
        }
        if package.hash == held.hash {
            return Dealt::Duplicate;
        }
        self.home.other_package = false;
        self.identity.pin = Some(pin);
        self.take_over(package);
        sink(Event::PackageChanged { pin });
        Dealt::Done
    }

    /// The package under which this device is registered from now on.
    fn take_over(&mut self, package: Package) {
        let same_key = self.home.package.as_ref().is_some_and(|held| held.public == package.public);
        self.home.package = Some(package);
        self.home.candidate = None;
        if !same_key {
            self.renew_halves();
        }
    }

    /// A Half that was made is never made otherwise under the same run: PK or k_d, which is in it, has changed.
    fn renew_halves(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            if slot.opening.as_ref().is_some_and(|opening| opening.half.is_some()) {
                slot.open_next_run();
                self.unsaved = true;
            }
        }
    }

    fn check_package(&self, bytes: &[u8]) -> Option<(Package, [u8; 16])> {
        let wire: WirePackage<'_> = sga_schema::decode(bytes).ok()?;
        let group = GroupId::from_profile(wire.profile.id())?;
        let public = Element::parse(group, wire.public_key).ok()?;
        if !wire.suites.contains(self.identity.suite) {
            return None;
        }
        let pin = steps::pin(VERSION, wire.profile.id(), wire.public_key);
        let package = Package {
            profile: wire.profile,
            group,
            public,
            gateway_id: wire.gateway_id,
            suites: wire.suites,
            hash: sha256(bytes),
        };
        Some((package, pin))
    }

    fn stop_registration(&mut self, what: Failure, sink: &mut impl FnMut(Event<'_>)) -> Handled {
        self.home.due.package = false;
        self.home.due.register = false;
        self.home.due.attach = false;
        sink(Event::Failed { what });
        Handled::Done
    }

    pub(crate) fn send_register(&mut self, rng: &mut impl CryptoRng, buf: &mut [u8]) -> Result<Outgoing, DeviceError> {
        let identity = &self.identity;
        let package = self.home.candidate.as_ref().or(self.home.package.as_ref()).ok_or(DeviceError::NotRegistered)?;
        let registered_key = identity.next_key.as_ref().unwrap_or(&identity.registered_key);
        let (suite, suites) = (identity.suite.id(), identity.suites.bits());
        let proof = match (&identity.next_key, &identity.enrolment) {
            (Some(next), _) => Proof::Rotation(steps::rotation_proof(
                &identity.registered_key,
                &package.hash,
                next,
                suite,
                suites,
                identity.id.as_bytes(),
            )),
            (None, Some(enrolment)) => Proof::Enrolment(steps::enrol_proof(
                enrolment.as_bytes(),
                &package.hash,
                registered_key,
                suite,
                suites,
                identity.id.as_bytes(),
            )),
            (None, None) => Proof::None,
        };
        let secret = RegisterSecret {
            registered_key: *registered_key.expose(),
            suite: identity.suite,
            suites: identity.suites,
            proof,
        };
        let mut plain = Zeroizing::new([0; 96]);
        let plain_len = encode(&secret, &mut *plain)?;
        let mut sealed_key = [0; ELEMENT_SCRATCH_LEN];
        let purpose = PkPurpose::Register { package_hash: package.hash };
        let plain = plain.get(..plain_len).ok_or(DeviceError::Internal)?;
        let sealed_key = seal_pk(package, purpose, &Seed::new(rng), plain, &mut sealed_key)?;
        let mut sealed_id = [0; 48];
        let key = steps::register_id(aead(identity.suite), registered_key, &sha256(sealed_key));
        let sealed_len = self.pad.then_some(padding::ID_SEALED_LEN);
        let sealed_id = seal_padded(key, identity.suite, &SealedId(identity.id), sealed_len, &mut sealed_id)?;
        let len = encode(&Register { sealed_key, sealed_id }, buf)?;
        let request_hash = sha256(buf.get(..len).ok_or(DeviceError::Internal)?);
        self.flight = Some(Flight { sent_len: len, what: InFlight::Register { request_hash } });
        Ok(post(RequestKind::Register, "register", len, None))
    }

    pub(crate) fn on_registered(
        &mut self,
        answer: &Answer<'_>,
        request_hash: &[u8; 32],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Handled {
        match answer.code {
            code::CREATED | code::CHANGED => {}
            code::UNAUTHORIZED | code::FORBIDDEN | code::CONFLICT | code::UNPROCESSABLE => {
                return self.on_registration_refused(answer.code, sink);
            }
            _ => return Handled::Retry,
        }
        let Some(grant) = self.open_grant(answer.payload, request_hash) else {
            return self.not_opened();
        };
        if let Some(package) = self.home.candidate.take() {
            self.take_over(package);
        }
        if let Some(next) = self.identity.next_key.take() {
            self.identity.registered_key = next;
            // What was sealed under the old one opens no more.
            self.home.attachment = None;
            self.renew_halves();
            sink(Event::KeyRotated);
        }
        if self.home.ticket.is_none() {
            self.home.generation = grant.generation;
        }
        self.home.ticket = Some(grant.ticket);
        if grant.attach_number > self.home.attach_number {
            self.home.attach_number = grant.attach_number;
            self.home.attach_reserved = false;
        }
        if grant.request_number >= self.home.request_number {
            self.home.request_number = grant.request_number;
            self.home.request_reserved = false;
        }
        if grant.attach_number == self.home.attach_number {
            self.home.attach_reserved = false;
        }
        self.home.due.register = false;
        self.home.due.attach = true;
        self.unsaved = true;
        sink(Event::Registered);
        Handled::Done
    }

    /// A rotation that is refused stays due: the gateway may have the new key from an earlier request. The old one may still do.
    fn on_registration_refused(&mut self, code: u8, sink: &mut impl FnMut(Event<'_>)) -> Handled {
        let may_attach = self.identity.next_key.is_some() && self.home.strikes == 0;
        let what = if self.home.other_package && code == code::UNAUTHORIZED {
            Failure::PinMismatch
        } else {
            Failure::Registration { code }
        };
        let handled = self.stop_registration(what, sink);
        self.home.due.attach = may_attach;
        handled
    }

    fn open_grant(&self, payload: &[u8], request_hash: &[u8; 32]) -> Option<Grant> {
        let registered: Registered<'_> = sga_schema::decode(payload).ok()?;
        let identity = &self.identity;
        let registered_key = identity.next_key.as_ref().unwrap_or(&identity.registered_key);
        let key = steps::registered(aead(identity.suite), registered_key, request_hash, &registered.nonce);
        let mut scratch = [0; 64];
        let copy = scratch.get_mut(..registered.sealed.len())?;
        copy.copy_from_slice(registered.sealed);
        let len = key.open(copy).ok()?;
        let fits = registered.sealed.len() == padding::GRANT_SEALED_LEN;
        padding::decode_padded(scratch.get(..len)?, fits).ok().map(|(grant, _)| grant)
    }
}
