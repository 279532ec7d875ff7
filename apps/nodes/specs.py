"""Values that travel between nodes and whoever stands above them."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

TOKEN_HEAD = "hai_enrol_"  # noqa: S105 (how one begins)
CREDENTIAL_HEAD = "hai_node_"


@dataclass(frozen=True, slots=True)
class Capacity:
    """An amount of a host's resources."""

    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0


@dataclass(frozen=True, slots=True)
class Occupant:
    """A machine on a node, as the page that asks before draining shows it."""

    id: str
    name: str
    team: str
    state: str
    gpus: int = 0
    consequence: str = ""  # what draining does to it, in words
    vcpus: int = 0
    is_resting: bool = False  # switched off: only its disk is there, and that stays


def mint_token() -> str:
    return TOKEN_HEAD + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Notice:
    """The provider will take the host away at `at` (None: at once)."""

    action: str
    at: datetime | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class EngineAt:
    """An engine on a node: what it is called here, its address there, and the key that opens its metrics."""

    name: str
    url: str
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Sample:
    """An entry of an agent's journal: what the host did during the `seconds` before `at`."""

    seq: int
    at: datetime
    seconds: float
    cpu_percent: float
    memory_used_mib: int
    disk_used_gib: int
    gpus: Sequence[Mapping[str, Any]] = ()
    engines: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a host is. `gpus` None means that its cards could not be asked, and nothing follows about them."""

    hostname: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    kernel: str = ""
    gpus: Sequence[Mapping[str, Any]] | None = None
    checks: Sequence[Mapping[str, Any]] = ()

    @property
    def failing(self) -> list[str]:
        """What is not right, in words."""
        return [f"{one['name']}: {one['detail'] or 'failed'}" for one in self.checks if not one["ok"]]


@dataclass(frozen=True, slots=True)
class Report:
    """One heartbeat."""

    journal: UUID
    version: str
    sent_at: datetime
    samples: Sequence[Sample] = ()
    facts: Facts | None = None
    notice: Notice | None = None
    fenced_at: datetime | None = None
    next_credential: str = ""
    is_stopping: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """What the agent is answered. `acknowledged`: up to here its journal is safe with us."""

    acknowledged: int
    interval_seconds: float
    lease_seconds: int
    rotate: bool = False
    accepted_credential: str = ""
    want_facts: bool = False
    engines: Sequence[EngineAt] = field(default_factory=tuple)
