"""One pass over a replica: claim, observe, plan, act, release. Safe to repeat, safe to lose.

No transaction is open while a driver is called. Failpoints stand wherever a crash would hurt most.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, connection

from apps.core.failpoints import failpoint
from apps.core.leases import LeaseLost, in_time, take
from apps.drivers.engines import CanServe, Engine, EngineSpec, ModelFile, Phase
from apps.drivers.errors import BadCredentials, DriverError, Transient
from apps.inference.models import Replica, Revision
from apps.inference.plans.replicas import REST, Act, Sight, Situation, plan
from apps.inference.services import lifecycle
from apps.inference.services.lifecycle import Reason, Turn, WishChanged
from apps.inference.states import ENDED, Desired, ReplicaState
from apps.instances.reconcilers.passes import cluster_of
from apps.regions.reconcilers import engines_of
from apps.registry import selectors as registry

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=2)
GRACE = timedelta(seconds=1)
RESYNC = timedelta(minutes=5)
SILENT_FOR = timedelta(seconds=5)  # so long may an engine not answer before it counts as unhealthy
UNSEEN_FOR = timedelta(seconds=50)  # … and so long may nobody be able to look
ROUTES_KNOWN = timedelta(seconds=3)  # after that no gateway sends anything to a draining replica
PATIENCE = timedelta(seconds=10)  # how long an engine may take to end when asked
ALARM_AFTER = timedelta(minutes=15)
MOST_STEPS = 24
GLANCE = 0.04  # seconds between two looks at an engine that will be ready at once
WAIT_MOST, RETRY_MOST = 4.0, 60.0  # seconds

# The brake: in a frozen region nothing is touched.
_FROZEN = "EXISTS (SELECT FROM regions_region r WHERE r.id = region_id AND r.frozen_at IS NOT NULL)"
_SIGHTS = {
    Phase.FETCHING: Sight.COMING,
    Phase.LOADING: Sight.COMING,
    Phase.SERVING: Sight.SERVING,
    Phase.SILENT: Sight.SILENT,
    Phase.EXITED: Sight.EXITED,
    Phase.STOPPING: Sight.STOPPING,
}


def reconcile_replica(*, replica_id: str, now: datetime | None = None) -> bool:
    """Bring one replica as far as it goes at the moment; False when it is not due or somebody is at it.

    `now` stands in for the database's clock, for tests that let time pass.
    """
    row = take(Replica, replica_id, ttl=LEASE, unless=_FROZEN)
    if row is None:
        return False
    assert row.lease_token is not None
    turn = Turn(row, row.lease_token, now or row.taken_at)  # type: ignore[attr-defined]
    try:
        Pass(turn).run()
    except LeaseLost:
        log.warning("replica_lease_lost", replica=replica_id)
    except Exception:
        _let_others(row, turn)
        raise
    return True


def _let_others(row: Replica, turn: Turn) -> None:
    """A pass that broke off keeps nobody waiting for its lease, but is not repeated at once for ever."""
    again = in_time(timedelta(seconds=min(2.0 ** min(row.attempts, 6), RETRY_MOST)))
    changes = {"lease_token": None, "lease_until": None, "attempts": row.attempts + 1, "due_at": again}
    with suppress(DatabaseError):
        Replica.objects.filter(pk=row.pk, lease_token=turn.token).update(**changes)


def reconcile_due(*, limit: int = 200, threads: int = 4) -> int:
    """Everything that is due and that no worker has taken: what hints did not reach."""
    rows = Replica.objects.due(grace=GRACE).filter(region__frozen_at=None)
    due = list(rows.values_list("pk", flat=True)[:limit])
    if len(due) <= 1:
        return sum(_reconcile_one(pk) for pk in due)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return sum(pool.map(_reconcile_some, [due[first::threads] for first in range(threads)]))


def _reconcile_some(due: list[str]) -> int:
    try:
        return sum(_reconcile_one(pk) for pk in due)
    finally:
        connection.close()


def _reconcile_one(replica_id: str) -> bool:
    try:
        return reconcile_replica(replica_id=replica_id)
    except Exception:
        log.exception("replica_pass_failed", replica=replica_id)
        return False


@dataclass(slots=True)
class Pass:
    """A turn in progress."""

    turn: Turn
    error: DriverError | None = None
    steps: int = 0
    began: float = field(default_factory=time.monotonic)
    start: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.turn.now
        failpoint("inference.pass.claimed")

    def run(self) -> None:
        while self.steps < MOST_STEPS:
            self.steps += 1
            self.turn.now = self.start + timedelta(seconds=time.monotonic() - self.began)
            try:
                if self.step():
                    return
            except WishChanged:
                self.read_again()
        lifecycle.rest(self.turn, due_in=timedelta(seconds=1))

    def step(self) -> bool:
        """Look, decide, do; True when the lease was given back."""
        sight = self.look()
        failpoint("inference.pass.observed")
        step = plan(self.situation(sight))
        if step == REST:
            return not self.glance(sight) and self.wait(sight)
        if step.event and self.commit(step.event):
            return True
        if step.act != Act.WAIT:
            self.do(step.act)
        return self.has_stalled()

    # ------------------------------------------------------------ look

    def look(self) -> Sight:
        """Ask the driver; an error is no answer and proves nothing."""
        turn, self.error = self.turn, None
        turn.seen, turn.is_absent = None, False
        try:
            turn.seen = self.driver().observe_engine(turn.replica.engine_name)
        except DriverError as error:
            self.error = error
            return Sight.UNKNOWN
        if turn.seen is None:
            self.prove()
        return sight_of(turn.seen)

    def driver(self) -> CanServe:
        return engines_of(cluster_of(str(self.turn.replica.cluster_id)))

    def prove(self) -> None:
        replica, turn = self.turn.replica, self.turn
        turn.is_absent = True
        turn.proof = {
            "at": turn.now.isoformat(),
            "cluster": replica.cluster_id,
            "engine": replica.engine_name,
            "fence": replica.fence,
            "answer": "absent",
        }

    def situation(self, sight: Sight) -> Situation:
        row, now, seen = self.turn.replica, self.turn.now, self.turn.seen
        patience = SILENT_FOR if sight == Sight.SILENT else UNSEEN_FOR
        is_asked = row.asked_at is not None and row.state in ENDED | {ReplicaState.DRAINING}
        return Situation(
            desired=Desired(row.desired),
            state=ReplicaState(row.state),
            sight=sight,
            is_overdue=row.deadline_at is not None and row.deadline_at < now,
            is_missed=row.missed_at is not None and now - row.missed_at > patience,
            is_noticed=row.noticed_at is not None or (seen is not None and seen.is_noticed),
            is_quiet=row.state == ReplicaState.DRAINING and self.is_quiet(sight),
            is_impatient=is_asked and row.asked_at is not None and now - row.asked_at > PATIENCE,
            is_released=row.released_at is not None,
        )

    def is_quiet(self, sight: Sight) -> bool:
        """Whether a draining replica may end: nothing is open, or what is open will not be waited for."""
        row, now = self.turn.replica, self.turn.now
        if row.started_at is None or row.asked_at is not None:
            return True
        if now - row.state_at < ROUTES_KNOWN:
            return False
        endpoint = row.endpoint
        if now - row.state_at > timedelta(seconds=endpoint.drain_seconds):
            return True
        if sight != Sight.SERVING:
            return False
        try:
            row.outstanding = self.driver().count_open(row.engine_name)
        except DriverError:
            row.outstanding = None
        return row.outstanding == 0

    # ------------------------------------------------------------ do

    def commit(self, event: str) -> bool:
        """Write a transition; True when the replica then rests."""
        rest_for = RESYNC if event == "serve" else None
        lifecycle.move(self.turn, event, rest_for=rest_for)
        failpoint(f"inference.moved.{event}")
        return rest_for is not None or event == "stop"

    def do(self, what: Act) -> None:
        """Ask the driver, or conclude."""
        turn = self.turn
        if what == Act.RELEASE:
            lifecycle.let_go(turn)
            return
        failpoint(f"inference.acting.{what}")
        try:
            self.act(what)
            turn.replica.asked_at = turn.replica.asked_at or turn.now
        except DriverError as error:
            self.error = error
            self.refuse(what, error)
        failpoint(f"inference.acted.{what}")

    def act(self, what: Act) -> None:
        driver, replica = self.driver(), self.turn.replica
        match what:
            case Act.LAUNCH:
                driver.launch_engine(spec_of(replica))
            case Act.DELETE | Act.KILL:
                driver.delete_engine(replica.engine_name, force=what == Act.KILL)

    def refuse(self, what: Act, error: DriverError) -> None:
        """A refused launch has failed. A removal is simply asked for again."""
        if isinstance(error, Transient | BadCredentials) or what != Act.LAUNCH:
            return
        self.turn.reason = Reason("driver_refused", str(error), error.detail)
        lifecycle.move(self.turn, "fail")
        self.turn.reason = self.error = None

    # ------------------------------------------------------------ and let go

    def glance(self, sight: Sight) -> bool:
        """Wait a moment for an engine that comes or goes at once; False when that is not to be expected."""
        is_moving = sight in (Sight.COMING, Sight.STOPPING)
        if not is_moving or time.monotonic() - self.began > self.driver().quick_seconds:
            return False
        time.sleep(GLANCE)
        self.steps -= 1
        return True

    def has_stalled(self) -> bool:
        """Give the lease back when the driver does not answer: asking again at once helps nobody."""
        if self.error is None:
            return False
        self.retreat(self.error)
        return True

    def wait(self, sight: Sight) -> bool:
        """Nothing to do until something changes."""
        row, now = self.turn.replica, self.turn.now
        if self.error is not None:
            self.retreat(self.error)
            return True
        changes: dict[str, object] = {"asked_at": row.asked_at, "outstanding": row.outstanding}
        changes["last_error"] = ""
        if row.state == ReplicaState.READY and sight == Sight.SERVING:
            changes |= {"last_seen_at": now, "missed_at": None}
        elif row.state == ReplicaState.READY:
            changes |= {"missed_at": row.missed_at or now}
        if row.state in ENDED and row.released_at is not None:
            self.let_go(None, {**changes, "attempts": 0})
        elif row.state == ReplicaState.READY and sight == Sight.SERVING:
            self.let_go(RESYNC, {**changes, "attempts": 0})
        else:
            changes["attempts"] = row.attempts + 1
            self.let_go(timedelta(seconds=min(0.5 + row.attempts * 0.25, WAIT_MOST)), changes)
        return True

    def retreat(self, error: DriverError) -> None:
        """Try again later, ever later, and tell staff when a removal does not get through."""
        row, now = self.turn.replica, self.turn.now
        log.warning("driver_failed", replica=str(row.pk), state=row.state, error=error.detail)
        is_going = row.state == ReplicaState.DRAINING or row.state in ENDED
        if is_going and not row.is_alarmed and now - row.state_at > ALARM_AFTER:
            lifecycle.raise_alarm(self.turn, Reason("removal_overdue", str(error), error.detail))
        changes: dict[str, object] = {"attempts": row.attempts + 1, "last_error": error.detail[:2000]}
        if row.state == ReplicaState.READY:
            changes["missed_at"] = row.missed_at or now
        changes["asked_at"] = row.asked_at
        self.let_go(timedelta(seconds=min(2.0 ** min(row.attempts, 6), RETRY_MOST)), changes)

    def let_go(self, due_in: timedelta | None, changes: dict[str, object]) -> None:
        failpoint("inference.pass.releasing")
        lifecycle.rest(self.turn, due_in=due_in, **changes)

    def read_again(self) -> None:
        """Somebody wished for something else meanwhile: go on from there."""
        token, row = self.turn.token, self.turn.replica
        with suppress(Replica.DoesNotExist):
            row.refresh_from_db()
        if row.lease_token != token:
            raise LeaseLost(row.pk)
        self.turn.reason = None


def sight_of(seen: Engine | None) -> Sight:
    """What was observed, in the words of the plan."""
    if seen is None:
        return Sight.GONE
    return Sight.RECLAIMED if seen.is_reclaimed else _SIGHTS[seen.phase]


def spec_of(replica: Replica) -> EngineSpec:
    """The engine as its driver is told to make it."""
    rows = Revision.objects.select_related("version__model", "hardware", "endpoint")
    revision = rows.get(pk=replica.revision_id)
    hardware, version = revision.hardware, revision.version
    return EngineSpec(
        name=replica.engine_name,
        installation=settings.INSTALLATION_ID,
        resource_id=str(replica.pk),
        fence=replica.fence,
        model=revision.endpoint.slug,
        modality=str(version.model.modality),
        digest=version.digest,
        files=tuple(ModelFile(*file) for file in registry.files(version)),
        context_length=revision.context_length,
        parallel=revision.parallel,
        api_key=replica.secret,
        vcpus=hardware.vcpus,
        memory_mib=hardware.memory_mib,
        gpus=hardware.gpus,
        is_spot=replica.is_spot,
    )
