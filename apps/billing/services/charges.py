"""Charging usage events: rated in the order they came in, one ledger transaction per team and batch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from apps.billing import rating
from apps.billing.curves import Curve
from apps.billing.meters import METERS
from apps.billing.models import RatedUsage, UnratedEvent, Wallet
from apps.billing.rating import Version
from apps.billing.selectors import books
from apps.billing.services import booking, budgets, quarantine
from apps.billing.services.booking import Batch, Texts, charge_usage
from apps.billing.services.positions import Positions
from apps.billing.services.quarantine import Refused
from apps.billing.specs import SECONDS_PER_HOUR, Spender
from apps.billing.states import QuarantineReason
from apps.core import statements
from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.core.ids import decode, encode, new_uuid
from apps.core.money import ZERO

BATCH = 2000
TEAMS = 100

# A report that turns out to cost more than this is a mistake; sums of batches stay exact below it.
MOST = Decimal(10) ** 12

_WAITING = "SELECT DISTINCT team_id FROM billing_unratedevent WHERE at <= clock_timestamp() LIMIT %s"
_NEXT = """
SELECT event_id FROM billing_unratedevent WHERE team_id = %s AND at <= clock_timestamp()
 ORDER BY event_id LIMIT %s
"""
_TAKE = """
WITH mine AS (
    DELETE FROM billing_unratedevent WHERE team_id = %s AND event_id = ANY(%s) RETURNING event_id)
SELECT e.id, e.team_id, e.workspace_id, e.source, e.event_id, e.meter, e.product, e.resource_id,
       e.quantity, e.at, e.attributes::text, e.supersedes
  FROM billing_usageevent e JOIN mine ON mine.event_id = e.id ORDER BY e.id
