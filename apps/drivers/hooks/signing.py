"""The signature of Standard Webhooks: HMAC-SHA256 over `<id>.<seconds>.<body>`, in base64.

Whoever has the secret, and nobody else, can tell that the body is ours, under which id, and how old it is.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"


def new_secret() -> str:
    """A fresh secret as receivers are told it: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(keys: Sequence[str], message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers that prove the body, a signature for each secret that a receiver may know by now."""
    told = f"{message_id}.{seconds}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{_digest(key, told)}" for key in keys),
    }


def _digest(secret: str, told: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, told, hashlib.sha256)).decode()
