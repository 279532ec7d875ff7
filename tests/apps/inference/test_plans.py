"""The decisions, without a database: every situation of a replica, and what an endpoint does with its own."""

from itertools import count, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.inference.plans.endpoints import Moves, New, Shape, Unit, is_settled, moves, standing, targets
from apps.inference.plans.replicas import REST, Act, Sight, Situation, plan
from apps.inference.states import ENDED, ENDPOINT, REPLICA, Desired, EndpointState, ReplicaState

READY, STARTING, DRAINING = ReplicaState.READY, ReplicaState.STARTING, ReplicaState.DRAINING


def every_situation():
    flags = [(False, True)] * 6
    for desired, state, sight, *rest in product(Desired, ReplicaState, Sight, *flags):
        yield Situation(desired, state, sight, *rest)


def test_every_situation_of_a_replica_has_a_legal_and_safe_next_step():
    situations = list(every_situation())
    assert len(situations) == 2 * 9 * 8 * 2**6
    for now in situations:
        step = plan(now)
        if step.event:
            assert REPLICA.allows(step.event, now.state), now
        if step.act in (Act.DELETE, Act.KILL):
            going = now.state in ENDED | {DRAINING} or step.event == "preempt"
            assert going, now
        if step.act == Act.RELEASE or step.event == "stop":
            assert now.sight == Sight.GONE, now
        if step.act == Act.LAUNCH:
            assert now.desired == Desired.RUNNING, now
            assert now.sight in (Sight.GONE, Sight.EXITED), now
        if now.sight == Sight.UNKNOWN and step.event in ("fail", "stop", "serve"):
            assert now.is_overdue, now


def test_a_replica_that_is_let_go_comes_to_rest_only_when_proven_gone():
    """From any state: wished away, and the engine gone, it ends without further looks at it."""
    for state in set(ReplicaState) - ENDED:
        step = plan(Situation(Desired.GONE, state, Sight.GONE, is_quiet=True))
        after = state if step.event is None else REPLICA.target(step.event, state)
        if after == DRAINING:
            step = plan(Situation(Desired.GONE, after, Sight.GONE, is_quiet=True))
            after = REPLICA.target(step.event, after)
        assert after in ENDED
    for state in ENDED:
        assert plan(Situation(Desired.GONE, state, Sight.SERVING)).act == Act.DELETE
        assert plan(Situation(Desired.GONE, state, Sight.SERVING, is_impatient=True)).act == Act.KILL
        assert plan(Situation(Desired.GONE, state, Sight.GONE)).act == Act.RELEASE
        assert plan(Situation(Desired.GONE, state, Sight.GONE, is_released=True)) == REST


def test_a_draining_replica_is_left_in_peace_until_it_is_quiet():
    busy = Situation(Desired.GONE, DRAINING, Sight.SERVING)
    assert plan(busy) == REST
    assert plan(Situation(Desired.GONE, DRAINING, Sight.SERVING, is_quiet=True)).act == Act.DELETE


@pytest.mark.parametrize(
    ("sight", "missed", "event"),
    [
        (Sight.SERVING, True, None),
        (Sight.SILENT, False, None),
        (Sight.SILENT, True, "sicken"),
        (Sight.UNKNOWN, False, None),
        (Sight.UNKNOWN, True, "sicken"),
        (Sight.EXITED, False, "fail"),
        (Sight.GONE, False, "fail"),
        (Sight.RECLAIMED, False, "preempt"),
    ],
)
def test_what_a_look_at_a_serving_replica_means(sight, missed, event):
    assert plan(Situation(Desired.RUNNING, READY, sight, is_missed=missed)).event == event


# ------------------------------------------------------------------ endpoints

_ids = count(1)


def unit(revision="new", state=READY, **fields):
    return Unit(f"{next(_ids):06}", revision, state, **fields)


def test_a_new_endpoint_makes_what_is_wanted():
    made = moves(Shape("new", 3), [])
    assert made == Moves(create=(New("new", False),) * 3)


def test_an_update_makes_new_ones_first_and_never_has_fewer_ready_than_wanted():
    old = [unit("old") for _one in range(4)]
    first = moves(Shape("new", 4), old)
    assert len(first.create) == 1
    assert not first.drain
    coming = [*old, unit(state=STARTING)]
    assert moves(Shape("new", 4), coming) == Moves()
    there = [*old, unit()]
    second = moves(Shape("new", 4), there)
    assert second.drain == (old[0].id,)


