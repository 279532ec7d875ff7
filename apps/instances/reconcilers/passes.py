"""A pass over an instance: what is looked at, decided and asked. How passes go: `regions.reconcilers`."""

from datetime import datetime, timedelta
from typing import Any

from apps.core.turns import Reason
from apps.drivers.base import ComputeDriver, Observed, Power
from apps.drivers.errors import BadCredentials, DriverError, Transient
from apps.instances.models import Instance
from apps.instances.plans import Act, Sight, Situation, Step, plan
from apps.instances.reconcilers.acts import act, snapshot_size
from apps.instances.services import closing, lifecycle
from apps.instances.services.lifecycle import Turn
from apps.instances.states import ENDED, MOVING, Desired, Health, State, Work
from apps.regions.reconcilers import Pass, bring_due, cluster_of, driver_of

PATIENCE = timedelta(seconds=90)  # how long a guest may take to shut down
_WORK_STEPS = {
    Work.REBOOT: "restart",
    Work.RESIZE: "resize",
    Work.SNAPSHOT: "copy",
    Work.UNSNAPSHOT: "remove",
    Work.RESTORE: "restore",
}


def reconcile_instance(*, instance_id: str, now: datetime | None = None) -> bool:
    """Bring one instance as far as it goes at the moment; False when it is not due or somebody is at it."""
    return InstancePass.bring(instance_id, now)


def reconcile_due(*, limit: int = 200, threads: int = 4) -> int:
    """Everything that is due and that no worker has taken."""
    return bring_due(InstancePass, limit=limit, threads=threads, alone=threads)


class InstancePass(Pass):
    rows = Instance
    turns = Turn
    app = "instances"
    ended = ENDED
    resting = lifecycle.RESTING
    resync = lifecycle.RESYNC
    first_wait = 1.0

    turn: Turn
    sight: Sight

    def __init__(self, turn: Any) -> None:
        self.is_asked = turn.row.asked_at is not None
        self.is_fulfilled = False
        self.size_bytes = 0
        super().__init__(turn)

    # ------------------------------------------------------------ look

    def observe(self) -> Observed | None:
        self.is_fulfilled = False
        seen = self.driver().observe(self.turn.row.machine_name)
        self.is_fulfilled = self.is_asked and self.shows(seen)
        return seen

    def driver(self) -> ComputeDriver:
        return driver_of(cluster_of(self.turn.row.cluster_id))

    def where(self) -> dict[str, object]:
        return {"cluster": self.turn.row.cluster_id, "machine": self.turn.row.machine_name}

    def describe(self) -> Sight:
        return Sight.UNKNOWN if self.error else sight_of(self.turn.seen)

    def plan(self) -> Step:
        row, now = self.turn.row, self.turn.now
        return plan(
            Situation(
                desired=Desired(row.desired),
                state=State(row.state),
                sight=self.sight,
                work=Work(row.work),
                is_asked=self.is_asked,
                is_overdue=row.deadline_at is not None and row.deadline_at < now,
                is_impatient=row.state == State.STOPPING and now - row.state_at > PATIENCE,
                is_fulfilled=self.is_fulfilled,
                is_released=row.released_at is not None,
            )
        )

    def shows(self, seen: Observed | None) -> bool:
        """Whether the work in hand can be seen in the machine."""
        row = self.turn.row
        if row.work == Work.SNAPSHOT and seen is not None:
            size = snapshot_size(self.driver(), row)
            self.size_bytes = size or 0
            return size is not None
        if row.work == Work.RESIZE and seen and seen.disk_gib:
            return bool(seen.disk_gib >= row.work_params["new"]["disk_gib"])
        return True

    # ------------------------------------------------------------ do

    def move(self, event: str) -> None:
        lifecycle.move(self.turn, event)
        self.is_asked = False

    def conclude(self, what: Act) -> bool:
        match what:
            case Act.FINISH:
                closing.finish_work(self.turn, size_bytes=self.size_bytes)
                self.is_asked = False
            case Act.GIVE_UP:
                closing.give_up(self.turn)
                self.is_asked = False
            case Act.RELEASE:
                lifecycle.let_go(self.turn)
            case _:
                return False
        return True

    def act(self, what: Act) -> None:
        row = self.turn.row
        if row.work in _WORK_STEPS and not self.is_asked:
            closing.note_progress(self.turn, _WORK_STEPS[Work(row.work)])
        act(self.driver(), row, what)
        self.is_asked = True

    def refuse(self, what: Act, error: DriverError) -> None:
        """What a refusal means depends on what was asked. A removal or a stop is simply asked again."""
        if isinstance(error, Transient | BadCredentials):
            return
        turn = self.turn
        turn.reason = Reason("driver_refused", str(error), error.detail)
        match what:
            case Act.CREATE | Act.START if turn.row.state == State.PROVISIONING:
                lifecycle.move(turn, "fail")
                self.error = None
            case Act.CREATE | Act.START if turn.row.state == State.STARTING:
                lifecycle.move(turn, "stop")
                self.error = None
            case Act.REBOOT | Act.RESIZE | Act.SNAPSHOT | Act.UNSNAPSHOT | Act.RESTORE:
                closing.give_up(turn)
                self.error = None
        turn.reason = None

    # ------------------------------------------------------------ and let go

    def wait(self) -> bool:
        if self.sight == Sight.RUNNING:
            closing.note_progress(self.turn, "boot")
        return super().wait()

    def is_settled(self) -> bool:
        row = self.turn.row
        return not (row.state in MOVING or row.work) and is_settled(row)

    def notes(self) -> dict[str, object]:
        row, now = self.turn.row, self.turn.now
        notes: dict[str, object] = {"asked_at": now if self.is_asked else None}
        if row.state == State.RUNNING and self.sight == Sight.BOOTED and self.is_settled():
            notes |= {"proof_at": now, "missed_at": None}
            if row.health != Health.UNREACHABLE:
                notes["health"] = Health.HEALTHY
        return notes

    def alarm(self, why: Reason) -> None:
        row = self.turn.row
        if row.state == State.DELETING and "alarm" not in row.work_params:
            closing.raise_alarm(self.turn, "instance.removal_overdue", why)

    def read_again(self) -> None:
        super().read_again()
        self.is_asked = False


def is_settled(row: Instance) -> bool:
    """Whether what is wanted is what is, as far as that can ever be."""
    if row.state in ENDED:
        return row.desired != Desired.DELETED or row.state == State.DELETED
    return str(row.desired) == str(row.state)


def sight_of(seen: Observed | None) -> Sight:
    """What was observed, in the words of the plan."""
    if seen is None:
        return Sight.GONE
    if seen.reclaimed:
        return Sight.RECLAIMED
    if seen.power == Power.RUNNING:
        return Sight.BOOTED if seen.booted else Sight.RUNNING
    return Sight(seen.power.value)
