"""The one clock that decides: the database's."""

from datetime import datetime

from django.db import connection


def db_now() -> datetime:
    """The database's wall clock, in UTC; unlike `now()` it moves inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    moment: datetime = row[0]
    return moment
