"""A row is worked on by one reconciler at a time; a dead worker's lease runs out."""

from datetime import datetime, timedelta
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

from django.db import connection, models
from django.db.models import Case, DateTimeField, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Now

from apps.core import statements


class LeaseLost(Exception):
    """Another worker took the row over; the result must be thrown away."""


class Leased(models.Model):
    """A row with a wish (`generation` counts its changes) that a reconciler brings about.

    `fence` counts claims: what a worker writes outside the database carries it, so that a paused
    worker that wakes up late can be told from the one that holds the row now.
    """

    taken_at: datetime  # the database's clock, of rows that come from `take`

    generation = models.PositiveIntegerField(default=0, editable=False)
    due_at = models.DateTimeField(db_default=Now(), null=True, editable=False)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    fence = models.PositiveBigIntegerField(default=0, editable=False)

    class Meta:
        abstract = True


class Tended(Leased):
    """A leased row that is looked after until it is as wished, ever later while that fails."""

    state: Any

    deadline_at = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    last_error = models.TextField(blank=True, editable=False)  # for the operator
    state_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


class Due:
    """For querysets of tended rows."""

    def due(self, *, grace: timedelta = timedelta(0)) -> Self:
        """Those a reconciler should look at and nobody is looking at. `grace` leaves what was only just
        wished for to the workers, who have been told of it."""
        free = Q(lease_until=None) | Q(lease_until__lt=Now())
        waited = Q(attempts__gt=0) | Q(due_at__lte=in_time(-grace))
        rows: Any = self
        found: Self = rows.filter(free, waited, due_at__lte=Now()).order_by("due_at")
        return found


Row = TypeVar("Row", bound=Leased)


def in_time(delta: timedelta) -> "ExpressionWrapper[Any]":
    """The database's clock, `delta` from now."""
    return ExpressionWrapper(Now() + Value(delta), output_field=DateTimeField())


def claim(row_class: type[Leased], pk: object, *, ttl: timedelta) -> UUID | None:
    """Take the row, or None when somebody holds it; one conditional statement by the database clock."""
    token = uuid4()
    free = Q(lease_until=None) | Q(lease_until__lt=Now())
    won = row_class._default_manager.filter(free, pk=pk).update(
        lease_token=token, lease_until=in_time(ttl), fence=F("fence") + 1
    )
    return token if won else None


def take(row_class: type[Row], pk: object, *, ttl: timedelta, unless: str = "false") -> Row | None:
    """Claim a due row and read it, in one statement; None when it is not due or somebody holds it.

    `unless` is a condition in SQL under which rows are left alone. The row comes with `taken_at`, the
    database's clock.
    """
    meta, columns = row_class._meta, statements.columns_of(row_class)
    statement = (
        f'UPDATE "{meta.db_table}" t SET lease_token = %s, fence = fence + 1,'  # noqa: S608
        " lease_until = clock_timestamp() + %s"
        f' WHERE "{meta.pk.column}" = %s AND due_at <= clock_timestamp() AND NOT ({unless})'
        " AND (lease_until IS NULL OR lease_until < clock_timestamp())"
        f" RETURNING {columns.spelled('t')}, clock_timestamp()"
    )
    found = statements.fetch_one(statement, [uuid4(), ttl, meta.pk.get_db_prep_value(pk, connection)])
    if found is None:
        return None
    row: Row | None = columns.read(found)
    assert row is not None
    row.taken_at = found[-1]
    return row


def extend(row: Leased, token: UUID, *, ttl: timedelta) -> None:
    """Hold the row for longer; raises LeaseLost when it is no longer ours."""
    mine = type(row)._default_manager.filter(pk=row.pk, lease_token=token)
    if not mine.update(lease_until=in_time(ttl)):
        raise LeaseLost(row.pk)


def release(row: Leased, token: UUID, *, due_in: timedelta | None, **changes: Any) -> None:
    """Write the outcome and let go, in one statement that only the lease holder wins.

    `due_in` None means never again by itself. A row whose wish changed during the pass is due at
    once, whatever the pass concluded.
    """
    mine = type(row)._default_manager.filter(pk=row.pk, lease_token=token)
    later = Value(None, output_field=DateTimeField()) if due_in is None else in_time(due_in)
    due = Case(When(generation=row.generation, then=later), default=Now())
    if not mine.update(lease_token=None, lease_until=None, due_at=due, **changes):
        raise LeaseLost(row.pk)
