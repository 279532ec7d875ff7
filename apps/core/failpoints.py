"""Named places where a test may make the process fail; no-ops unless one is armed.

`HOSTEDAI_FAILPOINTS="instances.create.acted=kill,instances.stop.observed=hang"` arms them from
outside; `arm` does so from within. An armed point fires once.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_armed: dict[str, str] = {}
_seen: Callable[[str], None] | None = None


class FailpointError(Exception):
    """Raised by a failpoint armed with `raise`; deliberately not a DomainError."""


def load(text: str) -> None:
    """Arm what the text names, as `name=raise|hang|kill`, separated by commas."""
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _equals, action = entry.partition("=")
        arm(name, action or "raise")


def arm(name: str, action: str) -> None:
    if action not in {"raise", "hang", "kill"}:
        raise ValueError(f"unknown failpoint action {action!r}")
    _armed[name] = action


def disarm() -> None:
    _armed.clear()


@contextmanager
def watching(listener: Callable[[str], None]) -> Iterator[None]:
    """Tell the listener of every failpoint that is passed."""
    global _seen
    _seen, before = listener, _seen
    try:
        yield
    finally:
        _seen = before


def failpoint(name: str) -> None:
    """Pass, or fail as armed: raise, stop the process (SIGSTOP), or kill it (SIGKILL)."""
    if _seen is not None:
        _seen(name)
    if not _armed:
        return
    match _armed.pop(name, None):
        case "raise":
            raise FailpointError(name)
        case "hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)


load(os.environ.get("HOSTEDAI_FAILPOINTS", ""))
