"""The pure part of our ids: UUIDv7 and its spelling, a prefix and Crockford base32. Knows no Django."""

import secrets
import time
import uuid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
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
    number = value.int
    letters = []
    for _place in range(_LENGTH):
        number, digit = divmod(number, 32)
        letters.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(letters))}"


def decode(prefix: str, text: str) -> uuid.UUID:
    """The UUID inside an id; ValueError when it is malformed or of another kind."""
    head, _underscore, body = text.partition("_")
    if head != prefix or len(body) != _LENGTH:
        raise ValueError(f"not a {prefix} id")
    number = 0
    for letter in body:
        if letter not in _VALUES:
            raise ValueError(f"not a {prefix} id")
        number = number * 32 + _VALUES[letter]
    if number >> 128:
        raise ValueError(f"not a {prefix} id")
    return uuid.UUID(int=number)


def new_id(prefix: str) -> str:
    return encode(prefix, new_uuid())
