"""What the runner says to the person (or the log) that watches it."""

import sys
import time

_BEGAN = time.monotonic()


class Stopped(Exception):
    """The runner cannot go on; the message says in one sentence what is missing."""


def say(message: str) -> None:
    """Print one line of progress, with the seconds since the runner began."""
    print(f"[{time.monotonic() - _BEGAN:6.1f}s] {message}", flush=True)


def show(text: str = "") -> None:
    """Print text that is meant to be read as it stands: sign-ins, summaries."""
    print(text, flush=True)


def warn(message: str) -> None:
    """Print a line to the error stream."""
    print(f"hostedai: {message}", file=sys.stderr, flush=True)
