//! Key exchange (4.4): B1 and B3 are one message in two roles; B2 asks for the other, B6 answers both.
//!
//! The gateway never has R_i, R_j or what follows from them; R_s is drawn for one run and goes with the job that used it.

use std::sync::Arc;
use std::time::Duration;

use rand_core::CryptoRng;
use sga_coap::{Code, Now};
use sga_crypto::{Element, Secret, Seed, sha256, steps};
use sga_schema::{
    B6Secret, BReason, BRefusal, Half, HalfClassic, HalfCompact, Handle, KeyItem, Profile, Role, Sealed, Tag8, Wanted,
    WantedItem, kind, limits::RUN_SKIP_MAX,
};
use zeroize::Zeroizing;

use crate::answer::{Refusal, answer, encoded};
use crate::gateway::Gateway;
use crate::job::{Closed, HalfInput, Outcome, VerifiedHalf, Work};
use crate::limits::RUN_LIFETIME;
use crate::record::{ClosedRun, DeviceRecord, HopKeys, OpenHalf, Record, SessionRecord, Stage};
use crate::storage::Key;
use crate::suite::{aead, open_copy, seal};
use crate::task::{Lock, Plan, Step, Stop, Task};

/// What an item of a run has beside an element: handle, run, hash, tags and heads.
const ITEM_OVERHEAD_MAX: usize = 128;

/// A Half whose outer seal opened.
struct Opened<'a> {
    run: u32,
    role: Role,
    session: &'a SessionRecord,
    th_a: &'a [u8; 32],
    /// k_t of the end that sent it.
    temporary_key: &'a Secret<16>,
    body_hash: [u8; 32],
    request_hash: [u8; 32],
    /// What is inside; `None` if the inner seal did not open.
    input: Option<HalfInput>,
}

impl<R: CryptoRng> Gateway<R> {
    pub(crate) fn step_half(&mut self, now: Now, task: &mut Task) -> Result<Step, Stop> {
        let request = task.origin().payload.clone();
        let half: Half<'_> = sga_schema::decode(&request)?;
        let (leg, found, exists) = self.cache.session_of_leg_or(half.handle, &self.decoys.session)?;
        let agreed = matches!(found.stage, Stage::Agreed { .. }) & found.end(leg.role).temporary_key.is_some();
        let session = if agreed { &found } else { &self.decoys.session };
        let index = session.end(leg.role).index;
        let (_, device, has_device) = self.cache.device_or(Some(index), &self.decoys.device)?;
        let Stage::Agreed { th_a } = &session.stage else { return Err(Refusal::NotOpened.into()) };
        let temporary_key = session.end(leg.role).temporary_key.as_ref().ok_or(Refusal::NotOpened)?;
        let input = self.open_body(&half, leg.role, session, th_a, &device, temporary_key)?;
        if !(exists & agreed & has_device) {
            return Err(Refusal::NotOpened.into());
        }
        let session = found.clone();
        let [initiator, responder] = &session.ends;
        // Under the session before it messages that were on their way are taken, but no run is opened.
        if self.cache.pair(initiator.index, responder.index)?.current != Some(leg.session) {
            return Err(Refusal::NotOpened.into());
        }
        let Stage::Agreed { th_a } = &session.stage else { return Err(Refusal::NotOpened.into()) };
        let temporary_key = session.end(leg.role).temporary_key.as_ref().ok_or(Refusal::NotOpened)?;
        // Only who can seal for the session keeps others of it waiting. What was read above is as new as the lock: whoever had it before
        // would have had this run again from the start.
        self.locks.take(task, &[Lock::Session(leg.session)])?;
        let opened = Opened {
            run: half.run,
            role: leg.role,
            session: &session,
            th_a,
            temporary_key,
            body_hash: sha256(half.body),
            request_hash: task.origin().hash,
            input,
        };
        self.check_revoked(device.id)?;
        match task.scratch.outcome.take() {
            Some(Outcome::Verified(Some(verified))) => self.first_half(now, task, &opened, verified),
            Some(Outcome::Closed(Some(closed))) => self.second_half(now, task, &opened, closed),
            Some(_) => Ok(failed(&opened)),
            None => self.start_half(now, task, &opened),
        }
    }

