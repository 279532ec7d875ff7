"""Whether a message really comes from Stripe: an HMAC over the time and the raw body."""

import hashlib
import hmac
from datetime import datetime

TOLERANCE_SECONDS = 300


def is_signed(payload: bytes, header: str, secret: str, now: datetime) -> bool:
    """Whether one of the header's `v1` signatures fits, made no more than five minutes away from now."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    stamps = [value for name, _equals, value in parts if name == "t"]
    if len(stamps) != 1 or not stamps[0].isdigit() or len(stamps[0]) > 12:
        return False
    if abs(now.timestamp() - int(stamps[0])) > TOLERANCE_SECONDS:
        return False
    wanted = sign(payload, int(stamps[0]), secret)
    given = [value for name, _equals, value in parts if name == "v1"]
    return any(hmac.compare_digest(one.encode(), wanted.encode()) for one in given)


def sign(payload: bytes, stamp: int, secret: str) -> str:
    """The signature that belongs to a body sent at a moment (Unix seconds)."""
    return hmac.new(secret.encode(), b"%d." % stamp + payload, hashlib.sha256).hexdigest()
