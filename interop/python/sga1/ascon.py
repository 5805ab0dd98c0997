"""Ascon-AEAD128 (NIST SP 800-232), suite 4 of docs/protocol.md section 1."""
from __future__ import annotations

import hmac

_MASK = 2**64 - 1
_IV = 0x00001000808C0001
_ROUNDS = (0xF0, 0xE1, 0xD2, 0xC3, 0xB4, 0xA5, 0x96, 0x87, 0x78, 0x69, 0x5A, 0x4B)
_ROTATIONS = ((19, 28), (61, 39), (1, 6), (10, 17), (7, 41))


def _permute(s: list[int], rounds: int) -> None:
    for constant in _ROUNDS[12 - rounds:]:
        a, b, c, d, e = s
        c ^= constant
        a ^= e
        e ^= d
        c ^= b
        t = (a ^ (~b & c), b ^ (~c & d), c ^ (~d & e), d ^ (~e & a), e ^ (~a & b))
        a, b, c, d, e = t
        b ^= a
        a ^= e
        d ^= c
        c = ~c & _MASK
        for i, w in enumerate((a, b, c, d, e)):
            w &= _MASK
            r0, r1 = _ROTATIONS[i]
            s[i] = (w ^ (w >> r0 | w << 64 - r0) ^ (w >> r1 | w << 64 - r1)) & _MASK


def _words(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:16], "little")


def _padded(data: bytes) -> bytes:
    return data + b"\1" + bytes(15 - len(data))


def _run(key: bytes, nonce: bytes, text: bytes, associated: bytes, opening: bool) -> tuple[bytes, bytes]:
    """The output text and the tag."""
    k0, k1 = _words(key)
    n0, n1 = _words(nonce)
    s = [_IV, k0, k1, n0, n1]
    _permute(s, 12)
    s[3] ^= k0
    s[4] ^= k1
    if associated:
        whole = len(associated) // 16 * 16
        for at in range(0, whole + 1, 16):
            block = associated[at:at + 16] if at < whole else _padded(associated[whole:])
            a, b = _words(block)
            s[0] ^= a
            s[1] ^= b
            _permute(s, 8)
    s[4] ^= 1 << 63
    out = bytearray()
    whole = len(text) // 16 * 16
    for at in range(0, whole + 1, 16):
        block = text[at:at + 16]
        rate = s[0].to_bytes(8, "little") + s[1].to_bytes(8, "little")
        result = bytes(x ^ y for x, y in zip(block, rate))
        out += result
        plain = result if opening else block
        a, b = _words(plain if at < whole else _padded(plain))
        s[0] ^= a
        s[1] ^= b
        if at < whole:
            _permute(s, 8)
    s[2] ^= k0
    s[3] ^= k1
    _permute(s, 12)
    return bytes(out), (s[3] ^ k0).to_bytes(8, "little") + (s[4] ^ k1).to_bytes(8, "little")


def encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Ciphertext and tag."""
    text, tag = _run(key, nonce, plaintext, associated, False)
    return text + tag


def decrypt(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """The plaintext, or ValueError."""
    if len(sealed) < 16:
        raise ValueError("ascon: shorter than a tag")
    text, tag = _run(key, nonce, sealed[:-16], associated, True)
    if not hmac.compare_digest(tag, sealed[-16:]):
        raise ValueError("ascon: does not open")
    return text