    /// Opens what needs symmetric keys only. The outer seal decides whether anything may change at all.
    fn open_body(
        &self,
        half: &Half<'_>,
        role: Role,
        session: &SessionRecord,
        th_a: &[u8; 32],
        device: &DeviceRecord,
        temporary_key: &Secret<16>,
    ) -> Result<Option<HalfInput>, Stop> {
        let (role_id, run, life) = (role.id(), half.run, half.salt.as_ref());
        let input = |element, trapdoor, tag| HalfInput { element, trapdoor, tag, role, run, th_a: *th_a };
        if self.settings.profile == Profile::Compact {
            let key = steps::b_body_compact(
                aead(session.suite),
                temporary_key,
                &device.registered_key,
                th_a,
                role_id,
                run,
                life,
            );
            let body = open_copy(key, half.body)?;
            let inner = sga_schema::decode::<HalfCompact<'_>>(&body).ok();
            return Ok(inner.map(|inner| input(inner.element.to_vec(), Vec::new(), inner.tag.to_vec())));
        }
        let body = open_copy(steps::b_outer(aead(session.suite), temporary_key, th_a, run, role_id, life), half.body)?;
        let Ok(outer) = sga_schema::decode::<HalfClassic<'_>>(&body) else { return Ok(None) };
        let key = steps::b_inner(aead(device.suite), &device.registered_key, th_a, run, role_id, outer.trapdoor, life);
        let Ok(mut element) = open_copy(key, outer.sealed_element) else { return Ok(None) };
        let mut pad = Zeroizing::new(vec![0; element.len()]);
        steps::b_pad(&device.registered_key, th_a, run, role_id, life, &mut pad);
        element.iter_mut().zip(pad.iter()).for_each(|(byte, pad)| *byte ^= pad);
        Ok(Some(input(core::mem::take(&mut *element), outer.trapdoor.to_vec(), outer.tag.to_vec())))
    }

    /// What a Half means for the run, before any public-key work.
    fn start_half(&mut self, now: Now, task: &Task, opened: &Opened<'_>) -> Result<Step, Stop> {
        let session = opened.session;
        let role = opened.role as usize;
        if opened.run < session.run || opened.run > session.run.saturating_add(RUN_SKIP_MAX) {
            return Ok(refused(opened, BReason::Closed, session.run));
        }
        let mut other = None;
        if opened.run == session.run {
            if let Some(closed) = &session.closed {
                if closed.body_hash[role] == opened.body_hash {
                    return Ok(Step::Reply(answer(Code::CHANGED, encoded(&Sealed(&closed.answer[role])))));
                }
                return Ok(refused(opened, BReason::Closed, session.run));
            }
            match &session.half {
                Some(first) if self.uptime_s(now) >= first.opened_s + RUN_LIFETIME.as_secs() => {
                    return Ok(refused(opened, BReason::Closed, session.run));
                }
                Some(first) if first.role == opened.role => {
                    return Ok(if first.body_hash == opened.body_hash {
                        Step::Reply(waiting(opened))
                    } else {
                        refused(opened, BReason::Closed, session.run)
                    });
                }
                Some(first) => other = Some(first),
                None => return Ok(refused(opened, BReason::Failed, session.run)),
            }
        }
        // What is missing is better fetched before the work than after; and what has no room leaves no trace, so that the same bytes
        // would cost the work again each time.
        self.confirmed_by_both(session)?;
        let receiver = session.end(opened.role.other());
        let what = if other.is_some() { kind::KEY } else { kind::WANTED };
        let len_max = self.keys.pair.public.as_bytes().len() + ITEM_OVERHEAD_MAX;
        if !self.mailboxes.has_room_for_own(receiver.index, what, receiver.handle, len_max)? {
            return Err(Refusal::Full.into());
        }
        self.take_run(now, task, session.end(opened.role).handle)?;
        let Some(half) = opened.input.clone() else { return Ok(failed(opened)) };
        Ok(Step::Job(match other {
            None => Work::Verify(half),
            Some(first) => {
                let other = Element::parse(self.keys.pair.group, &first.element).map_err(|_| Refusal::NotOpened)?;
                Work::Close { half, other, session_secret: Seed::new(&mut self.rng) }
            }
        }))
    }