def test_an_update_ends_with_new_ones_only():
    """Played to its end, at no moment do fewer serve than wanted."""
    shape, units = Shape("new", 3), [unit("old") for _one in range(3)]
    for _round in range(20):
        step = moves(shape, units)
        units = [one for one in units if one.id not in step.drain]
        units += [unit(new.revision) for new in step.create]
        assert sum(one.is_ready for one in units) >= 3
        if is_settled(shape, units):
            break
    assert [one.revision for one in units] == ["new"] * 3


def test_a_canary_has_replicas_of_its_own_and_goes_when_it_is_dropped():
    shape = Shape("main", 4, canary="try", weight=25)
    assert targets(shape) == {"try": 1, "main": 3}
    assert targets(Shape("main", 1, canary="try", weight=10)) == {"try": 1, "main": 1}
    units = [unit("main"), unit("main"), unit("main"), unit("main"), unit("try")]
    dropped = moves(Shape("main", 4), units)
    assert dropped.drain == (units[4].id,)


def test_what_is_revoked_or_leaving_is_replaced_at_once():
    units = [unit(is_leaving=True), unit()]
    step = moves(Shape("new", 2), units)
    assert step.drain == (units[0].id,)
    assert len(step.create) == 1
    gone = moves(Shape("new", 2, revoked=frozenset({"new"})), units)
    assert set(gone.drain) == {one.id for one in units}
    assert not gone.create


def test_fewer_wanted_lets_go_what_serves_least():
    units = [unit(), unit(state=STARTING), unit()]
    assert moves(Shape("new", 2), units).drain == (units[1].id,)
    assert set(moves(Shape("new", 0), units).drain) == {one.id for one in units}


def test_the_share_on_spot_and_on_demand_when_there_is_none():
    mixed = moves(Shape("new", 4, spot_percent=50), [])
    assert sum(one.is_spot for one in mixed.create) == 2
    without = moves(Shape("new", 4, spot_percent=50, may_use_spot=False), [])
    assert not any(one.is_spot for one in without.create)


@given(
    revisions=st.lists(st.sampled_from(["new", "old", "try"]), max_size=8),
    states=st.lists(st.sampled_from(list(ReplicaState)), min_size=8, max_size=8),
    wanted=st.integers(0, 6),
    canary=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_moves_never_take_service_away_while_something_serves(revisions, states, wanted, canary):
    units = [unit(revision, state) for revision, state in zip(revisions, states, strict=False)]
    shape = Shape("new", wanted, canary="try" if canary else None, weight=20 if canary else 0)
    step = moves(shape, units)
    ready = [one for one in units if one.is_ready]
    kept = [one for one in ready if one.id not in step.drain]
    assert len(kept) >= min(len(ready), wanted)
    goal = sum(targets(shape).values())
    live = [one for one in units if one.is_live and one.id not in step.drain]
    assert len(live) + len(step.create) <= max(goal + max(1, wanted // 4), len(live))


@pytest.mark.parametrize(
    ("before", "wanted", "ready", "failures", "event"),
    [
        ("deploying", 1, 1, 0, "serve"),
        ("deploying", 2, 1, 0, None),
        ("deploying", 1, 0, 3, "degrade"),
        ("ready", 1, 0, 0, "degrade"),
        ("ready", 0, 0, 0, "sleep"),
        ("scaled_to_zero", 1, 0, 0, "deploy"),
        ("degraded", 1, 1, 0, "serve"),
        ("ready", 1, 1, 0, None),
    ],
)
def test_where_an_endpoint_stands(before, wanted, ready, failures, event):
    units = [unit() for _one in range(ready)]
    shape = Shape("new", wanted, least=wanted)
    found = standing(shape, units, EndpointState(before), failures)
    assert found == event
    assert found is None or ENDPOINT.allows(found, before)


def test_a_deleted_endpoint_is_gone_when_its_last_engine_is():
    shape = Shape("new", 1, is_deleting=True)
    assert standing(shape, [unit()], EndpointState.READY, 0) == "delete"
    assert standing(shape, [unit(state=DRAINING)], EndpointState.DELETING, 0) is None
    assert standing(shape, [], EndpointState.DELETING, 0) == "vanish"
