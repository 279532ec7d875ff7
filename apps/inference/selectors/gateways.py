"""How the gateway's workers are, as they tell in Redis; nothing when Redis is away."""

import json
import time
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings

PROCESSES = "gateway:processes"
SILENT_SECONDS = 10.0
_PATIENCE = 0.5


@dataclass(frozen=True)
class GatewayWorker:
    """One process. `replicas` are the states of its circuit breakers: closed, open, half open; what it knows
    is `snapshot_seconds` old; `unsettled` requests of it are over and not yet in the books."""

    name: str
    host: str
    pid: int
    port: int
    age_seconds: float
    requests: int
    refusals: int
    gauges: dict[str, float]
    replicas: dict[str, str]
    snapshot_seconds: float
    has_database: bool
    unsettled: int

    @property
    def state(self) -> str:
        """`degraded` serves without Redis or PostgreSQL: see `lacks`."""
        if self.age_seconds > SILENT_SECONDS:
            return "silent"
        return "degraded" if self.lacks else "ready"

    @property
    def lacks(self) -> tuple[str, ...]:
        """What it does not reach: without Redis it counts limits by itself, without PostgreSQL it serves by
        what it knows and keeps what is to be settled."""
        found = {"Redis": self.gauges.get("redis", 1.0), "PostgreSQL": self.has_database}
        return tuple(name for name, there in found.items() if not there)

    @property
    def under_way(self) -> int:
        return int(self.gauges.get("under_way", 0))

    @property
    def connections(self) -> int:
        return int(self.gauges.get("connections", 0))

    @property
    def queued(self) -> int:
        return int(self.gauges.get("queued", 0))


def workers() -> list[GatewayWorker]:
    """Every worker that was heard of lately, in order of their names."""
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE
        ) as client:
            told: Any = client.hgetall(PROCESSES)
    except redis.RedisError:
        return []
    found = [_worker(name.decode(), json.loads(state)) for name, state in told.items()]
    return sorted(found, key=lambda one: one.name)


def _worker(name: str, state: dict[str, Any]) -> GatewayWorker:
    return GatewayWorker(
        name=name,
        host=state["host"],
        pid=state["pid"],
        port=state["port"],
        age_seconds=max(0.0, time.time() - state["at"]),
        requests=state["requests"],
        refusals=state["refusals"],
        gauges=state["gauges"],
        replicas=state["replicas"],
        snapshot_seconds=state.get("snapshot_seconds", 0.0),
        has_database=state.get("database", True),
        unsettled=state.get("unsettled", 0),
    )


def open_circuits(found: list[GatewayWorker]) -> dict[str, dict[str, str]]:
    """Replicas that some worker does not ask just now: replica → worker → state."""
    circuits: dict[str, dict[str, str]] = {}
    for worker in found:
        for replica, state in worker.replicas.items():
            if state != "closed":
                circuits.setdefault(replica, {})[worker.name] = state
    return circuits
