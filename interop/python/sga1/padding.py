"""Padding (docs/protocol.md section 10): sizes, and what is behind a plaintext or a text."""
from __future__ import annotations

from .primitives import equal, padding_mark

MARK = 8
ATTACH_SIZE = 34
LARGEST_TEXT = 8192


def pad(plaintext: bytes, to: int) -> bytes:
    """0x80 and zeros up to a size."""
    if to <= len(plaintext):
        raise ValueError("no room for padding")
    return plaintext + b"\x80" + bytes(to - len(plaintext) - 1)


def is_padding(rest: bytes) -> bool:
    """Whether these bytes are padding."""
    return rest[:1] == b"\x80" and not any(rest[1:])


def inbox_size(length: int) -> int:
    """The size of S of a padded Inbox that has at least so many bytes."""
    whole = length + 12
    if whole > 1024:
        return -(-whole // 1024) * 1024 - 12
    size = 64
    while size < whole:
        size *= 2
    return size - 12


def text_size(length: int) -> int:
    """The size of the plaintext of a padded text."""
    size = 32
    while size < length + 1 + MARK:
        size *= 2
    if size > LARGEST_TEXT:
        raise ValueError("too long to be padded")
    return size


def pad_text(text: bytes, traffic: bytes, run: int, sequence: int) -> bytes:
    """A text, padded."""
    return pad(text, text_size(len(text)) - MARK) + padding_mark(traffic, run, sequence)


def unpad_text(plain: bytes, traffic: bytes, run: int, sequence: int) -> bytes:
    """The text in a plaintext; itself if it is not padded. ValueError if the padding is none."""
    size = len(plain)
    if size < 32 or size > LARGEST_TEXT or size & (size - 1):
        return plain
    rest, mark = plain[:-MARK], plain[-MARK:]
    if not equal(mark, padding_mark(traffic, run, sequence)):
        return plain
    text = rest.rstrip(b"\0")
    if text[-1:] != b"\x80" or text_size(len(text) - 1) != size:
        raise ValueError("a padded text whose padding is wrong")
    return text[:-1]
