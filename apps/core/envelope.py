"""Secrets at rest: each value has its own key, wrapped by the installation's (AES-256-GCM).

The context (table, column, key of the row) is authenticated, so a sealed value cannot be moved.
Rotation: put a new key first in `MASTER_KEYS`; old ones still open what they sealed.
"""

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_NONCE = 12
_KEY = 32
_WRAPPED = _NONCE + _KEY + 16


class Unsealable(Exception):
    """The value was sealed by an unknown key, for another place, or was changed."""


def seal(plain: bytes, *, context: str) -> str:
    """The value, encrypted for this context, as ASCII text."""
    key_id, master = next(iter(settings.MASTER_KEYS.items()))
    data_key, about = AESGCM.generate_key(256), context.encode()
    wrapped = _encrypt(base64.b64decode(master), data_key, about)
    body = base64.b64encode(wrapped + _encrypt(data_key, plain, about)).decode()
    return f"{key_id}:{body}"


def unseal(sealed: str, *, context: str) -> bytes:
    """The value again; raises Unsealable."""
    key_id, _colon, body = sealed.partition(":")
    if key_id not in settings.MASTER_KEYS:
        raise Unsealable(f"no master key {key_id!r}")
    raw, about = base64.b64decode(body), context.encode()
    try:
        data_key = _decrypt(base64.b64decode(settings.MASTER_KEYS[key_id]), raw[:_WRAPPED], about)
        return _decrypt(data_key, raw[_WRAPPED:], about)
    except InvalidTag as error:
        raise Unsealable("the value does not belong here") from error


def _encrypt(key: bytes, plain: bytes, about: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, about)


def _decrypt(key: bytes, raw: bytes, about: bytes) -> bytes:
    return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], about)
