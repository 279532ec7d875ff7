"""Rating is pure: the same interval and prices make the same lines, and none of them guesses."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.billing import rating
from apps.billing.rating import Unpriced, Version, rate_interval
from apps.billing.specs import Rate, as_json, derived_uuid, from_json, merged

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def version(price, *, start=None, end=None, product="disk"):
    return Version(f"prv_{price}", product, Decimal(price), start or datetime(2020, 1, 1, tzinfo=UTC), end)


@pytest.mark.parametrize(
    ("price", "quantity", "span", "amount"),
    [
        ("3.6", "1", timedelta(seconds=1), "0.001"),
        ("1", "1", timedelta(seconds=1), "0.000277777778"),
        ("1", "3", timedelta(microseconds=1), "0.000000000833"),
        ("0.000000000003", "1", timedelta(minutes=30), "0.000000000002"),
        ("0.000000000001", "1", timedelta(minutes=30), "0"),
        ("0", "8", HOUR, "0"),
        ("2.5", "0.5", HOUR, "1.25"),
        ("9999999999999999", "1000", HOUR, "9999999999999999000"),
    ],
)
def test_an_amount_is_price_times_quantity_times_time(price, quantity, span, amount):
    [line] = rate_interval(NOON, NOON + span, [Rate("disk", Decimal(quantity))], [version(price)])
    assert line.amount == Decimal(amount)
    assert line.seconds == Decimal(str(span.total_seconds()))


def test_lines_are_cut_where_the_price_changes_and_at_midnight_utc():
    change, start = NOON + 2 * HOUR, NOON.astimezone()
    book = [version("2", start=change), version("1", end=change), version("9", product="ip")]
    lines = rate_interval(start, NOON + 36 * HOUR, [Rate("disk")], book)
    assert [(line.unit_price, line.seconds / 3600, line.amount) for line in lines] == [
        (1, 2, 2),
        (2, 10, 20),
        (2, 24, 48),
    ]
    assert [line.start for line in lines] == [NOON, change, datetime(2026, 3, 2, tzinfo=UTC)]


@pytest.mark.parametrize(
    "book",
    [
        [],
        [version("1", start=NOON + timedelta(seconds=1))],
        [version("1", end=NOON + HOUR / 2)],
        [version("1", end=NOON + HOUR / 4), version("1", start=NOON + HOUR / 2)],
        [version("1", product="ip")],
    ],
)
def test_a_gap_in_the_prices_is_not_guessed_at(book):
    with pytest.raises(Unpriced):
        rate_interval(NOON, NOON + HOUR, [Rate("disk")], book)


moments = st.integers(0, 5 * 86400 * 10**6).map(lambda micros: NOON + timedelta(microseconds=micros))
amounts = st.decimals(0, 10**6, places=6)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(moments, min_size=2, max_size=6, unique=True), moments, amounts, amounts, st.integers(1, 64))
def test_splitting_an_interval_changes_no_more_than_rounding_may(points, change, before, after, quantity):
    book = [version(before, end=change), version(after, start=change)]
    points, rates = sorted(points), [Rate("disk", Decimal(quantity))]
    whole = rate_interval(points[0], points[-1], rates, book)
    parts = [line for a, b in pairwise(points) for line in rate_interval(a, b, rates, book)]
    assert sum(line.seconds for line in parts) == sum(line.seconds for line in whole)
    assert abs(rating.total(parts) - rating.total(whole)) <= rating.PLACES * (len(parts) + len(whole))
    assert all(a.end == b.start for a, b in pairwise(parts))


def test_rates_are_stored_in_one_way_only():
    rates = [
        Rate("ip"),
        Rate("disk", Decimal("20.50")),
        Rate("disk", Decimal("1.5")),
        Rate("gpu:x", Decimal(0)),
    ]
    assert as_json(rates) == [["disk", "22"], ["ip", "1"]]
    assert from_json(as_json(rates)) == merged(rates)
    with pytest.raises(ValueError, match="quantity"):
        merged([Rate("disk", Decimal(-1))])


def test_a_derived_id_is_the_same_for_the_same_thing_and_sorts_by_time():
    first = derived_uuid(NOON, "usage", "ins_1")
    assert first == derived_uuid(NOON, "usage", "ins_1")
    assert first != derived_uuid(NOON, "usage", "ins_2")
    assert first < derived_uuid(NOON + timedelta(milliseconds=1), "usage", "ins_1")
    assert (first.version, first.variant) == (7, "specified in RFC 4122")


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.none(), st.decimals(0, 10**6, places=12), st.sampled_from([Decimal("0.0000005")])),
    st.one_of(st.integers(0, 10**10), st.sampled_from([1, 3, 5])),
)
def test_tokens_are_rounded_half_to_even_at_the_twelfth_decimal(price: Decimal | None, count: int):
    exact = Fraction(price or 0) * count / 10**6
    (amount,) = rating.token_amounts([price], [count])
    assert Fraction(amount) * 10**12 == round(exact * 10**12)
