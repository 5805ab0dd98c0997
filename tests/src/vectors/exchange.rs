//! Key exchange (4.4, §6): B1–B7.

use sga_crypto::accelerator::{make_half, session_element, session_halves};
use sga_crypto::{Element, Secret, sha256, short_hash, steps};
use sga_schema::{
    B6Secret, BReason, BRefusal, Half, HalfClassic, HalfCompact, KeyItem, Role, Sealed, Tag8, Wanted, WantedItem, kind,
};

use super::RUN;
use super::inputs::{Inputs, end};
use super::lines::Lines;
use super::made::{encode, seal};
use super::register;

/// What the run gives both ends.
pub(super) struct Keys {
    /// Without a pair secret.
    pub(super) root: Secret<32>,
    /// By role.
    pub(super) hop: [Secret<32>; 2],
}

struct Ran {
    n: Element,
    f: Vec<u8>,
    tag: [u8; 16],
    key: Secret<32>,
    request_hash: [u8; 32],
}

/// B1–B7 of run 1, which d_i opens.
pub(super) fn exchange(inputs: &Inputs, th_a: &[u8; 32], out: &mut Lines) -> Keys {
    let [i, j] = [Role::Initiator, Role::Responder];
    let ran_i = half(inputs, th_a, i, out);
    half_of_a_later_life(inputs, th_a, i, &ran_i, out);
    waiting(inputs, &ran_i, out);
    refusals(inputs, &ran_i, out);
    wanted(inputs, th_a, out);
    let ran_j = half(inputs, th_a, j, out);
    half_of_a_later_life(inputs, th_a, j, &ran_j, out);

    out.section("§6 B4, B5: what the gateway makes of the two");
    let th_b = steps::th_b(th_a, RUN, ran_i.n.as_bytes(), ran_j.n.as_bytes());
    out.bytes("th_B", th_b);
    let (y_i, y_j) = session_halves(inputs.group, &ran_i.n, &ran_j.n, &inputs.r_s);
    b6(inputs, th_a, &th_b, j, &ran_j, &ran_i, &y_j, out);
    b6(inputs, th_a, &th_b, i, &ran_i, &ran_j, &y_i, out);

    out.section("§6 B7: what both ends have");
    let z = session_element(inputs.group, y_i.as_bytes(), &inputs.i.big_r).expect("Y is an element");
    out.bytes("Z", z.as_bytes());
    let peers = [steps::peer_key(&inputs.i.temporary_key), steps::peer_key(&inputs.j.temporary_key)];
    let paired = steps::root(&z, &peers[0], &peers[1], Some(&inputs.pair), &th_b);
    let root = steps::root(&z, &peers[0], &peers[1], None, &th_b);
    out.note("With the pair secret; what follows is from the root without.");
    out.bytes("root with pair secret", paired.expose());
    out.bytes("root", root.expose());
    out.note("Key and IV of the direction from d_i to d_j, and of the other.");
    for role in [i, j] {
        let key = steps::traffic(&root, inputs.aead, role.id());
        out.bytes(&format!("traffic {}", end(role)), key.expose());
    }
    let code = steps::comparison_code(&root);
    out.bytes("comparison code", code);
    let digits = steps::comparison_digits(&code);
    let groups: Vec<_> = digits.chunks(5).map(String::from_utf8_lossy).collect();
    out.note(&format!("As ASCII digits: {}", groups.join(" ")));
    out.bytes("comparison digits", digits);
    let hop = [steps::hop_key(&ran_i.key, &th_b), steps::hop_key(&ran_j.key, &th_b)];
    out.bytes("hop key i", hop[0].expose());
    out.bytes("hop key j", hop[1].expose());
    Keys { root, hop }
}

fn half(inputs: &Inputs, th_a: &[u8; 32], role: Role, out: &mut Lines) -> Ran {
    let (me, who) = (inputs.end(role), end(role));
    let step = if role == Role::Initiator { "B1" } else { "B3" };
    out.section(&format!("§6 {step}: the Half of d_{who}"));
    let made = make_half(inputs.group, &inputs.public, &me.big_r, &me.r);
    let n = made.element.as_bytes();
    out.bytes(&format!("N {who}"), n);
    if inputs.is_classic() {
        out.bytes(&format!("{step} F"), made.trapdoor.as_bytes());
    } else {
        out.note("The seed that both make of N and PK.");
        let r = steps::encapsulated_r(inputs.group, &inputs.public, &me.big_r, &made.element);
        out.bytes(&format!("r {who}"), r.expose());
    }
    out.bytes(&format!("K' {who}"), made.key.expose());
    let tag = steps::b_tag(&made.key, role.id(), RUN, th_a, n, made.trapdoor.as_bytes());
    out.bytes(&format!("{step} tag"), tag);
    let f = made.trapdoor.as_bytes().to_vec();
    let mut ran = Ran { n: made.element.clone(), f, tag, key: made.key, request_hash: [0; 32] };
    ran.request_hash = sha256(&half_payload(inputs, th_a, role, step, &ran, None, out));
    ran
}

/// The same values, as an end seals them that had k_t in its store when it started. Only one of the two is ever made.
fn half_of_a_later_life(inputs: &Inputs, th_a: &[u8; 32], role: Role, ran: &Ran, out: &mut Lines) {
    let step = if role == Role::Initiator { "B1 of a later life" } else { "B3 of a later life" };
    out.section(&format!("§6 {step}: in its place, with the salt of that life"));
    half_payload(inputs, th_a, role, step, ran, Some(&inputs.end(role).life), out);
}

