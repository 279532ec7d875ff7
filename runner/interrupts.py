"""Ctrl-C, hang-up and a polite kill, all as one exception, so that what was started is ended."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKS_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """Somebody asked the runner to end."""


def _interrupt(number: int, _: FrameType | None) -> None:
    for sign in ASKS_TO_END:  # once is enough: the way out must not be interrupted
        signal.signal(sign, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block those signals raise `Interrupted`."""
    before = {sign: signal.signal(sign, _interrupt) for sign in ASKS_TO_END}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
