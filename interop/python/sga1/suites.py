"""The four suites of docs/protocol.md section 1: AEAD with key, nonce and tag lengths."""
from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305

from . import ascon


@dataclass(frozen=True)
class Suite:
    """One AEAD."""

    id: int
    name: str
    key_length: int
    nonce_length: int
    tag_length: int

    def encrypt(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Ciphertext and tag."""
        if self.id == 4:
            return ascon.encrypt(key, nonce, plaintext, associated)
        return self._cipher(key).encrypt(nonce, plaintext, associated)

    def decrypt(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        """The plaintext, or ValueError."""
        if len(sealed) < self.tag_length:
            raise ValueError("shorter than a tag")
        if self.id == 4:
            return ascon.decrypt(key, nonce, sealed, associated)
        try:
            return self._cipher(key).decrypt(nonce, sealed, associated)
        except InvalidTag:
            raise ValueError("does not open") from None

    def _cipher(self, key: bytes) -> AESCCM | ChaCha20Poly1305:
        return ChaCha20Poly1305(key) if self.id == 3 else AESCCM(key, tag_length=self.tag_length)


SUITES = {s.id: s for s in (
    Suite(1, "aes-ccm-8", 16, 13, 8),
    Suite(2, "aes-ccm-16", 16, 13, 16),
    Suite(3, "chacha20-poly1305", 32, 12, 16),
    Suite(4, "ascon-aead128", 16, 16, 16),
)}
BY_NAME = {s.name: s for s in SUITES.values()}


def mask(ids: list[int]) -> int:
    """A set of suites: suite x is bit x - 1."""
    return sum(1 << x - 1 for x in set(ids))


def contains(suites: int, x: int) -> bool:
    """Whether suite x is in the set."""
    return x in SUITES and bool(suites >> x - 1 & 1)
