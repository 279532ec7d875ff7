"""What a worker does by itself when it cannot ask Redis."""

import asyncio
from collections import Counter

import pytest

from apps.gateway.messages import KeyRow
from apps.gateway.plane.limits import Limiter, Verdict
from apps.gateway.plane.redis import Answered, Redis
from apps.gateway.plane.tables import Key

ROW = KeyRow(
    hash=b"", id="key_1", team_id="team_1", workspace_id="wks_1", refusal="", models=None, networks=[],
    expires_at=None, requests=(10_000, 1_000, 100, 10), tokens=(-1, -1, -1, -1), book="", currency="EUR",
)  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("share", {"": 5, "rate_limited": 4}), ("open", {"": 9}), ("closed", {"limits_away": 9})],
)
def test_without_redis_the_policy_decides(policy: str, expected: dict[str, int]):
    loop = asyncio.new_event_loop()
    limiter = Limiter(Redis("redis://127.0.0.1:1/0", loop, []))
    limiter.without_redis, limiter.sharers = policy, 2
    found = Counter[str]()

    def decided(verdict: Verdict) -> None:
        found[verdict.refusal.code if verdict.refusal else ""] += 1

    for _request in range(9):
        limiter.check(Key(ROW), decided)
    loop.close()
    assert found == expected


class Store:
    """A Redis that comes and goes, and keeps what it was told."""

    is_there = False

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def tell(self, raw: bytes) -> None:
        self.told.append(raw)

    def call(self, raw: bytes, answered: Answered) -> None:
        self.told.append(raw)
        answered([0, -1, -1, 0])


def test_tokens_of_an_outage_are_counted_when_it_is_over():
    store = Store()
    limiter, key = Limiter(store), Key(ROW)  # type: ignore[arg-type]
    limiter.spend(key, 7)
    limiter.look()
    limiter.check(key, lambda _verdict: None)
    limiter.spend(key, 5)
    assert not store.told
    store.is_there = True
    limiter.check(key, lambda _verdict: None)
    spent, _asked = store.told
    assert spent.endswith(b"$2\r\n12\r\n")
