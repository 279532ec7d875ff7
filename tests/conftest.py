"""What all tests share: one migrated database per test process, and an empty cache per test."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.database import own_database
from tests.plugin import NO_SERVICES, services


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any) -> Iterator[None]:
    """Instead of pytest-django's: copy a template, which takes a fraction of a second."""
    known = services()
    if known is None:
        pytest.exit(NO_SERVICES, returncode=4)
    with django_db_blocker.unblock(), own_database(known["environment"]["DATABASE_SUPER_URL"]):
        yield
