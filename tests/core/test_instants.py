"""Instants are read quickly and as exactly as before."""

from datetime import UTC, datetime

import pytest
from django.db import connection

from apps.core.instants import UtcLoader


@pytest.mark.parametrize(
    "text",
    ["2026-11-21 14:46:09+00", "2026-11-21 14:46:09.5+00", "2026-11-21 14:46:09.123456+00",
     "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00", "1969-07-20 20:17:40.05+00"],
)  # fmt: skip
@pytest.mark.django_db
def test_every_instant_comes_as_it_was_written(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT %s::timestamptz, to_char(%s::timestamptz, 'YYYY-MM-DD HH24:MI:SS.US')", [text] * 2
        )
        read, plain = cursor.fetchone()
    assert read == datetime.strptime(plain, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    assert read.tzinfo is UTC


@pytest.mark.django_db
def test_connections_use_it() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        loader = connection.connection.adapters.get_loader(1184, 0)
    assert loader is UtcLoader
