"""What the portal adds to the launch of a model on this host: to the engine's own start, nothing taken off.

A team launches the bundled model through the User API; a worker places it, asks the driver, looks until the
engine is well and makes the endpoint ready. In turns with that the same engine is started by the driver
alone, from the call until it serves; the model's file is in the cache both times.
"""

import json
import statistics
import uuid
from dataclasses import replace
from typing import Any

from benchmarks.stage import Installation, Report, installation, milliseconds, now
from runner.processes import wait_until

ROUNDS = 12


def measure() -> Report:
    with installation(wanted=("postgres", "valkey", "objects")) as place:
        key, version = _prepare()
        _launched(place, key, version, "warm")
        rows = [
            (_started_alone(number), _launched(place, key, version, f"m{number}")) for number in range(ROUNDS)
        ]
        own, launched = zip(*rows, strict=True)
        report = Report("engines")
        report.figures = {
            "own_start_p50_ms": milliseconds(list(own), 0.5),
            "launch_p50_ms": milliseconds(list(launched), 0.5),
            "launch_p95_ms": milliseconds(list(launched), 0.95),
            "added_p50_ms": round(1000 * statistics.median(whole - alone for alone, whole in rows), 1),
            "added_most_ms": round(1000 * (max(launched) - statistics.median(own)), 1),
            "rounds": ROUNDS,
        }
    report.goals = {"added_p50_ms": "≤ 1000", "added_most_ms": "≤ 1000"}
    return report


def _prepare() -> tuple[str, str]:
    """The bundled model, engines of this host, and a team with money; returns its key and the version."""
    from decimal import Decimal

    from django.core.management import call_command

    from apps.billing.services import wallets
    from apps.core.actor import SYSTEM
    from apps.registry.models import ModelVersion
    from tests.factories.teams import TeamFactory, key_of

    call_command("demo_models", verbosity=0)
    call_command("demo_endpoints", verbosity=0)
    team = TeamFactory()
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(1000), reason="benchmark")
    version = ModelVersion.objects.get(origin="bundled", model__modality="chat")
    return key_of(team).secret, str(version.pk)


def _launched(place: Installation, key: str, version: str, name: str) -> float:
    """Seconds from the request to ready, by clocks of this host; the endpoint is taken away afterwards."""
    from apps.inference.models import Endpoint

    began = now()
    wish = {"name": name, "region": "local", "version": version, "hardware": "cpu-small"}
    made = _call(place, key, "POST", "/api/user/v1/endpoints", wish)

    def found() -> Any:
        return Endpoint.objects.get(pk=made["id"])

    if not wait_until(lambda: found().state == "ready", seconds=60, every=0.02):
        raise RuntimeError(f"{found().state}: {found().message}")
    seconds: float = found().ready_at.timestamp() - began
    _call(place, key, "DELETE", f"/api/user/v1/endpoints/{made['id']}")
    wait_until(lambda: found().state == "deleted", seconds=60, every=0.05)
    return seconds


def _started_alone(number: int) -> float:
    """Seconds from the driver's call until the engine serves."""
    from apps.drivers.engines import Phase
    from apps.inference.models import Replica
    from apps.inference.reconcilers.passes import spec_of
    from apps.regions.reconcilers import any_driver_of

    last = Replica.objects.filter(endpoint__slug="warm").latest("created_at")
    assert last.cluster is not None
    driver, spec = any_driver_of(last.cluster), replace(spec_of(last), name=f"hai-alone-{number}")
    began = now()
    driver.launch_engine(spec)

    def serves() -> bool:
        seen = driver.observe_engine(spec.name)
        return seen is not None and seen.phase is Phase.SERVING

    if not wait_until(serves, seconds=60, every=0.01):
        raise RuntimeError(f"{driver.observe_engine(spec.name)}")
    seconds = now() - began

    def is_gone() -> bool:
        driver.delete_engine(spec.name, force=True)
        return driver.observe_engine(spec.name) is None

    wait_until(is_gone, seconds=60, every=0.05)
    return seconds


def _call(place: Installation, key: str, method: str, path: str, wish: dict[str, Any] | None = None) -> Any:
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Idempotency-Key": str(uuid.uuid4()),
    }
    connection = place.client()
    connection.request(method, path, json.dumps(wish) if wish is not None else None, headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 202:
        raise RuntimeError(f"{answer.status} {body[:500]!r}")
    return json.loads(body)
