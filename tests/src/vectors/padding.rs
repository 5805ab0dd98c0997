//! Padding (§10): what is above once more, from a device that pads. Each stands in the place of its namesake; only one of the two is
//! ever made, and its keys and randomness are the same.

use sga_crypto::{PkPurpose, sha256, steps};
use sga_schema::padding::{self, MARK_LEN};
use sga_schema::{Ack, Attach, Inbox, MessageItem, MessagePost, Register, Registered, Role, Sealed, kind};

use super::exchange::Keys;
use super::inputs::Inputs;
use super::lines::Lines;
use super::made::{encode, inbox_plaintext, pk, seal, seal_text};
use super::{RUN, TEXT};

fn pad(plaintext: &[u8], to: usize) -> Vec<u8> {
    let mut bytes = plaintext.to_vec();
    bytes.resize(to, 0);
    padding::pad(&mut bytes, plaintext.len(), to).expect("the size has room for a byte more");
    bytes
}

/// All of it; numbers are those of the namesakes.
pub(super) fn padding(inputs: &Inputs, keys: &Keys, out: &mut Lines) {
    let tag_len = inputs.suite.tag_len();
    let me = &inputs.i;
    out.section("§10 Padded: Register of kind 0 and its answer");
    let a = out.value("register 0 A");
    let plaintext = pad(&out.value("register 0 B plaintext"), padding::ID_SEALED_LEN - tag_len);
    out.bytes("register padded B plaintext", &plaintext);
    let b = seal(steps::register_id(inputs.aead, &me.registered_key, &sha256(&a)), &plaintext);
    out.bytes("register padded B", &b);
    let payload = encode(&Register { sealed_key: &a, sealed_id: &b });
    out.bytes("register padded payload", &payload);
    let plaintext = pad(&out.value("registered plaintext"), padding::GRANT_SEALED_LEN - tag_len);
    out.bytes("registered padded plaintext", &plaintext);
    let nonce = inputs.registered_nonce;
    let key = steps::registered(inputs.aead, &me.registered_key, &sha256(&payload), &nonce);
    let sealed = seal(key, &plaintext);
    out.bytes("registered padded G", &sealed);
    out.bytes("registered padded payload", encode(&Registered { nonce, sealed: &sealed }));

    out.section("§10 Padded: Attach of d_i, its answer, and an Ack of d_j");
    let plaintext = pad(&out.value("attach i plaintext"), padding::ATTACH_SEALED_LEN - tag_len);
    out.bytes("attach padded plaintext", &plaintext);
    let sealed = seal(steps::attach(inputs.aead, &me.registered_key, &me.attach_nonce), &plaintext);
    out.bytes("attach padded S", &sealed);
    let attach = Attach { ticket: me.ticket, nonce: me.attach_nonce, sealed: &sealed };
    out.bytes("attach padded payload", encode(&attach));
    let plaintext = out.value("inbox i plaintext");
    inbox(inputs, Role::Initiator, "inbox padded", 0, &plaintext, out);
    let other = &inputs.j;
    let plaintext = pad(&out.value("ack plaintext"), padding::ACK_SEALED_LEN - tag_len);
    out.bytes("ack padded plaintext", &plaintext);
    let counter = 1;
    let key = steps::ack(inputs.aead, &other.registered_key, &other.attach_nonce, counter);
    let sealed = seal(key, &plaintext);
    out.bytes("ack padded S", &sealed);
    out.bytes("ack padded payload", encode(&Ack { ticket: other.ticket, counter, sealed: &sealed }));

    out.section("§10 Padded: A1");
    let plaintext = pad(&out.value("A1 plaintext"), padding::A1_LEN);
    out.bytes("A1 padded plaintext", &plaintext);
    let sealed = pk(inputs, "A1", PkPurpose::Negotiate, &plaintext);
    out.bytes("A1 padded sealed", &sealed);
    out.bytes("A1 padded payload", encode(&Sealed(&sealed)));

    out.section("§10 Padded: messages 0 and 1 from d_i, and the notification of message 1 (item 4 of d_j, c = 4)");
    let plaintext = pad(&out.value("message 0 i plaintext"), padding::CONFIRMATION_LEN);
    message(inputs, keys, 0, &plaintext, out);
    let mark = steps::traffic(&keys.root, inputs.aead, me.role.id()).padding_mark(RUN, 1);
    out.bytes("message 1 padded mark", mark);
    let len = padding::text_len(TEXT.len()).expect("a short text");
    let mut plaintext = pad(TEXT, len - MARK_LEN);
    plaintext.extend(mark);
    let ciphertext = message(inputs, keys, 1, &plaintext, out);
    let body =
        encode(&MessageItem { handle: other.handle, run: RUN, sequence: 1, ciphertext: &ciphertext, salt: None });
    let plaintext = inbox_plaintext(Some((4, kind::MESSAGE, &body)), None);
    inbox(inputs, Role::Responder, "message 1 padded notification", 4, &plaintext, out);
}

/// An Inbox, padded.
fn inbox(inputs: &Inputs, to: Role, name: &str, counter: u32, plaintext: &[u8], out: &mut Lines) {
    let (me, tag_len) = (inputs.end(to), inputs.suite.tag_len());
    let plaintext = pad(plaintext, padding::inbox_sealed_len(plaintext.len() + 1 + tag_len) - tag_len);
    out.bytes(&format!("{name} plaintext"), &plaintext);
    let sealed = seal(steps::inbox(inputs.aead, &me.registered_key, &me.attach_nonce, counter), &plaintext);
    out.bytes(&format!("{name} S"), &sealed);
    out.bytes(&format!("{name} payload"), encode(&Inbox { counter, sealed: &sealed }));
}

/// A message of d_i; its ciphertext.
fn message(inputs: &Inputs, keys: &Keys, sequence: u32, plaintext: &[u8], out: &mut Lines) -> Vec<u8> {
    let (me, name) = (&inputs.i, format!("message {sequence} padded"));
    out.bytes(&format!("{name} plaintext"), plaintext);
    let key = steps::traffic(&keys.root, inputs.aead, me.role.id());
    let ciphertext = seal_text(&key, RUN, sequence, plaintext);
    out.bytes(&format!("{name} ciphertext"), &ciphertext);
    let hop_tag = steps::hop_tag(&keys.hop[0], &me.handle.0, RUN, sequence, &ciphertext, None);
    out.bytes(&format!("{name} hop"), hop_tag);
    let post = MessagePost { handle: me.handle, run: RUN, sequence, ciphertext: &ciphertext, hop_tag, salt: None };
    out.bytes(&format!("{name} payload"), encode(&post));
    ciphertext
}
