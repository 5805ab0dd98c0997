//! Negotiation (4.3, §5): A1–A5.

use sga_crypto::{PkPurpose, Secret, sha256, steps};
use sga_schema::{
    A1, A1Reason, A1Refusal, A3, A4Reason, A4Secret, AgreedItem, HandlePlain, InvitationItem, NegotiateSecret,
    NotAgreedItem, Role, Sealed, Suite, Tag8, VERSION, kind,
};

use super::inputs::{ATTACH_NUMBER, Inputs};
use super::lines::Lines;
use super::made::{encode, pk, seal};
use super::register;

/// A1–A5 with an acknowledgement between; returns th_A.
pub(super) fn negotiate(inputs: &Inputs, out: &mut Lines) -> [u8; 32] {
    a1(inputs, out);
    a2(inputs, out);
    register::ack(inputs, out);
    for (name, suite) in [("A3", Some(inputs.suite)), ("A3 no", None)] {
        a3(inputs, name, suite, out);
    }
    a4(inputs, out);
    out.section("§5 A5: what both ends and the gateway have");
    let th_a = steps::th_a(
        VERSION,
        inputs.profile.id(),
        inputs.suite.id(),
        inputs.i.id.as_bytes(),
        inputs.j.id.as_bytes(),
        inputs.id_g.as_bytes(),
        &inputs.i.nonce,
        &inputs.nonce_g,
        &inputs.j.nonce,
    );
    out.bytes("th_A", th_a);
    th_a
}

fn a1(inputs: &Inputs, out: &mut Lines) {
    let me = &inputs.i;
    let (id_i, id_j) = (me.id, inputs.j.id);
    out.section("§5 A1: d_i invites d_j (request number 1, under attach 1)");
    let masked = steps::a1_mask(&me.registered_key, &me.nonce, me.temporary_key.expose());
    let tag = steps::a1_tag(
        &me.registered_key,
        1,
        ATTACH_NUMBER,
        &me.nonce,
        &masked,
        id_i.as_bytes(),
        id_j.as_bytes(),
        inputs.suite.id(),
        inputs.id_g.as_bytes(),
    );
    out.bytes("A1 masked", masked);
    out.bytes("A1 tag", tag);
    let plaintext = encode(&NegotiateSecret::Invite(A1 {
        request_number: 1,
        nonce_i: me.nonce,
        masked,
        id_i,
        id_j,
        suite: inputs.suite,
        tag,
    }));
    out.bytes("A1 plaintext", &plaintext);
    let sealed = pk(inputs, "A1", PkPurpose::Negotiate, &plaintext);
    out.bytes("A1 sealed", &sealed);
    let payload = encode(&Sealed(&sealed));
    out.bytes("A1 payload", &payload);
    let hash = sha256(&payload);

    out.section("§5 The answer to A1: 2.01");
    let plaintext = encode(&HandlePlain(me.handle));
    out.bytes("A1 answer plaintext", &plaintext);
    let sealed = seal(steps::a1_answer(inputs.aead, &me.temporary_key, &hash), &plaintext);
    out.bytes("A1 answer S", &sealed);
    out.bytes("A1 answer payload", encode(&Sealed(&sealed)));

    out.section("§5 Refusals of A1: each stands in the place of the answer, only one is ever made");
    for (reason, detail) in A1Reason::ALL.into_iter().map(|reason| (reason, detail(inputs, reason))) {
        let name = format!("A1 refusal {}", reason.id());
        out.note(&format!("{reason}"));
        let plaintext = encode(&A1Refusal { reason, detail });
        out.bytes(&format!("{name} plaintext"), &plaintext);
        let sealed = seal(steps::a1_refusal(inputs.aead, &me.temporary_key, &hash), &plaintext);
        out.bytes(&format!("{name} S"), &sealed);
        out.bytes(&format!("{name} payload"), encode(&Sealed(&sealed)));
    }
}

/// The common set is one that lacks cid; the seconds are a minute.
fn detail(inputs: &Inputs, reason: A1Reason) -> u32 {
    match reason {
        A1Reason::NoCommonSuite => inputs.suites.bits() & !(1 << (inputs.suite.id() - 1)),
        A1Reason::MailboxFull => 60,
        _ => 0,
    }
}

