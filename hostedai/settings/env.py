"""The environment, read here and nowhere else; what is missing or malformed fails at boot."""

import base64
import hashlib
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import environ

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parents[2]
VAR_DIR = Path(env.str("HOSTEDAI_VAR", default=str(BASE_DIR / "var")))


def networks(name: str, default: Sequence[str] = ()) -> list[str]:
    """Networks as `10.0.0.0/8,fd00::/8`."""
    return [str(ip_network(one, strict=False)) for one in env.list(name, default=list(default))]


def master_keys(secret: str) -> dict[str, str]:
    """`MASTER_KEYS="k2:<base64>,k1:<base64>"`, newest first; without it one derived from the secret key."""
    given: str = env.str("MASTER_KEYS", default="")
    if not given:
        derived = hashlib.sha256(b"hostedai master key:" + secret.encode()).digest()
        return {"k0": base64.b64encode(derived).decode()}
    return dict(part.strip().split(":", 1) for part in given.split(",") if part.strip())
