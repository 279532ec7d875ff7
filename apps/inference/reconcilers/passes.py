"""A pass over a replica: what is looked at, decided and asked. How passes go: `regions.reconcilers`."""

import time
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from apps.core.turns import Reason
from apps.drivers import external
from apps.drivers.egress import networks_of
from apps.drivers.engines import CanServe, Engine, EngineSpec, ModelFile, Phase
from apps.drivers.errors import BadCredentials, DriverError, Transient
from apps.inference.models import Replica, Revision
from apps.inference.plans.replicas import Act, Sight, Situation, Step, plan
from apps.inference.reconcilers.logs import read_log
from apps.inference.services import lifecycle
from apps.inference.services.lifecycle import Turn
from apps.inference.states import ENDED, Desired, ReplicaState
from apps.regions.reconcilers import Pass, bring_due, cluster_of, engines_of
from apps.registry import selectors as registry

SILENT_FOR = timedelta(seconds=5)  # so long may an engine not answer before it counts as unhealthy
UNSEEN_FOR = timedelta(seconds=50)  # … and so long may nobody be able to look
ROUTES_KNOWN = timedelta(seconds=3)  # after that no gateway sends anything to a draining replica
PATIENCE = timedelta(seconds=10)  # how long an engine may take to end when asked
GLANCE = 0.04  # seconds between two looks at an engine that will be ready at once

_SIGHTS = {
    Phase.FETCHING: Sight.COMING,
    Phase.LOADING: Sight.COMING,
    Phase.SERVING: Sight.SERVING,
    Phase.SILENT: Sight.SILENT,
    Phase.EXITED: Sight.EXITED,
    Phase.STOPPING: Sight.STOPPING,
}


def reconcile_replica(*, replica_id: str, now: datetime | None = None) -> bool:
    """Bring one replica as far as it goes at the moment; False when it is not due or somebody is at it."""
    return ReplicaPass.bring(replica_id, now)


def reconcile_due(*, limit: int = 200, threads: int = 4) -> int:
    """Everything that is due and no worker has taken. Nobody queues behind an engine that is waited for."""
    return bring_due(ReplicaPass, limit=limit, threads=threads, alone=1)


