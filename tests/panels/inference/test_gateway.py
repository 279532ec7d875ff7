"""The Admin panel's page of the gateway: what each worker lacks, circuits that are open, what waits."""

import json
import time
from collections.abc import Iterator

import pytest
from django.conf import settings
from redis import Redis

from apps.core.permissions import Role
from apps.inference.selectors import gateways
from tests.factories.users import UserFactory
from tests.panels.people.test_pages import browser_of

pytestmark = pytest.mark.django_db
WORKERS = {
    "a-well": {"gauges": {"redis": 1.0}, "replicas": {"rep_1": "closed"}, "database": True},
    "b-poor": {"gauges": {"redis": 0.0}, "replicas": {"rep_1": "open"}, "database": False},
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
    for words in ("a-well", "Without Redis, PostgreSQL", "82", "rep_1", "3 s ago"):
        assert words in page, words
    found = {one.name: one for one in gateways.workers()}
    assert {name: one.state for name, one in found.items()} == {"a-well": "ready", "b-poor": "degraded"}
    circuits = gateways.open_circuits(list(found.values()))
    assert circuits == {"rep_1": {"b-poor": "open"}}
