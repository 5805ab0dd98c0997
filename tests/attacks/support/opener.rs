//! Tries keys on the texts of a recorded run.

use sga_crypto::{Element, Secret, steps};
use sga_schema::MessagePost;

use super::taped::{AEAD, Run};

/// The two texts, as they were posted: who sent each, and the payload.
pub(crate) fn texts(run: &Run) -> Vec<(usize, Vec<u8>)> {
    let is_text = |payload: &[u8]| sga_schema::decode::<MessagePost<'_>>(payload).is_ok_and(|post| post.sequence > 0);
    let posts = run.exchanges.iter().filter(|exchange| exchange.path == "msg" && is_text(&exchange.request));
    let mut texts: Vec<_> = posts.map(|exchange| (exchange.device, exchange.request.clone())).collect();
    texts.dedup();
    texts
}

/// What this root opens of them.
pub(crate) fn open_by_root(texts: &[(usize, Vec<u8>)], root: &Secret<32>) -> Vec<Vec<u8>> {
    let open = |(role, payload): &(usize, Vec<u8>)| {
        let post: MessagePost<'_> = sga_schema::decode(payload).unwrap();
        let mut bytes = post.ciphertext.to_vec();
        let len = steps::traffic(root, AEAD, *role as u8).open(post.run, post.sequence, &mut bytes).ok()?;
        bytes.truncate(len);
        Some(bytes)
    };
    texts.iter().filter_map(open).collect()
}

/// What the root that follows from this element opens.
pub(crate) fn open_by_element(run: &Run, texts: &[(usize, Vec<u8>)], element: &Element) -> Vec<Vec<u8>> {
    open_by_root(texts, &run.root(element))
}