fn half_payload(
    inputs: &Inputs,
    th_a: &[u8; 32],
    role: Role,
    step: &str,
    ran: &Ran,
    life: Option<&[u8; 8]>,
    out: &mut Lines,
) -> Vec<u8> {
    let me = inputs.end(role);
    let body = if inputs.is_classic() {
        classic_body(inputs, th_a, role, step, ran, life, out)
    } else {
        let [f8 @ .., _, _, _, _, _, _, _, _] = ran.tag;
        let plaintext = encode(&HalfCompact { element: ran.n.as_bytes(), tag: f8 });
        out.bytes(&format!("{step} plaintext"), &plaintext);
        let (k_t, k_d) = (&me.temporary_key, &me.registered_key);
        seal(steps::b_body_compact(inputs.aead, k_t, k_d, th_a, role.id(), RUN, life), &plaintext)
    };
    out.bytes(&format!("{step} body"), &body);
    let payload = encode(&Half { handle: me.handle, run: RUN, body: &body, salt: life.copied() });
    out.bytes(&format!("{step} payload"), &payload);
    payload
}

fn classic_body(
    inputs: &Inputs,
    th_a: &[u8; 32],
    role: Role,
    step: &str,
    ran: &Ran,
    life: Option<&[u8; 8]>,
    out: &mut Lines,
) -> Vec<u8> {
    let (me, n, f) = (inputs.end(role), ran.n.as_bytes(), &ran.f);
    let mut masked = vec![0; n.len()];
    steps::b_pad(&me.registered_key, th_a, RUN, role.id(), life, &mut masked);
    masked.iter_mut().zip(n).for_each(|(byte, with)| *byte ^= with);
    out.bytes(&format!("{step} E plaintext"), &masked);
    let e = seal(steps::b_inner(inputs.aead, &me.registered_key, th_a, RUN, role.id(), f, life), &masked);
    out.bytes(&format!("{step} E"), &e);
    let plaintext = encode(&HalfClassic { sealed_element: &e, trapdoor: f, tag: ran.tag });
    out.bytes(&format!("{step} plaintext"), &plaintext);
    seal(steps::b_outer(inputs.aead, &me.temporary_key, th_a, RUN, role.id(), life), &plaintext)
}

fn waiting(inputs: &Inputs, ran: &Ran, out: &mut Lines) {
    out.section("§6 The answer to B1: 2.01");
    let tag = steps::b_answer(&inputs.i.temporary_key, &ran.request_hash);
    out.bytes("B1 answer payload", encode(&Tag8(tag)));
}

fn refusals(inputs: &Inputs, ran: &Ran, out: &mut Lines) {
    out.section("§6 Refusals of B1: each stands in the place of the answer, only one is ever made");
    for reason in BReason::ALL {
        let name = format!("B refusal {}", reason.id());
        out.note(&format!("{reason}"));
        let plaintext = encode(&BRefusal { reason, run: RUN });
        out.bytes(&format!("{name} plaintext"), &plaintext);
        let role = Role::Initiator.id();
        let key = steps::b_refusal(inputs.aead, &inputs.i.temporary_key, &ran.request_hash, role);
        let sealed = seal(key, &plaintext);
        out.bytes(&format!("{name} S"), &sealed);
        out.bytes(&format!("{name} payload"), encode(&Sealed(&sealed)));
    }
}

fn wanted(inputs: &Inputs, th_a: &[u8; 32], out: &mut Lines) {
    let me = &inputs.j;
    out.section("§6 B2: item 2 of d_j, kind 4, and its notification (c = 2)");
    let plaintext = encode(&Wanted);
    out.bytes("B2 plaintext", &plaintext);
    let sealed = seal(steps::b2(inputs.aead, &me.temporary_key, th_a, RUN, me.role.id()), &plaintext);
    out.bytes("B2 S", &sealed);
    let body = encode(&WantedItem { handle: me.handle, run: RUN, sealed: &sealed });
    register::item(inputs, me.role, "B2", 2, kind::WANTED, &body, out);
}

#[expect(clippy::too_many_arguments, reason = "all that B6 is made of")]
fn b6(
    inputs: &Inputs,
    th_a: &[u8; 32],
    th_b: &[u8; 32],
    role: Role,
    own: &Ran,
    peer: &Ran,
    y: &Element,
    out: &mut Lines,
) {
    let (me, who) = (inputs.end(role), end(role));
    out.section(match role {
        Role::Responder => "§6 B6 for d_j: the answer to B3, 2.04",
        Role::Initiator => "§6 B6 for d_i: item 2 of d_i, kind 5, and its notification (c = 2)",
    });
    out.bytes(&format!("Y {who}"), y.as_bytes());
    let tag = steps::b6_tag(&own.key, role.id(), RUN, th_b, y.as_bytes());
    out.bytes(&format!("B6 {who} tag"), tag);
    let peer_hash = short_hash(peer.n.as_bytes());
    let plaintext = encode(&B6Secret { element: y.as_bytes(), peer_hash, tag });
    out.bytes(&format!("B6 {who} plaintext"), &plaintext);
    let sealed = seal(steps::b6(inputs.aead, &me.temporary_key, th_a, RUN, role.id()), &plaintext);
    out.bytes(&format!("B6 {who} S"), &sealed);
    if role == Role::Responder {
        out.bytes("B6 j payload", encode(&Sealed(&sealed)));
    } else {
        let body = encode(&KeyItem { handle: me.handle, run: RUN, sealed: &sealed });
        register::item(inputs, role, "B6 i", 2, kind::KEY, &body, out);
    }
}
