"""Reads of operations, of the outbox and of webhooks."""

from django.db import connection
from django.db.models import BooleanField, Exists, OuterRef, Prefetch, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.operations.models import Event, EventQuerySet, Operation, OperationStep, Webhook
from apps.operations.specs import Position


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


def settled() -> EventQuerySet:
    """Events before which nothing can still appear, and those of this very transaction."""
    horizon = RawSQL("SELECT (pg_snapshot_xmin(pg_current_snapshot()))::text::bigint", ())
    mine = RawSQL("SELECT (pg_current_xact_id_if_assigned())::text::bigint", ())
    return Event.objects.filter(Q(txid__lt=horizon) | Q(writer=mine))


def here() -> Position:
    """The present: a reader that starts here misses nothing that commits from now on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT (pg_snapshot_xmin(pg_current_snapshot()))::text::bigint")
        row = cursor.fetchone()
    return Position(int(row[0]), 0)


def behind(position: Position) -> EventQuerySet:
    """What comes after the position, by place: an event that commits late is passed over by nobody, and one
    that another led to comes after it."""
    after = RawSQL(
        "(operations_event.txid, operations_event.seq) > (%s, %s)",
        (position.txid, position.seq),
        output_field=BooleanField(),
    )
    return settled().filter(after).order_by("txid", "seq")


def list_webhooks(*, actor: Actor) -> QuerySet[Webhook]:
    """Those of the actor's teams."""
    return Webhook.objects.visible_to(actor)


def get_webhook(*, actor: Actor, webhook_id: str) -> Webhook:
    found = Webhook.objects.visible_to(actor).select_related("team").filter(pk=webhook_id).first()
    if found is None:
        raise NotFound(_("There is no such webhook."))
    webhook: Webhook = found
    return webhook


def count_waiting(webhook: Webhook, *, most: int = 1000) -> int:
    """How many events it has not had yet; no more than `most` are looked at."""
    found = behind(webhook.position).visible_to(webhook.reader)[:most]
    return sum(webhook.wants(event) for event in found.only("type", "subject"))


def webhooks_with_news() -> QuerySet[Webhook]:
    """Those with events behind their place, whether or not these are for them, that may be tried now."""
    mine = settled().filter(team_id=OuterRef("team_id"), txid__gte=OuterRef("read_txid"))
    news = mine.exclude(txid=OuterRef("read_txid"), seq__lte=OuterRef("read_seq"))
    found: QuerySet[Webhook] = Webhook.objects.due().active().filter(Exists(news))
    return found
