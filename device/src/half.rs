//! The mathematics of a run on one end: N, K and the body of a Half; B7.

use rand_core::CryptoRng;
use sga_crypto::{Seed, accelerator, short_hash, steps};
use sga_schema::{B6Secret, HalfClassic, HalfCompact, Profile, Role};

use crate::error::DeviceError;
use crate::gateway_side::{Identity, Package};
use crate::seal::{aead, open, seal, tags_equal};
use crate::session::{Agreement, Ephemeral, Slot};
use crate::traffic::Run;

pub(crate) const BODY_SCRATCH_LEN: usize = sga_schema::limits::HALF_BODY_LEN_MAX + 64;
const SEALED_ELEMENT_LEN_MAX: usize = sga_schema::limits::ELEMENT_LEN_MAX + sga_schema::limits::TAG_LEN_MAX;
const B6_LEN_MAX: usize = sga_schema::limits::ELEMENT_LEN_MAX + 64;

impl Ephemeral {
    /// Draws R and, in the classic profiles, r.
    pub(crate) fn draw(package: &Package, rng: &mut impl CryptoRng) -> Self {
        let ephemeral_secret = Seed::new(rng);
        let trapdoor_secret = if package.group.is_compact() { Seed::from_bytes([0; 32]) } else { Seed::new(rng) };
        Self { ephemeral_secret, trapdoor_secret }
    }
}

/// The body of B1 or B3. Everything in it follows from R, r and stored values.
pub(crate) fn write_body<'b>(
    identity: &Identity,
    package: &Package,
    agreement: &Agreement,
    run: u32,
    half: &Ephemeral,
    buf: &'b mut [u8],
) -> Result<&'b [u8], DeviceError> {
    let Agreement { role, suite, th_a, temporary_key, life, .. } = agreement;
    let (role, life) = (role.id(), life.as_ref());
    let k_d = &identity.registered_key;
    let made = accelerator::make_half(package.group, &package.public, &half.ephemeral_secret, &half.trapdoor_secret);
    let element = made.element.as_bytes();
    let trapdoor = made.trapdoor.as_bytes();
    let full_tag = steps::b_tag(&made.key, role, run, th_a, element, trapdoor);
    if package.profile == Profile::Compact {
        let mut tag = [0; 8];
        tag.copy_from_slice(full_tag.get(..8).ok_or(DeviceError::Internal)?);
        let key = steps::b_body_compact(aead(*suite), temporary_key, k_d, th_a, role, run, life);
        return seal(key, &HalfCompact { element, tag }, buf);
    }
    let mut masked = [0; SEALED_ELEMENT_LEN_MAX];
    let (pad, _) = masked.split_at_mut_checked(element.len()).ok_or(DeviceError::Internal)?;
    steps::b_pad(k_d, th_a, run, role, life, pad);
    pad.iter_mut().zip(element).for_each(|(pad, byte)| *pad ^= byte);
    let key = steps::b_inner(aead(identity.suite), k_d, th_a, run, role, trapdoor, life);
    let sealed = key.seal(&mut masked, element.len()).map_err(|_| DeviceError::Internal)?;
    let sealed_element = masked.get(..sealed).ok_or(DeviceError::Internal)?;
    let key = steps::b_outer(aead(*suite), temporary_key, th_a, run, role, life);
    seal(key, &HalfClassic { sealed_element, trapdoor, tag: full_tag }, buf)
}

/// What came of a B6.
#[allow(clippy::large_enum_variant, reason = "there is no allocator, and it lives for one call")]
pub(crate) enum Made {
    /// Not sealed by the gateway for this run: nothing has happened.
    NotOpened,
    /// From the gateway, and wrong: the run is over.
    Refused,
    /// B7.
    Keys(Run),
}

/// Opens B6 and makes the keys of the run.
pub(crate) fn make_keys(package: &Package, slot: &Slot, run: u32, sealed: &[u8], pad: bool) -> Made {
    let Some(agreement) = &slot.agreement else { return Made::NotOpened };
    let Some(half) =
        slot.opening.as_ref().filter(|opening| opening.run == run).and_then(|opening| opening.half.as_ref())
    else {
        return Made::NotOpened;
    };
    let role = agreement.role;
    let key = steps::b6(aead(agreement.suite), &agreement.temporary_key, &agreement.th_a, run, role.id());
    let mut scratch = [0; B6_LEN_MAX];
    let Some(secret) = open::<B6Secret<'_>>(key, sealed, &mut scratch) else { return Made::NotOpened };
    let made = verify(package, slot, agreement, half, run, &secret);
    made.map_or(Made::Refused, |run| Made::Keys(Run { pads_confirmation: pad, ..run }))
}

fn verify(
    package: &Package,
    slot: &Slot,
    agreement: &Agreement,
    half: &Ephemeral,
    run: u32,
    secret: &B6Secret<'_>,
) -> Option<Run> {
    let role = agreement.role;
    let made = accelerator::make_half(package.group, &package.public, &half.ephemeral_secret, &half.trapdoor_secret);
    let own_hash = short_hash(made.element.as_bytes());
    let (hash_i, hash_j) = in_order(role, own_hash, secret.peer_hash);
    let th_b = steps::th_b_of_hashes(&agreement.th_a, run, &hash_i, &hash_j);
    let expected = steps::b6_tag(&made.key, role.id(), run, &th_b, secret.element);
    if !tags_equal(&expected, &secret.tag) {
        return None;
    }
    let shared = accelerator::session_element(package.group, secret.element, &half.ephemeral_secret).ok()?;
    let own_peer_key = steps::peer_key(&agreement.temporary_key);
    let (key_i, key_j) = in_order(role, &own_peer_key, &agreement.peer_key);
    let root = steps::root(&shared, key_i, key_j, slot.pair_secret.as_ref(), &th_b);
    let suite = aead(agreement.suite);
    Some(Run {
        handle: agreement.handle,
        run,
        suite: agreement.suite,
        send_key: steps::traffic(&root, suite, role.id()),
        receive_key: Some(steps::traffic(&root, suite, role.other().id())),
        hop_key: steps::hop_key(&made.key, &th_b),
        next_send: 1,
        next_receive: 0,
        confirmed: None,
        last: last(slot),
        established: false,
        failed_openings: 0,
        comparison_code: steps::comparison_code(&root),
        superseded: false,
        pads_confirmation: false,
        life: None,
        strikes: 0,
        parked: false,
    })
}

/// What message 0 of a new run says of the newest one before: the last text that the gateway has, or that is on its way to it. If
/// that one never gets there, the peer misses it, as it should.
fn last(slot: &Slot) -> u32 {
    let Some(newest) = slot.runs.newest() else { return 0 };
    match slot.outbox.as_ref().filter(|outbox| !outbox.parked) {
        Some(text) if (text.handle, text.run) == (newest.handle, newest.run) => text.sequence,
        // It is under an older run: no message 0 has left since.
        Some(_) if newest.confirmed.is_none() => newest.last,
        _ => newest.confirmed.unwrap_or(0),
    }
}

fn in_order<T>(role: Role, own: T, peer: T) -> (T, T) {
    match role {
        Role::Initiator => (own, peer),
        Role::Responder => (peer, own),
    }
}
