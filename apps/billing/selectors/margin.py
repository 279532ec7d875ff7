"""What is left of what customers used after what providers charged for it; by day, product, model and region.

A bill counts by its days: half of its span within the asked one is half of its amount. What external
providers charge for tokens by their rates counts on the day it was used.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Sum

from apps.billing.models import Meter, ProviderCost, ProviderDay, UsageDay, Wallet
from apps.billing.rating import PLACES
from apps.billing.specs import TOKENS_PER_PRICE
from apps.core.actor import Actor
from apps.core.money import ZERO
from apps.core.permissions import Permission

TOKENS = "tokens:"


@dataclass(frozen=True, slots=True)
class Span:
    """From a day to a day, both included, in one currency."""

    since: date
    until: date
    currency: str

    @property
    def days(self) -> list[date]:
        return [self.since + timedelta(days=n) for n in range((self.until - self.since).days + 1)]


@dataclass(frozen=True, slots=True)
class MarginRow:
    """What came in and what it cost; `key` is a product or a region's id, empty for what has none."""

    key: str
    revenue: Decimal
    cost: Decimal

    @property
    def margin(self) -> Decimal:
        return self.revenue - self.cost

    @property
    def share(self) -> Decimal | None:
        """Of each unit of revenue, what is left; None without revenue."""
        return self.margin / self.revenue if self.revenue else None


@dataclass(frozen=True, slots=True)
class ModelMargin(MarginRow):
    """The same of a model's tokens. What its providers charge in other currencies is told, and not converted:
    `elsewhere` is a sum by currency."""

    tokens: int
    elsewhere: dict[str, Decimal]


def costs(actor: Actor) -> "QuerySet[ProviderCost]":
    """Every line of providers' bills, for staff."""
    found: QuerySet[ProviderCost] = ProviderCost.objects.visible_to(actor)
    return found


def by_product(actor: Actor, span: Span) -> list[MarginRow]:
    """The dearest product first."""
    revenue = _sums(_usage(actor, span).values_list("product"))
    cost = _costs(actor, span, lambda one: str(one.product))
    for product, amount in _sums(_metered(actor, span).values_list("product")).items():
        cost[product] = cost.get(product, ZERO) + amount
    return _rows(revenue, cost)


def by_model(actor: Actor, span: Span) -> list[ModelMargin]:
    """Tokens by the name that callers write, whoever answers for it; the dearest model first. What engines of
    our own cost is on the bills of their machines, not here."""
    sold = _usage(actor, span).filter(product__startswith=TOKENS)
    revenue, used = _by_slug(sold, "amount"), _by_slug(sold, "quantity")
    bills = _costs(actor, span, lambda one: str(one.product))
    charged: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for product, amount in bills.items():
        if product.startswith(TOKENS):
            charged[_slug(product)][span.currency] += amount
    for product, currency, amount in _summed(_spent(actor, span).values_list("product", "currency")):
        charged[_slug(product)][currency] += amount
    found = []
    for slug in {*revenue, *charged}:
        cost = charged[slug].pop(span.currency, ZERO)
        tokens = int(used.get(slug, ZERO) * TOKENS_PER_PRICE)
        found.append(ModelMargin(slug, revenue.get(slug, ZERO), cost, tokens, dict(charged[slug])))
    return sorted(found, key=lambda row: (-row.revenue, row.cost, row.key))


def by_region(actor: Actor, span: Span) -> list[MarginRow]:
    """The strongest region first; tokens and fees have none."""
    place = Meter.objects.filter(pk=OuterRef("resource_id")).values("region_id")[:1]
    revenue = _sums(_usage(actor, span).annotate(place=Subquery(place)).values_list("place"))
    cost = _costs(actor, span, lambda one: str(one.region_id or ""))
    metered = _metered(actor, span).aggregate(s=Sum("amount"))["s"] or ZERO
    if metered:
        cost[""] = cost.get("", ZERO) + metered
    return _rows(revenue, cost)


def by_day(actor: Actor, span: Span) -> list[tuple[date, Decimal, Decimal]]:
    """Day, revenue and cost, with every day present."""
    revenue = dict(_usage(actor, span).values_list("day").annotate(s=Sum("amount")))
    spread: dict[date, Decimal] = dict(_metered(actor, span).values_list("day").annotate(s=Sum("amount")))
    for bill in _bills(actor, span):
        each = (bill.amount / bill.days).quantize(PLACES)
        for day in span.days:
            if bill.starts_on <= day <= bill.ends_on:
                spread[day] = spread.get(day, ZERO) + each
    return [(day, revenue.get(day, ZERO), spread.get(day, ZERO)) for day in span.days]


def _usage(actor: Actor, span: Span) -> "QuerySet[UsageDay]":
    actor.require(Permission.BILLING_READ)
    payers = Wallet.objects.filter(currency=span.currency).values("team_id")
    rows = UsageDay.objects.filter(team_id__in=payers, day__gte=span.since, day__lte=span.until)
    found: QuerySet[UsageDay] = rows.order_by()
    return found


def _spent(actor: Actor, span: Span) -> "QuerySet[ProviderDay]":
    """At external providers, in every currency."""
    rows = ProviderDay.objects.visible_to(actor)
    found: QuerySet[ProviderDay] = rows.filter(day__gte=span.since, day__lte=span.until).order_by()
    return found


def _metered(actor: Actor, span: Span) -> "QuerySet[ProviderDay]":
    found: QuerySet[ProviderDay] = _spent(actor, span).filter(currency=span.currency)
    return found


def _bills(actor: Actor, span: Span) -> "QuerySet[ProviderCost]":
    return costs(actor).filter(currency=span.currency, starts_on__lte=span.until, ends_on__gte=span.since)


def _summed(rows: "QuerySet[Any, Any]", what: str = "amount") -> "QuerySet[Any, Any]":
    found: QuerySet[Any, Any] = rows.annotate(s=Sum(what))
    return found


def _sums(rows: "QuerySet[Any, Any]") -> dict[str, Decimal]:
    return {key or "": amount for key, amount in _summed(rows)}


def _by_slug(rows: "QuerySet[UsageDay]", what: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for product, amount in _summed(rows.values_list("product"), what):
        found[_slug(product)] += amount
    return found


def _slug(product: str) -> str:
    """The model in `tokens:<model>:<kind>`."""
    return product.removeprefix(TOKENS).rpartition(":")[0]


def _costs(actor: Actor, span: Span, key: Callable[[ProviderCost], str]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for bill in _bills(actor, span):
        shared = (min(bill.ends_on, span.until) - max(bill.starts_on, span.since)).days + 1
        part = (bill.amount * shared / bill.days).quantize(PLACES)
        found[key(bill)] = found.get(key(bill), ZERO) + part
    return found


def _rows(revenue: dict[str, Decimal], cost: dict[str, Decimal]) -> list[MarginRow]:
    keys: Iterable[str] = {*revenue, *cost}
    found = [MarginRow(key, revenue.get(key, ZERO), cost.get(key, ZERO)) for key in keys]
    return sorted(found, key=lambda row: (-row.revenue, row.cost, row.key))
