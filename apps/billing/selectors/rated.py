"""Rated usage in one shape, whatever was measured: what invoices are made of, and the facts behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import QuerySet

from apps.billing.models import RatedUsage, TokenRequest, Transaction
from apps.billing.specs import TOKEN_KINDS
from apps.core.actor import Actor
from apps.core.ids import decode, encode
from apps.core.permissions import Permission

CHUNK = 2000
# What an entry charges was used at most this long before it was booked.
OLDEST = timedelta(days=40)
_COLUMNS = (
    "id, workspace_id, product, unit, quantity, unit_price, amount, started_at, resource_id, version_id"
)

_PERIOD = f"""
SELECT {_COLUMNS} FROM billing_rated WHERE team_id = %s AND started_at >= %s AND started_at < %s
 ORDER BY started_at, id
"""  # noqa: S608 - made of this page


@dataclass(frozen=True, slots=True)
class RatedRow:
    """A part of the usage at one price on one day: `quantity` units at `unit_price`; `amount` is exact."""

    id: int
    workspace_id: str
    product: str
    unit: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    started_at: datetime
    resource: str
    version_id: str | None


def for_period(team_id: str, start: datetime, end: datetime) -> Iterator[RatedRow]:
    """What the team used from `start` up to `end`, in order of time; statements read `billing_rated`."""
    with connection.cursor() as cursor:
        cursor.execute(_PERIOD, [decode("team", team_id), start, end])
        while rows := cursor.fetchmany(CHUNK):
            for row in rows:
                yield RatedRow(
                    row[0], encode("wks", row[1]), *row[2:9], version_id=row[9] and encode("prv", row[9])
                )


def of_transaction(actor: Actor, entry: Transaction) -> "QuerySet[RatedUsage]":
    """The rated rows that an entry of the ledger charged, in order of time."""
    rows = RatedUsage.objects.visible_to(actor, Permission.BILLING_READ).filter(
        team_id=entry.team_id, transaction_id=entry.pk, started_at__gte=entry.booked_at - OLDEST
    )
    found: QuerySet[RatedUsage] = rows.order_by("started_at", "pk")
    return found


def evidence(row: RatedUsage) -> list[str]:
    """The ids of the facts behind a rated row: its interval, its event, or the requests of its batch.

    What takes another row back rests on the facts of that row; a fee rests on none but its contract.
    """
    if row.reverses:
        row = RatedUsage.objects.get(pk=row.reverses)
    if fact := row.interval_id or row.event_id:
        return [fact]
    if not row.product.startswith("tokens:"):
        return []
    _tokens, slug, kind = row.product.split(":")
    day = row.started_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = TokenRequest.objects.filter(
        team_id=row.team_id,
        transaction_id=row.transaction_id,
        workspace_id=row.workspace_id,
        endpoint_id=row.resource_id if row.resource_id.startswith("end_") else None,
        slug=slug,
        started_at__gte=day,
        started_at__lt=day + timedelta(days=1),
        **{f"{kind}__gt": 0, f"version_ids__{TOKEN_KINDS.index(kind)}": decode("prv", str(row.version_id))},
    )
    return [str(one) for one in found.order_by("finished_at", "pk").values_list("pk", flat=True)]
