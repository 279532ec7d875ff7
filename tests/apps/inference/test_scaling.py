"""How many replicas there shall be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.inference.plans.scaling import DOWN_COOLDOWN, Load, Rules, Standing, add_up, decide
from apps.inference.states import ScaleMetric

NOW = 1_000_000.0
BETWEEN = Rules(ScaleMetric.CONCURRENCY, target=4, least=1, most=10)
SLEEPY = Rules(ScaleMetric.CONCURRENCY, target=4, least=0, most=3, idle_seconds=60)


def test_it_grows_at_once_to_what_is_needed_and_no_further_than_allowed():
    assert decide(BETWEEN, Standing(1), Load(outstanding=9), NOW).wanted == 3
    assert decide(BETWEEN, Standing(1), Load(outstanding=900), NOW).wanted == 10


def test_it_does_not_grow_again_before_what_was_added_could_show():
    assert decide(BETWEEN, Standing(2, scaled_at=NOW - 3), Load(outstanding=40), NOW).wanted == 2


def test_it_shrinks_only_after_fewer_would_have_done_for_a_while():
    first = decide(BETWEEN, Standing(5), Load(outstanding=1), NOW)
    assert (first.wanted, first.low_since) == (5, NOW)
    later = decide(BETWEEN, Standing(5, low_since=NOW), Load(outstanding=1), NOW + DOWN_COOLDOWN)
    assert later.wanted == 1
    busy = decide(BETWEEN, Standing(5, low_since=NOW), Load(outstanding=20), NOW + 10)
    assert (busy.wanted, busy.low_since) == (5, None)


@pytest.mark.parametrize(
    ("metric", "load", "wanted"),
    [
        (ScaleMetric.CONCURRENCY, Load(outstanding=5, queued=4), 3),
        (ScaleMetric.QUEUE, Load(queued=20), 5),
        (ScaleMetric.QUEUE, Load(outstanding=50), 2),
        (ScaleMetric.TOKENS, Load(outstanding=1, tokens_per_s=11.0), 3),
    ],
)
def test_what_each_metric_asks_for(metric, load, wanted):
    assert decide(Rules(metric, target=4, least=1, most=10), Standing(2), load, NOW).wanted == wanted


def test_it_sleeps_when_nobody_has_called_and_wakes_when_somebody_waits():
    idle = Standing(1, active_at=NOW - 61)
    assert decide(SLEEPY, idle, Load(), NOW).wanted == 0
    assert decide(SLEEPY, idle, Load(last_request_at=NOW - 5), NOW).wanted == 1
    assert decide(SLEEPY, idle, Load(outstanding=1), NOW).wanted == 1
    assert decide(SLEEPY, Standing(0, active_at=NOW), Load(queued=1), NOW).wanted == 1
    assert decide(SLEEPY, Standing(0, active_at=NOW - 999), Load(), NOW).wanted == 0


def test_nothing_changes_while_nobody_knows_the_load():
    assert decide(SLEEPY, Standing(2, active_at=NOW - 9999), None, NOW).wanted == 2


def test_stale_reports_count_for_nothing_but_the_last_request():
    fresh, stale = Load(3, 1, 2.0, NOW - 1, NOW - 1), Load(9, 9, 9.0, NOW - 50, NOW - 50)
    total = add_up([fresh, stale], NOW)
    assert (total.outstanding, total.queued, total.tokens_per_s) == (3, 1, 2.0)
    assert total.last_request_at == NOW - 1


@given(
    metric=st.sampled_from(list(ScaleMetric)),
    least=st.integers(0, 5),
    more=st.integers(0, 20),
    target=st.integers(1, 100),
    wanted=st.integers(0, 64),
    load=st.builds(Load, st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0, 1e6)),
)
def test_it_never_leaves_its_bounds(metric, least, more, target, wanted, load):
    rules = Rules(metric, target, least, max(least + more, 1), 60)
    assert rules.least <= decide(rules, Standing(wanted), load, NOW).wanted <= rules.most
