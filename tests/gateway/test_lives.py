"""A sample of random lives, always the same; see `lives.py`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.gateway.lives import Life, connecting

LIVES = 50


@pytest.mark.parametrize("first", range(0, 10 * LIVES, LIVES))
def test_whatever_happens_everybody_has_an_answer_and_pays_for_it_once(first: int) -> None:
    for number in range(first, first + LIVES):
        with TemporaryDirectory() as folder:
            life = Life(number, Path(folder))
            with connecting(life):
                life.live()
