"""How the portal proves to the gateway that it may say for whom it asks."""

import hashlib
import hmac


def peer_token(secret: str) -> str:
    """What both know from the installation's secret."""
    return hmac.new(secret.encode(), b"gateway peer", hashlib.sha256).hexdigest()
