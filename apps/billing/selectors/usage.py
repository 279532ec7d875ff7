"""Reading usage: added up by day, product, resource or workspace, set-based. Days are UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum

from apps.billing.models import Meter, UsageDay
from apps.billing.specs import TOKENS_PER_PRICE
from apps.core.actor import Actor
from apps.core.money import ZERO
from apps.teams.models import Team, Workspace

GROUPS = {"day": "day", "product": "product", "resource": "resource_id", "workspace": "workspace_id"}
STAFF_GROUPS = GROUPS | {"team": "team_id"}
MOST_DAYS = 400


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Usage of one group: time (seconds, and seconds × units), tokens, and money."""

    key: str
    label: str
    seconds: Decimal
    unit_seconds: Decimal
    tokens: int
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class UsageSeries:
    """Amounts per day for stacked bars: one value per day and product."""

    days: list[date]
    products: dict[str, list[Decimal]]

    @property
    def totals(self) -> list[Decimal]:
        """The sum of each day."""
        return [sum(values, ZERO) for values in zip(*self.products.values(), strict=True)] or [ZERO] * len(
            self.days
        )


def visible_days(
    actor: Actor, *, team_id: str | None, workspace_id: str | None = None
) -> "QuerySet[UsageDay]":
    """The usage the actor may see, of one team and workspace or of all."""
    rows: QuerySet[UsageDay] = UsageDay.objects.visible_to(actor)
    if team_id is not None:
        rows = rows.filter(team_id=team_id)
    if workspace_id is not None:
        rows = rows.filter(workspace_id=workspace_id)
    return rows


def usage_days(
    actor: Actor, *, team_id: str | None, since: date, until: date, workspace_id: str | None = None
) -> "QuerySet[UsageDay]":
    """The same from `since` to `until`, both included."""
    rows = visible_days(actor, team_id=team_id, workspace_id=workspace_id)
    return rows.filter(day__gte=since, day__lte=until)


def by_group(rows: "QuerySet[UsageDay]", group: str) -> list[UsageRow]:
    """Usage by one of the groups, each currency by itself; the dearest first, days in order."""
    column = STAFF_GROUPS[group]
    sums = (
        rows.order_by()
        .values_list(column, "team__currency")
        .annotate(
            sum_seconds=Sum("seconds"),
            sum_units=Sum("unit_seconds"),
            sum_tokens=Sum("quantity", filter=Q(product__startswith="tokens:"), default=ZERO),
            sum_amount=Sum("amount"),
        )
    )
    by_column = (column, "team__currency")
    ordered = sums.order_by(*by_column) if group == "day" else sums.order_by("-sum_amount", *by_column)
    found = list(ordered)
    labels = _labels(group, [str(row[0]) for row in found])
    return [
        UsageRow(
            str(key),
            labels.get(str(key), str(key)),
            seconds,
            units,
            round(priced * TOKENS_PER_PRICE),
            amount,
            currency,
        )
        for key, currency, seconds, units, priced, amount in found
    ]


def named(rows: "QuerySet[UsageDay]") -> "QuerySet[UsageDay]":
    """Every day, resource and product with the resource's name and the currency."""
    name = Meter.objects.filter(pk=OuterRef("resource_id")).values("resource_name")[:1]
    return rows.annotate(resource_name=Subquery(name), currency=F("team__currency"))


def series(rows: "QuerySet[UsageDay]", *, since: date, until: date) -> UsageSeries:
    """Money by day and product, with every day present."""
    days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
    place = {day: n for n, day in enumerate(days)}
    products: dict[str, list[Decimal]] = {}
    for day, product, amount in rows.order_by().values_list("day", "product").annotate(spent=Sum("amount")):
        products.setdefault(product, [ZERO] * len(days))[place[day]] = amount
    ordered = sorted(products, key=lambda name: -sum(products[name], ZERO))
    return UsageSeries(days, {name: products[name] for name in ordered})


def total(rows: "QuerySet[UsageDay]") -> Decimal:
    found: Decimal | None = rows.aggregate(s=Sum("amount"))["s"]
    return found or ZERO


def totals(rows: "QuerySet[UsageDay]", *spans: tuple[date, date]) -> list[Decimal]:
    """The sum of each span of days, its first and last included; one statement."""
    sums = {
        f"span_{n}": Sum("amount", filter=Q(day__gte=since, day__lte=until))
        for n, (since, until) in enumerate(spans)
    }
    found = rows.aggregate(**sums)
    return [found[name] or ZERO for name in sums]


def rows_of(actor: Actor, resource_id: str) -> list[UsageRow]:
    """Everything one resource has cost, by product."""
    return by_group(UsageDay.objects.visible_to(actor).filter(resource_id=resource_id), "product")


def _labels(group: str, keys: Sequence[str]) -> dict[str, str]:
    if group == "resource":
        return dict(Meter.objects.filter(pk__in=keys).values_list("resource_id", "resource_name"))
    if group == "workspace":
        return dict(Workspace.objects.filter(pk__in=keys).values_list("id", "name"))
    if group == "team":
        return dict(Team.objects.filter(pk__in=keys).values_list("id", "name"))
    return {}