"""


class Event(NamedTuple):
    """An event as it is charged; its attributes are the text of an object."""

    id: UUID
    team: UUID
    workspace: UUID
    source: str
    event_id: str
    meter: str
    product: str
    resource: str
    quantity: Decimal
    at: datetime
    attributes: str
    supersedes: UUID | None

    @property
    def units(self) -> Decimal:
        return METERS[self.meter].units(self.quantity)


@dataclass(slots=True)
class Charge:
    """The batch of one team: what is to be written, and what it comes to."""

    team_id: str
    team: UUID
    transaction: UUID
    batch: Batch
    positions: Positions
    amount: Decimal = ZERO


def rate_pending(*, limit: int = BATCH) -> int:
    """Charge all events that wait, team by team; how many. Several pollers may do so side by side."""
    done = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_WAITING, [TEAMS])
            teams = [row[0] for row in cursor.fetchall()]
        if not teams:
            return done
        done += sum(_rate_team(team, limit) for team in sorted(teams))


def _rate_team(team: UUID, limit: int) -> int:
    """One batch of a team, in one transaction, under the lock of its wallet: so in order, and once."""
    with transaction.atomic():
        wallet: Wallet = Wallet.objects.select_for_update().get(team_id=encode("team", team))
        events = _take(team, limit)
        if not events:
            return 0
        events = _put_back_later(events)
        failpoint("billing.events.taken")
        charge = Charge(wallet.team_id, team, new_uuid(), Batch(), Positions())
        _rate(charge, events, wallet.currency)
        failpoint("billing.events.rated")
        now = db_now()
        texts = Texts(charge.transaction, now, "events", f"{len(events)} events")
        charge_usage(charge.batch, wallet, texts=texts, amount=charge.amount, covered=ZERO)
        booking.write(charge.batch)
        if wallet.is_budgeted:
            budgets.note(spent=_spent(charge), now=now)
        failpoint("billing.events.posted")
    return len(events)


def _put_back_later(events: list[Event]) -> list[Event]:
    """The events without those that correct another of this batch; they wait until that one is charged."""
    ids = {event.id for event in events}
    later = [event for event in events if event.supersedes in ids]
    if later:
        UnratedEvent.objects.bulk_create(
            UnratedEvent(event_id=encode("uev", event.id), team_id=encode("team", event.team), at=event.at)
            for event in later
        )
    return [event for event in events if event.supersedes not in ids]


def _take(team: UUID, limit: int) -> list[Event]:
    """The next events of the team; with one that corrects another comes that other, if it waits as well."""
    wanted = {row[0] for row in statements.fetch_all(_NEXT, [team, limit])}
    taken: list[Event] = []
    while wanted:
        more = [Event(*row) for row in statements.fetch_all(_TAKE, [team, list(wanted)])]
        taken += more
        wanted = {event.supersedes for event in more if event.supersedes} - {event.id for event in taken}
    return sorted(taken, key=lambda event: event.id)


def _rate(charge: Charge, events: Sequence[Event], currency: str) -> None:
    """The lines of every event; one that has no price, or costs too much, is set aside."""
    span = {"start": min(event.at for event in events), "end": max(event.at for event in events)}
    book: dict[str, list[Version]] = {}
    products = {event.product for event in events}
    for version in books.versions(products, {charge.team_id: currency}, **span)[charge.team_id]:
        book.setdefault(version.product, []).append(version)
    replaced = _replaced(events)
    refused: list[Refused] = []
    for event in events:
        found = _in_force(book.get(event.product, ()), event.at)
        if found is None:
            detail = f"{event.product} has no price at {event.at.isoformat()}"
            refused.append(_refused(charge, event, QuarantineReason.NO_PRICE, detail))
            continue
        if event.units * found.unit_price > MOST:
            refused.append(_refused(charge, event, QuarantineReason.QUANTITY, "It would cost too much."))
            continue
        if event.supersedes in replaced:
            _take_back(charge, replaced[event.supersedes])
        _add(charge, event, found)
    quarantine.put(refused)


def _in_force(versions: Sequence[Version], at: datetime) -> Version | None:
    for version in versions:
        if version.start <= at and (version.end is None or at < version.end):
            return version
    return None


def _add(charge: Charge, event: Event, version: Version) -> None:
    units, position = event.units, None
    if version.curve is not None:
        seconds = units * SECONDS_PER_HOUR
        position = charge.positions.take(charge.team_id, event.product, event.at.date(), seconds)
    amount = rating.event_amount(event.quantity, METERS[event.meter], version, position)
    what = (event.resource, event.product, METERS[event.meter].unit, decode("prv", version.id), event.at)
    cost = (ZERO, units, version.unit_price, position, amount, None)
    owner = (charge.team, event.workspace)
    charge.batch.lines.append((None, event.id, charge.transaction, *owner, *what, *cost))
    charge.amount += amount


def _replaced(events: Sequence[Event]) -> dict[UUID, RatedUsage]:
    """The lines that events of this batch take back, by the event they were charged for."""
    ids = [encode("uev", event.supersedes) for event in events if event.supersedes]
    rows = RatedUsage.objects.filter(event_id__in=ids).select_related("version") if ids else ()
    return {decode("uev", row.event_id): row for row in rows}


def _take_back(charge: Charge, row: RatedUsage) -> None:
    """A line that undoes another, as it was. On a price curve it comes off the end of the month's usage, so
    that what is left costs what so much costs."""
    day, seconds = row.started_at.date(), -row.quantity * SECONDS_PER_HOUR
    position = charge.positions.take(charge.team_id, row.product, day, seconds)
    curve = _curve_of_month(row)
    amount = curve.cost_between(position, seconds) if curve else -row.amount
    owner = (decode("team", row.team_id), decode("wks", row.workspace_id))
    version: Any = decode("prv", row.version_id) if row.version_id else None
    what = (row.resource_id, row.product, row.unit, version, row.started_at)
    cost = (ZERO, -row.quantity, row.unit_price, position if curve else None, amount, row.pk)
    charge.batch.lines.append((None, None, charge.transaction, *owner, *what, *cost))
    charge.amount += amount


def _curve_of_month(row: RatedUsage) -> Curve | None:
    """The price curve by which all of the line's product was charged in its month; None when there is no one
    curve: then nobody can say what the end costs."""
    if row.position is None or row.version is None:
        return None
    start = row.started_at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + timedelta(days=31)).replace(day=1)
    lines = RatedUsage.objects.filter(team_id=row.team_id, product=row.product)
    month = lines.filter(started_at__gte=start, started_at__lt=end)
    is_one = not month.exclude(version_id=row.version_id).exists()
    return books.version_of(row.version).curve if is_one else None


def _refused(charge: Charge, event: Event, reason: QuarantineReason, detail: str) -> Refused:
    payload = {
        "id": event.event_id, "source": event.source, "type": event.meter, "time": event.at.isoformat(),
        "subject": event.resource, "event": str(event.id), "product": event.product,
        "data": {"quantity": str(event.quantity), **json.loads(event.attributes)},
    }  # fmt: skip
    about = (event.source, event.event_id, charge.team_id, event.meter)
    return Refused(*about, reason, payload, detail)


def _spent(charge: Charge) -> list[tuple[Spender, Decimal]]:
    sums: dict[tuple[UUID, str], Decimal] = {}
    for _interval, _event, _ltx, _team, workspace, resource, *_what, amount, _reverses in charge.batch.lines:
        sums[workspace, resource] = sums.get((workspace, resource), ZERO) + amount
    return [
        (Spender(charge.team_id, encode("wks", workspace), None, resource), amount)
        for (workspace, resource), amount in sums.items()
    ]
