"""ffdhe2048 and ffdhe3072 (RFC 7919 appendix A), for the classic profiles of docs/protocol.md section 1."""
from __future__ import annotations

from dataclasses import dataclass


def _floor_e(bits: int) -> int:
    """floor(2**bits * e), from the series of 1/n! with guard bits."""
    guard = 64
    term = total = 1 << bits + guard
    n = 1
    while term:
        term //= n
        total += term
        n += 1
    return total >> guard


def _prime(bits: int, x: int) -> int:
    """p = 2^b - 2^(b-64) + (floor(2^(b-130) e) + X) 2^64 - 1."""
    return 2**bits - 2 ** (bits - 64) + (_floor_e(bits - 130) + x) * 2**64 - 1


@dataclass(frozen=True)
class Group:
    """A safe-prime group with g = 2; elements are big-endian, of fixed length."""

    p: int
    length: int
    exponent_length: int

    def checked(self, data: bytes) -> int:
        """Section 1: 1 < x < p - 1 and x a quadratic residue, ValueError otherwise."""
        if len(data) != self.length:
            raise ValueError("ffdhe: wrong length")
        x = int.from_bytes(data, "big")
        if not 1 < x < self.p - 1:
            raise ValueError("ffdhe: out of range")
        if pow(x, (self.p - 1) // 2, self.p) != 1:
            raise ValueError("ffdhe: not a quadratic residue")
        return x

    def encode(self, x: int) -> bytes:
        """Big-endian, padded to the element length."""
        return x.to_bytes(self.length, "big")

    def exponent(self, wide: bytes) -> int:
        """The bytes as a big-endian integer with its highest bit set."""
        return int.from_bytes(wide, "big") | 1 << 8 * len(wide) - 1

    def power(self, x: int, exponent: int) -> int:
        """x to the exponent, mod p."""
        return pow(x, exponent, self.p)


FFDHE2048 = Group(_prime(2048, 560316), 256, 32)
FFDHE3072 = Group(_prime(3072, 2625351), 384, 40)
