//! The gateway's resources, on raw Uri-Path options.

use std::time::Duration;

use sga_coap::link_format::{self, Link};
use sga_coap::{Code, Config};

/// Blocks of 1,024 bytes unless the peer asks for smaller ones.
pub(crate) const BLOCK_SZX_MAX: u8 = 6;

/// A resource of the gateway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Discovery,
    Register,
    Negotiate,
    Kex,
    Msg,
}

impl Path {
    pub(crate) fn of(path: &[Vec<u8>]) -> Option<Self> {
        if path.iter().map(Vec::as_slice).eq(link_format::PATH.map(str::as_bytes)) {
            return Some(Self::Discovery);
        }
        let [segment] = path else { return None };
        match segment.as_slice() {
            b"register" => Some(Self::Register),
            b"negotiate" => Some(Self::Negotiate),
            b"kex" => Some(Self::Kex),
            b"msg" => Some(Self::Msg),
            _ => None,
        }
    }

    fn methods(self) -> &'static [Code] {
        match self {
            Self::Discovery => &[Code::GET],
            Self::Register => &[Code::GET, Code::POST],
            Self::Negotiate | Self::Kex => &[Code::POST],
            Self::Msg => &[Code::FETCH, Code::POST],
        }
    }
}

/// What `/.well-known/core` says of them. `package_len`: what a first GET brings.
pub(crate) fn links(package_len: usize) -> Vec<Link> {
    let link = |path: &str, kind: &str, title: &str| {
        Link::new(path).with("rt", kind).with("if", "sga").with("ct", "60").with("title", title)
    };
    vec![
        link("/register", "sga.register", "package, registration").with("sz", package_len.to_string()),
        link("/negotiate", "sga.negotiate", "cipher and peer"),
        link("/kex", "sga.kex", "key exchange"),
        link("/msg", "sga.msg", "inbox, sealed messages").with_flag("obs"),
    ]
}

/// An observer that has acknowledged nothing for so long is sent its inbox as it is, to see whether it is still there.
const OBSERVER_IDLE: Duration = Duration::from_secs(3600);

/// How the endpoint serves them.
pub(crate) fn coap_config(separate_after: Duration) -> Config {
    Config {
        separate_after,
        observer_idle: OBSERVER_IDLE,
        // Each message of the protocol is answered again as it was before: its numbers and tags see to that.
        idempotent: |_, path| Path::of(path).is_some(),
        block_szx_max: BLOCK_SZX_MAX,
        // What costs public-key work without a symmetric proof before it.
        needs_verified_address: |method, path| {
            method == Code::POST && matches!(Path::of(path), Some(Path::Register | Path::Negotiate))
        },
        known_path: |path| Path::of(path).map(Path::methods),
        observable: |method, path| method == Code::FETCH && Path::of(path) == Some(Path::Msg),
        ..Config::default()
    }
}
