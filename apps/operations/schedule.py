"""Work that comes round: registered where it is defined, run by `manage.py poll`.

Needs neither Celery's beat nor Redis. Each piece runs in one poller at a time, whoever comes first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import structlog
from django.db.models import Q
from django.db.models.functions import Now

from apps.core.leases import in_time
from apps.operations.models import Schedule

log = structlog.get_logger(__name__)

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Periodic:
    """A piece of work and how often it is due; `ttl` bounds how long a dead poller keeps it."""

    name: str
    every: timedelta
    ttl: timedelta
    work: Work


registry: dict[str, Periodic] = {}


def periodic(name: str, *, every: timedelta, ttl: timedelta = timedelta(minutes=2)) -> Callable[[Work], Work]:
    """Register the decorated function (no arguments, may run twice) as due `every` so often."""

    def register(work: Work) -> Work:
        known = registry.get(name)
        if known is not None and known.work.__qualname__ != work.__qualname__:
            raise ValueError(f"two pieces of periodic work are called {name!r}")
        registry[name] = Periodic(name, every, ttl, work)
        return work

    return register


def due_names() -> list[str]:
    """What is due now and in nobody's hands, of all that is registered; in order of registration."""
    known = dict(Schedule.objects.values_list("name", "due_at"))
    missing = [Schedule(name=name) for name in registry if name not in known]
    if missing:
        Schedule.objects.bulk_create(missing, ignore_conflicts=True)
    free = Q(lease_until=None) | Q(lease_until__lt=Now())
    due = set(Schedule.objects.filter(free, due_at__lte=Now()).values_list("name", flat=True))
    return [name for name in registry if name in due]


def run_due(*, name: str | None = None) -> int:
    """Run every registered piece of work that is due (or only `name`), each under a lease.

    Must not be called in a transaction. Work that raises is noted and tried again when next due.
    """
    names = due_names() if name is None else [name]
    return sum(_run(registry[one]) for one in names)


def _run(periodic: Periodic) -> bool:
    token = uuid4()
    free = Q(lease_until=None) | Q(lease_until__lt=Now())
    claimed = Schedule.objects.filter(free, name=periodic.name, due_at__lte=Now()).update(
        lease_token=token, lease_until=in_time(periodic.ttl), started_at=Now()
    )
    if not claimed:
        return False
    problem = ""
    try:
        periodic.work()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        log.exception("periodic_work_failed", name=periodic.name)
    Schedule.objects.filter(name=periodic.name, lease_token=token).update(
        lease_token=None,
        lease_until=None,
        due_at=in_time(periodic.every),
        finished_at=Now(),
        last_error=problem[:2000],
    )
    return True
