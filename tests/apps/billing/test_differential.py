"""Two ways to the same amounts: Python's rating, and the same rules again in SQL, on 100,000 lines."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.billing import rating
from apps.billing.curves import Curve, Tier, problem_with
from apps.billing.meters import METERS
from apps.billing.rating import Version, clip, overlay

LINES = 100_000
FUNCTIONS = """
CREATE FUNCTION pg_temp.half_even(v numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN abs((v * 1000000000000) % 1) = 0.5
                THEN 2 * round(v * 500000000000) / 1000000000000
                ELSE round(v, 12) END $$;
CREATE FUNCTION pg_temp.whole(model text, price numeric, size numeric, included numeric, uppers numeric[],
                              prices numeric[], units numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.half_even(CASE model
        WHEN 'unit' THEN x * price
        WHEN 'package' THEN (div(x, size) + (x % size > 0)::int) * price
        WHEN 'volume' THEN x * (SELECT p FROM unnest(uppers, prices) WITH ORDINALITY t (u, p, n)
                                 WHERE u IS NULL OR x <= u ORDER BY n LIMIT 1)
        ELSE (SELECT coalesce(sum(greatest(least(x, coalesce(u, x)) - below, 0) * p), 0) FROM (
                SELECT u, p, coalesce(lag(u) OVER (ORDER BY n), 0) AS below
                  FROM unnest(uppers, prices) WITH ORDINALITY t (u, p, n)) s) END)
      FROM (SELECT greatest(units - included, 0) AS x) v $$;
"""
TIMED = """
SELECT n, pg_temp.half_even((q * p * s)::numeric(80, 40) / 3600) FROM unnest(
    %s::int[], %s::numeric[], %s::numeric[], %s::numeric[]) AS t (n, q, p, s)
"""
COUNTED = """
SELECT n, pg_temp.half_even((q * p)::numeric(80, 40) / per) FROM unnest(
    %s::int[], %s::numeric[], %s::numeric[], %s::numeric[]) AS t (n, q, p, per)
"""
CURVED = """
SELECT n, pg_temp.whole(model, price, size, included, uppers, prices, before + units)
        - pg_temp.whole(model, price, size, included, uppers, prices, before)
  FROM unnest(%(n)s::int[], %(before)s::numeric[], %(units)s::numeric[]) AS t (n, before, units),
       (SELECT %(model)s::text AS model, %(price)s::numeric AS price, %(size)s::numeric AS size,
               %(included)s::numeric AS included, %(uppers)s::numeric[] AS uppers,
               %(prices)s::numeric[] AS prices) c
"""


def decimals(dice: random.Random, most: int, places: int) -> Decimal:
    return Decimal(dice.randrange(most * 10**places)).scaleb(-places)


def curves(dice: random.Random, count: int) -> Iterator[Curve]:
    for n in range(count):
        bounds = sorted({decimals(dice, 500, 2) + 1 for _ in range(dice.randrange(1, 4))})
        tiers = tuple(Tier(bound, decimals(dice, 9, 12)) for bound in [*bounds, None])
        model = ("unit", "graduated", "volume", "package")[n % 4]
        yield Curve(
            model,
            decimals(dice, 9, 12),
            tiers if model in ("graduated", "volume") else (),
            decimals(dice, 20, 1) + 1,
            dice.choice((Decimal(0), decimals(dice, 100, 3))),
        )


def asked(query: str, values: object) -> dict[int, Decimal]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return dict(cursor.fetchall())


@pytest.mark.django_db
def test_sql_and_python_agree_on_a_hundred_thousand_lines():
    dice = random.Random(7)
    with connection.cursor() as cursor:
        cursor.execute(FUNCTIONS)
    share = range(LINES * 2 // 5)
    timed = [
        (decimals(dice, 100, 6), decimals(dice, 50, dice.choice((2, 6, 12))), decimals(dice, 90_000, 6))
        for _ in share
    ]
    expected = {n: rating.price_of(*line) for n, line in enumerate(timed)}
    assert asked(TIMED, [list(expected), *map(list, zip(*timed, strict=True))]) == expected
    meters = list(METERS.values())
    counted = [(decimals(dice, 10**6, 3), decimals(dice, 9, 12), dice.choice(meters)) for _ in share]
    at = datetime(2026, 3, 1, tzinfo=UTC)
    expected = {
        n: rating.event_amount(quantity, meter, Version("v", "p", price, at), None)
        for n, (quantity, price, meter) in enumerate(counted)
    }
    columns = [list(column) for column in zip(*counted, strict=True)]
    columns[2] = [meter.per for meter in columns[2]]
    assert asked(COUNTED, [list(expected), *columns]) == expected
    for curve in curves(dice, 20):
        lines = [(decimals(dice, 800, 3), decimals(dice, 400, 6)) for _ in range(LINES // 5 // 20)]
        expected = {n: curve.cost_between(b * 3600, u * 3600) for n, (b, u) in enumerate(lines)}
        found = asked(
            CURVED,
            {
                "n": list(expected), "before": [b for b, _u in lines], "units": [u for _b, u in lines],
                "model": curve.model, "price": curve.unit_price, "size": curve.size,
                "included": curve.included, "uppers": [tier.up_to for tier in curve.tiers],
                "prices": [tier.price for tier in curve.tiers],
            },
        )  # fmt: skip
        assert found == expected, curve
    print(f"{LINES:,} lines rated in SQL and in Python: the same, digit for digit")


AMOUNTS = st.decimals(0, 1000, places=6)
SOME_CURVES = st.builds(lambda seed: list(curves(random.Random(seed), 4))[seed % 4], st.integers(0, 400))


@settings(derandomize=True, deadline=None, max_examples=200, database=None)
@given(curve=SOME_CURVES, parts=st.lists(AMOUNTS, max_size=6))
def test_however_usage_is_cut_the_parts_add_up_to_the_whole(curve, parts):
    position, total = Decimal(0), Decimal(0)
    for part in parts:
        total += curve.cost_between(position, part * 3600)
        position += part * 3600
    assert total == curve.cost(sum(parts, Decimal(0)))
    assert problem_with(curve) == ""


@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(curve=SOME_CURVES, less=AMOUNTS, more=AMOUNTS)
def test_more_costs_no_less_but_where_a_volume_price_falls(curve, less, more):
    if curve.model != "volume":
        assert curve.cost(less) <= curve.cost(less + more)


DAY = datetime(2026, 3, 1, tzinfo=UTC)


def version(name: str, start: int, end: int | None) -> Version:
    last = None if end is None else DAY + timedelta(days=end)
    return Version(name, "disk", Decimal(1), DAY + timedelta(days=start), last)


@settings(derandomize=True, deadline=None, max_examples=200, database=None)
@given(
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True),
    spans=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=3),
)
def test_a_list_of_ones_own_leaves_neither_gap_nor_overlap(cuts, spans):
    bounds = [0, *sorted(cuts)]
    ends = [*bounds[1:], None]
    base = [version(f"b{n}", start, end) for n, (start, end) in enumerate(zip(bounds, ends, strict=True))]
    own, taken = [], -1
    for start, length in sorted(spans):
        if start > taken:
            own.append(version(f"o{start}", start, start + length))
            taken = start + length
    found = overlay(base, own)
    for hour in range(0, 45 * 24, 7):
        at = DAY + timedelta(hours=hour)
        covering = [v for v in found if v.start <= at and (v.end is None or at < v.end)]
        assert len(covering) == 1
        mine = [v for v in own if v.start <= at < v.end]
        assert covering[0].id == mine[0].id if mine else covering[0].id.startswith("b")


def test_a_version_is_clipped_to_a_span():
    one = version("b", 1, 5)
    assert clip(one, DAY, DAY) is None
    assert clip(one, DAY + timedelta(days=2), None).end == one.end
    assert clip(version("b", 1, None), DAY, DAY + timedelta(days=3)).end == DAY + timedelta(days=3)
    for wrong in (
        Curve("guess", Decimal(1)),
        Curve("unit", Decimal(-1)),
        Curve("package", Decimal(1), size=Decimal(0)),
        Curve("unit", Decimal(1), (Tier(None, Decimal(1)),)),
        Curve("volume", Decimal(1), (Tier(Decimal(5), Decimal(1)),)),
        Curve(
            "volume", Decimal(1), (*(Tier(Decimal(n), Decimal(1)) for n in (5, 4)), Tier(None, Decimal(1)))
        ),
        Curve("volume", Decimal(1), (Tier(None, Decimal(-1)),)),
    ):
        assert problem_with(wrong)
