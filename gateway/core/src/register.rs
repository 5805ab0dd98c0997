//! Registration (4.1): who a device is, and the key that it shares with the gateway.

use rand_core::CryptoRng;
use sga_coap::{Code, Response};
use sga_crypto::{Secret, sha256, short_hash, steps};
use sga_schema::{DeviceId, Grant, Proof, Register, RegisterSecret, Registered, SealedId, padding};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::answer::{Refusal, answer, encoded};
use crate::gateway::Gateway;
use crate::job::{Outcome, Purpose, Work};
use crate::record::{DeviceRecord, Record};
use crate::settings::Enrolment;
use crate::storage::{DeviceIndex, Key};
use crate::suite::{aead, open_copy, seal_padded};
use crate::task::{Lock, Plan, Step, Stop, Task};

/// What a device asks for, as far as it is proven that whoever asks holds the key.
struct Claim {
    id: DeviceId,
    registered_key: Secret<32>,
    secret: RegisterSecret,
    /// P: of the package that the device has.
    package_hash: [u8; 32],
    /// The key pair that the device knows.
    told: u32,
    /// It was padded, and so is the answer.
    pad: bool,
}

impl<R: CryptoRng> Gateway<R> {
    pub(crate) fn step_register(&mut self, task: &mut Task) -> Result<Step, Stop> {
        let request = task.origin().payload.clone();
        let register: Register<'_> = sga_schema::decode(&request)?;
        match task.scratch.outcome.take() {
            Some(Outcome::Opened(Some(opened))) => task.scratch.opened = Some(opened),
            Some(_) => return Err(Refusal::NotOpened.into()),
            None => {}
        }
        let Some(opened) = &task.scratch.opened else {
            let purpose = Purpose::Register(self.package_hash);
            return Ok(Step::Job(Work::Open { bytes: register.sealed_key.to_vec(), purpose }));
        };
        let claim = open_claim(&register, &opened.plaintext)?;
        let claim = Claim { package_hash: self.package_hash_of(opened), told: self.told_by(opened), ..claim };
        let enrolled = self.is_enrolled(&claim);
        if !enrolled && matches!(claim.secret.proof, Proof::Enrolment(_)) {
            return Err(Refusal::NotOpened.into());
        }
        self.locks.take(task, &[Lock::Name(claim.id)])?;
        let (index, device, exists) = self.cache.named_or(claim.id, &self.decoys.device)?;
        // All that is looked at is looked at for a free name as well, so that a refusal does not tell.
        let same_key = exists & bool::from(claim.registered_key.expose().ct_eq(device.registered_key.expose()));
        let rotates = exists & self.is_rotation(&claim, &device);
        if !enrolled & !same_key & !rotates {
            return Err(Refusal::NotOpened.into());
        }
        self.check_revoked(claim.id)?;
        if !exists {
            return self.register_new(task, &claim);
        }
        self.locks.take(task, &[Lock::Device(index)])?;
        if same_key {
            self.register_again(task, &claim, index, &device)
        } else if rotates {
            self.rotate(task, &claim, index, &device)
        } else {
            Err(Refusal::Taken.into())
        }
    }

    /// Whether the claim comes from somebody who may register new names.
    fn is_enrolled(&self, claim: &Claim) -> bool {
        if matches!(self.settings.enrolment, Enrolment::Open) {
            return true;
        }
        let Proof::Enrolment(proof) = claim.secret.proof else { return false };
        let secret = self.settings.enrolment.secret(&claim.id);
        let listed = secret.is_some();
        let secret = secret.unwrap_or(&self.decoys.enrolment);
        let expected = steps::enrol_proof(
            secret,
            &claim.package_hash,
            &claim.registered_key,
            claim.secret.suite.id(),
            claim.secret.suites.bits(),
            claim.id.as_bytes(),
        );
        listed & bool::from(expected.ct_eq(&proof))
    }

    fn check_suites(&self, claim: &Claim) -> Result<(), Refusal> {
        let common = claim.secret.suites.intersect(self.settings.suites);
        if common.contains(claim.secret.suite) { Ok(()) } else { Err(Refusal::NoCommonSuite) }
    }

    /// A key that was replaced, or whose owner has left, never comes back: its registration could be replayed.
    fn check_retired(&mut self, claim: &Claim) -> Result<(), Stop> {
        if self.cache.is_marked(Key::Retired(retired_hash(&claim.registered_key)))? {
            return Err(Refusal::NotOpened.into());
        }
        Ok(())
    }