fn peer(out: &mut Lines, name: &str, key: &Secret<16>) -> [u8; 16] {
    let made = *steps::peer_key(key).expose();
    out.bytes(name, made);
    made
}

fn a2(inputs: &Inputs, out: &mut Lines) {
    out.section("§5 A2: item 1 of d_j, kind 1, and the notification that brings it (c = 1)");
    let peer_key = peer(out, "peer(k_t i)", &inputs.i.temporary_key);
    let body = encode(&InvitationItem {
        handle: inputs.j.handle,
        nonce_i: inputs.i.nonce,
        nonce_g: inputs.nonce_g,
        peer_key,
        id_i: inputs.i.id,
        suite: inputs.suite,
    });
    register::item(inputs, Role::Responder, "A2", 1, kind::INVITATION, &body, out);
}

fn a3(inputs: &Inputs, name: &str, suite: Option<Suite>, out: &mut Lines) {
    let me = &inputs.j;
    out.section(match suite {
        Some(_) => "§5 A3: d_j accepts; its answer, 2.04",
        None => "§5 A3 in its place: d_j refuses; its answer, 2.04",
    });
    let masked = steps::a3_mask(&me.registered_key, &me.nonce, me.temporary_key.expose());
    let tag = steps::a3_tag(
        &me.registered_key,
        &me.handle.0,
        &inputs.nonce_g,
        &me.nonce,
        &masked,
        suite.map_or(0, Suite::id),
        inputs.i.id.as_bytes(),
        me.id.as_bytes(),
        inputs.id_g.as_bytes(),
    );
    out.bytes(&format!("{name} masked"), masked);
    out.bytes(&format!("{name} tag"), tag);
    let plaintext = encode(&NegotiateSecret::Reply(A3 {
        handle: me.handle,
        nonce_g: inputs.nonce_g,
        nonce_j: me.nonce,
        masked,
        suite,
        tag,
    }));
    out.bytes(&format!("{name} plaintext"), &plaintext);
    let sealed = pk(inputs, name, PkPurpose::Negotiate, &plaintext);
    out.bytes(&format!("{name} sealed"), &sealed);
    let payload = encode(&Sealed(&sealed));
    out.bytes(&format!("{name} payload"), &payload);
    let answer = Tag8(steps::a3_answer(&me.temporary_key, &sha256(&payload)));
    out.bytes(&format!("{name} answer payload"), encode(&answer));
}

fn a4(inputs: &Inputs, out: &mut Lines) {
    let me = &inputs.i;
    out.section("§5 A4, agreed: item 1 of d_i, kind 2, and its notification (c = 1)");
    let peer_key = peer(out, "peer(k_t j)", &inputs.j.temporary_key);
    let plaintext = encode(&A4Secret { nonce_j: inputs.j.nonce, peer_key });
    out.bytes("A4 plaintext", &plaintext);
    let sealed = seal(steps::a4(inputs.aead, &me.temporary_key, &me.nonce, &inputs.nonce_g), &plaintext);
    out.bytes("A4 S", &sealed);
    let body = encode(&AgreedItem { handle: me.handle, nonce_g: inputs.nonce_g, sealed: &sealed });
    register::item(inputs, Role::Initiator, "A4", 1, kind::AGREED, &body, out);

    out.section("§5 A4, not agreed: item 1 of d_i in its place, kind 3, for each reason; only one is ever made");
    for reason in A4Reason::ALL {
        let name = format!("A4 no {}", reason.id());
        out.note(&format!("{reason}"));
        let plaintext = encode(&reason);
        out.bytes(&format!("{name} plaintext"), &plaintext);
        let sealed = seal(steps::a4_refusal(inputs.aead, &me.temporary_key, &me.nonce), &plaintext);
        out.bytes(&format!("{name} S"), &sealed);
        let body = encode(&NotAgreedItem { handle: me.handle, sealed: &sealed });
        register::item(inputs, Role::Initiator, &name, 1, kind::NOT_AGREED, &body, out);
    }
}
