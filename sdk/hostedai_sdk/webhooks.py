"""Webhooks on the side of the receiver: is this really from the portal, and have I not had it before?

    event = webhooks.verify(request.body, request.headers, "whsec_…")
    if not seen_before(event["id"]):  # what was not noted in time is sent again, under the same id
        ...

The signature is the one of Standard Webhooks; libraries of other languages check it as well.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from hostedai_sdk.errors import HostedaiError

TOLERANCE = 300.0  # seconds that a message may be old, or a clock ahead
_PREFIX = "whsec_"


class BadSignature(HostedaiError):
    """It does not come from the portal, was changed on its way, or is too old: answer 400 and forget it."""


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> dict[str, Any]:
    """The event in the body, exactly as it was received: `id`, `type`, `subject`, `team_id`, `at`, `data`.
    Raises BadSignature."""
    raw = body.encode() if isinstance(body, str) else body
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message, sent, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        age = abs((time.time() if now is None else now) - int(sent))
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (KeyError, ValueError, binascii.Error) as error:
        raise BadSignature("The message or the secret is not complete.") from error
    if age > tolerance:
        raise BadSignature("The message is too old, or a clock is wrong.")
    told = f"{message}.{sent}.".encode() + raw
    wanted = b"v1," + base64.b64encode(hmac.digest(key, told, hashlib.sha256))
    if not any(hmac.compare_digest(one.encode(), wanted) for one in signatures.split()):
        raise BadSignature("The signature is not by this secret.")
    event: dict[str, Any] = json.loads(raw)
    return event
