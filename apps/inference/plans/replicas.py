"""What to do next with a replica: decided from what is wanted, what is recorded and what is seen.

Nothing here touches a row or a driver; `tests/apps/inference/test_plans.py` walks the whole table.
"""

from dataclasses import dataclass
from enum import StrEnum

from apps.inference.states import ENDED, REPLICA, Desired, ReplicaState


class Sight(StrEnum):
    """What a look at the engine showed."""

    UNKNOWN = "unknown"  # the look failed: nothing may be concluded
    GONE = "gone"  # proof that the engine and its files are not there
    COMING = "coming"  # it fetches or loads its model
    SERVING = "serving"
    SILENT = "silent"  # it runs and does not answer
    EXITED = "exited"
    STOPPING = "stopping"
    RECLAIMED = "reclaimed"


class Act(StrEnum):
    """What to ask of the driver or to conclude, once the transition has been committed."""

    WAIT = "wait"
    LAUNCH = "launch"
    DELETE = "delete"
    KILL = "kill"
    RELEASE = "release"  # the engine is proven gone: let go of what it held


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision rests on.

    `is_overdue`: the time to become ready is over. `is_missed`: it has been silent or out of sight for so
    long that it counts. `is_noticed`: its provider will take it away soon. `is_quiet`: no request is open
    any more, or none will be waited for. `is_impatient`: it was asked to end long enough ago.
    """

    desired: Desired
    state: ReplicaState
    sight: Sight
    is_overdue: bool = False
    is_missed: bool = False
    is_noticed: bool = False
    is_quiet: bool = False
    is_impatient: bool = False
    is_released: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A transition to commit first (None: stay), then something to do."""

    event: str | None = None
    act: Act = Act.WAIT


REST = Step()
_THERE = (Sight.COMING, Sight.SERVING, Sight.SILENT, Sight.STOPPING)


def plan(now: Situation) -> Step:
    """The next step from here."""
    if now.state in ENDED:
        return _clear_away(now)
    if now.sight == Sight.RECLAIMED:
        return Step("preempt", Act.DELETE)
    if now.state == ReplicaState.DRAINING:
        return _draining(now)
    if now.desired == Desired.GONE or now.is_noticed:
        return Step("drain")
    if now.is_overdue and REPLICA.allows("serve", now.state) and now.sight == Sight.SERVING:
        return Step("serve")
    return _BY_STATE[now.state](now)


def _clear_away(now: Situation) -> Step:
    """What ended holds its place until it is proven gone."""
    if now.is_released or now.sight == Sight.UNKNOWN:
        return REST
    return Step(None, Act.RELEASE) if now.sight == Sight.GONE else _remove(now)


def _draining(now: Situation) -> Step:
    """Requests that are open are let finish; then it is asked to end, then made to."""
    if now.sight == Sight.GONE:
        return Step("preempt" if now.is_noticed else "stop")
    if now.sight == Sight.UNKNOWN:
        return REST
    if now.is_quiet or now.sight in (Sight.EXITED, Sight.STOPPING):
        return _remove(now)
    return REST


def _remove(now: Situation) -> Step:
    return Step(None, Act.KILL if now.is_impatient else Act.DELETE)


def _pending(now: Situation) -> Step:
    if now.is_overdue:
        return Step("fail")
    if now.sight == Sight.UNKNOWN:
        return REST
    return Step("provision", Act.WAIT if now.sight in _THERE else Act.LAUNCH)


def _provisioning(now: Situation) -> Step:
    if now.is_overdue or now.sight == Sight.EXITED:
        return Step("fail")
    if now.sight == Sight.UNKNOWN:
        return REST
    return Step(None, Act.LAUNCH) if now.sight == Sight.GONE else Step("start")


def _starting(now: Situation) -> Step:
    if now.is_overdue or now.sight in (Sight.EXITED, Sight.GONE):
        return Step("fail")
    return Step("serve") if now.sight == Sight.SERVING else REST


def _ready(now: Situation) -> Step:
    if now.sight in (Sight.EXITED, Sight.GONE):
        return Step("fail")
    if now.sight in (Sight.COMING, Sight.STOPPING):
        return Step("sicken")
    return Step("sicken") if now.is_missed and now.sight != Sight.SERVING else REST


def _unhealthy(now: Situation) -> Step:
    if now.sight in (Sight.EXITED, Sight.GONE):
        return Step("fail")
    return Step("serve") if now.sight == Sight.SERVING else REST


_BY_STATE = {
    ReplicaState.PENDING: _pending,
    ReplicaState.PROVISIONING: _provisioning,
    ReplicaState.STARTING: _starting,
    ReplicaState.READY: _ready,
    ReplicaState.UNHEALTHY: _unhealthy,
}
