//! Encoding and sealing into vectors of the right length.

use sga_crypto::{PkPurpose, SealKey, TAG_LEN_MAX, TrafficKey, steps};
use sga_schema::{ItemsWriter, Message, NextAttach};

use super::inputs::Inputs;

/// Encodes a message.
pub(super) fn encode<'a, T: Message<'a>>(message: &T) -> Vec<u8> {
    let mut bytes = vec![0; sga_schema::encoded_len(message)];
    let len = sga_schema::encode(message, &mut bytes).expect("the buffer has the encoded length");
    bytes.truncate(len);
    bytes
}

/// Seals a plaintext.
pub(super) fn seal(key: SealKey, plaintext: &[u8]) -> Vec<u8> {
    in_place(plaintext, |buf, len| key.seal(buf, len))
}

/// Seals a text of a run.
pub(super) fn seal_text(key: &TrafficKey, run: u32, sequence: u32, text: &[u8]) -> Vec<u8> {
    in_place(text, |buf, len| key.seal(run, sequence, buf, len))
}

fn in_place(
    plaintext: &[u8],
    seal: impl FnOnce(&mut [u8], usize) -> Result<usize, sga_crypto::CryptoError>,
) -> Vec<u8> {
    let mut buf = plaintext.to_vec();
    buf.resize(plaintext.len() + TAG_LEN_MAX, 0);
    let len = seal(&mut buf, plaintext.len()).expect("the buffer has room for the tag");
    buf.truncate(len);
    buf
}

/// E_PK with the e of this name.
pub(super) fn pk(inputs: &Inputs, name: &str, purpose: PkPurpose, plaintext: &[u8]) -> Vec<u8> {
    let mut out = vec![0; plaintext.len() + steps::pk_overhead(inputs.group)];
    let len = steps::pk_seal(inputs.group, &inputs.public, &inputs.e(name), purpose, plaintext, &mut out)
        .expect("the buffer has room for the overhead");
    out.truncate(len);
    out
}

/// The plaintext of an Inbox with at most one item: number, kind and body.
pub(super) fn inbox_plaintext(item: Option<(u32, u32, &[u8])>, next: Option<NextAttach>) -> Vec<u8> {
    let body_len = item.map_or(0, |(_, _, body)| body.len() + 11);
    let mut buf = vec![0; body_len + ItemsWriter::OVERHEAD_LEN];
    let mut writer = ItemsWriter::new(&mut buf, body_len);
    if let Some((number, kind, body)) = item {
        assert!(writer.push(number, kind, body), "the buffer has room for the item");
    }
    let len = writer.finish(next);
    buf.truncate(len);
    buf
}