class ReplicaPass(Pass):
    rows = Replica
    app = "inference"
    ended = ENDED
    resting = lifecycle.RESTING
    resync = lifecycle.RESYNC
    first_wait = 0.5

    turn: Turn
    sight: Sight
    hint = ""

    # ------------------------------------------------------------ look

    def observe(self) -> Engine | None:
        row = self.turn.row
        if not row.is_external:
            return self.driver().observe_engine(row.engine_name)
        if row.desired == Desired.GONE or row.state in ENDED:
            return None  # nothing of it is ours: what is open there is finished there
        if row.next_key and (seen := self.look_with_next_key()):
            return seen
        return external.look(row.url, row.secret, networks_of(settings.PROVIDER_NETWORKS))

    def look_with_next_key(self) -> Engine | None:
        """Try the key that shall take over; what is used stays until it is proven."""
        row, self.hint = self.turn.row, ""
        try:
            seen = external.look(row.url, row.next_secret, networks_of(settings.PROVIDER_NETWORKS))
        except DriverError as error:
            said = {"what": str(error)}
            self.hint = _("The new key is not in use yet, the old one is: %(what)s") % said
            if row.message != self.hint:
                lifecycle.leave_key(self.turn, self.hint)
            return None
        lifecycle.take_key(self.turn)
        return seen

    def driver(self) -> CanServe:
        return engines_of(cluster_of(str(self.turn.row.cluster_id)))

    def where(self) -> dict[str, object]:
        row = self.turn.row
        if row.is_external:
            return {"provider": row.url}
        return {"cluster": row.cluster_id, "engine": row.engine_name}

    def describe(self) -> Sight:
        return Sight.UNKNOWN if self.error else sight_of(self.turn.seen)

    def plan(self) -> Step:
        row, now, seen = self.turn.row, self.turn.now, self.turn.seen
        patience = SILENT_FOR if self.sight == Sight.SILENT else UNSEEN_FOR
        is_asked = row.asked_at is not None and row.state in ENDED | {ReplicaState.DRAINING}
        return plan(
            Situation(
                desired=Desired(row.desired),
                state=ReplicaState(row.state),
                sight=self.sight,
                is_overdue=row.deadline_at is not None and row.deadline_at < now,
                is_missed=row.missed_at is not None and now - row.missed_at > patience,
                is_noticed=row.noticed_at is not None or (seen is not None and seen.is_noticed),
                is_quiet=row.state == ReplicaState.DRAINING and self.is_quiet(),
                is_impatient=is_asked and row.asked_at is not None and now - row.asked_at > PATIENCE,
                is_released=row.released_at is not None,
            )
        )

    def is_quiet(self) -> bool:
        """Whether a draining replica may end: nothing is open, or what is open will not be waited for."""
        row, now = self.turn.row, self.turn.now
        if row.started_at is None or row.asked_at is not None:
            return True
        if now - row.state_at < ROUTES_KNOWN:
            return False
        if now - row.state_at > timedelta(seconds=row.endpoint.drain_seconds):
            return True
        if self.sight != Sight.SERVING:
            return False
        try:
            row.outstanding = self.driver().count_open(row.engine_name)
        except DriverError:
            row.outstanding = None
        return row.outstanding == 0

    # ------------------------------------------------------------ do

    def move(self, event: str) -> None:
        lifecycle.move(self.turn, event)

    def conclude(self, what: Act) -> bool:
        if what == Act.RELEASE:
            lifecycle.let_go(self.turn)
        return what == Act.RELEASE

    def act(self, what: Act) -> None:
        driver, row = self.driver(), self.turn.row
        match what:
            case Act.LAUNCH:
                driver.launch_engine(spec_of(row))
            case Act.DELETE | Act.KILL:
                if row.asked_at is None:
                    read_log(replica_id=str(row.pk))  # its last words go with it
                driver.delete_engine(row.engine_name, force=what == Act.KILL)
        row.asked_at = row.asked_at or self.turn.now

    def refuse(self, what: Act, error: DriverError) -> None:
        """A refused launch has failed. A removal is simply asked for again."""
        if isinstance(error, Transient | BadCredentials) or what != Act.LAUNCH:
            return
        self.turn.reason = Reason("driver_refused", str(error), error.detail)
        lifecycle.move(self.turn, "fail")
        self.turn.reason = self.error = None

    # ------------------------------------------------------------ and let go

    def wait(self) -> bool:
        return not self.glance() and super().wait()

    def glance(self) -> bool:
        """Wait a moment for an engine that comes or goes at once; False when that is not to be expected."""
        is_moving = self.sight in (Sight.COMING, Sight.STOPPING)
        if not is_moving or time.monotonic() - self.began > self.driver().quick_seconds:
            return False
        time.sleep(GLANCE)
        self.steps -= 1
        return True

    def is_serving(self) -> bool:
        return self.turn.row.state == ReplicaState.READY and self.sight == Sight.SERVING

    def is_settled(self) -> bool:
        row = self.turn.row
        return self.is_serving() or (row.state in ENDED and row.released_at is not None)

    def notes(self) -> dict[str, object]:
        row, now = self.turn.row, self.turn.now
        notes: dict[str, object] = {"asked_at": row.asked_at, "outstanding": row.outstanding}
        if self.is_serving():
            notes |= {"last_seen_at": now, "missed_at": None}
        elif row.state == ReplicaState.READY:
            notes |= {"missed_at": row.missed_at or now}
        if row.is_external:
            notes["message"] = str(self.error or self.hint)
        return notes

    def alarm(self, why: Reason) -> None:
        row = self.turn.row
        if not row.is_alarmed and (row.state == ReplicaState.DRAINING or row.state in ENDED):
            lifecycle.raise_alarm(self.turn)


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
