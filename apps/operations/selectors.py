"""Reads of operations and of the outbox."""

from django.db.models import Prefetch, Q, QuerySet
from django.db.models.expressions import RawSQL

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.operations.models import Event, EventQuerySet, Operation, OperationStep


def list_operations(*, actor: Actor) -> QuerySet[Operation]:
    """Newest first."""
    return Operation.objects.visible_to(actor)


def get_operation(*, actor: Actor, operation_id: str) -> Operation:
    """One operation with its steps, or NotFound."""
    steps = Prefetch("steps", OperationStep.objects.order_by("position"))
    found = Operation.objects.visible_to(actor).prefetch_related(steps).filter(pk=operation_id).first()
    if found is None:
        raise NotFound("There is no such operation.")
    operation: Operation = found
    return operation


def operations_of(*, actor: Actor, target_id: str) -> QuerySet[Operation]:
    """What was and is done to one thing, newest first, with steps."""
    steps = Prefetch("steps", OperationStep.objects.order_by("position"))
    return Operation.objects.visible_to(actor).filter(target_id=target_id).prefetch_related(steps)


def list_events(*, actor: Actor) -> QuerySet[Event]:
    """All events the actor may see, newest first."""
    return Event.objects.visible_to(actor).order_by("-seq")


def events_after(
    *, actor: Actor, seq: int, team_id: str | None = None, subject: str | None = None, limit: int = 200
) -> list[Event]:
    """Events that follow `seq`, in order and without gaps: `seq` of the last one is the next cursor.

    An event is held back while an older transaction that could still write a smaller number is open.
    """
    found = settled().visible_to(actor).filter(seq__gt=seq)
    if team_id is not None:
        found = found.filter(team_id=team_id)
    if subject is not None:
        found = found.filter(subject=subject)
    return list(found.order_by("seq")[:limit])


def latest_seq() -> int:
    """Where a reader that wants only what comes from now on starts."""
    last = settled().order_by("-seq").values_list("seq", flat=True).first()
    return int(last or 0)


def settled() -> EventQuerySet:
    """Events before which nothing can still appear, and those of this very transaction."""
    horizon = RawSQL("SELECT (pg_snapshot_xmin(pg_current_snapshot()))::text::bigint", ())
    mine = RawSQL("SELECT (pg_current_xact_id_if_assigned())::text::bigint", ())
    return Event.objects.filter(Q(txid__lt=horizon) | Q(txid=mine))
