"""Rating everything again, from the intervals and the price book alone, and comparing."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from apps.billing import rating
from apps.billing.models import PriceVersion, RatedUsage, UsageInterval, Wallet
from apps.billing.rating import Unpriced, Version
from apps.billing.specs import from_json

CHUNK = 2000
Row = tuple[str, str, Decimal, Decimal, str]


def rerate() -> list[str]:
    """Where the stored lines differ from what rating makes of their interval now."""
    currencies = dict(Wallet.objects.values_list("team_id", "currency"))
    book: dict[str, list[Version]] = {}
    for row in PriceVersion.objects.order_by("valid_from"):
        version = Version(row.pk, row.product, row.unit_price, row.valid_from, row.valid_until)
        book.setdefault(row.currency, []).append(version)
    problems: list[str] = []
    for chunk in _chunks():
        stored = _stored(chunk)
        for interval in chunk:
            versions = book.get(currencies.get(interval.team_id, ""), [])
            if stored.get(interval.pk, []) != _expected(interval, versions):
                problems.append(f"interval={interval.pk}, resource={interval.resource_id}")
    return problems


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
        "interval_id", "product", "version_id", "seconds", "amount", "started_at"
    )
    for key, product, version, seconds, amount, start in lines:
        found.setdefault(key, []).append((product, version, seconds, amount, start.isoformat()))
    return {key: sorted(rows, key=_by_place) for key, rows in found.items()}


def _expected(interval: UsageInterval, versions: Sequence[Version]) -> list[Row]:
    try:
        lines = rating.rate_interval(
            interval.started_at, interval.ended_at, from_json(interval.rates), versions
        )
    except Unpriced:
        return []
    rows = [(n.product, n.version_id, n.seconds, n.amount, n.start.isoformat()) for n in lines]
    return sorted(rows, key=_by_place)


def _by_place(row: Row) -> tuple[str, str]:
    return row[0], row[4]
