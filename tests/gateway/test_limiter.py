"""What a worker does by itself when it cannot ask Redis."""

import asyncio
from collections import Counter

import pytest

from apps.gateway.messages import KeyRow
from apps.gateway.plane.limits import Limiter, Verdict
from apps.gateway.plane.redis import Redis
from apps.gateway.plane.tables import Key


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("share", {"": 5, "rate_limited": 4}), ("open", {"": 9}), ("closed", {"limits_away": 9})],
)
def test_without_redis_the_policy_decides(policy: str, expected: dict[str, int]):
    loop = asyncio.new_event_loop()
    limiter = Limiter(Redis("redis://127.0.0.1:1/0", loop, []))
    limiter.without_redis, limiter.sharers = policy, 2
    row = KeyRow(
        hash=b"", id="key_1", team_id="team_1", workspace_id="wks_1", refusal="", models=None, networks=[],
        expires_at=None, requests=(10_000, 1_000, 100, 10), tokens=(-1, -1, -1, -1), book="", currency="EUR",
    )  # fmt: skip
    found = Counter[str]()

    def decided(verdict: Verdict) -> None:
        found[verdict.refusal.code if verdict.refusal else ""] += 1

    for _request in range(9):
        limiter.check(Key(row), decided)
    loop.close()
    assert found == expected
