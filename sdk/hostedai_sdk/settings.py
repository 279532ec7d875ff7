"""Where the command finds address and key: the environment first, then a file only its owner reads."""

import json
import os
from pathlib import Path

from hostedai_sdk.errors import HostedaiError

DEFAULT_URL = "http://127.0.0.1:8000"


def file() -> Path:
    """`~/.config/hostedai/credentials.json`, or beneath XDG_CONFIG_HOME."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "hostedai" / "credentials.json"


def save(url: str, key: str) -> Path:
    """Keep address and key; nobody else may read them."""
    place = file()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as opened:
        json.dump({"url": url, "key": key}, opened)
    return place


def load(url: str = "", key: str = "") -> tuple[str, str]:
    """Address and key: as given, from HOSTEDAI_URL and HOSTEDAI_KEY, or as kept by `hostedai login`."""
    try:
        kept = json.loads(file().read_text())
    except (OSError, ValueError):
        kept = {}
    url = url or os.environ.get("HOSTEDAI_URL", "") or str(kept.get("url", "")) or DEFAULT_URL
    key = key or os.environ.get("HOSTEDAI_KEY", "") or str(kept.get("key", ""))
    if not key:
        raise HostedaiError("No API key: run `hostedai login`, or set HOSTEDAI_KEY.")
    return url, key
