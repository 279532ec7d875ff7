"""What a steward knows of itself and of its workers; shown to others by `outside`."""

import time
from dataclasses import dataclass, field
from typing import Any

from apps.gateway import flights
from apps.gateway.steward.workers import Child

# The books and the snapshot are looked at several times a second.
STALE_SECONDS = 5.0


@dataclass
class Host:
    """One gateway host. `read_at` and `settled_at` are when the database was last read and settled with,
    `failed_at` when that was last tried in vain."""

    port: int
    count: int
    without_redis: str
    children: list[Child] = field(default_factory=list)
    is_supplied: bool = False  # the workers know whom to serve, and how
    read_at: float = 0.0
    settled_at: float = 0.0
    failed_at: float = 0.0

    @property
    def snapshot_seconds(self) -> float:
        """How old is what the workers know."""
        return time.monotonic() - self.read_at if self.read_at else -1.0

    @property
    def has_database(self) -> bool:
        """Whether the database can be read and settled with."""
        last = min(self.read_at, self.settled_at)
        return last > self.failed_at and time.monotonic() - last < STALE_SECONDS

    @property
    def has_redis(self) -> bool:
        told = [child.stats.gauges.get("redis", 0.0) for child in self.children if child.stats]
        return bool(told) and all(told)

    @property
    def unsettled(self) -> int:
        """Requests that are over and not yet in the books."""
        return sum(child.account.folder.count(flights.CLOSED) for child in self.children)

    def readiness(self) -> dict[str, Any]:
        """`ready`, `degraded` (it serves without PostgreSQL, Redis or some worker), or `not_ready`."""
        running = sum(1 for child in self.children if child.stats)
        serves = running and self.is_supplied and (self.has_redis or self.without_redis != "closed")
        whole = serves and running >= self.count and self.has_redis and self.has_database
        return {
            "status": "ready" if whole else "degraded" if serves else "not_ready",
            "workers": {"running": running, "wanted": self.count},
            "snapshot_seconds": round(self.snapshot_seconds, 1),
            "postgresql": "ok" if self.has_database else "away",
            "redis": "ok" if self.has_redis else "away",
            "spool": {
                "open": sum(child.account.folder.count(flights.OPEN) for child in self.children),
                "unsettled": self.unsettled,
            },
        }
