"""A sample of `make fuzz`: the seeds at every cut, and some thousand mutations of them, always the same."""

import base64
import random
from pathlib import Path

import pytest

from tests.gateway.parsing import SEEDS, check, fuzz, parse

MUTATIONS = 4000
BITS = (
    b"\r\n",
    b"\n",
    b"\x00",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
    b" ",
    b"\xff",
)


@pytest.mark.parametrize("seed", SEEDS)
def test_requests_are_the_same_wherever_they_are_cut(seed: bytes) -> None:
    for at in range(len(seed) + 1):
        check(seed, [at])
    check(seed, list(range(len(seed))))


def test_what_the_fuzzer_found_worth_keeping() -> None:
    """One line for each way through the parser that `make fuzz` has found."""
    found = (Path(__file__).parent / "corpus.txt").read_text().split()
    assert len(found) > 50
    for line in found:
        fuzz(base64.b64decode(line))


def test_mutations_are_refused_or_understood() -> None:
    chance = random.Random(20261121)
    for _each in range(MUTATIONS):
        data = bytearray(chance.choice(SEEDS) + chance.choice(SEEDS))
        for _change in range(chance.randint(1, 4)):
            at = chance.randrange(len(data) + 1)
            match chance.randint(0, 3):
                case 0:
                    data[at:at] = chance.choice(BITS)
                case 1:
                    del data[at : at + chance.randint(1, 6)]
                case 2:
                    data[at : at + 1] = bytes([chance.randrange(256)])
                case _:
                    data[at:at] = data[: chance.randint(0, 30)]
        check(bytes(data), [chance.randrange(len(data) + 1) for _cut in range(3)])


def test_nothing_is_taken_after_the_last_request_known_or_not() -> None:
    known = SEEDS[1]
    assert len(parse([known, known]).requests) == 2
    seen = parse([known.replace(b"Host: a", b"Host: a\r\nConnection: close"), known])
    assert (len(seen.requests), seen.refused) == (1, True)


def test_what_smuggles_is_refused() -> None:
    for seed in (*SEEDS[5:10], *SEEDS[11:20]):
        assert parse([seed]).refused, seed
    endless = parse([SEEDS[10], b"x" * 4096])
    assert endless.refused, "a chunk without end ends at the limit of bodies"
