//! Request and response codes (RFC 7252 §12.1).

use core::fmt;

/// A CoAP code: class in the upper three bits, detail in the lower five.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u8);

macro_rules! codes {
    ($($name:ident = $class:literal . $detail:literal, $doc:literal;)*) => {
        impl Code {
            $(#[doc = $doc] pub const $name: Code = Code(($class << 5) | $detail);)*
        }
    };
}

codes! {
    EMPTY = 0 . 0, "0.00: no request and no response.";
    GET = 0 . 1, "0.01";
    POST = 0 . 2, "0.02";
    PUT = 0 . 3, "0.03";
    DELETE = 0 . 4, "0.04";
    FETCH = 0 . 5, "0.05 (RFC 8132)";
    PATCH = 0 . 6, "0.06 (RFC 8132)";
    IPATCH = 0 . 7, "0.07 (RFC 8132)";
    CREATED = 2 . 1, "2.01";
    DELETED = 2 . 2, "2.02";
    VALID = 2 . 3, "2.03";
    CHANGED = 2 . 4, "2.04";
    CONTENT = 2 . 5, "2.05";
    CONTINUE = 2 . 31, "2.31 (RFC 7959)";
    BAD_REQUEST = 4 . 0, "4.00";
    UNAUTHORIZED = 4 . 1, "4.01";
    BAD_OPTION = 4 . 2, "4.02";
    FORBIDDEN = 4 . 3, "4.03";
    NOT_FOUND = 4 . 4, "4.04";
    METHOD_NOT_ALLOWED = 4 . 5, "4.05";
    NOT_ACCEPTABLE = 4 . 6, "4.06";
    REQUEST_ENTITY_INCOMPLETE = 4 . 8, "4.08 (RFC 7959)";
    CONFLICT = 4 . 9, "4.09 (RFC 8132)";
    PRECONDITION_FAILED = 4 . 12, "4.12";
    REQUEST_ENTITY_TOO_LARGE = 4 . 13, "4.13";
    UNSUPPORTED_CONTENT_FORMAT = 4 . 15, "4.15";
    UNPROCESSABLE_ENTITY = 4 . 22, "4.22 (RFC 8132)";
    TOO_MANY_REQUESTS = 4 . 29, "4.29 (RFC 8516)";
    INTERNAL_SERVER_ERROR = 5 . 0, "5.00";
    NOT_IMPLEMENTED = 5 . 1, "5.01";
    BAD_GATEWAY = 5 . 2, "5.02";
    SERVICE_UNAVAILABLE = 5 . 3, "5.03";
    GATEWAY_TIMEOUT = 5 . 4, "5.04";
    PROXYING_NOT_SUPPORTED = 5 . 5, "5.05";
}

impl Code {
    /// The class: 0 request (or empty), 2 success, 4 client error, 5 server error; the rest are reserved.
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// The detail, 0–31.
    pub const fn detail(self) -> u8 {
        self.0 & 0x1f
    }

    /// A method (class 0, but not Empty).
    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.0 != 0
    }

    /// A response of a class that RFC 7252 defines.
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2 | 4 | 5)
    }

    /// A 2.xx.
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }

    /// Methods that may be executed again without harm, so that their duplicates need no protection.
    pub(crate) const fn is_safe(self) -> bool {
        matches!(self, Code::GET | Code::FETCH)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
