"""The pure part of our ids: UUIDv7 and its spelling, a prefix and Crockford base32. Knows no Django."""

import secrets
import time
import uuid
from functools import lru_cache

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_DIGITS = bytes.maketrans(_ALPHABET.encode(), b"0123456789abcdefghijklmnopqrstuv")
_LENGTH = 26


def new_uuid() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits below them, 62 random bits."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    below = rest * 4096 // 1_000_000
    value = milliseconds << 80 | 7 << 76 | below << 64 | 2 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)


def encode(prefix: str, value: uuid.UUID) -> str:
    """The id as people and programs see it."""
    n = value.int
    return (
        f"{prefix}_{_PAIRS[n >> 120]}"
        f"{_PAIRS[n >> 110 & 1023]}{_PAIRS[n >> 100 & 1023]}{_PAIRS[n >> 90 & 1023]}"
        f"{_PAIRS[n >> 80 & 1023]}{_PAIRS[n >> 70 & 1023]}{_PAIRS[n >> 60 & 1023]}{_PAIRS[n >> 50 & 1023]}"
        f"{_PAIRS[n >> 40 & 1023]}{_PAIRS[n >> 30 & 1023]}{_PAIRS[n >> 20 & 1023]}{_PAIRS[n >> 10 & 1023]}"
        f"{_PAIRS[n & 1023]}"
    )


@lru_cache(maxsize=16_384)
def decode(prefix: str, text: str) -> uuid.UUID:
    """The UUID inside an id; ValueError when it is malformed or of another kind."""
    head, _underscore, body = text.partition("_")
    if head != prefix or len(body) != _LENGTH or body.strip(_ALPHABET):
        raise ValueError(f"not a {prefix} id")
    number = int(body.encode().translate(_DIGITS), 32)
    if number >> 128:
        raise ValueError(f"not a {prefix} id")
    return uuid.UUID(int=number)


def new_id(prefix: str) -> str:
    return encode(prefix, new_uuid())
