"""The one clock that decides: the database's."""

from datetime import datetime

from apps.core import statements


def db_now() -> datetime:
    """The database's wall clock, in UTC; unlike `now()` it moves inside a transaction."""
    moment: datetime = statements.fetch_one("SELECT clock_timestamp()")[0]
    return moment
