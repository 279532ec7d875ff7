"""A bucket of one's own, so that tests beside one another never meet in the store."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from apps.drivers.objects import ObjectStore
from apps.registry.selectors import open_store, root


@contextmanager
def own_bucket(settings) -> Iterator[ObjectStore]:
    settings.S3_BUCKET = f"test-{secrets.token_hex(6)}"
    store = open_store()
    yield store
    store.purge(root())


@pytest.fixture
def store(settings) -> Iterator[ObjectStore]:
    with own_bucket(settings) as opened:
        yield opened
