//! The gateway's resources, on raw Uri-Path options.

use sga_coap::{Code, Config};

/// Blocks of 1,024 bytes unless the peer asks for smaller ones.
pub(crate) const BLOCK_SZX_MAX: u8 = 6;

/// A resource of the gateway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Register,
    Negotiate,
    Kex,
    Msg,
}

impl Path {
    pub(crate) fn of(path: &[Vec<u8>]) -> Option<Self> {
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
            Self::Register => &[Code::GET, Code::POST],
            Self::Negotiate | Self::Kex => &[Code::POST],
            Self::Msg => &[Code::FETCH, Code::POST],
        }
    }
}

/// How the endpoint serves them.
pub(crate) fn coap_config() -> Config {
    Config {
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
