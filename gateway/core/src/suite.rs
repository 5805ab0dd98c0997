//! From the wire's names of suites to the mathematics', and sealing of whole messages.

use sga_crypto::{Aead, SealKey};
use sga_schema::{Message, Suite, padding};
use zeroize::Zeroizing;

use crate::answer::{Refusal, encoded};

pub(crate) fn aead(suite: Suite) -> Aead {
    Aead::from_id(suite.id()).expect("both crates know the same suites: a test says so")
}

/// Seals the encoding of a message.
pub(crate) fn seal<'a, T: Message<'a>>(key: SealKey, message: &T) -> Vec<u8> {
    seal_padded(key, message, None)
}

/// The same, padded to so many bytes of plaintext, if any: more than any such message has.
pub(crate) fn seal_padded<'a, T: Message<'a>>(key: SealKey, message: &T, pad_to: Option<usize>) -> Vec<u8> {
    let mut bytes = encoded(message);
    if let Some(to) = pad_to {
        let len = bytes.len();
        bytes.resize(to, 0);
        padding::pad(&mut bytes, len, to).expect("the size has room for a byte more");
    }
    let len = bytes.len();
    bytes.resize(len + sga_crypto::TAG_LEN_MAX, 0);
    let sealed = key.seal(&mut bytes, len).expect("the buffer has room for the tag");
    bytes.truncate(sealed);
    bytes
}

/// Opens a copy, which is wiped in the end.
pub(crate) fn open_copy(key: SealKey, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let len = key.open(&mut bytes).map_err(|_| Refusal::NotOpened)?;
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_and_crypto_agree_on_suites() {
        for suite in Suite::ALL {
            let aead = aead(suite);
            assert_eq!(
                (aead.key_len(), aead.nonce_len(), aead.tag_len()),
                (suite.key_len(), suite.nonce_len(), suite.tag_len())
            );
        }
    }
}
