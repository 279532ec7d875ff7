"""One gateway for all tests of a process: each test has a team, a key and an endpoint of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from redis import Redis

from tests.gateway import engine as engines
from tests.gateway.stage import Gateway, gateway


@pytest.fixture(scope="session")
def shared_gateway(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with django_db_blocker.unblock(), gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def running(transactional_db: None, shared_gateway: Gateway) -> Gateway:
    return shared_gateway


@pytest.fixture
def engine() -> Iterator[engines.Engine]:
    with engines.running() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def redis_db() -> Iterator[Redis]:
    """The Redis database of this test process."""
    with Redis.from_url(settings.REDIS_URL) as client:
        yield client