    /// Counts a Half that is to cost something. Who sends too many may have recorded them, so that the next has to show where it comes
    /// from before the device itself has to wait.
    fn take_run(&mut self, now: Now, task: &Task, leg: Handle) -> Result<(), Refusal> {
        let origin = task.origin();
        let Err(wait) = self.runs.take(now, leg, origin.proven) else { return Ok(()) };
        if origin.proven {
            return Err(Refusal::TooManyRuns(wait));
        }
        self.runs.ask(now, origin.peer);
        Err(Refusal::TooManyRuns(Duration::ZERO))
    }

    /// B4 for the first Half of a run: B2 goes to the other end.
    fn first_half(
        &mut self,
        now: Now,
        task: &mut Task,
        opened: &Opened<'_>,
        verified: VerifiedHalf,
    ) -> Result<Step, Stop> {
        let other = opened.session.end(opened.role.other());
        let Some(key) = &other.temporary_key else { return Err(Refusal::NotOpened.into()) };
        let key = steps::b2(aead(opened.session.suite), key, opened.th_a, opened.run, opened.role.other().id());
        let sealed = seal(key, &Wanted);
        let item = WantedItem { handle: other.handle, run: opened.run, sealed: &sealed };
        let mut plan = Plan::default();
        match self.append(now, &mut plan, other.index, kind::WANTED, encoded(&item)) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Refusal::Full.into()),
            Err(stop) => {
                task.scratch.outcome = Some(Outcome::Verified(Some(verified)));
                return Err(stop);
            }
        }
        let mut changed = opened.session.duplicate();
        changed.run = opened.run;
        changed.closed = None;
        changed.half = Some(OpenHalf {
            role: opened.role,
            body_hash: opened.body_hash,
            element: verified.element.as_bytes().to_vec(),
            key: verified.key,
            opened_s: self.uptime_s(now),
        });
        put_session(&mut plan, changed);
        Ok(plan.respond(waiting(opened)))
    }

    /// B4 for the second, B5 and both B6.
    fn second_half(&mut self, now: Now, task: &mut Task, opened: &Opened<'_>, closed: Closed) -> Result<Step, Stop> {
        let session = opened.session;
        let Some(first) = &session.half else { return Err(Refusal::NotOpened.into()) };
        let (own, other) = (opened.role, opened.role.other());
        let own_element = closed.half.element.as_bytes();
        let (n_i, n_j) = match own {
            Role::Initiator => (own_element, first.element.as_slice()),
            Role::Responder => (first.element.as_slice(), own_element),
        };
        let th_b = steps::th_b(opened.th_a, opened.run, n_i, n_j);
        let b6_own = self.b6(opened, own, &closed.half.key, &th_b, &closed.y_own, &first.element)?;
        let b6_other = self.b6(opened, other, &first.key, &th_b, &closed.y_other, own_element)?;
        let item = KeyItem { handle: session.end(other).handle, run: opened.run, sealed: &b6_other };
        let mut plan = Plan::default();
        let confirmed = self.confirmed_by_both(session);
        let appended = confirmed.and_then(|confirmed| {
            let number = self.append(now, &mut plan, session.end(other).index, kind::KEY, encoded(&item))?;
            Ok(number.map(|_| confirmed))
        });
        let confirmed = match appended {
            Ok(Some(confirmed)) => confirmed,
            Ok(None) => return Err(Refusal::Full.into()),
            Err(stop) => {
                task.scratch.outcome = Some(Outcome::Closed(Some(closed)));
                return Err(stop);
            }
        };
        let response = answer(Code::CHANGED, encoded(&Sealed(&b6_own)));
        let hop_own = steps::hop_key(&closed.half.key, &th_b);
        let hop_other = steps::hop_key(&first.key, &th_b);
        let mut changed = session.duplicate();
        changed.closed = Some(match own {
            Role::Initiator => ClosedRun { body_hash: [opened.body_hash, first.body_hash], answer: [b6_own, b6_other] },
            Role::Responder => ClosedRun { body_hash: [first.body_hash, opened.body_hash], answer: [b6_other, b6_own] },
        });
        let keys = match own {
            Role::Initiator => [hop_own, hop_other],
            Role::Responder => [hop_other, hop_own],
        };
        changed.push_hop(HopKeys { run: opened.run, keys }, confirmed);
        changed.half = None;
        put_session(&mut plan, changed);
        Ok(plan.respond(response))
    }

    /// The older of the two runs under which the ends have sent last.
    fn confirmed_by_both(&mut self, session: &SessionRecord) -> Result<u32, Stop> {
        let [initiator, responder] = &session.ends;
        let newest = self.cache.window(initiator.handle)?.newest_run();
        Ok(newest.min(self.cache.window(responder.handle)?.newest_run()))
    }

    /// The sealed B6 for one end.
    fn b6(
        &self,
        opened: &Opened<'_>,
        role: Role,
        key: &Secret<32>,
        th_b: &[u8; 32],
        y: &Element,
        peer_element: &[u8],
    ) -> Result<Vec<u8>, Stop> {
        let Some(temporary_key) = &opened.session.end(role).temporary_key else {
            return Err(Refusal::NotOpened.into());
        };
        let secret = B6Secret {
            element: y.as_bytes(),
            peer_hash: sga_crypto::short_hash(peer_element),
            tag: steps::b6_tag(key, role.id(), opened.run, th_b, y.as_bytes()),
        };
        let key = steps::b6(aead(opened.session.suite), temporary_key, opened.th_a, opened.run, role.id());
        Ok(seal(key, &secret))
    }
}

