"""Rating everything again, from the facts and the price book alone, and comparing digit for digit."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from apps.billing import rating
from apps.billing.meters import METERS
from apps.billing.models import PriceVersion, RatedUsage, UsageInterval, Wallet
from apps.billing.rating import Unpriced, Version
from apps.billing.selectors import books
from apps.billing.specs import EPOCH, SECONDS_PER_HOUR, from_json
from apps.core.ids import decode
from apps.core.money import ZERO

CHUNK = 2000
PIECE = 10_000
_EVENTS = (
    "SELECT l.id, e.quantity, e.meter, l.version_id, l.position, l.amount"
    " FROM billing_ratedusage l JOIN billing_usageevent e ON e.id = l.event_id"
)
_TAKEN_BACK = (
    "SELECT id, quantity, version_id, position, amount FROM billing_ratedusage"
    " WHERE reverses IS NOT NULL AND position IS NOT NULL"
)
_TOKENS = (
    "SELECT request_id, ARRAY[input, cached, output, embedding], version_ids,"
    " ARRAY[input_amount, cached_amount, output_amount, embedding_amount] FROM billing_tokenrequest"
)
EVER = datetime(9000, 1, 1, tzinfo=UTC)
Row = tuple[str, str, Decimal, Decimal, str, Decimal | None]


def rerate() -> list[str]:
    """Where the stored lines differ from what rating makes of their interval now."""
    currencies = {wallet.team_id: wallet.currency for wallet in Wallet.objects.all()}
    book = books.versions(None, currencies, start=EPOCH, end=EVER)
    problems: list[str] = []
    for chunk in _chunks():
        stored = _stored(chunk)
        for interval in chunk:
            found = stored.get(interval.pk, [])
            if found != _expected(interval, book.get(interval.team_id, []), found):
                problems.append(f"interval={interval.pk}, resource={interval.resource_id}")
    return problems


def rerate_counted() -> list[str]:
    """Where a charged event or token request costs other than its quantity and price version say."""
    versions = {decode("prv", row.pk): books.version_of(row) for row in PriceVersion.objects.all()}
    problems = []
    for line, quantity, meter, version, position, amount in _stream(_EVENTS):
        found = versions.get(version)
        if found is None or rating.event_amount(quantity, METERS[meter], found, position) != amount:
            problems.append(f"line={line}")
    for line, quantity, version, position, amount in _stream(_TAKEN_BACK):
        curve = versions[version].curve
        if curve is None or curve.cost_between(position, quantity * SECONDS_PER_HOUR) != amount:
            problems.append(f"line={line}")
    for request, counts, ids, amounts in _stream(_TOKENS):
        prices = [versions[one].unit_price if one else ZERO for one in ids]
        if rating.token_amounts(prices, counts) != amounts:
            problems.append(f"request={request}")
    return problems


def _stream(query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, piece by piece: they need not fit into memory. In a transaction only."""
    with connection.cursor() as cursor:
        cursor.execute(f"DECLARE rerated NO SCROLL CURSOR FOR {query}")
        while True:
            cursor.execute(f"FETCH {PIECE} FROM rerated")
            rows = cursor.fetchall()
            if not rows:
                break
            yield from rows
        cursor.execute("CLOSE rerated")


def _chunks() -> Iterator[Sequence[UsageInterval]]:
    last = None
    while True:
        rows = UsageInterval.objects.order_by("id")
        chunk = list(rows.filter(id__gt=last)[:CHUNK] if last else rows[:CHUNK])
        if not chunk:
            return
        yield chunk
        last = chunk[-1].pk


def _stored(chunk: Sequence[UsageInterval]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    lines = RatedUsage.objects.filter(interval__in=[interval.pk for interval in chunk]).values_list(
        "interval_id", "product", "version_id", "seconds", "amount", "started_at", "position"
    )
    for key, product, version, seconds, amount, start, position in lines:
        found.setdefault(key, []).append((product, version, seconds, amount, start.isoformat(), position))
    return {key: sorted(rows, key=_by_place) for key, rows in found.items()}


def _expected(interval: UsageInterval, versions: Sequence[Version], stored: Sequence[Row]) -> list[Row]:
    """What the interval comes to now; its place on a price curve is proved elsewhere (`positions`)."""
    try:
        lines = rating.rate_interval(
            interval.started_at, interval.ended_at, from_json(interval.rates), versions
        )
    except Unpriced:
        return []
    positions = {(row[0], row[4]): row[5] for row in stored}
    rows = []
    for one in lines:
        start = one.start.isoformat()
        line = one.placed(positions.get((one.product, start)) or ZERO)
        rows.append((line.product, line.version_id, line.seconds, line.amount, start, line.position))
    return sorted(rows, key=_by_place)


def _by_place(row: Row) -> tuple[str, str]:
    return row[0], row[4]
