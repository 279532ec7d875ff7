"""A fault of ours ends the request that has met it, and nothing else.

Requests share what calls them: the line to the steward, Redis, engines' connections, the look once a second.
An exception that comes through to one of these ends it, and with it what everybody else has there.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar

from apps.gateway.plane.asks import Unreadable
from apps.gateway.plane.refusals import Refusal, refusal

log = logging.getLogger(__name__)


class Endable(Protocol):
    """A request under way."""

    receipt: bytes

    def end_with(self, refused: Refusal) -> None:
        """Say so, and give back what it holds."""


Some = TypeVar("Some", bound=Endable)


def contained(step: Callable[..., None]) -> Callable[..., None]:
    """A step of a request that others call: what it raises ends that request."""

    @wraps(step)
    def guarded(self: Some, *args: Any) -> None:
        try:
            step(self, *args)
        except Unreadable as unreadable:
            self.end_with(unreadable.refusal)
        except Exception:
            log.exception("request_broke receipt=%s", self.receipt.decode())
            self.end_with(refusal("internal_error"))

    return guarded
