"""What the portal adds to a launch, and how many launches it sustains, with a cloud that answers at once.

Every launch goes through the User API with a key and an idempotency key: permission, policies, quota, hold,
placement, rows, operation, events; then a worker, the driver, the meter and the ledger.
"""

import json
import multiprocessing
import os
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.stage import Installation, Report, installation, milliseconds, now

TEAMS = 16
PER_TEAM = 60
CALM = 60
CLIENTS = 6


def measure() -> Report:
    with installation() as place:
        keys = _prepare(place.folder)
        _launch_many(place.port, [(keys[0], f"warm-{n}") for n in range(20)])
        _wait_until_all_run()
        calm = _calm(place, keys[0])
        before = place.cpu_seconds()
        rate, ends, overheads = _storm(place, keys[1:])
        used = {name: seconds - before[name] for name, seconds in place.cpu_seconds().items()}
        problems = _verify()
    report = Report("launches")
    report.figures = {
        "overhead_p50_ms": milliseconds(calm, 0.5),
        "overhead_p95_ms": milliseconds(calm, 0.95),
        "launches_per_second": round(rate, 1),
        "launches_in_storm": ends,
        "overhead_in_storm_p50_ms": milliseconds(overheads, 0.5),
        "overhead_in_storm_p95_ms": milliseconds(overheads, 0.95),
        "cpu_ms_per_launch": {name: round(1000 * seconds / ends, 1) for name, seconds in used.items()},
        "launches_per_second_if_idle": round((os.cpu_count() or 1) * ends / sum(used.values()), 1),
        "broken_invariants": problems,
    }
    report.goals = {
        "overhead_p50_ms": "≤ 500",
        "overhead_p95_ms": "≤ 2000",
        "launches_per_second": "≥ 50",
        "broken_invariants": "[]",
    }
    return report


def _prepare(folder: Path) -> list[str]:
    """Room, prices, and teams with money and a key each; returns the keys."""
    from decimal import Decimal

    from apps.billing.services import wallets
    from apps.core.actor import SYSTEM
    from tests.factories.instances import make_stage
    from tests.factories.teams import TeamFactory, key_of

    stage = make_stage(folder, nodes=80, gpus=0, slug="bench", balance="1000")
    teams = [stage.team, *(TeamFactory() for _each in range(TEAMS))]
    for team in teams[1:]:
        wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(100_000), reason="benchmark")
    return [key_of(team).secret for team in teams]


def _calm(place: Installation, key: str) -> list[float]:
    """One launch after the other: from the request to running, by the database's clock."""
    from apps.instances.models import Instance

    asked = {}
    for number in range(CALM):
        name = f"calm-{number}"
        asked[name] = now()
        _launch_many(place.port, [(key, name)])
        _wait_until_all_run()
    rows = Instance.objects.filter(name__in=asked).values_list("name", "started_at")
    return [started.timestamp() - asked[name] for name, started in rows]


def _storm(place: Installation, keys: list[str]) -> tuple[float, int, list[float]]:
    """As many as clients can send; the clock stops when the last machine runs."""
    from django.db import connections
    from django.db.models import Max

    from apps.instances.models import Instance

    wishes = [(key, f"storm-{n}") for n in range(PER_TEAM) for key in keys]
    connections.close_all()
    began = now()
    with multiprocessing.get_context("spawn").Pool(CLIENTS) as pool:
        pool.starmap(_launch_many, [(place.port, wishes[first::CLIENTS]) for first in range(CLIENTS)])
    _wait_until_all_run()
    storm = Instance.objects.filter(name__startswith="storm-")
    last: datetime = storm.aggregate(last=Max("started_at"))["last"]
    first = storm.earliest("created_at").created_at.timestamp()
    overheads = [
        (started - created).total_seconds()
        for created, started in storm.values_list("created_at", "started_at")
    ]
    return len(overheads) / (last.timestamp() - max(first, began)), len(overheads), overheads


def _launch_many(port: int, wishes: list[tuple[str, str]]) -> int:
    connection = Installation(port, Path()).client()
    for key, name in wishes:
        wish = {"name": name, "region": "bench", "type": "cpu-2", "image": "debian-12"}
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid.uuid4()),
        }
        connection.request("POST", "/api/user/v1/instances", json.dumps(wish), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 202:
            raise RuntimeError(f"{answer.status} {body[:500]!r}")
    return len(wishes)


def _wait_until_all_run() -> None:
    from apps.instances.models import Instance
    from runner.processes import wait_until

    def done() -> bool:
        return not Instance.objects.exclude(state="running").exists()

    assert wait_until(done, seconds=300, every=0.01), list(Instance.objects.values_list("state")[:5])


def _verify() -> list[Any]:
    from apps.billing.selectors import proofs

    return [finding.name for finding in proofs.verify() if not finding.is_ok]
