"""Hints to workers. The row is the truth and the poller finds it; a hint only makes it sooner."""

import time

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

# After a refused hint the broker is left alone for a while, so that its absence costs requests nothing.
QUIET_SECONDS = 5.0
_quiet_until = 0.0


def enqueue(name: str, **kwargs: object) -> None:
    """Send a task by name once the surrounding transaction has committed; losing it does no harm."""
    transaction.on_commit(lambda: _send(name, kwargs))


def _send(name: str, kwargs: dict[str, object]) -> None:
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        current_app.send_task(name, kwargs=kwargs, retry=False)
    except (OperationalError, OSError) as error:
        _quiet_until = time.monotonic() + QUIET_SECONDS
        log.warning("hint_lost", task=name, error=str(error))
