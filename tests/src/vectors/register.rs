//! Package, pin, registration (4.1, §2, §3), attach and Inbox (§4).

use sga_crypto::{PkPurpose, sha256, steps};
use sga_schema::{
    Accept, Ack, AckSecret, Attach, AttachSecret, Grant, Inbox, NextAttach, Package, PinInput, Proof, Register,
    RegisterSecret, Registered, Role, SealedId, VERSION,
};

use super::inputs::{ATTACH_NUMBER, Inputs, end};
use super::lines::Lines;
use super::made::{encode, inbox_plaintext, pk, seal};

/// §2. Returns the hash of the package.
pub(super) fn package(inputs: &Inputs, out: &mut Lines) -> [u8; 32] {
    out.section("§2 Package and pin");
    out.bytes("PK", inputs.public.as_bytes());
    let package = encode(&Package {
        profile: inputs.profile,
        public_key: inputs.public.as_bytes(),
        gateway_id: inputs.id_g,
        suites: inputs.suites,
        policy: inputs.policy,
    });
    out.bytes("package payload", &package);
    let hash = sha256(&package);
    out.bytes("P", hash);
    let pinned = PinInput { profile: inputs.profile, public_key: inputs.public.as_bytes() };
    out.bytes("pin input", encode(&pinned));
    out.bytes("pin", steps::pin(VERSION, inputs.profile.id(), inputs.public.as_bytes()));
    hash
}

/// §3, all of d_i's: one Register for each kind of proof, and the answer to the first.
pub(super) fn register(inputs: &Inputs, package_hash: &[u8; 32], out: &mut Lines) {
    let me = &inputs.i;
    let (suite, bits) = (inputs.suite.id(), inputs.suites.bits());
    let enrolled =
        steps::enrol_proof(&inputs.enrolment, package_hash, &me.registered_key, suite, bits, me.id.as_bytes());
    let rotated =
        steps::rotation_proof(&inputs.old_key, package_hash, &me.registered_key, suite, bits, me.id.as_bytes());
    let proofs = [
        ("register 0", "no proof", Proof::None),
        ("register 1", "proof of enrolment", Proof::Enrolment(enrolled)),
        ("register 2", "proof of the old k_d i", Proof::Rotation(rotated)),
    ];
    for (name, what, proof) in proofs {
        out.section(&format!("§3 Register, kind {}: {what}", name.trim_start_matches("register ")));
        if let Proof::Enrolment(bytes) | Proof::Rotation(bytes) = proof {
            out.bytes(&format!("{name} proof"), bytes);
        }
        let plaintext = encode(&RegisterSecret {
            registered_key: *me.registered_key.expose(),
            suite: inputs.suite,
            suites: inputs.suites,
            proof,
        });
        out.bytes(&format!("{name} A plaintext"), &plaintext);
        let a = pk(inputs, name, PkPurpose::Register { package_hash: *package_hash }, &plaintext);
        out.bytes(&format!("{name} A"), &a);
        let id = encode(&SealedId(me.id));
        out.bytes(&format!("{name} B plaintext"), &id);
        let b = seal(steps::register_id(inputs.aead, &me.registered_key, &sha256(&a)), &id);
        out.bytes(&format!("{name} B"), &b);
        let payload = encode(&Register { sealed_key: &a, sealed_id: &b });
        out.bytes(&format!("{name} payload"), &payload);
        if proof == Proof::None {
            registered(inputs, &sha256(&payload), out);
        }
    }
}

fn registered(inputs: &Inputs, request_hash: &[u8; 32], out: &mut Lines) {
    out.section("§3 Registered: 2.01 to the Register of kind 0");
    let grant =
        encode(&Grant { ticket: inputs.i.ticket, attach_number: 0, request_number: 0, generation: inputs.generation });
    out.bytes("registered plaintext", &grant);
    let nonce = inputs.registered_nonce;
    let sealed = seal(steps::registered(inputs.aead, &inputs.i.registered_key, request_hash, &nonce), &grant);
    out.bytes("registered G", &sealed);
    out.bytes("registered payload", encode(&Registered { nonce, sealed: &sealed }));
}

/// §4: both ends' first attach, and the answer without items.
pub(super) fn attach(inputs: &Inputs, role: Role, out: &mut Lines) {
    let (me, who) = (inputs.end(role), end(role));
    out.section(&format!("§4 Attach of d_{who}, and its answer without items (c = 0)"));
    let plaintext = encode(&AttachSecret {
        attach_number: ATTACH_NUMBER,
        cursor: 0,
        generation: inputs.generation,
        accept: Accept::All,
    });
    out.bytes(&format!("attach {who} plaintext"), &plaintext);
    let sealed = seal(steps::attach(inputs.aead, &me.registered_key, &me.attach_nonce), &plaintext);
    out.bytes(&format!("attach {who} S"), &sealed);
    let attach = Attach { ticket: me.ticket, nonce: me.attach_nonce, sealed: &sealed };
    out.bytes(&format!("attach {who} payload"), encode(&attach));
    let next = NextAttach { ticket: me.next_ticket, generation: inputs.generation };
    inbox(inputs, role, &format!("inbox {who}"), 0, &inbox_plaintext(None, Some(next)), out);
}

/// One Inbox.
fn inbox(inputs: &Inputs, role: Role, name: &str, counter: u32, plaintext: &[u8], out: &mut Lines) {
    let me = inputs.end(role);
    out.bytes(&format!("{name} plaintext"), plaintext);
    let sealed = seal(steps::inbox(inputs.aead, &me.registered_key, &me.attach_nonce, counter), plaintext);
    out.bytes(&format!("{name} S"), &sealed);
    out.bytes(&format!("{name} payload"), encode(&Inbox { counter, sealed: &sealed }));
}

/// One item, and the notification that brings it; the item's number is the notification's c.
pub(super) fn item(inputs: &Inputs, to: Role, name: &str, number: u32, kind: u32, body: &[u8], out: &mut Lines) {
    out.bytes(&format!("{name} item"), body);
    let plaintext = inbox_plaintext(Some((number, kind, body)), None);
    inbox(inputs, to, &format!("{name} notification"), number, &plaintext, out);
}

/// §4: d_j acknowledges its first item.
pub(super) fn ack(inputs: &Inputs, out: &mut Lines) {
    out.section("§4 Ack of d_j for its item 1; 2.04 without payload");
    let (me, counter) = (&inputs.j, 1);
    let plaintext = encode(&AckSecret { cursor: 1 });
    out.bytes("ack plaintext", &plaintext);
    let sealed = seal(steps::ack(inputs.aead, &me.registered_key, &me.attach_nonce, counter), &plaintext);
    out.bytes("ack S", &sealed);
    out.bytes("ack payload", encode(&Ack { ticket: me.ticket, counter, sealed: &sealed }));
}
