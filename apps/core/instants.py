"""Instants as PostgreSQL sends them, read quickly: connections speak UTC, and lists are full of them."""

from datetime import UTC, datetime
from typing import Any

from django.db.backends.postgresql.psycopg_any import BaseTzLoader


class UtcLoader(BaseTzLoader):
    """Django's loader for connections in UTC, by the standard library's parser; what is rare by psycopg's."""

    timezone = UTC

    def load(self, data: Any) -> datetime:
        text = bytes(data)
        if text.endswith(b"+00") and len(text) <= 29:
            try:
                return datetime.fromisoformat(text.decode())
            except ValueError:
                pass
        return super().load(data)  # type: ignore[no-any-return]
