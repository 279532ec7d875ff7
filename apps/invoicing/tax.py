"""Which tax a sale bears, purely, and what a month's usage comes to with it.

A rate belongs to a country and to a category, which is the beginning of a product's name; the longest
that fits decides, and of those the one that came into force last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from apps.core.money import ZERO, round_minor
from apps.invoicing.specs import Line, Sums, TaxRule, Usage, allocate, describe
from apps.invoicing.states import LineKind


@dataclass(frozen=True, slots=True)
class Parties:
    """Who sells and who buys, as far as tax is concerned; countries are ISO codes."""

    seller_country: str
    buyer_country: str
    buyer_tax_id: str = ""

    @property
    def is_abroad(self) -> bool:
        return self.buyer_country != self.seller_country


@dataclass(frozen=True, slots=True)
class Decision:
    """The tax of one product."""

    name: str = ""
    rate: Decimal = ZERO
    is_inclusive: bool = False
    note: str = ""


UNTAXED = Decision(note="outside_scope")


def decide(parties: Parties, product: str, rules: Iterable[TaxRule], on: date) -> Decision:
    """The tax on a product sold that day. A country without rates bears none."""
    fitting = [
        rule
        for rule in rules
        if rule.country == parties.buyer_country
        and rule.valid_from <= on
        and product.startswith(rule.category)
    ]
    if not fitting:
        return UNTAXED
    rule = max(fitting, key=lambda one: (len(one.category), one.valid_from))
    if rule.reverse_charge and parties.is_abroad and parties.buyer_tax_id:
        return Decision(rule.name, ZERO, note="reverse_charge")
    return Decision(rule.name, rule.rate, rule.is_inclusive)


def add_up(
    usages: Sequence[Usage],
    decisions: Sequence[Decision],
    currency: str,
    *,
    granted: Decimal = ZERO,
) -> Sums:
    """The lines and sums of an invoice. Every line is rounded once; `granted` credit is taken off
    before tax, in proportion; tax is rounded once per rate."""
    lines = [_line(usage, decision, currency) for usage, decision in zip(usages, decisions, strict=True)]
    sums = Sums(
        subtotal=sum((line.amount for line in lines), ZERO),
        exact=sum((line.exact for line in lines), ZERO),
        is_inclusive=any(decision.is_inclusive for decision in decisions),
    )
    sums.discount = max(min(granted, sums.subtotal), ZERO)
    groups = _by_rate(lines)
    promotions = _promotions(groups, sums.discount, currency)
    taxes = [
        _tax(rate, sum((line.amount for line in group), ZERO) + promotion.amount, sums, currency)
        for (rate, group), promotion in zip(groups.items(), promotions, strict=True)
    ]
    sums.tax = sum((line.amount for line in taxes), ZERO)
    sums.total = sums.subtotal - sums.discount + (ZERO if sums.is_inclusive else sums.tax)
    sums.lines = [
        *lines,
        *(line for line in promotions if line.amount),
        *(line for line in taxes if line.tax_name or line.tax_note),
    ]
    return sums


Rate = tuple[str, Decimal, str]


def _line(usage: Usage, decision: Decision, currency: str) -> Line:
    return Line(
        kind=usage.kind,
        description=describe(usage.product),
        exact=usage.amount,
        amount=round_minor(usage.amount, currency),
        product=usage.product,
        unit=usage.unit,
        quantity=usage.quantity,
        unit_price=usage.unit_price,
        workspace_id=usage.workspace_id or None,
        workspace=usage.workspace,
        rows=usage.rows,
        tax_name=decision.name,
        tax_rate=decision.rate,
        tax_note=decision.note,
    )


def _by_rate(lines: Iterable[Line]) -> dict[Rate, list[Line]]:
    groups: dict[Rate, list[Line]] = {}
    for line in lines:
        groups.setdefault((line.tax_name, line.tax_rate, line.tax_note), []).append(line)
    return dict(sorted(groups.items()))


def _promotions(groups: dict[Rate, list[Line]], discount: Decimal, currency: str) -> list[Line]:
    weights = [sum((line.amount for line in group), ZERO) for group in groups.values()]
    parts = allocate(discount, weights, currency)
    return [
        Line(LineKind.PROMOTION, "Granted credit", -part, -part, tax_name=name, tax_rate=rate, tax_note=note)
        for (name, rate, note), part in zip(groups, parts, strict=True)
    ]


def _tax(rate: Rate, taxable: Decimal, sums: Sums, currency: str) -> Line:
    name, fraction, note = rate
    share = fraction / (1 + fraction) if sums.is_inclusive else fraction
    amount = round_minor(taxable * share, currency)
    return Line(
        LineKind.TAX,
        name,
        amount,
        amount,
        quantity=taxable,
        tax_name=name,
        tax_rate=fraction,
        tax_note=note,
    )
