"""What travels and what is sealed (docs/protocol.md sections 2 to 7): strict deterministic CBOR against shapes."""
from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import cbor2

from .padding import is_padding
from .primitives import enc

VERSION = 1


class Malformed(ValueError):
    """An encoding, type, length or value that a receiver refuses."""


@dataclass(frozen=True)
class U:
    """A uint within bounds."""

    low: int = 0
    high: int = 2**32 - 1


@dataclass(frozen=True)
class B:
    """A byte string within length bounds."""

    low: int = 0
    high: int = 1 << 20


@dataclass(frozen=True)
class Items:
    """An array of items, numbers rising."""


def _plain(value: Any, depth: int = 0) -> None:
    if type(value) is int and 0 <= value < 2**64 or type(value) in (bytes, str):
        return
    if type(value) is list and depth < 6:
        for element in value:
            _plain(element, depth + 1)
        return
    raise Malformed("a type that the protocol does not have")


def _check(value: Any, shape: Any) -> None:
    if isinstance(shape, U):
        good = type(value) is int and shape.low <= value <= shape.high
    elif isinstance(shape, B):
        good = type(value) is bytes and shape.low <= len(value) <= shape.high
    elif isinstance(shape, Items):
        good = type(value) is list
        last = 0
        for item in value if good else []:
            _check(item[:2] if type(item) is list and len(item) == 3 else None, [U(1), U()])
            good = good and item[0] > last
            last = item[0]
    else:
        good = type(value) is list and len(value) == len(shape)
        for element, inner in zip(value, shape) if good else ():
            _check(element, inner)
    if not good:
        raise Malformed("not of the expected shape")


def decode(data: bytes, shape: Any) -> Any:
    """Decode, encode again, compare, check the shape; Malformed otherwise."""
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream).decode()
        _plain(value)
        again = enc(value)
    except Malformed:
        raise
    except Exception as error:
        raise Malformed("not CBOR") from error
    if again != data:
        raise Malformed("not the deterministic encoding")
    _check(value, shape)
    return value


def decode_padded(data: bytes, shape: Any, fits: bool) -> Any:
    """The same, perhaps with padding behind it; `fits`: whether the length is one to pad to."""
    stream = io.BytesIO(data)
    try:
        cbor2.CBORDecoder(stream).decode()
    except Exception as error:
        raise Malformed("not CBOR") from error
    end = stream.tell()
    if end < len(data) and not (fits and is_padding(data[end:])):
        raise Malformed("bytes after the message that are no padding")
    return decode(data[:end], shape)


def shaped(value: Any, shape: Any) -> Any:
    """A decoded value (the body of an item), checked against its shape."""
    _check(value, shape)
    return value


def message(body: Any) -> tuple[bytes, int, int, bytes, bytes]:
    """The body of item 6; an empty salt if it has none."""
    if type(body) is list and len(body) == len(SALTED_MESSAGE):
        return tuple(shaped(body, SALTED_MESSAGE))
    return (*shaped(body, MESSAGE), b"")


ID, HANDLE, NONCE, TICKET, GENERATION = B(1, 16), B(4, 4), B(8, 8), B(16, 16), B(4, 4)
KEY16, TAG8, SEALED, COUNT, RUN = B(16, 16), B(8, 8), B(), U(), U(1)
SEQUENCE = U(0, 2**20 - 1)

REGISTERED = [NONCE, SEALED]
GRANT = [TICKET, COUNT, COUNT, GENERATION]
INBOX = [COUNT, SEALED]
NOTIFICATION = [Items()]
ATTACH_ANSWER = [Items(), TICKET, GENERATION]
INVITATION = [HANDLE, NONCE, NONCE, KEY16, ID, U(1, 4)]
AGREED = [HANDLE, NONCE, SEALED]
NOT_AGREED = [HANDLE, SEALED]
WANTED = [HANDLE, RUN, SEALED]
KEY = [HANDLE, RUN, SEALED]
MESSAGE = [HANDLE, RUN, SEQUENCE, B(0, 8208)]
SALTED_MESSAGE = [HANDLE, RUN, U(1, 2**20 - 1), B(0, 8208), B(8, 8)]
EXPIRED = [HANDLE, RUN, SEQUENCE]
A1_REFUSAL = [U(1, 6), COUNT]
A4_SECRET = [NONCE, KEY16]
A4_REASON = U(1, 3)
B_REFUSAL = [U(1, 2), RUN]
CONFIRMATION = [SEQUENCE]


def b6_secret(element_length: int) -> list[Any]:
    """The plaintext of B6 for a profile."""
    return [B(element_length, element_length), KEY16, TAG8]


def package(element_lengths: dict[int, int], data: bytes) -> list[Any]:
    """The package: [version, profile, PK, ID_G, CidSet, policy]."""
    value = decode(data, [U(), U(1, 3), SEALED, ID, U(1, 15), U(0, 2)])
    if value[0] != VERSION or len(value[2]) != element_lengths[value[1]]:
        raise Malformed("package: version or element length")
    return value
