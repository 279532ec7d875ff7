"""What a pooled connection forgets between two requests."""

from typing import Any

import psycopg


def forget_scope(connection: psycopg.Connection[Any]) -> None:
    """Back to what the process started with: no request inherits what another was let see."""
    connection.execute("RESET ALL")
