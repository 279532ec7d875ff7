"""The Admin panel's page of the gateway: what each worker lacks, circuits that are open, what waits."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from redis import Redis

from apps.core.permissions import Role
from apps.inference.selectors import gateways
from tests.factories.inference import make_stage, replicas
from tests.factories.users import UserFactory
from tests.panels.people.test_pages import browser_of

pytestmark = pytest.mark.django_db
REPLICA = "rep_00000000000000000000000001"
WORKERS = {
    "a-well": {"gauges": {"redis": 1.0}, "replicas": {REPLICA: "closed"}, "database": True},
    "b-poor": {"gauges": {"redis": 0.0}, "replicas": {REPLICA: "open"}, "database": False},
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two workers have told of themselves a moment ago; those of other tests' gateways are not looked at."""
    known = gateways.workers
    monkeypatch.setattr(gateways, "workers", lambda: [one for one in known() if one.name in WORKERS])
    usual = {
        "pid": 1, "host": "here", "port": 1, "requests": 7, "refusals": 2, "snapshot_seconds": 3.0,
        "unsettled": 41, "at": time.time(),
    }  # fmt: skip
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.hset(
            gateways.PROCESSES, mapping={name: json.dumps(usual | own) for name, own in WORKERS.items()}
        )
        yield
        redis.hdel(gateways.PROCESSES, *WORKERS)


def test_workers_say_what_they_lack(told: None) -> None:
    admin = browser_of(UserFactory(staff=Role.FULL_ADMINISTRATOR))
    page = admin.get("/admin/gateway").content.decode()
    for words in ("a-well", "Without Redis, PostgreSQL", "82", REPLICA[-8:], "3 s ago"):
        assert words in page, words
    found = {one.name: one for one in gateways.workers()}
    assert {name: one.state for name, one in found.items()} == {"a-well": "ready", "b-poor": "degraded"}
    circuits = gateways.open_circuits(list(found.values()))
    assert circuits == {REPLICA: {"b-poor": "open"}}


def test_an_open_circuit_names_its_endpoint(
    told: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make_stage(tmp_path)
    (replica,) = replicas(stage.ready(slug="customers-chat"))
    ended = REPLICA
    states = {str(replica.pk): {"b-poor": "open"}, ended: {"b-poor": "half open"}}
    monkeypatch.setattr(gateways, "open_circuits", lambda _workers: states)
    page = browser_of(UserFactory(staff=Role.FULL_ADMINISTRATOR)).get("/admin/gateway").content.decode()
    assert "customers-chat" in page
    assert f'href="/admin/endpoints/{replica.endpoint_id}"' in page
    assert ended[-8:] in page
    assert 'hx-trigger="live, every 5s"' in page
