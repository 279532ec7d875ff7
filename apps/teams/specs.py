"""The format of an API key: `hai_live_`, thirty random base62 letters, six that check them."""

import hashlib
import secrets
import string
import zlib
from dataclasses import dataclass
from datetime import datetime

HEAD = "hai_live_"
BODY = 30
CHECK = 6
# How much of a key is shown and looked up by; the other 22 letters (131 bits) are the secret.
SHOWN = len(HEAD) + 8
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LETTERS = frozenset(_ALPHABET)


@dataclass(frozen=True, slots=True)
class Minted:
    """A fresh key: the secret to show once, and what is kept of it."""

    secret: str
    prefix: str
    hash: str


def mint() -> Minted:
    body = "".join(secrets.choice(_ALPHABET) for _letter in range(BODY))
    secret = f"{HEAD}{body}{checksum(body)}"
    return Minted(secret, prefix_of(secret), hash_of(secret))


def is_well_formed(secret: str) -> bool:
    """Whether the text could be a key at all; garbage never reaches the database."""
    body, check = secret[len(HEAD) : -CHECK], secret[-CHECK:]
    return (
        secret.startswith(HEAD)
        and len(body) == BODY
        and _LETTERS.issuperset(body)
        and secrets.compare_digest(check.encode(), checksum(body).encode())
    )


def prefix_of(secret: str) -> str:
    return secret[:SHOWN]


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def checksum(body: str) -> str:
    """The CRC-32 of the body in base62, six letters."""
    number, letters = zlib.crc32(body.encode()), ""
    for _place in range(CHECK):
        number, digit = divmod(number, 62)
        letters = _ALPHABET[digit] + letters
    return letters


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What a new key is to be: its name, what it may do, until when and from where."""

    name: str
    scopes: frozenset[str]
    expires_at: datetime | None = None
    allowed_networks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    single_use: bool = False
