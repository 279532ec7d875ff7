"""One pass over a version: claim, look, act, release. Safe to repeat, safe to lose."""

from contextlib import suppress
from datetime import timedelta

import structlog

from apps.core.clock import db_now
from apps.core.errors import DomainError
from apps.core.failpoints import failpoint
from apps.core.leases import LeaseLost, release, take
from apps.drivers.errors import DriverError, Rejected
from apps.registry.models import ModelVersion
from apps.registry.reconcilers.copying import copy_version
from apps.registry.reconcilers.pulse import LEASE, Pulse
from apps.registry.reconcilers.verifying import verify_version
from apps.registry.selectors import open_store
from apps.registry.services import verdicts
from apps.registry.states import MOVING, Origin, State
from apps.registry.weights import Unreadable

log = structlog.get_logger(__name__)

MOST_STEPS = 6
RETRY_MOST = 300.0
GRACE = timedelta(seconds=3)
NEVER = None
AT_ONCE = timedelta(0)


def reconcile_due() -> int:
    """Look at what is due and in nobody's hands, one after the other; how many there were. One that fails
    keeps no other waiting."""
    done = 0
    for pk in list(ModelVersion.objects.all().due(grace=GRACE).values_list("pk", flat=True)[:20]):
        try:
            done += reconcile_version(version_id=str(pk))
        except Exception:
            log.exception("version_pass_failed", version=pk)
    return done


def reconcile_version(*, version_id: str) -> bool:
    """Bring one version as far as it goes at the moment; False when it is not due or somebody is at it."""
    row = take(ModelVersion, version_id, ttl=LEASE)
    if row is None:
        return False
    pulse = Pulse(row)
    with suppress(LeaseLost):
        again, changes = _bring(pulse)
        release(row, pulse.token, due_in=again, **changes)
    return True


def _bring(pulse: Pulse) -> tuple[timedelta | None, dict[str, object]]:
    """Step after step; when to look again, and what to note."""
    row = pulse.version
    for _step in range(MOST_STEPS):
        try:
            again = _act(pulse)
        except (Rejected, Unreadable, DomainError) as refusal:
            verdicts.reject_version(version=row, code=_code(refusal), message=str(refusal))
            again = AT_ONCE
        except DriverError as trouble:
            return _later(pulse, trouble)
        if again != AT_ONCE:
            return again, {"attempts": 0, "last_error": ""}
        pulse.look()
    return AT_ONCE, {}


def _code(refusal: Exception) -> str:
    return refusal.reason if isinstance(refusal, DomainError) else "not_servable"


def _later(pulse: Pulse, trouble: DriverError) -> tuple[timedelta, dict[str, object]]:
    """Ever later while nothing moves, soon again while something does."""
    attempts = 1 if pulse.has_moved else pulse.version.attempts + 1
    log.warning("version_waits", version=str(pulse.version.pk), error=trouble.detail, attempts=attempts)
    pause = timedelta(seconds=min(2.0 ** min(attempts, 9), RETRY_MOST))
    return pause, {"attempts": attempts, "last_error": trouble.detail[:2000]}


def _act(pulse: Pulse) -> timedelta | None:
    """One step. Returns when to look again: at once, later, or never by itself."""
    row = pulse.version
    if row.state in MOVING and row.deadline_at and row.deadline_at <= db_now():
        verdicts.reject_version(version=row, code="deadline_exceeded", message="It took longer than allowed.")
        return AT_ONCE
    if row.state == State.UPLOADING:
        if row.origin != Origin.HUGGING_FACE:
            return row.deadline_at - db_now() if row.deadline_at else NEVER
        copy_version(pulse)
        return AT_ONCE
    if row.state == State.VERIFYING:
        verify_version(pulse)
        return AT_ONCE
    return _clear(pulse)


def _clear(pulse: Pulse) -> timedelta | None:
    """What a draft or a retired version has in the store is removed, until a listing proves it."""
    row = pulse.version
    is_retired = row.state == State.RETIRED
    if row.state not in (State.DRAFT, State.RETIRED) or not row.prefix or row.purged_at:
        return NEVER
    failpoint("registry.purge.begun")
    if not open_store().purge(row.prefix):
        return timedelta(seconds=5)
    verdicts.note_purged(version=row, retired=is_retired)
    return NEVER
