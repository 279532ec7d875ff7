"""The one clock that decides: the database's; and moments as whole microseconds since 1970."""

from datetime import UTC, datetime, timedelta

from apps.core import statements

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def microseconds_of(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def at_microseconds(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND


def db_now() -> datetime:
    """The database's wall clock, in UTC; unlike `now()` it moves inside a transaction."""
    moment: datetime = statements.fetch_one("SELECT clock_timestamp()")[0]
    return moment
