"""Where a team could spend less: each piece of advice with its saving, and the usage it rests on.

Everything is reckoned from whole days of rated usage and the prices in force, so that anybody can do the
sum again. Advice is not a promise: it says what the last days would have cost otherwise.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.db.models import OuterRef, Subquery

from apps.billing.models import Meter, PriceVersion, TokenRequest, UsageDay
from apps.billing.rating import PLACES
from apps.billing.selectors import prices
from apps.billing.specs import HOURS_PER_DAY, SECONDS_PER_HOUR, Rate
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
    IDLE = "idle"
    TOO_LARGE = "too_large"


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
    """One way to spend less; `saving` is per 30 days, scaled from the days in `rows`.

    Where it rests on measurements as well, `measured_hours` says for how long, `peaks` what was used at
    most of each thing, in percent of what there is; `instead` is the product to take, if any.
    """

    kind: AdviceKind
    subject: str
    name: str
    saving: Decimal
    days: int
    rows: tuple[AdviceRow, ...]
    instead: str = ""
    measured_hours: Decimal | None = None
    peaks: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Basis:
    """What advice is made from: the team's usage of the last whole days, each row with the name of what
    still runs (`running`, else None), and the prices in force for it."""

    actor: Actor
    team_id: str
    now: datetime
    days: Sequence[Any]
    book: Mapping[str, PriceVersion]

    def unit(self, product: str) -> Decimal | None:
        """What a unit costs now; None of what is not sold."""
        version = self.book.get(product)
        return version.unit_price if version else None

    def hourly(self, rates: Iterable[Rate]) -> Decimal:
        """What the rates cost per hour now; raises NoPrice."""
        currency = next((version.currency for version in self.book.values()), "")
        return prices.quote_by(self.book, rates, currency=currency).hourly


Source = Callable[[Basis], Iterable[Advice]]
SOURCES: list[Source] = []


def register(source: Source) -> None:
    """Let an app above give advice of its own; said once, when it is ready."""
    SOURCES.append(source)


def advise(actor: Actor, *, team_id: str, now: datetime) -> list[Advice]:
    """The team's advice, the greatest saving first; from the last fourteen whole days."""
    today = now.date()
    running = Meter.objects.running().filter(resource_id=OuterRef("resource_id"))
    days = UsageDay.objects.visible_to(actor).filter(
        team_id=team_id, day__gte=today - timedelta(days=DAYS), day__lt=today
    )
    rows = days.annotate(running=Subquery(running.values("resource_name")))
    used = list(rows.order_by("day", "resource_id", "product"))
    basis = Basis(actor, team_id, now, used, prices.book_of(team_id, at=now) if used else {})
    found = [one for source in SOURCES for one in source(basis)]
    return sorted((one for one in found if one.saving >= LEAST), key=lambda one: -one.saving)


def possible(found: Iterable[Advice]) -> Decimal:
    """What all of it together could save: of ways to pay less for the same, only the best counts."""
    ways: dict[str, dict[str, Decimal]] = {}
    for one in found:
        way = "machines" if one.kind in {AdviceKind.IDLE, AdviceKind.TOO_LARGE} else str(one.kind)
        sums = ways.setdefault(one.rows[0].product, {})
        sums[way] = sums.get(way, ZERO) + one.saving
    return sum((max(sums.values()) for sums in ways.values()), ZERO)


def _hours(row: UsageDay) -> Decimal:
    hours: Decimal = row.unit_seconds / SECONDS_PER_HOUR + row.quantity
    return hours.quantize(PLACES)


def _row(row: UsageDay, instead: Decimal) -> AdviceRow:
    return AdviceRow(row.day, row.resource_id, row.product, _hours(row), row.amount, instead.quantize(PLACES))


def _advice(kind: AdviceKind, subject: str, name: str, rows: Sequence[AdviceRow]) -> Advice:
    days = len({row.day for row in rows}) or 1
    saved = sum((row.amount - row.instead for row in rows), ZERO)
    return Advice(kind, subject, name, (saved * MONTH_DAYS / DAYS).quantize(PLACES), days, tuple(rows))


def _spot(basis: Basis) -> list[Advice]:
    """What ran on demand and is also sold on spot."""
    by_product: dict[str, list[AdviceRow]] = {}
    for row in basis.days:
        spot = basis.unit(f"{row.product}:spot")
        if spot is not None:
            by_product.setdefault(row.product, []).append(_row(row, _hours(row) * spot))
    return [_advice(AdviceKind.SPOT, product, product, found) for product, found in by_product.items()]


def _commitments(basis: Basis) -> list[Advice]:
    """What ran around the clock on every day and is cheaper reserved; the smallest day counts."""
    days: dict[str, dict[date, list[UsageDay]]] = {}
    for row in basis.days:
        if f"{row.product}:reserved" in basis.book and row.product in basis.book:
            days.setdefault(row.product, {}).setdefault(row.day, []).append(row)
    found = []
    for product, by_day in days.items():
        least = min(sum((_hours(row) for row in used), ZERO) for used in by_day.values())
        machines = int(least // HOURS_PER_DAY)
        if len(by_day) < DAYS or not machines:
            continue
        hours = Decimal(machines * HOURS_PER_DAY)
        cost, instead = (hours * basis.book[one].unit_price for one in (product, f"{product}:reserved"))
        lines = [
            AdviceRow(day, f"{machines} × {product}", product, hours, cost, instead) for day in sorted(by_day)
        ]
        found.append(_advice(AdviceKind.COMMITMENT, product, product, lines))
    return found


def _stopped(basis: Basis) -> list[Advice]:
    """What has been charged for nothing but its disk on every one of the days."""
    by_resource: dict[str, list[Any]] = {}
    for row in basis.days:
        if row.running is not None:
            by_resource.setdefault(row.resource_id, []).append(row)
    found = []
    for resource, used in by_resource.items():
        days = {row.day for row in used}
        if len(days) == DAYS and {row.product for row in used} == {"disk"}:
            lines = [_row(row, ZERO) for row in used]
            found.append(_advice(AdviceKind.STOPPED_DISK, resource, used[0].running, lines))
    return found


def _idle_endpoints(basis: Basis) -> list[Advice]:
    """Engines that were paid for on days without a single request."""
    engines = [row for row in basis.days if row.product.startswith("engine:")]
    busy = set(
        TokenRequest.objects.filter(team_id=basis.team_id, endpoint_id__isnull=False)
        .filter(finished_at__date__gte=min(row.day for row in engines))
        .order_by()
        .values_list("endpoint_id", "finished_at__date")
        .distinct()
    ) if engines else set()  # fmt: skip
    idle: dict[str, list[Any]] = {}
    for row in engines:
        if (row.resource_id, row.day) not in busy and row.resource_id.startswith("end_"):
            idle.setdefault(row.resource_id, []).append(row)
    return [
        _advice(
            AdviceKind.SCALE_TO_ZERO, resource, used[0].running or resource, [_row(row, ZERO) for row in used]
        )
        for resource, used in idle.items()
    ]


SOURCES += [_spot, _commitments, _stopped, _idle_endpoints]
