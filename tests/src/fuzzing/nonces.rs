//! Keys and nonces: two plaintexts under one pair of them is the end of every AEAD.

use std::collections::HashMap;

/// What names a key and a nonce.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    /// What it is for.
    pub(crate) what: &'static str,
    /// The key, or what stands for it.
    pub(crate) key: Vec<u8>,
    /// What the nonce is made of, and numbers that go into the key.
    pub(crate) numbers: [u32; 2],
    /// A salt that goes into the key.
    pub(crate) salt: Option<[u8; 8]>,
}

/// All that was sealed.
#[derive(Clone, Default)]
pub(crate) struct Nonces {
    sealed: HashMap<Name, Vec<u8>>,
}

impl Nonces {
    /// Something was sealed: the first under this name, or the same once more.
    pub(crate) fn record(&mut self, name: Name, sealed: &[u8]) {
        match self.sealed.get(&name) {
            Some(before) => assert!(before == sealed, "two plaintexts under one key and nonce: {name:?}"),
            None => drop(self.sealed.insert(name, sealed.to_vec())),
        }
    }
}
