"""Which tax a sale bears, and what an invoice adds up to."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.money import round_minor
from apps.invoicing.specs import TaxRule, Usage, allocate
from apps.invoicing.tax import Decision, Parties, add_up, decide

D = Decimal
TODAY = date(2026, 3, 31)
RULES = [
    TaxRule("1", "DE", "", "VAT", D("0.19"), reverse_charge=True, valid_from=date(2021, 1, 1)),
    TaxRule("2", "DE", "", "VAT", D("0.16"), reverse_charge=True, valid_from=date(2020, 7, 1)),
    TaxRule("3", "DE", "book:", "VAT", D("0.07"), valid_from=date(2020, 1, 1)),
    TaxRule("4", "FR", "", "TVA", D("0.20"), reverse_charge=True, valid_from=date(2014, 1, 1)),
    TaxRule("5", "JP", "", "消費税", D("0.10"), is_inclusive=True, valid_from=date(2019, 10, 1)),
]


def rate(buyer: str, *, tax_id: str = "", product: str = "gpu:h100", on: date = TODAY) -> Decision:
    return decide(Parties("DE", buyer, tax_id), product, RULES, on)


def test_the_buyers_country_decides():
    assert rate("DE").rate == D("0.19")
    assert rate("FR").rate == D("0.20")
    assert rate("US") == Decision(note="outside_scope")


def test_the_rate_in_force_that_day_decides():
    assert rate("DE", on=date(2020, 12, 31)).rate == D("0.16")
    assert rate("DE", on=date(2020, 6, 30)).rate == 0


def test_the_longest_category_decides():
    assert rate("DE", product="book:rust").rate == D("0.07")


def test_a_business_abroad_accounts_for_the_tax_itself():
    assert rate("FR", tax_id="FR123") == Decision("TVA", D(0), note="reverse_charge")
    assert rate("DE", tax_id="DE123").rate == D("0.19")


def usage(amount: str, product: str = "gpu:h100") -> Usage:
    return Usage("usage", "wks", "default", product, "hour", D(1), D(amount), D(amount), 1)


def test_lines_are_rounded_once_and_tax_once_per_rate():
    sums = add_up([usage("1.005"), usage("1.005"), usage("0.004")], [Decision("VAT", D("0.19"))] * 3, "EUR")
    assert [line.amount for line in sums.lines] == [D("1.00"), D("1.00"), D("0.00"), D("0.38")]
    assert (sums.subtotal, sums.tax, sums.total) == (D("2.00"), D("0.38"), D("2.38"))
    assert sums.surcharge == D("0.366")


def test_tax_that_is_included_is_not_added():
    sums = add_up([usage("1100")], [Decision("消費税", D("0.10"), is_inclusive=True)], "JPY")
    assert (sums.subtotal, sums.tax, sums.total, sums.surcharge) == (1100, 100, 1100, 0)


def test_granted_credit_is_taken_off_before_tax():
    decisions = [Decision("VAT", D("0.19")), Decision("VAT", D("0.07"))]
    sums = add_up([usage("100"), usage("50")], decisions, "EUR", granted=D("30"))
    assert sums.discount == 30
    assert {line.amount for line in sums.lines if line.kind == "promotion"} == {D("-20"), D("-10")}
    assert sums.tax == D("2.80") + D("15.20")
    assert sums.total == D("138.00")


SLOWLY = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


@SLOWLY
@given(
    st.lists(st.decimals("0", "10000", places=7), min_size=1, max_size=12),
    st.decimals("0", "20000", places=2),
    st.sampled_from(["EUR", "JPY", "KWD"]),
    st.booleans(),
)
def test_the_parts_always_add_up(amounts, granted, currency, inclusive):
    granted = round_minor(granted, currency)
    sums = add_up(
        [usage(str(amount)) for amount in amounts],
        [Decision("VAT", D("0.19") if n % 2 else D("0.07"), inclusive) for n in range(len(amounts))],
        currency,
        granted=granted,
    )
    shown = sum((line.amount for line in sums.lines if line.kind != "tax"), D(0))
    assert sums.total == shown + (0 if inclusive else sums.tax)
    assert 0 <= sums.discount <= sums.subtotal
    assert abs(sums.subtotal - sums.exact) <= len(amounts) * round_minor(D(1), currency)
    assert sums.total == round_minor(sums.total, currency)


@SLOWLY
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=9), st.integers(0, 100_000))
def test_allocation_loses_nothing(weights, total):
    parts = allocate(D(total), [D(weight) for weight in weights], "JPY")
    assert sum(parts) == (total if sum(weights) else 0)
    assert all(part >= 0 for part in parts)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_allocation_differs_by_one_at_most(count):
    parts = allocate(D("10.00"), [D(1)] * count, "EUR")
    assert max(parts) - min(parts) <= D("0.01")
