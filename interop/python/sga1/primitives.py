"""Notation of docs/protocol.md section 1: ctx, KDF, seal, f, f8, pk, the trapdoor; hop and message tags of 6 and 7."""
from __future__ import annotations

import hashlib
import hmac
from typing import Any

import cbor2

from .groups import Profile, kdf
from .suites import SUITES

__all__ = ["kdf", "sha", "h", "enc", "ctx", "seal", "open_", "f", "f8", "pk_seal", "peer", "xor", "equal",
           "trapdoor", "trapdoor_seed", "message_seal", "message_open", "inbox_seal", "inbox_open", "digits"]


def enc(value: Any) -> bytes:
    """Deterministic encoding."""
    return cbor2.dumps(value, canonical=True)


def sha(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def h(data: bytes) -> bytes:
    """SHA-256 cut to 16 bytes."""
    return sha(data)[:16]


def ctx(label: str, *parts: Any) -> bytes:
    """The encoded array ["SGA1 LABEL", a, ...]."""
    return enc(["SGA1 " + label, *parts])


def xor(a: bytes, b: bytes) -> bytes:
    """XOR of equally long strings."""
    if len(a) != len(b):
        raise ValueError("xor: lengths differ")
    return bytes(x ^ y for x, y in zip(a, b))


def equal(a: bytes, b: bytes) -> bool:
    """Comparison of tags."""
    return hmac.compare_digest(a, b)


def _key_nonce(suite: int, ikm: bytes, salt: bytes, c: bytes) -> tuple[bytes, bytes]:
    s = SUITES[suite]
    both = kdf(ikm, salt, c, s.key_length + s.nonce_length)
    return both[:s.key_length], both[s.key_length:]


def seal(suite: int, ikm: bytes, salt: bytes, c: bytes, plaintext: bytes) -> bytes:
    """seal(s, ikm, salt, c; P)."""
    key, nonce = _key_nonce(suite, ikm, salt, c)
    return SUITES[suite].encrypt(key, nonce, plaintext, c)


def open_(suite: int, ikm: bytes, salt: bytes, c: bytes, sealed: bytes) -> bytes:
    """The plaintext of a seal, or ValueError."""
    key, nonce = _key_nonce(suite, ikm, salt, c)
    return SUITES[suite].decrypt(key, nonce, sealed, c)


def f(k: bytes, label: str, *parts: Any) -> bytes:
    """f(k, ctx(label, parts)): 16 bytes."""
    return hmac.digest(kdf(k, b"", ctx(label), 32), ctx(label, *parts), "sha256")[:16]


def f8(k: bytes, label: str, *parts: Any) -> bytes:
    """The first 8 bytes of f."""
    return f(k, label, *parts)[:8]


def peer(k: bytes) -> bytes:
    """peer(k)."""
    return kdf(k, b"", ctx("peer"), 16)


def pk_seal(profile: Profile, public: bytes, seed: bytes, c: bytes, plaintext: bytes) -> bytes:
    """pk(c; P): enc then ct."""
    element = profile.base(seed)
    key = kdf(profile.power(public, seed), sha(element + public), c, 16)
    return element + SUITES[1].encrypt(key, bytes(13), plaintext, c)


def trapdoor(profile: Profile, public: bytes, seed: bytes) -> bytes:
    """F_G(r); empty in compact."""
    if profile.compact:
        return b""
    e = kdf(seed, b"", ctx("H1"), 32)
    element = profile.base(e)
    return element + xor(seed, kdf(profile.power(public, e), element, ctx("H2"), 32))


def trapdoor_seed(profile: Profile, public: bytes, big_r: bytes, n: bytes) -> bytes:
    """r of the compact profile."""
    return kdf(profile.power(public, big_r), n + public, ctx("H3"), 32)


def message_seal(suite: int, traffic: bytes, run: int, sequence: int, plaintext: bytes) -> bytes:
    """Section 7: the ciphertext of a message."""
    s = SUITES[suite]
    nonce = xor(traffic[s.key_length:], sequence.to_bytes(s.nonce_length, "big"))
    return s.encrypt(traffic[:s.key_length], nonce, plaintext, enc([run, sequence]))


def message_open(suite: int, traffic: bytes, run: int, sequence: int, sealed: bytes) -> bytes:
    """The plaintext of a message, or ValueError."""
    s = SUITES[suite]
    nonce = xor(traffic[s.key_length:], sequence.to_bytes(s.nonce_length, "big"))
    return s.decrypt(traffic[:s.key_length], nonce, sealed, enc([run, sequence]))


def life_key(suite: int, traffic: bytes, salt: bytes) -> bytes:
    """Section 7: key and IV of a direction in a later life of its sender."""
    s = SUITES[suite]
    return kdf(traffic, salt, ctx("life"), s.key_length + s.nonce_length)


def padding_mark(traffic: bytes, run: int, sequence: int) -> bytes:
    """Section 10: what a padded text ends with."""
    return f8(traffic, "padded", run, sequence)


def inbox_seal(suite: int, k_d: bytes, n_a: bytes, c: int, plaintext: bytes) -> bytes:
    """Section 4: S of an Inbox (the gateway's side, for the vectors)."""
    s = SUITES[suite]
    key = kdf(k_d, n_a, ctx("inbox"), s.key_length)
    return s.encrypt(key, c.to_bytes(s.nonce_length, "big"), plaintext, ctx("inbox"))


def inbox_open(suite: int, k_d: bytes, n_a: bytes, c: int, sealed: bytes) -> bytes:
    """The plaintext of an Inbox, or ValueError."""
    s = SUITES[suite]
    return s.decrypt(kdf(k_d, n_a, ctx("inbox"), s.key_length), c.to_bytes(s.nonce_length, "big"), sealed, ctx("inbox"))


def digits(code: bytes) -> str:
    """Section 6, B7: 12 groups of 5 digits."""
    whole = int.from_bytes(code, "big")
    return "".join(f"{(whole >> 256 - 21 * (n + 1) & 0x1FFFFF) % 100000:05d}" for n in range(12))
