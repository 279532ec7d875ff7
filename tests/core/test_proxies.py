"""Whose address counts when proxies stand in front: never one that a caller wrote down."""

import pytest

from apps.core.proxies import client_of

PEER = ("10.0.0.5", 40000)


@pytest.mark.parametrize(
    ("said", "trusted", "expected"),
    [
        ([], 0, PEER[0]),
        (["203.0.113.9"], 0, PEER[0]),
        (["203.0.113.9"], 1, "203.0.113.9"),
        (["6.6.6.6, 203.0.113.9"], 1, "203.0.113.9"),
        (["6.6.6.6", "203.0.113.9"], 1, "203.0.113.9"),
        (["6.6.6.6, 203.0.113.9, 10.0.0.4"], 2, "203.0.113.9"),
        (["203.0.113.9:5511"], 1, "203.0.113.9"),
        (["[2001:db8::7]:443"], 1, "2001:db8::7"),
        (["2001:db8::7"], 1, "2001:db8::7"),
        ([], 1, PEER[0]),
        (["203.0.113.9"], 2, PEER[0]),
        (["203.0.113.9,"], 1, PEER[0]),
    ],
)
def test_the_callers_address(said: list[str], trusted: int, expected: str) -> None:
    headers = [(b"x-forwarded-for", one.encode()) for one in said]
    found = client_of({"client": PEER, "headers": headers}, trusted)
    assert found is not None
    assert found[0] == expected