fn put_session(plan: &mut Plan, session: SessionRecord) {
    plan.put(Key::Session(session.ends[0].handle), Record::Session(Arc::new(session)));
}

/// The run waits for the other end.
fn waiting(opened: &Opened<'_>) -> sga_coap::Response {
    answer(Code::CREATED, encoded(&Tag8(steps::b_answer(opened.temporary_key, &opened.request_hash))))
}

fn refusal(opened: &Opened<'_>, reason: BReason, run: u32) -> sga_coap::Response {
    let code = match reason {
        BReason::Closed => Code::CONFLICT,
        BReason::Failed => Code::UNPROCESSABLE_ENTITY,
    };
    let key =
        steps::b_refusal(aead(opened.session.suite), opened.temporary_key, &opened.request_hash, opened.role.id());
    answer(code, encoded(&Sealed(&seal(key, &BRefusal { reason, run }))))
}

/// A sealed refusal that changes nothing.
fn refused(opened: &Opened<'_>, reason: BReason, run: u32) -> Step {
    Step::Reply(refusal(opened, reason, run))
}

/// What was inside does not verify: that run is over, for both ends.
fn failed(opened: &Opened<'_>) -> Step {
    let mut changed = opened.session.duplicate();
    changed.run = opened.run;
    changed.half = None;
    changed.closed = None;
    let mut plan = Plan::default();
    put_session(&mut plan, changed);
    plan.respond(refusal(opened, BReason::Failed, opened.run))
}
