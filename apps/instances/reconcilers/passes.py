"""One pass over an instance: claim, observe, plan, act, release. Safe to repeat, safe to lose.

No transaction is open while a driver is called. Failpoints stand wherever a crash would hurt most.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, connection

from apps.core.failpoints import failpoint
from apps.core.leases import LeaseLost, in_time, take
from apps.drivers.base import ComputeDriver, Observed, Power
from apps.drivers.errors import BadCredentials, DriverError, Transient
from apps.instances.models import Instance
from apps.instances.plans import Act, Sight, Situation, Step, plan
from apps.instances.reconcilers.acts import act, snapshot_size
from apps.instances.services import closing, lifecycle
from apps.instances.services.lifecycle import Reason, Turn, WishChanged
from apps.instances.states import ENDED, MOVING, Desired, Health, State, Work
from apps.regions.models import Cluster
from apps.regions.reconcilers import driver_of

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=2)
GRACE = timedelta(seconds=1)
RESYNC = timedelta(minutes=10)
PATIENCE = timedelta(seconds=90)  # how long a guest may take to shut down
ALARM_AFTER = timedelta(minutes=15)
MOST_STEPS = 24
WAIT_MOST, RETRY_MOST = 4.0, 60.0  # seconds
CLUSTERS_FOR = 5.0  # seconds for which a cluster's configuration is trusted

# The brake: in a frozen region nothing is touched.
_FROZEN = "EXISTS (SELECT FROM regions_region r WHERE r.id = region_id AND r.frozen_at IS NOT NULL)"
_RESTING = {"run": RESYNC, "rest": RESYNC, "halt": RESYNC}
_WORK_STEPS = {
    Work.REBOOT: "restart",
    Work.RESIZE: "resize",
    Work.SNAPSHOT: "copy",
    Work.UNSNAPSHOT: "remove",
    Work.RESTORE: "restore",
}

_clusters: dict[str, tuple[float, Cluster]] = {}


def reconcile_instance(*, instance_id: str, now: datetime | None = None) -> bool:
    """Bring one instance as far as it goes at the moment; False when it is not due or somebody is at it.

    `now` stands in for the database's clock, for tests that let time pass.
    """
    row = take(Instance, instance_id, ttl=LEASE, unless=_FROZEN)
    if row is None:
        return False
    assert row.lease_token is not None
    turn = Turn(row, row.lease_token, now or row.taken_at)  # type: ignore[attr-defined]
    try:
        Pass(turn).run()
    except LeaseLost:
        log.warning("instance_lease_lost", instance=instance_id)
    except Exception:
        _let_others(row, turn)
        raise
    return True


def _let_others(row: Instance, turn: Turn) -> None:
    """A pass that broke off keeps nobody waiting for its lease, but is not repeated at once for ever."""
    again = in_time(timedelta(seconds=min(2.0 ** min(row.attempts, 6), RETRY_MOST)))
    changes = {"lease_token": None, "lease_until": None, "attempts": row.attempts + 1, "due_at": again}
    with suppress(DatabaseError):
        Instance.objects.filter(pk=row.pk, lease_token=turn.token).update(**changes)


def reconcile_due(*, limit: int = 200, threads: int = 4) -> int:
    """Everything that is due and that no worker has taken: what hints did not reach."""
    rows = Instance.objects.due(grace=GRACE).filter(region__frozen_at=None)
    due = list(rows.values_list("pk", flat=True)[:limit])
    if len(due) <= threads:
        return sum(_reconcile_one(pk) for pk in due)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return sum(pool.map(_reconcile_some, [due[first::threads] for first in range(threads)]))


def _reconcile_some(due: list[str]) -> int:
    try:
        return sum(_reconcile_one(pk) for pk in due)
    finally:
        connection.close()


def _reconcile_one(instance_id: str) -> bool:
    try:
        return reconcile_instance(instance_id=instance_id)
    except Exception:
        log.exception("instance_pass_failed", instance=instance_id)
        return False


@dataclass(slots=True)
class Pass:
    """A turn in progress."""

    turn: Turn
    error: DriverError | None = None
    is_asked: bool = False
    is_fulfilled: bool = False
    size_bytes: int = 0
    began: float = field(default_factory=time.monotonic)
    start: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.turn.now
        self.is_asked = self.turn.instance.asked_at is not None
        failpoint("instances.pass.claimed")

    def run(self) -> None:
        for _step in range(MOST_STEPS):
            self.turn.now = self.start + timedelta(seconds=time.monotonic() - self.began)
            try:
                if self.step():
                    return
            except WishChanged:
                self.read_again()
        closing.rest(self.turn, due_in=timedelta(seconds=1))

    def step(self) -> bool:
        """Look, decide, do; True when the lease was given back."""
        sight = self.look()
        failpoint("instances.pass.observed")
        step = plan(self.situation(sight))
        if step == Step():
            self.wait(sight)
            return True
        if step.event and self.commit(step.event):
            return True
        if step.act != Act.WAIT:
            self.do(step.act)
        return self.has_stalled()

    # ------------------------------------------------------------ look

    def look(self) -> Sight:
        """Ask the driver; an error is no answer and proves nothing."""
        turn, self.error = self.turn, None
        turn.observed, turn.is_absent, self.is_fulfilled = None, False, False
        try:
            turn.observed = self.driver().observe(turn.instance.machine_name)
            self.is_fulfilled = self.is_asked and self.shows()
        except DriverError as error:
            self.error = error
            return Sight.UNKNOWN
        if turn.observed is None:
            self.prove()
        return sight_of(turn.observed)

    def driver(self) -> ComputeDriver:
        return driver_of(cluster_of(self.turn.instance.cluster_id))

    def prove(self) -> None:
        instance, turn = self.turn.instance, self.turn
        turn.is_absent = True
        turn.proof = {
            "at": turn.now.isoformat(),
            "cluster": instance.cluster_id,
            "machine": instance.machine_name,
            "fence": instance.fence,
            "answer": "absent",
        }

    def situation(self, sight: Sight) -> Situation:
        row, now = self.turn.instance, self.turn.now
        return Situation(
            desired=Desired(row.desired),
            state=State(row.state),
            sight=sight,
            work=Work(row.work),
            is_asked=self.is_asked,
            is_overdue=row.deadline_at is not None and row.deadline_at < now,
            is_impatient=row.state == State.STOPPING and now - row.state_at > PATIENCE,
            is_fulfilled=self.is_fulfilled,
            is_released=row.released_at is not None,
        )

    def shows(self) -> bool:
        """Whether the work in hand can be seen in the machine."""
        row, seen = self.turn.instance, self.turn.observed
        if row.work == Work.SNAPSHOT and seen is not None:
            size = snapshot_size(self.driver(), row)
            self.size_bytes = size or 0
            return size is not None
        if row.work == Work.RESIZE and seen and seen.disk_gib:
            return seen.disk_gib >= row.work_params["new"]["disk_gib"]
        return True

    # ------------------------------------------------------------ do

    def commit(self, event: str) -> bool:
        """Write a transition; True when the instance then rests."""
        rest_for = _RESTING.get(event)
        lifecycle.move(self.turn, event, rest_for=rest_for)
        self.is_asked = False
        failpoint(f"instances.moved.{event}")
        return rest_for is not None or event == "vanish"

    def do(self, what: Act) -> None:
        """Ask the driver, or conclude."""
        turn = self.turn
        match what:
            case Act.FINISH:
                closing.finish_work(turn, size_bytes=self.size_bytes)
                self.is_asked = False
                return
            case Act.GIVE_UP:
                closing.give_up(turn)
                self.is_asked = False
                return
            case Act.RELEASE:
                lifecycle.let_go(turn)
                return
        if turn.instance.work in _WORK_STEPS and not self.is_asked:
            closing.note_progress(turn, _WORK_STEPS[Work(turn.instance.work)])
        failpoint(f"instances.acting.{what}")
        try:
            act(self.driver(), turn.instance, what)
            self.is_asked = True
        except DriverError as error:
            self.error = error
            self.refuse(what, error)
        failpoint(f"instances.acted.{what}")

    def refuse(self, what: Act, error: DriverError) -> None:
        """What a refusal means depends on what was asked. A removal or a stop is simply asked again."""
        if isinstance(error, Transient | BadCredentials):
            return
        turn = self.turn
        turn.reason = Reason("driver_refused", str(error), error.detail)
        match what:
            case Act.CREATE | Act.START if turn.instance.state == State.PROVISIONING:
                lifecycle.move(turn, "fail")
                self.error = None
            case Act.CREATE | Act.START if turn.instance.state == State.STARTING:
                lifecycle.move(turn, "stop")
                self.error = None
            case Act.REBOOT | Act.RESIZE | Act.SNAPSHOT | Act.UNSNAPSHOT | Act.RESTORE:
                closing.give_up(turn)
                self.error = None
        turn.reason = None

    # ------------------------------------------------------------ and let go

    def has_stalled(self) -> bool:
        """Give the lease back when the driver does not answer: asking again at once helps nobody."""
        if self.error is None:
            return False
        self.retreat(self.error)
        return True

    def wait(self, sight: Sight) -> None:
        """Nothing to do until something changes."""
        row = self.turn.instance
        if self.error is not None:
            self.retreat(self.error)
            return
        is_moving = row.state in MOVING or row.work or not is_settled(row)
        if sight == Sight.RUNNING and row.operation_id:
            closing.note_progress(self.turn, "boot")
        changes: dict[str, object] = {"asked_at": self.turn.now if self.is_asked else None, "last_error": ""}
        if is_moving:
            changes["attempts"] = row.attempts + 1
            self.let_go(timedelta(seconds=min(1.0 + row.attempts * 0.25, WAIT_MOST)), changes)
            return
        if row.state == State.RUNNING and sight == Sight.BOOTED:
            changes |= {"proof_at": self.turn.now, "missed_at": None}
            if row.health != Health.UNREACHABLE:
                changes["health"] = Health.HEALTHY
        is_over = row.state in ENDED and row.released_at is not None
        self.let_go(None if is_over else RESYNC, {**changes, "attempts": 0})

    def retreat(self, error: DriverError) -> None:
        """Try again later, ever later, and tell staff when a removal does not get through."""
        row = self.turn.instance
        log.warning("driver_failed", instance=str(row.pk), state=row.state, error=error.detail)
        is_late = row.state == State.DELETING and self.turn.now - row.state_at > ALARM_AFTER
        if is_late and "alarm" not in row.work_params:
            why = Reason("removal_overdue", str(error), error.detail)
            closing.raise_alarm(self.turn, "instance.removal_overdue", why)
        changes = {"attempts": row.attempts + 1, "last_error": error.detail[:2000]}
        asked = {"asked_at": self.turn.now if self.is_asked else None}
        self.let_go(timedelta(seconds=min(2.0 ** min(row.attempts, 6), RETRY_MOST)), {**changes, **asked})

    def let_go(self, due_in: timedelta | None, changes: dict[str, object]) -> None:
        failpoint("instances.pass.releasing")
        closing.rest(self.turn, due_in=due_in, **changes)

    def read_again(self) -> None:
        """Somebody wished for something else meanwhile: go on from there."""
        token, row = self.turn.token, self.turn.instance
        with suppress(Instance.DoesNotExist):
            row.refresh_from_db()
        if row.lease_token != token:
            raise LeaseLost(row.pk)
        self.is_asked, self.turn.reason = False, None


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


def cluster_of(cluster_id: str) -> Cluster:
    """The cluster's row, read at most every few seconds."""
    known = _clusters.get(cluster_id)
    if known is None or time.monotonic() - known[0] > CLUSTERS_FOR:
        known = (time.monotonic(), Cluster.objects.get(pk=cluster_id))
        _clusters[cluster_id] = known
    return known[1]
