"""Who this host is to the portal: its node id and its credential, kept in one private file.

The secrets are made here and never leave the host but as the bearer of a request; the portal is told
their SHA-256 when they are introduced, so a repeated registration is the same registration.
"""

import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

HEAD = "hai_node_"


@dataclass(frozen=True, slots=True)
class Identity:
    """`upcoming` is a successor of the credential that the portal has not confirmed yet."""

    url: str
    credential: str
    node_id: str = ""
    upcoming: str = ""

    @property
    def is_enrolled(self) -> bool:
        return bool(self.node_id)

    def prepare(self) -> "Identity":
        """With a successor to introduce; the same one until it is confirmed."""
        return self if self.upcoming else replace(self, upcoming=mint())

    def promote(self) -> "Identity":
        """The successor was confirmed and takes over."""
        return replace(self, credential=self.upcoming, upcoming="")


def mint() -> str:
    return HEAD + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Store:
    """The file; replaced as a whole, so that a crash leaves the old one or the new one."""

    def __init__(self, folder: Path, name: str = "identity") -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / f"{name}.json"

    def load(self) -> Identity | None:
        try:
            return Identity(**json.loads(self._path.read_text()))
        except FileNotFoundError:
            return None

    def save(self, identity: Identity) -> Identity:
        fresh = self._path.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(identity), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        return identity

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)
