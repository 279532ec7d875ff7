"""Where a team could spend less: each piece of advice with its saving, and the usage it rests on.

Everything is reckoned from whole days of rated usage and the prices in force, so that anybody can do the
sum again. Advice is not a promise: it says what the last days would have cost otherwise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from apps.billing.models import Meter, TokenRequest, UsageDay
from apps.billing.rating import PLACES
from apps.billing.selectors import books, prices
from apps.billing.specs import HOURS_PER_DAY, SECONDS_PER_HOUR
from apps.core.actor import Actor
from apps.core.money import ZERO

DAYS = 14
MONTH_DAYS = 30
# Less than this a month is not worth a line.
LEAST = Decimal("0.01")


class AdviceKind(StrEnum):
    SPOT = "spot"
    COMMITMENT = "commitment"
    STOPPED_DISK = "stopped_disk"
    SCALE_TO_ZERO = "scale_to_zero"


@dataclass(frozen=True, slots=True)
class AdviceRow:
    """A day of usage that the advice rests on, and what it would have cost."""

    day: date
    resource_id: str
    product: str
    unit_hours: Decimal
    amount: Decimal
    instead: Decimal


@dataclass(frozen=True, slots=True)
class Advice:
    """One way to spend less; `saving` is per 30 days, scaled from the days in `rows`."""

    kind: AdviceKind
    subject: str
    name: str
    saving: Decimal
    days: int
    rows: tuple[AdviceRow, ...]


def advise(actor: Actor, *, team_id: str, now: datetime) -> list[Advice]:
    """The team's advice, the greatest saving first; from the last fourteen whole days."""
    today = now.date()
    days = UsageDay.objects.visible_to(actor).filter(
        team_id=team_id, day__gte=today - timedelta(days=DAYS), day__lt=today
    )
    rows = list(days.order_by("day", "resource_id", "product"))
    meters = Meter.objects.visible_to(actor).filter(team_id=team_id).running()
    running = {meter.resource_id: meter for meter in meters}
    unit = _prices(team_id, now, rows)
    found = [
        *_spot(rows, unit),
        *_commitments(rows, unit),
        *_stopped(rows, running),
        *_idle_endpoints(rows, running, team_id),
    ]
    return sorted((one for one in found if one.saving >= LEAST), key=lambda one: -one.saving)


def _prices(team_id: str, now: datetime, rows: Iterable[UsageDay]) -> dict[str, Decimal]:
    """Unit prices in force of what was used, and of the same on other markets."""
    used = {row.product for row in rows}
    wanted = used | {f"{product}:{market}" for product in used for market in ("spot", "reserved")}
    currency = prices.currency_of(team_id)
    book = books.versions(wanted, {team_id: currency}, start=now, end=now)[team_id]
    return {v.product: v.unit_price for v in book if v.start <= now and (v.end is None or v.end > now)}


def _hours(row: UsageDay) -> Decimal:
    hours: Decimal = row.unit_seconds / SECONDS_PER_HOUR + row.quantity
    return hours.quantize(PLACES)


def _row(row: UsageDay, instead: Decimal) -> AdviceRow:
    return AdviceRow(row.day, row.resource_id, row.product, _hours(row), row.amount, instead.quantize(PLACES))


def _advice(kind: AdviceKind, subject: str, name: str, rows: Sequence[AdviceRow]) -> Advice:
    days = len({row.day for row in rows}) or 1
    saved = sum((row.amount - row.instead for row in rows), ZERO)
    return Advice(kind, subject, name, (saved * MONTH_DAYS / DAYS).quantize(PLACES), days, tuple(rows))


def _spot(rows: Iterable[UsageDay], unit: dict[str, Decimal]) -> list[Advice]:
    """What ran on demand and is also sold on spot."""
    by_product: dict[str, list[AdviceRow]] = {}
    for row in rows:
        spot = unit.get(f"{row.product}:spot")
        if spot is not None:
            by_product.setdefault(row.product, []).append(_row(row, _hours(row) * spot))
    return [_advice(AdviceKind.SPOT, product, product, found) for product, found in by_product.items()]


def _commitments(rows: Iterable[UsageDay], unit: dict[str, Decimal]) -> list[Advice]:
    """What ran around the clock on every day and is cheaper reserved; the smallest day counts."""
    days: dict[str, dict[date, list[UsageDay]]] = {}
    for row in rows:
        if f"{row.product}:reserved" in unit and row.product in unit:
            days.setdefault(row.product, {}).setdefault(row.day, []).append(row)
    found = []
    for product, by_day in days.items():
        least = min(sum((_hours(row) for row in used), ZERO) for used in by_day.values())
        machines = int(least // HOURS_PER_DAY)
        if len(by_day) < DAYS or not machines:
            continue
        hours, reserved = Decimal(machines * HOURS_PER_DAY), unit[f"{product}:reserved"]
        lines = [
            AdviceRow(day, f"{machines} × {product}", product, hours, hours * unit[product], hours * reserved)
            for day in sorted(by_day)
        ]
        found.append(_advice(AdviceKind.COMMITMENT, product, product, lines))
    return found


def _stopped(rows: Iterable[UsageDay], running: dict[str, Meter]) -> list[Advice]:
    """What has been charged for nothing but its disk on every one of the days."""
    by_resource: dict[str, list[UsageDay]] = {}
    for row in rows:
        by_resource.setdefault(row.resource_id, []).append(row)
    found = []
    for resource, used in by_resource.items():
        days = {row.day for row in used}
        if resource in running and len(days) == DAYS and {row.product for row in used} == {"disk"}:
            lines = [_row(row, ZERO) for row in used]
            name = running[resource].resource_name
            found.append(_advice(AdviceKind.STOPPED_DISK, resource, name, lines))
    return found


def _idle_endpoints(rows: Iterable[UsageDay], running: dict[str, Meter], team_id: str) -> list[Advice]:
    """Engines that were paid for on days without a single request."""
    engines = [row for row in rows if row.product.startswith("engine:")]
    busy = set(
        TokenRequest.objects.filter(team_id=team_id, endpoint_id__isnull=False)
        .filter(finished_at__date__gte=min((row.day for row in engines), default=date.max))
        .order_by()
        .values_list("endpoint_id", "finished_at__date")
        .distinct()
    ) if engines else set()  # fmt: skip
    idle: dict[str, list[AdviceRow]] = {}
    for row in engines:
        if (row.resource_id, row.day) not in busy and row.resource_id.startswith("end_"):
            idle.setdefault(row.resource_id, []).append(_row(row, ZERO))
    return [
        _advice(AdviceKind.SCALE_TO_ZERO, resource, _name(running, resource), lines)
        for resource, lines in idle.items()
    ]


def _name(running: dict[str, Meter], resource: str) -> str:
    meter = running.get(resource)
    return meter.resource_name if meter else resource