    fn register_new(&mut self, task: &mut Task, claim: &Claim) -> Result<Step, Stop> {
        self.check_retired(claim)?;
        self.check_suites(claim)?;
        let index = self.meta.next_device;
        let Some(next) = index.checked_add(1) else { return Err(Refusal::Full.into()) };
        // Reserved here and written with the same commit: a number that was drawn is never drawn again.
        self.meta.next_device = next;
        let device = DeviceRecord {
            id: claim.id,
            registered_key: claim.registered_key.duplicate(),
            suite: claim.secret.suite,
            suites: claim.secret.suites,
            accept: sga_schema::Accept::All,
            attach_number: 0,
            request_number: 0,
            last_invite: None,
            acknowledged: 0,
            seen_s: Some(self.meta.uptime_s),
            told: claim.told,
            shift: 0,
        };
        let response = self.grant(Code::CREATED, &task.origin().hash, index, &device, claim.pad);
        let mut plan = Plan::default();
        plan.changes.push(self.meta_change());
        plan.put(Key::Name(claim.id), Record::Name(index));
        plan.put(Key::Device(index), Record::Device(Arc::new(device)));
        log::info!("device {} registered", claim.id);
        Ok(plan.respond(response))
    }

    fn register_again(
        &mut self,
        task: &mut Task,
        claim: &Claim,
        index: DeviceIndex,
        device: &DeviceRecord,
    ) -> Result<Step, Stop> {
        if claim.secret.suite != device.suite || claim.secret.suites != device.suites {
            return Err(Refusal::Taken.into());
        }
        let response = self.grant(Code::CHANGED, &task.origin().hash, index, device, claim.pad);
        if claim.told == device.told {
            return Ok(Step::Reply(response));
        }
        // A device that was set back has an older package than it was told of.
        let mut plan = Plan::default();
        let changed = DeviceRecord { told: claim.told, ..device.duplicate() };
        plan.put(Key::Device(index), Record::Device(Arc::new(changed)));
        Ok(plan.respond(response))
    }

    fn rotate(
        &mut self,
        task: &mut Task,
        claim: &Claim,
        index: DeviceIndex,
        device: &DeviceRecord,
    ) -> Result<Step, Stop> {
        self.check_retired(claim)?;
        self.check_suites(claim)?;
        let mut changed = device.duplicate();
        changed.registered_key = claim.registered_key.duplicate();
        changed.suite = claim.secret.suite;
        changed.suites = claim.secret.suites;
        changed.told = claim.told;
        let response = self.grant(Code::CHANGED, &task.origin().hash, index, &changed, claim.pad);
        let mut plan = Plan::default();
        plan.put(Key::Retired(retired_hash(&device.registered_key)), Record::Mark);
        plan.put(Key::Device(index), Record::Device(Arc::new(changed)));
        // Its inbox was sealed under the old key.
        plan.detached = Some(index);
        log::info!("device {} has a new key", claim.id);
        Ok(plan.respond(response))
    }

    fn is_rotation(&self, claim: &Claim, device: &DeviceRecord) -> bool {
        let Proof::Rotation(proof) = claim.secret.proof else { return false };
        let expected = steps::rotation_proof(
            &device.registered_key,
            &claim.package_hash,
            &claim.registered_key,
            claim.secret.suite.id(),
            claim.secret.suites.bits(),
            claim.id.as_bytes(),
        );
        bool::from(expected.ct_eq(&proof))
    }

    /// The sealed answer: only who holds PR could have read the key that seals it.
    fn grant(
        &mut self,
        code: Code,
        request_hash: &[u8; 32],
        index: DeviceIndex,
        device: &DeviceRecord,
        pad: bool,
    ) -> Response {
        let nonce = self.random();
        let grant = Grant {
            ticket: self.new_ticket(index),
            attach_number: device.attach_number,
            request_number: device.request_number,
            generation: self.meta.generation,
        };
        let key = steps::registered(aead(device.suite), &device.registered_key, request_hash, &nonce);
        let pad_to = pad.then_some(padding::GRANT_SEALED_LEN - device.suite.tag_len());
        let sealed = seal_padded(key, &grant, pad_to);
        answer(code, encoded(&Registered { nonce, sealed: &sealed }))
    }
}

fn open_claim(register: &Register<'_>, plaintext: &[u8]) -> Result<Claim, Refusal> {
    let mut secret: RegisterSecret = sga_schema::decode(plaintext)?;
    let registered_key = Secret::new(secret.registered_key);
    // From here on there is one copy, which is wiped in the end.
    secret.registered_key.zeroize();
    let key = steps::register_id(aead(secret.suite), &registered_key, &sha256(register.sealed_key));
    let name = open_copy(key, register.sealed_id)?;
    let fits = register.sealed_id.len() == padding::ID_SEALED_LEN;
    let (SealedId(id), pad) = padding::decode_padded(&name, fits)?;
    Ok(Claim { id, registered_key, secret, package_hash: [0; 32], told: 0, pad })
}

fn retired_hash(key: &Secret<32>) -> [u8; 16] {
    short_hash(key.expose())
}
