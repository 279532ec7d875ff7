"""What to do next with an instance: decided from what is wanted, what is recorded and what is seen.

Nothing here touches a row or a driver; `tests/apps/instances/test_plans.py` walks the whole table.
"""

from dataclasses import dataclass
from enum import StrEnum

from apps.instances.states import MACHINE, Desired, State, Work


class Sight(StrEnum):
    """What a look at the machine showed."""

    UNKNOWN = "unknown"  # the look failed: nothing may be concluded
    GONE = "gone"  # proof that machine and disks are not there
    PARTIAL = "partial"
    STOPPED = "stopped"
    CHANGING = "changing"
    RUNNING = "running"  # powered on, not yet reachable
    BOOTED = "booted"
    RECLAIMED = "reclaimed"


class Act(StrEnum):
    """What to ask of the driver or to conclude, once the transition has been committed."""

    WAIT = "wait"
    CREATE = "create"
    DELETE = "delete"
    START = "start"
    STOP = "stop"
    FORCE_STOP = "force_stop"
    REBOOT = "reboot"
    RESIZE = "resize"
    SNAPSHOT = "snapshot"
    UNSNAPSHOT = "unsnapshot"
    RESTORE = "restore"
    FINISH = "finish"  # the work in hand is done
    GIVE_UP = "give_up"  # its time is over: end the operation, undo what can be undone
    RELEASE = "release"  # the machine is proven gone: let go of what it held


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision rests on.

    `is_asked`: the driver was asked for the work in hand, or to stop, since the last transition.
    `is_overdue`: the operation's deadline has passed. `is_impatient`: a stop was asked long enough
    ago to cut the power. `is_fulfilled`: the work in hand shows in what was seen.
    """

    desired: Desired
    state: State
    sight: Sight
    work: Work = Work.NONE
    is_asked: bool = False
    is_overdue: bool = False
    is_impatient: bool = False
    is_fulfilled: bool = False
    is_released: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A transition to commit first (None: stay), then something to do."""

    event: str | None = None
    act: Act = Act.WAIT


REST = Step()
_ASK = {
    Work.RESIZE: Act.RESIZE,
    Work.SNAPSHOT: Act.SNAPSHOT,
    Work.UNSNAPSHOT: Act.UNSNAPSHOT,
    Work.RESTORE: Act.RESTORE,
}


def plan(now: Situation) -> Step:
    """The next step from here."""
    if now.state == State.DELETED:
        return REST
    if now.desired == Desired.DELETED or now.state == State.DELETING:
        return _remove(now)
    if now.state in (State.FAILED, State.INTERRUPTED):
        return _clear_away(now)
    if now.sight == Sight.RECLAIMED:
        return Step("interrupt", Act.DELETE)
    if now.sight == Sight.GONE and MACHINE.allows("lose", now.state):
        return Step("lose")
    return _BY_STATE[now.state](now)


def _remove(now: Situation) -> Step:
    """Delete wins, from any state, and is neither given up nor taken back."""
    event = None if now.state == State.DELETING else "delete"
    if now.sight == Sight.UNKNOWN:
        return Step(event)
    if now.sight == Sight.GONE:
        return Step(event or "vanish")
    return Step(event, Act.DELETE)


def _clear_away(now: Situation) -> Step:
    """What failed or was taken away holds its place until it is proven gone."""
    if now.is_released or now.sight == Sight.UNKNOWN:
        return REST
    return Step(None, Act.RELEASE if now.sight == Sight.GONE else Act.DELETE)


def _pending(now: Situation) -> Step:
    if now.is_overdue:
        return Step("fail")
    if now.sight == Sight.UNKNOWN:
        return REST
    return Step("provision", Act.CREATE if now.sight in (Sight.GONE, Sight.PARTIAL) else Act.WAIT)


def _provisioning(now: Situation) -> Step:
    if now.is_overdue:
        return Step("fail")
    match now.sight:
        case Sight.GONE | Sight.PARTIAL:
            return Step(None, Act.CREATE)
        case Sight.STOPPED:
            return Step(None, Act.START)
        case Sight.BOOTED:
            return Step("run")
    return REST


def _running(now: Situation) -> Step:
    match now.sight:
        case Sight.STOPPED | Sight.PARTIAL:
            return Step(None, Act.START) if now.work == Work.REBOOT and now.is_asked else Step("halt")
        case Sight.RUNNING | Sight.BOOTED if now.work == Work.NONE and now.desired == Desired.STOPPED:
            return Step("stop", Act.STOP)
    return _work(now)


def _stopping(now: Situation) -> Step:
    if now.sight in (Sight.STOPPED, Sight.PARTIAL):
        return Step("rest")
    if now.is_overdue:
        return Step(None, Act.GIVE_UP)
    if now.sight == Sight.UNKNOWN:
        return REST
    if now.is_impatient:
        return Step(None, Act.FORCE_STOP)
    return REST if now.is_asked or now.sight == Sight.CHANGING else Step(None, Act.STOP)


def _stopped(now: Situation) -> Step:
    if now.work != Work.NONE:
        return _work(now)
    match now.sight:
        case Sight.RUNNING | Sight.BOOTED if now.desired == Desired.STOPPED:
            return Step(None, Act.STOP)  # started behind our back
        case Sight.UNKNOWN | Sight.CHANGING:
            return REST
    return Step("start") if now.desired == Desired.RUNNING else REST


def _starting(now: Situation) -> Step:
    if now.is_overdue or now.desired == Desired.STOPPED:
        return Step("stop", Act.WAIT if now.sight == Sight.UNKNOWN else Act.FORCE_STOP)
    match now.sight:
        case Sight.STOPPED:
            return Step(None, Act.START)
        case Sight.PARTIAL:
            return Step(None, Act.CREATE)
        case Sight.BOOTED:
            return Step("run")
    return REST


def _work(now: Situation) -> Step:
    """Work beside starting and stopping, on a machine that stays as it is."""
    if now.work == Work.NONE:
        return REST
    if now.is_overdue:
        return Step(None, Act.GIVE_UP)
    if now.sight in (Sight.UNKNOWN, Sight.CHANGING):
        return REST
    if now.work == Work.REBOOT:
        return _reboot(now)
    return Step(None, Act.FINISH if now.is_asked and now.is_fulfilled else _ASK[now.work])


def _reboot(now: Situation) -> Step:
    if not now.is_asked:
        return Step(None, Act.REBOOT)
    return Step(None, Act.FINISH) if now.sight == Sight.BOOTED else REST


_BY_STATE = {
    State.PENDING: _pending,
    State.PROVISIONING: _provisioning,
    State.RUNNING: _running,
    State.STOPPING: _stopping,
    State.STOPPED: _stopped,
    State.STARTING: _starting,
}
