"""Who is asked next: shares are kept however the endpoint's policy chooses."""

from collections import Counter

import pytest

from apps.core.uuids import new_id
from apps.gateway.messages import ReplicaRow, RouteRow
from apps.gateway.plane.engines import Engine, Route

POLICIES = ("round_robin", "least_outstanding", "least_latency", "prefix_affinity")


def route(policy: str, *weights: int) -> Route:
    rows = [ReplicaRow(new_id("rep"), "http://127.0.0.1:1", "", one, False, False, "") for one in weights]
    row = RouteRow(
        new_id("end"), "", ["m"], "m", is_public=True, is_metered=True, only_embeds=False, policy=policy,
        digest="", context_length=1, queue_limit=1, can_wake=False, created_at=0, replicas=rows,
    )  # fmt: skip
    made = Route(row)
    made.become(row, [Engine(one, bytes([number]) * 16) for number, one in enumerate(rows)], "")
    return made


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("is_busy", [False, True])
def test_a_canary_gets_its_share_whatever_the_policy(policy: str, *, is_busy: bool) -> None:
    """Of 5 percent, with replicas of which one serves it."""
    one = route(policy, 475, 475, 50)
    asked: Counter[int] = Counter()
    for number in range(1000):
        engine = one.pick(frozenset(), b"%d" % number, "")
        assert engine is not None
        engine.outstanding += is_busy
        asked[engine.row.weight] += 1
        one.become(one.row, one.engines, "")  # as with every change of any endpoint
    assert asked == {475: 950, 50: 50}


@pytest.mark.parametrize("policy", POLICIES)
def test_what_does_not_answer_leaves_its_share_to_the_others(policy: str) -> None:
    one = route(policy, 900, 100)
    main, canary = one.engines
    assert {one.pick(frozenset({main.row.id}), b"", "") for _ in range(9)} == {canary}
    assert {one.pick(frozenset({canary.row.id}), b"", "") for _ in range(9)} == {main}


def test_equals_are_asked_in_turns() -> None:
    for policy in ("round_robin", "least_outstanding"):
        one = route(policy, 100, 100, 100)
        asked = Counter(one.engines.index(one.pick(frozenset(), b"", "") or one.engines[0]) for _ in range(9))
        assert asked == {0: 3, 1: 3, 2: 3}
