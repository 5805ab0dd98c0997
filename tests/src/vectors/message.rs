//! Messages (4.5, §7).

use sga_crypto::steps;
use sga_schema::{Confirmation, EndedItem, ExpiredItem, MessageItem, MessagePost, Role, Tag8, kind};

use super::exchange::Keys;
use super::inputs::{Inputs, end};
use super::lines::Lines;
use super::made::{encode, seal_text};
use super::{RUN, TEXT, register};

/// Message 0 both ways, message 1 from d_i to d_j, message 2 from d_i in a later life, and an expired and an ended item for d_i.
pub(super) fn messages(inputs: &Inputs, keys: &Keys, out: &mut Lines) {
    let confirmation = encode(&Confirmation { last: 0 });
    let [i, j] = [Role::Initiator, Role::Responder];
    message(inputs, keys, i, 0, &confirmation, None, 3, out);
    message(inputs, keys, j, 0, &confirmation, None, 3, out);
    message(inputs, keys, i, 1, TEXT, None, 4, out);
    message(inputs, keys, i, 2, TEXT, Some(&inputs.i.life), 5, out);

    out.section("§4 Expired: item 4 of d_i, kind 7, in case message 1 was never fetched; its notification (c = 4)");
    let body = encode(&ExpiredItem { handle: inputs.i.handle, run: RUN, sequence: 1 });
    register::item(inputs, i, "expired", 4, kind::EXPIRED, &body, out);

    out.section("§4 Ended: item 7 of d_i, kind 9, in case d_j was revoked; its notification (c = 7)");
    let body = encode(&EndedItem { handle: inputs.i.handle, reason: EndedItem::REVOKED });
    register::item(inputs, i, "ended", 7, kind::ENDED, &body, out);
}

#[expect(clippy::too_many_arguments, reason = "all that a message is made of")]
fn message(
    inputs: &Inputs,
    keys: &Keys,
    from: Role,
    sequence: u32,
    text: &[u8],
    life: Option<&[u8; 8]>,
    number: u32,
    out: &mut Lines,
) {
    let (me, who, to) = (inputs.end(from), end(from), from.other());
    let hop_key = &keys.hop[usize::from(from.id())];
    let name = format!("message {sequence} {who}");
    let when = if life.is_some() { " in a later life: with the salt of that life" } else { "" };
    out.section(&format!("§7 Message {sequence} from d_{who}, and its answer, 2.04{when}"));
    out.bytes(&format!("{name} plaintext"), text);
    let mut key = steps::traffic(&keys.root, inputs.aead, from.id());
    if let Some(salt) = life {
        key = key.in_life(salt);
        out.bytes(&format!("traffic {who} of a later life"), key.expose());
    }
    let ciphertext = seal_text(&key, RUN, sequence, text);
    out.bytes(&format!("{name} ciphertext"), &ciphertext);
    let hop_tag = steps::hop_tag(hop_key, &me.handle.0, RUN, sequence, &ciphertext, life);
    out.bytes(&format!("{name} hop"), hop_tag);
    let post =
        MessagePost { handle: me.handle, run: RUN, sequence, ciphertext: &ciphertext, hop_tag, salt: life.copied() };
    out.bytes(&format!("{name} payload"), encode(&post));
    let stored = steps::stored_tag(hop_key, &me.handle.0, RUN, sequence, life);
    out.bytes(&format!("{name} answer payload"), encode(&Tag8(stored)));
    out.note(&format!("Item {number} of d_{}, kind 6, and its notification (c = {number}).", end(to)));
    let handle = inputs.end(to).handle;
    let body = encode(&MessageItem { handle, run: RUN, sequence, ciphertext: &ciphertext, salt: life.copied() });
    register::item(inputs, to, &name, number, kind::MESSAGE, &body, out);
}
