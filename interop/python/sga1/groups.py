"""The three profiles of docs/protocol.md section 1 behind one interface; elements are their encodings."""
from __future__ import annotations

import hashlib
import hmac

from . import ffdhe, ristretto255


def kdf(ikm: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA-256 (RFC 5869)."""
    prk = hmac.digest(salt or bytes(32), ikm, "sha256")
    out = block = b""
    counter = 1
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([counter]), hashlib.sha256)
        out += block
        counter += 1
    return out[:length]


_SCALAR = b"\x81\x6bSGA1 scalar"


class Profile:
    """One profile: its group, and exponents made from seeds."""

    def __init__(self, number: int, name: str, modp: ffdhe.Group | None) -> None:
        self.id = number
        self.name = name
        self.modp = modp
        self.compact = modp is None
        self.element_length = modp.length if modp else 32

    def exponent(self, seed: bytes) -> int:
        """The exponent of a seed of 32 bytes."""
        if self.modp:
            return self.modp.exponent(kdf(seed, b"", _SCALAR, self.modp.exponent_length))
        return int.from_bytes(kdf(seed, b"", _SCALAR, 64), "little") % ristretto255.ELL

    def base(self, seed: bytes) -> bytes:
        """g to the exponent of the seed."""
        if self.modp:
            return self.modp.encode(self.modp.power(2, self.exponent(seed)))
        return ristretto255.encode(ristretto255.multiply(ristretto255.BASE, self.exponent(seed)))

    def power(self, element: bytes, seed: bytes) -> bytes:
        """The checked element to the exponent of the seed."""
        if self.modp:
            return self.modp.encode(self.modp.power(self.modp.checked(element), self.exponent(seed)))
        return ristretto255.encode(ristretto255.multiply(ristretto255.checked(element), self.exponent(seed)))

    def check(self, element: bytes) -> bytes:
        """The element, or ValueError."""
        (self.modp.checked if self.modp else ristretto255.checked)(element)
        return element


PROFILES = {p.id: p for p in (
    Profile(1, "classic", ffdhe.FFDHE2048),
    Profile(2, "compact", None),
    Profile(3, "classic3072", ffdhe.FFDHE3072),
)}
